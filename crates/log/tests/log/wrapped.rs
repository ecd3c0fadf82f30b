//! A metadata store that goes wrong where a test wants it, and what the tests of the write side share.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use forebay_cache::{Cache, CacheOptions};
use forebay_log::metadata::*;
use forebay_log::{
    Delivery, Log, LogOptions, NewRecord, Producer, ProducerOptions, Record, TopicName, TopicPartition,
};
use forebay_range::{EngineOptions, RangeEngine, RangeEngineConfig};
use forebay_reader::{Freshness, Reader, ReaderOptions};
use forebay_source::{Opener, Source, SourceOptions};
use forebay_testkit::s3_settings;
use forebay_types::{Clock, ErrorKind, SystemClock};
use tokio::sync::watch;
use ulid::Ulid;

use crate::world::{BUCKET, PREFIX, World, quick, within};

/// What happens to a call.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// It is not carried out, and fails.
    Fail,
    /// It is carried out, and its answer is lost.
    LoseAnswer,
    /// It never returns, and is not carried out.
    Hang,
    /// It is carried out, and never returns.
    HangAfter,
    /// It waits until the test says so.
    Wait(watch::Receiver<bool>),
}

#[derive(Debug)]
struct Trap {
    call: &'static str,
    act: Act,
    times: u64,
}

/// Hands everything on, but for what is trapped.
#[derive(Debug)]
pub(crate) struct Wrapped {
    inner: Arc<dyn MetadataStore>,
    traps: Mutex<Vec<Trap>>,
    /// Calls that fell into a trap.
    pub(crate) trapped: AtomicU64,
}

impl Wrapped {
    pub(crate) fn new(inner: Arc<dyn MetadataStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            traps: Mutex::default(),
            trapped: AtomicU64::new(0),
        })
    }

    /// The next so many calls of that name; of any, if it is empty.
    pub(crate) fn trap(&self, call: &'static str, act: Act, times: u64) {
        self.traps.lock().unwrap().push(Trap { call, act, times });
    }

    pub(crate) fn clear(&self) {
        self.traps.lock().unwrap().clear();
    }

    pub(crate) async fn until_trapped(&self, times: u64) {
        let all = async {
            while self.trapped.load(Ordering::SeqCst) < times {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within(all).await;
    }

    fn act(&self, call: &str) -> Option<Act> {
        let mut traps = self.traps.lock().unwrap();
        let trap = traps
            .iter_mut()
            .find(|trap| trap.times > 0 && (trap.call == call || trap.call.is_empty()))?;
        trap.times -= 1;
        self.trapped.fetch_add(1, Ordering::SeqCst);
        Some(trap.act.clone())
    }

    async fn run<T>(&self, call: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let lost = || MetadataError::Store {
            store: "trap".to_owned(),
            what: format!("{call} is trapped"),
            kind: ErrorKind::Unavailable,
        };
        match self.act(call) {
            None => work.await,
            Some(Act::Fail) => Err(lost()),
            Some(Act::LoseAnswer) => {
                work.await?;
                Err(lost())
            }
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::HangAfter) => {
                let _done = work.await;
                std::future::pending().await
            }
            Some(Act::Wait(mut go)) => {
                go.wait_for(|go| *go).await.unwrap();
                work.await
            }
        }
    }
}

