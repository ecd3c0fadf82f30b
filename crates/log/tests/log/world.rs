//! A lab with a bucket, metadata in a file, and logs as other processes would open them.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay_cache::{Cache, CacheOptions};
use forebay_log::batch::Codec;
use forebay_log::metadata::{MetadataStore, SegmentInfo, SqliteMetadataStore, TopicConfig};
use forebay_log::{Log, LogOptions, NewRecord, Producer, ProducerOptions, Record, TopicName, TopicPartition};
use forebay_range::{RangeEngine, RangeEngineConfig};
use forebay_reader::{Freshness, Reader, ReaderOptions};
use forebay_source::{Opener, Source, SourceOptions};
pub(crate) use forebay_testkit::within;
use forebay_testkit::{Face, Lab, ListQuery, Profile, init_logging, s3_settings};
use forebay_types::{ByteRange, RangeSpec, SystemClock};
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

/// Partition 0 of a topic.
pub(crate) fn first(topic: &TopicName) -> TopicPartition {
    TopicPartition::new(topic.clone(), 0)
}

/// A value that no codec makes smaller, known by its offset.
pub(crate) fn dense(offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(offset).fill(&mut bytes);
    bytes
}

/// Writes as many segments as asked for to partition 0, each of so many records of [`dense`] values.
pub(crate) async fn fill(
    log: &Log,
    topic: &TopicName,
    codec: Codec,
    segments: u64,
    records: u64,
    len: usize,
) {
    let options = ProducerOptions {
        linger: Duration::from_secs(5),
        codec,
        record_batch_bytes: 16 << 10,
        ..ProducerOptions::default()
    };
    let producer = Producer::new(log, options);
    for segment in 0..segments {
        for n in segment * records..(segment + 1) * records {
            let record = NewRecord::value(dense(n, len)).partition(0);
            within(producer.send(topic, &record)).await.unwrap();
        }
        within(producer.flush()).await.unwrap();
    }
    within(producer.close()).await.unwrap();
}

/// That these are the records `from..to` of [`fill()`].
pub(crate) fn assert_dense(records: &[Record], from: u64, to: u64) {
    let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (from..to).collect::<Vec<_>>());
    for record in records {
        let expected = dense(record.offset, record.value.len());
        assert!(record.value == expected, "another value at {}", record.offset);
    }
}

/// A batch as another producer might write it: records at the deltas named (in order), `end` offsets in all, timestamps
/// and values as told.
pub(crate) fn holed(codec: Codec, records: &[(u32, i64, Vec<u8>)], end: u32) -> Bytes {
    let mut body = Vec::new();
    let base = records.first().map_or(-1, |(_, timestamp, _)| *timestamp);
    for (delta, timestamp, value) in records {
        let mut record = vec![0];
        varint(&mut record, timestamp - base);
        varint(&mut record, i64::from(*delta));
        varint(&mut record, -1);
        varint(&mut record, value.len() as i64);
        record.extend_from_slice(value);
        varint(&mut record, 0);
        varint(&mut body, record.len() as i64);
        body.extend(record);
    }
    let body = match codec {
        Codec::None => body,
        Codec::Lz4 => {
            let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
            frame.write_all(&body).unwrap();
            frame.finish().unwrap()
        }
        Codec::Zstd => zstd::bulk::compress(&body, 1).unwrap(),
        other => panic!("not made here: {other}"),
    };
    let max = records.iter().map(|(_, timestamp, _)| *timestamp).max();
    let attributes: i16 = match codec {
        Codec::Lz4 => 3,
        Codec::Zstd => 4,
        _ => 0,
    };
    let mut batch = Vec::new();
    batch.extend_from_slice(&0_i64.to_be_bytes());
    batch.extend_from_slice(&(49 + body.len() as i32).to_be_bytes());
    batch.extend_from_slice(&0_i32.to_be_bytes());
    batch.push(2);
    batch.extend_from_slice(&[0; 4]);
    batch.extend_from_slice(&attributes.to_be_bytes());
    batch.extend_from_slice(&(end as i32 - 1).to_be_bytes());
    batch.extend_from_slice(&base.to_be_bytes());
    batch.extend_from_slice(&max.unwrap_or(-1).to_be_bytes());
    batch.extend_from_slice(&(-1_i64).to_be_bytes());
    batch.extend_from_slice(&(-1_i16).to_be_bytes());
    batch.extend_from_slice(&(-1_i32).to_be_bytes());
    batch.extend_from_slice(&(records.len() as i32).to_be_bytes());
    batch.extend(body);
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch[21..]) as u32;
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// A batch of `tests/fixtures/batches`.
pub(crate) fn fixture(name: &str) -> Bytes {
    let path = format!("{}/tests/fixtures/batches/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap().into()
}

/// Sends whole batches, each one in a segment of its own.
pub(crate) async fn send_batches(log: &Log, at: &TopicPartition, batches: &[Bytes]) {
    let producer = Producer::new(log, quick());
    for batch in batches {
        within(producer.send_batch(at, batch.clone())).await.unwrap();
        within(producer.flush()).await.unwrap();
    }
    within(producer.close()).await.unwrap();
}

/// All segments of a partition.
pub(crate) async fn segments(log: &Log, at: &TopicPartition) -> Vec<SegmentInfo> {
    let wanted = [(at.clone(), 0)];
    let mut found = within(log.metadata().segments_from(&wanted, 10_000))
        .await
        .unwrap();
    found.swap_remove(0)
}

impl World {
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
