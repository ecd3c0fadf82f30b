//! A lab, a cache directory, and readers of which every byte is looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions};
use forebay_range::{EngineOptions, RangeEngine, RangeEngineConfig, Target};
use forebay_readahead::ReadAheadConfig;
use forebay_reader::{Freshness, Handle, OpenOptions, Reader, ReaderOptions};
use forebay_source::{Opener, Source, SourceOptions};
pub(crate) use forebay_testkit::within;
use forebay_testkit::{Attributes, Content, Face, Lab, Profile, init_logging};
use forebay_types::{ByteRange, Clock, ManualClock, ObjectId, SystemClock, Version};
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;
pub(crate) const BUCKET: &str = "bucket";

/// Where reads happen.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) opener: Opener,
    pub(crate) dir: TempDir,
    pub(crate) setup: Setup,
}

/// What a test can change.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) range: RangeEngineConfig,
    pub(crate) engine: EngineOptions,
    pub(crate) cache_size: u64,
    pub(crate) reader: ReaderOptions,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            range: RangeEngineConfig {
                // Nothing stalls, however busy the machine is.
                stall_timeout: Duration::from_secs(10),
                max_retries: 2,
                retry_pause: Duration::from_millis(1),
                hedge: false,
                ..RangeEngineConfig::default()
            },
            engine: EngineOptions::default(),
            cache_size: 1 << 30,
            reader: ReaderOptions::default(),
            clock: Arc::new(SystemClock::new()),
        }
    }
}

impl Setup {
    /// Parts of 256 KiB, so that an object of some MiB has many.
    pub(crate) fn small_parts() -> Self {
        let mut setup = Self::default();
        setup.range.chunk_size = 256 * KIB;
        setup.range.min_split_size = 256 * KIB;
        setup
    }

    pub(crate) fn freshness(mut self, freshness: Freshness) -> Self {
        self.reader.freshness = freshness;
        self
    }

    pub(crate) fn clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Arc::new(clock.clone());
        self
    }

    pub(crate) fn no_read_ahead(mut self) -> Self {
        self.reader.read_ahead.enabled = false;
        self
    }

    pub(crate) fn read_ahead(mut self, config: ReadAheadConfig) -> Self {
        self.reader.read_ahead = config;
        self
    }
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        Self::at(Profile::LOOPBACK, Face::Fast, setup)
    }

    pub(crate) fn at(profile: Profile, face: Face, setup: Setup) -> Self {
        init_logging();
        let lab = Lab::builder()
            .profile(profile)
            .face(face)
            .bucket(BUCKET)
            .record_keys(true)
            .start()
            .unwrap();
        Self {
            opener: opener(&lab.endpoint()),
            lab,
            dir: tempfile::tempdir().unwrap(),
            setup,
        }
    }

    /// As another process would see the directory: nothing shared in memory.
    pub(crate) fn reader(&self) -> Reader {
        let options = CacheOptions::new(self.dir.path().join("cache"), self.setup.cache_size);
        let cache = Cache::open(options, self.setup.clock.clone()).unwrap();
        self.reader_with(Some(cache))
    }

    pub(crate) fn uncached(&self) -> Reader {
        self.reader_with(None)
    }

    pub(crate) fn reader_with(&self, cache: Option<Cache>) -> Reader {
        let engine = RangeEngine::with_options(
            self.setup.range.clone(),
            self.setup.engine,
            self.setup.clock.clone(),
        );
        Reader::new(engine, cache, self.setup.reader.clone())
    }

    pub(crate) fn put(&self, key: &str, seed: u64, size: u64) -> Content {
        let content = Content::pattern(seed, size);
        self.lab.objects().put(BUCKET, key, content.clone());
        content
    }

    /// A version whose tag tells its content to whoever sees it: [`content_of`].
    pub(crate) fn put_tagged(&self, key: &str, seed: u64, size: u64) {
        let attributes = Attributes {
            etag: Some(format!("\"{seed}\"")),
            ..Attributes::default()
        };
        let content = Content::pattern(seed, size);
        self.lab.objects().put_with(BUCKET, key, content, attributes);
    }

    pub(crate) fn source(&self, key: &str) -> Source {
        self.opener
            .open(&format!("s3://{BUCKET}/{key}").parse().unwrap())
            .unwrap()
    }

    pub(crate) fn target(&self, key: &str) -> Target {
        Target::new(&self.source(key), Arc::new(self.setup.range.clone()))
    }

    /// The same object through the plain HTTP store, which copes with servers that know neither ranges nor tags.
    pub(crate) fn http_target(&self, key: &str) -> Target {
        let url = format!("{}/{BUCKET}/{key}", self.lab.endpoint());
        let source = self.opener.open(&url.parse().unwrap()).unwrap();
        Target::new(&source, Arc::new(self.setup.range.clone()))
    }

    pub(crate) async fn open(&self, reader: &Reader, key: &str) -> Handle {
        within(reader.open(self.target(key), OpenOptions::default()))
            .await
            .unwrap()
    }

    /// GETs of a key so far.
    pub(crate) fn gets(&self, key: &str) -> u64 {
        self.lab
            .counts()
            .keys
            .get(&format!("{BUCKET}/{key}"))
            .map_or(0, |counts| counts.gets)
    }
}

/// Opens what the lab at `endpoint` shows.
pub(crate) fn opener(endpoint: &str) -> Opener {
    let mut options = SourceOptions {
        cloud: forebay_testkit::s3_settings(endpoint),
        ..SourceOptions::default()
    };
    options
        .cloud
        .insert("aws_copy_if_not_exists".to_owned(), "multipart".to_owned());
    Opener::new(options)
}

/// The bytes of a version that [`World::put_tagged`] made.
pub(crate) fn content_of(id: &ObjectId) -> Content {
    let Version::ETag(tag) = &id.version else {
        panic!("{id} has no tag");
    };
    Content::pattern(tag.trim_matches('"').parse().unwrap(), id.size)
}

/// The most memory that was in use at a time: looked at every millisecond.
pub(crate) struct Watermark {
    most: Arc<AtomicU64>,
    watch: JoinHandle<()>,
}

impl Watermark {
    pub(crate) fn of(reader: &Reader) -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let (budget, seen) = (reader.engine().budget().clone(), most.clone());
        let watch = tokio::spawn(async move {
            loop {
                seen.fetch_max(budget.in_flight(), Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self { most, watch }
    }

    /// Bytes.
    pub(crate) fn end(self) -> u64 {
        self.watch.abort();
        self.most.load(Relaxed)
    }
}

/// Memory and turns have come back, the disk has what it was given, and the lab has nothing left to answer.
pub(crate) async fn settled(world: &World, reader: &Reader) {
    let held = || {
        (
            reader.engine().budget().in_flight(),
            reader.engine().gate().in_flight(),
            world.opener.budget().in_use(),
            world.lab.counts().concurrent_requests,
        )
    };
    reader.flush().await;
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

/// Reads a range and looks at every byte.
pub(crate) async fn check(handle: &Handle, content: &Content, start: u64, len: u64) {
    let bytes = within(handle.read_at(start, len as usize)).await.unwrap();
    let expected = ByteRange::at(start, len).clamp_to(content.size());
    assert_eq!(bytes.len() as u64, expected.len(), "{expected}");
    content.check(start, &bytes).unwrap();
}