#[async_trait]
impl MetadataStore for Wrapped {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes()
    }

    async fn create_topic(
        &self,
        name: &TopicName,
        partitions: u32,
        config: &TopicConfig,
    ) -> Result<TopicInfo> {
        self.run("create_topic", self.inner.create_topic(name, partitions, config))
            .await
    }

    async fn topic(&self, name: &TopicName) -> Result<Option<TopicInfo>> {
        self.run("topic", self.inner.topic(name)).await
    }

    async fn topics(&self, after: Option<&TopicName>, limit: usize) -> Result<Vec<TopicInfo>> {
        self.run("topics", self.inner.topics(after, limit)).await
    }

    async fn partitions(&self, which: &[TopicPartition]) -> Result<Vec<PartitionInfo>> {
        self.run("partitions", self.inner.partitions(which)).await
    }

    async fn partitions_of(&self, topic: &TopicName) -> Result<Vec<PartitionInfo>> {
        self.run("partitions_of", self.inner.partitions_of(topic)).await
    }

    async fn find_segment_for_offset(&self, at: &TopicPartition, offset: u64) -> Result<Option<SegmentInfo>> {
        self.run(
            "find_segment_for_offset",
            self.inner.find_segment_for_offset(at, offset),
        )
        .await
    }

    async fn next_segment(&self, at: &TopicPartition, offset: u64) -> Result<Option<SegmentInfo>> {
        self.run("next_segment", self.inner.next_segment(at, offset))
            .await
    }

    async fn find_segment_for_timestamp(
        &self,
        at: &TopicPartition,
        timestamp: i64,
    ) -> Result<Option<SegmentInfo>> {
        self.run(
            "find_segment_for_timestamp",
            self.inner.find_segment_for_timestamp(at, timestamp),
        )
        .await
    }

    async fn segments_from(
        &self,
        wanted: &[(TopicPartition, u64)],
        limit_each: usize,
    ) -> Result<Vec<Vec<SegmentInfo>>> {
        self.run("segments_from", self.inner.segments_from(wanted, limit_each))
            .await
    }

    async fn acquire(&self, writer: Ulid, which: &[TopicPartition], ttl: Duration) -> Result<Vec<Lease>> {
        self.run("acquire", self.inner.acquire(writer, which, ttl)).await
    }

    async fn renew(&self, writer: Ulid, ttl: Duration) -> Result<Vec<TopicPartition>> {
        self.run("renew", self.inner.renew(writer, ttl)).await
    }

    async fn release(&self, writer: Ulid, which: &[TopicPartition]) -> Result<()> {
        self.run("release", self.inner.release(writer, which)).await
    }

    async fn register_upload(&self, upload: &Upload) -> Result<()> {
        self.run("register_upload", self.inner.register_upload(upload))
            .await
    }

    async fn commit_upload(&self, commit: &Commit) -> Result<()> {
        self.run("commit_upload", self.inner.commit_upload(commit)).await
    }

    async fn commit_compaction(&self, compaction: &Compaction) -> Result<()> {
        self.run("commit_compaction", self.inner.commit_compaction(compaction))
            .await
    }

    async fn advance_log_start(&self, at: &TopicPartition, offset: u64) -> Result<u64> {
        self.run("advance_log_start", self.inner.advance_log_start(at, offset))
            .await
    }

    async fn expire_uploads(&self, age: Duration) -> Result<u64> {
        self.run("expire_uploads", self.inner.expire_uploads(age)).await
    }

    async fn abandon_upload(&self, id: Ulid) -> Result<()> {
        self.run("abandon_upload", self.inner.abandon_upload(id)).await
    }

    async fn dead_objects(&self, grace: Duration, limit: usize) -> Result<Vec<DeadObject>> {
        self.run("dead_objects", self.inner.dead_objects(grace, limit))
            .await
    }

    async fn forget_objects(&self, ids: &[Ulid]) -> Result<()> {
        self.run("forget_objects", self.inner.forget_objects(ids)).await
    }

    async fn committed_offsets(
        &self,
        group: &str,
        which: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>> {
        self.run("committed_offsets", self.inner.committed_offsets(group, which))
            .await
    }

    async fn commit_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, u64, Option<String>)],
    ) -> Result<()> {
        self.run("commit_offsets", self.inner.commit_offsets(group, offsets))
            .await
    }

    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<GroupInfo>> {
        self.run("groups", self.inner.groups(after, limit)).await
    }

    async fn group_offsets(&self, group: &str) -> Result<Vec<(TopicPartition, CommittedOffset)>> {
        self.run("group_offsets", self.inner.group_offsets(group)).await
    }

    async fn delete_group(&self, group: &str) -> Result<bool> {
        self.run("delete_group", self.inner.delete_group(group)).await
    }

    async fn restore(&self, all: &Restored, replace: bool) -> Result<()> {
        self.run("restore", self.inner.restore(all, replace)).await
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
    log_over(
        &world.dir.path().join("cache").join(cache),
        source,
        metadata,
        clock,
    )
}

pub(crate) fn log_over(
    cache: &Path,
    source: Source,
    metadata: Arc<dyn MetadataStore>,
    clock: Arc<dyn Clock>,
) -> Log {
    let cache = Cache::open(CacheOptions::new(cache, 1 << 30), Arc::new(SystemClock::new())).unwrap();
    let config = RangeEngineConfig {
        max_retries: 2,
        retry_pause: Duration::from_millis(1),
        hedge: false,
        ..RangeEngineConfig::default()
    };
    let engine = RangeEngine::with_options(config.clone(), EngineOptions::default(), clock);
    let reading = ReaderOptions {
        freshness: Freshness::Never,
        ..ReaderOptions::default()
    };
    let reader = Reader::new(engine, Some(cache), reading);
    Log::new(source, Arc::new(config), reader, metadata, LogOptions::default())
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

/// A producer whose leases are not long, nor its patience.
pub(crate) fn short() -> ProducerOptions {
    ProducerOptions {
        lease: Duration::from_millis(400),
        delivery_timeout: Duration::from_secs(5),
        ..quick()
    }
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

/// Everything that a partition has, as another process reads it.
pub(crate) async fn read_all(log: &Log, topic: &TopicName, partition: u32) -> Vec<Record> {
    let at = TopicPartition::new(topic.clone(), partition);
    let ends = log
        .metadata()
        .partitions(std::slice::from_ref(&at))
        .await
        .unwrap();
    let reader = log.partition(topic.clone(), partition);
    let (mut next, mut all) = (ends[0].log_start, Vec::new());
    while next < ends[0].high_watermark {
        let read = within(reader.read(next, 10_000)).await.unwrap();
        assert!(read.next_offset > next, "it goes on");
        next = read.next_offset;
        all.extend(read.records);
    }
    all
}

/// That the values are these, in this order, at offsets without a gap from `from` on.
pub(crate) fn assert_values(records: &[Record], from: u64, values: &[String]) {
    let found: Vec<_> = records
        .iter()
        .map(|record| String::from_utf8(record.value.to_vec()).unwrap())
        .collect();
    assert_eq!(found, values);
    let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (from..from + values.len() as u64).collect::<Vec<_>>());
}

pub(crate) async fn send(producer: &Producer, topic: &TopicName, partition: u32, value: &str) -> Delivery {
    let record = NewRecord::value(value.to_owned()).partition(partition);
    within(producer.send(topic, &record)).await.unwrap()
}

pub(crate) fn values(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(crate::world::value).collect()
}
