//! A lab with a bucket, metadata in a file, and logs as other processes would open them.

use std::sync::Arc;
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions};
use forebay_log::metadata::{MetadataStore, SqliteMetadataStore, TopicConfig};
use forebay_log::{Log, LogOptions, NewRecord, Producer, ProducerOptions, Record, TopicName};
use forebay_range::{RangeEngine, RangeEngineConfig};
use forebay_reader::{Freshness, Reader, ReaderOptions};
use forebay_source::{Opener, Source, SourceOptions};
pub(crate) use forebay_testkit::within;
use forebay_testkit::{Face, Lab, ListQuery, Profile, init_logging, s3_settings};
use forebay_types::SystemClock;
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
        let cache = CacheOptions::new(self.dir.path().join("cache").join(cache), 1 << 30);
        let cache = Cache::open(cache, Arc::new(SystemClock::new())).unwrap();
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
        let engine = RangeEngine::new(config.clone());
        let reader = Reader::new(engine, Some(cache), reading);
        Log::new(self.source(), Arc::new(config), reader, metadata, options)
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
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

/// A producer that does not wait long.
pub(crate) fn quick() -> ProducerOptions {
    ProducerOptions {
        linger: Duration::from_millis(5),
        ..ProducerOptions::default()
    }
}

pub(crate) async fn create(log: &Log, name: &str, partitions: u32) -> TopicName {
    let name = topic(name);
    let config = TopicConfig::default();
    within(log.create_topic(&name, partitions, &config))
        .await
        .unwrap();
    name
}

/// The value of a test's record.
pub(crate) fn value(n: u64) -> String {
    format!("value {n:06}")
}

/// Writes `from..to` to partition 0, in one flush.
pub(crate) async fn write(producer: &Producer, topic: &TopicName, from: u64, to: u64) {
    for n in from..to {
        let record = NewRecord::value(value(n)).partition(0);
        within(producer.send(topic, &record)).await.unwrap();
    }
    within(producer.flush()).await.unwrap();
}

/// That these are the records `from..to` that [`write()`] wrote, at their offsets.
pub(crate) fn assert_records(records: &[Record], from: u64, to: u64) {
    let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (from..to).collect::<Vec<_>>());
    for record in records {
        assert_eq!(record.value, value(record.offset), "at {}", record.offset);
    }
}
