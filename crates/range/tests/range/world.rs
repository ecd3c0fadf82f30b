//! A lab, an opener and an engine, and reads of which every byte is looked at.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use forebay_range::{
    EngineOptions, RangeEngine, RangeEngineConfig, RangeError, RangeSink, RangeStats, Target,
};
use forebay_source::{Opener, Source, SourceOptions};
pub(crate) use forebay_testkit::within;
use forebay_testkit::{Content, Lab, LabBuilder, Profile, init_logging};
use forebay_types::{ByteRange, RangeSpec, SystemClock};
use futures::StreamExt;

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;
pub(crate) const BUCKET: &str = "bucket";

/// Through which kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    S3,
    Http,
}

/// How the bytes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Stream,
    Read,
    ReadTo,
}

pub(crate) const DOORS: [Door; 2] = [Door::S3, Door::Http];
pub(crate) const FORMS: [Form; 3] = [Form::Stream, Form::Read, Form::ReadTo];

/// Parts so small that an object of a megabyte has many. Nothing stalls, however busy the machine is.
pub(crate) fn small_parts() -> RangeEngineConfig {
    RangeEngineConfig {
        chunk_size: 128 * KIB,
        min_split_size: 192 * KIB,
        max_concurrent_ranges: 4,
        stall_timeout: Duration::from_secs(10),
        max_retries: 2,
        retry_pause: Duration::from_millis(1),
        hedge: false,
        ask_early: true,
        ahead_in_order: false,
    }
}

/// The configuration that users get.
pub(crate) fn usual() -> RangeEngineConfig {
    RangeEngineConfig {
        hedge: false,
        ..RangeEngineConfig::default()
    }
}

pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) opener: Opener,
    pub(crate) engine: RangeEngine,
    pub(crate) config: Arc<RangeEngineConfig>,
}

impl World {
    pub(crate) fn new(config: RangeEngineConfig) -> Self {
        Self::with(Lab::builder(), config, EngineOptions::default(), |_| {})
    }

    pub(crate) fn at(profile: Profile, config: RangeEngineConfig) -> Self {
        Self::with(
            Lab::builder().profile(profile),
            config,
            EngineOptions::default(),
            |_| {},
        )
    }

    pub(crate) fn with(
        lab: LabBuilder,
        config: RangeEngineConfig,
        options: EngineOptions,
        source: impl FnOnce(&mut SourceOptions),
    ) -> Self {
        init_logging();
        let lab = lab.bucket(BUCKET).record_keys(true).start().unwrap();
        let mut settings = s3_options(&lab);
        source(&mut settings);
        let engine = RangeEngine::with_options(config.clone(), options, Arc::new(SystemClock::new()));
        Self {
            lab,
            opener: Opener::new(settings),
            engine,
            config: Arc::new(config),
        }
    }

    /// Puts a pattern and returns it.
    pub(crate) fn put(&self, key: &str, seed: u64, size: u64) -> Content {
        let content = Content::pattern(seed, size);
        self.lab.objects().put(BUCKET, key, content.clone());
        content
    }

    pub(crate) fn source(&self, door: Door, key: &str) -> Source {
        let url = match door {
            Door::S3 => format!("s3://{BUCKET}/{key}"),
            Door::Http => format!("{}/{BUCKET}/{key}", self.lab.endpoint()),
        };
        self.opener.open(&url.parse().unwrap()).unwrap()
    }

    pub(crate) fn target(&self, door: Door, key: &str) -> Target {
        Target::new(&self.source(door, key), self.config.clone())
    }

    pub(crate) async fn take(&self, door: Door, form: Form, key: &str, spec: RangeSpec) -> Taken {
        take(&self.engine, self.target(door, key), form, spec).await
    }

