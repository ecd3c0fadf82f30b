//! A lab with a bucket, metadata in a file, and logs as other processes would open them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions};
use forebay_log::metadata::{MetadataStore, SqliteMetadataStore};
use forebay_log::{Log, LogOptions};
use forebay_range::{EngineOptions, RangeEngine, RangeEngineConfig};
use forebay_reader::{Freshness, Reader, ReaderOptions};
use forebay_source::{Opener, Source, SourceOptions};
pub(crate) use forebay_testkit::within;
use forebay_testkit::{Face, Lab, ListQuery, Profile, init_logging, s3_settings};
use forebay_types::{ByteRange, Clock, RangeSpec, SystemClock};
use tempfile::TempDir;

pub(crate) const BUCKET: &str = "bucket";
pub(crate) const PREFIX: &str = "logs/main";

/// Where a log is.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) dir: TempDir,
    opener: Opener,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at(Profile::LOOPBACK)
    }

    pub(crate) fn at(profile: Profile) -> Self {
        init_logging();
        let lab = Lab::builder()
            .profile(profile)
            .face(Face::Full)
            .bucket(BUCKET)
            .record_keys(true)
            .start()
            .unwrap();
        let options = SourceOptions {
            cloud: s3_settings(&lab.endpoint()),
            ..SourceOptions::default()
        };
        Self {
            lab,
            dir: tempfile::tempdir().unwrap(),
            opener: Opener::new(options),
        }
    }

    pub(crate) fn source(&self) -> Source {
        self.opener
            .open(&format!("s3://{BUCKET}/{PREFIX}/").parse().unwrap())
            .unwrap()
    }

    pub(crate) async fn metadata(&self) -> Arc<dyn MetadataStore> {
        let path = self.dir.path().join("metadata/log.db");
        Arc::new(SqliteMetadataStore::open(path).await.unwrap())
    }

    /// The log as another process would open it, with a cache directory of that name.
    pub(crate) async fn log(&self, cache: &str) -> Log {
        self.log_with(cache, self.metadata().await, LogOptions::default())
    }

    pub(crate) fn log_with(&self, cache: &str, metadata: Arc<dyn MetadataStore>, options: LogOptions) -> Log {
        let cache = self.dir.path().join("cache").join(cache);
        log_over(
            &cache,
            self.source(),
            metadata,
            Arc::new(SystemClock::new()),
            options,
        )
    }

    /// Objects of the log, without their common prefix.
    pub(crate) fn keys(&self) -> Vec<String> {
        let query = ListQuery {
            prefix: format!("{PREFIX}/"),
            ..ListQuery::default()
        };
        let page = self.lab.objects().list(BUCKET, &query).unwrap();
        let prefix = query.prefix;
        page.objects
            .iter()
            .filter_map(|(key, _)| key.strip_prefix(&prefix).map(str::to_owned))
            .collect()
    }

    /// Waits until no request is on its way for a while.
    pub(crate) async fn rest(&self) {
        let mut before = None;
        loop {
            let counts = self.lab.counts();
            let now = (counts.requests, counts.concurrent_requests);
            if before.replace(now) == Some(now) && now.1 == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// GETs, after it was seen that nothing but GETs was asked, and no byte twice.
    pub(crate) fn only_gets(&self) -> u64 {
        let counts = self.lab.counts();
        assert_eq!((counts.heads, counts.lists, counts.puts), (0, 0, 0));
        for (key, asked) in &counts.keys {
            let mut ranges: Vec<_> = asked.ranges.iter().map(|range| range.unwrap()).collect();
            ranges.sort_by_key(|range| match range {
                RangeSpec::Bounded(range) => range.start(),
                other => panic!("{key}: {other:?}"),
            });
            for pair in ranges.windows(2) {
                let (RangeSpec::Bounded(a), RangeSpec::Bounded(b)) = (pair[0], pair[1]) else {
                    unreachable!();
                };
                assert!(a.end() <= b.start(), "{key}: {a} and {b} were both asked for");
            }
        }
        counts.gets
    }

    /// Changes bytes of an object in place: the key has a new version then.
    pub(crate) fn change(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let object = self.lab.objects().get(BUCKET, key).unwrap();
        let size = object.content.size();
        let mut bytes = object.content.read(ByteRange::at(0, size)).to_vec();
        change(&mut bytes);
        self.lab.objects().put(BUCKET, key, bytes);
    }
}

/// A log with a source and a clock of its own.
pub(crate) fn log_of(
    world: &World,
    cache: &str,
    source: Source,
    metadata: Arc<dyn MetadataStore>,
    clock: Arc<dyn Clock>,
) -> Log {
    let cache = world.dir.path().join("cache").join(cache);
    log_over(&cache, source, metadata, clock, LogOptions::default())
}

/// A log in a cache directory of its own, whose requests do not wait long, and which never asks whether an object has
/// changed.
pub(crate) fn log_over(
    cache: &Path,
    source: Source,
    metadata: Arc<dyn MetadataStore>,
    clock: Arc<dyn Clock>,
    options: LogOptions,
) -> Log {
    let cache = Cache::open(CacheOptions::new(cache, 1 << 30), Arc::new(SystemClock::new())).unwrap();
    let config = RangeEngineConfig {
        stall_timeout: Duration::from_millis(400),
        max_retries: 2,
        retry_pause: Duration::from_millis(1),
        hedge: false,
        ..RangeEngineConfig::default()
    };
    let mut reading = ReaderOptions {
        freshness: Freshness::Never,
        ..ReaderOptions::default()
    };
    reading.read_ahead.enabled = options.prefetch_enabled;
    let engine = RangeEngine::with_options(config.clone(), EngineOptions::default(), clock);
    let reader = Reader::new(engine, Some(cache), reading);
    Log::new(source, Arc::new(config), reader, metadata, options)
}

/// Metadata that knows nothing yet.
pub(crate) async fn fresh_metadata(world: &World, name: &str) -> Arc<dyn MetadataStore> {
    let path = world.dir.path().join(name).join("log.db");
    Arc::new(SqliteMetadataStore::open(path).await.unwrap())
}

/// The log with fresh metadata, as another machine would open it.
pub(crate) async fn anew(world: &World, name: &str) -> Log {
    world.log_with(name, fresh_metadata(world, name).await, LogOptions::default())
}

/// The world's bucket, asked by a transport that waits 300 ms for an answer.
pub(crate) fn impatient(world: &World) -> Source {
    source_at(&world.lab.endpoint(), Duration::from_millis(300))
}

pub(crate) fn source_at(endpoint: &str, patience: Duration) -> Source {
    let mut options = SourceOptions {
        cloud: s3_settings(endpoint),
        ..SourceOptions::default()
    };
    options.transport.stall_timeout = patience;
    let url = format!("s3://{BUCKET}/{PREFIX}/");
    Opener::new(options).open(&url.parse().unwrap()).unwrap()
}