    /// Everything that a read holds has come back: memory, turns, connections, and the lab has nothing left to answer.
    pub(crate) async fn settled(&self) {
        let held = || {
            (
                self.engine.budget().in_flight(),
                self.engine.gate().in_flight(),
                self.opener.budget().in_use(),
                self.lab.counts().concurrent_requests,
            )
        };
        for _ in 0..300 {
            if held() == (0, 0, 0, 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "left behind (memory, turns, permits, requests at the lab): {:?}",
            held()
        );
    }
}

pub(crate) fn s3_options(lab: &Lab) -> SourceOptions {
    SourceOptions {
        cloud: forebay_testkit::s3_settings(&lab.endpoint()),
        ..SourceOptions::default()
    }
}

pub(crate) const WHOLE: RangeSpec = RangeSpec::From(0);

pub(crate) fn bounded(start: u64, end: u64) -> RangeSpec {
    RangeSpec::Bounded(ByteRange::new(start, end))
}

/// What a read delivered before it ended, and how it ended.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Which bytes were to come; `None` if not even that became known.
    pub(crate) range: Option<ByteRange>,
    /// Offset from the start of the range, and bytes.
    pub(crate) pieces: Vec<(u64, Bytes)>,
    pub(crate) outcome: Result<RangeStats, RangeError>,
}

pub(crate) async fn take(engine: &RangeEngine, target: Target, form: Form, spec: RangeSpec) -> Taken {
    let opened = match engine.open(target, spec).await {
        Ok(opened) => opened,
        Err(error) => {
            return Taken {
                range: None,
                pieces: Vec::new(),
                outcome: Err(error),
            };
        }
    };
    let range = Some(opened.range());
    match form {
        Form::Stream => {
            let mut stream = opened.into_stream();
            let (mut pieces, mut at) = (Vec::new(), 0);
            while let Some(next) = stream.next().await {
                match next {
                    Ok(chunk) => {
                        let len = chunk.len() as u64;
                        pieces.push((at, chunk));
                        at += len;
                    }
                    Err(error) => {
                        assert!(stream.next().await.is_none(), "an error ends the stream");
                        return Taken {
                            range,
                            pieces,
                            outcome: Err(error),
                        };
                    }
                }
            }
            Taken {
                range,
                pieces,
                outcome: Ok(stream.stats()),
            }
        }
        Form::Read => match opened.into_bytes().await {
            Ok((bytes, stats)) => Taken {
                range,
                pieces: vec![(0, bytes)],
                outcome: Ok(stats),
            },
            Err(error) => Taken {
                range,
                pieces: Vec::new(),
                outcome: Err(error),
            },
        },
        Form::ReadTo => {
            let sink = Arc::new(Pieces::default());
            let outcome = opened.into_sink(sink.clone()).await;
            // Tasks of a failed read end at their next await; what they wrote is looked at as well.
            let mut pieces = std::mem::take(&mut *sink.written.lock().unwrap());
            pieces.sort_by_key(|(offset, _)| *offset);
            Taken {
                range,
                pieces,
                outcome,
            }
        }
    }
}

impl Taken {
    /// Nothing wrong was delivered: all pieces are of one of `versions`, at their places, no byte twice, and all of
    /// them if the read succeeded. Tells which version.
    pub(crate) fn version_of(&self, versions: &[Content]) -> usize {
        let Some(range) = self.range else { return 0 };
        let mut end = 0;
        for (offset, bytes) in &self.pieces {
            assert!(*offset >= end, "bytes {offset}.. were delivered twice");
            end = offset + bytes.len() as u64;
        }
        if self.outcome.is_ok() {
            let sum: u64 = self.pieces.iter().map(|(_, bytes)| bytes.len() as u64).sum();
            assert_eq!(
                (sum, end),
                (range.len(), range.len()),
                "success, but not all bytes came"
            );
        }
        let fits = |content: &Content| {
            self.pieces
                .iter()
                .try_for_each(|(offset, bytes)| content.check(range.start() + offset, bytes))
        };
        let found = versions.iter().position(|content| fits(content).is_ok());
        found.unwrap_or_else(|| panic!("wrong bytes: {:?}", fits(&versions[0])))
    }
}

#[derive(Default)]
struct Pieces {
    written: Mutex<Vec<(u64, Bytes)>>,
}

impl RangeSink for Pieces {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.written
            .lock()
            .unwrap()
            .push((offset, Bytes::copy_from_slice(bytes)));
        Ok(())
    }
}
