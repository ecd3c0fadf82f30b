//! Metadata that counts what is asked of it, and fails for as long as it is told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use forebay_log::metadata::{
    Commit, CommittedOffset, Compaction, DeadObject, GroupInfo, Lease, MetadataError, MetadataStore,
    PartitionInfo, Restored, SegmentInfo, TopicConfig, TopicInfo, Upload,
};
use forebay_log::{TopicName, TopicPartition};
use forebay_types::ErrorKind;
use tokio::sync::watch;
use ulid::Ulid;

type Result<T> = std::result::Result<T, MetadataError>;

#[derive(Debug)]
pub(crate) struct Spy {
    inner: Arc<dyn MetadataStore>,
    calls: Mutex<BTreeMap<&'static str, u64>>,
    failing: AtomicBool,
}

impl Spy {
    pub(crate) fn on(inner: Arc<dyn MetadataStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            calls: Mutex::default(),
            failing: AtomicBool::new(false),
        })
    }

    pub(crate) fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// Calls so far, of all kinds.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.lock().unwrap().values().sum()
    }

    pub(crate) fn calls_of(&self, name: &str) -> u64 {
        self.calls.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    fn note(&self, name: &'static str) -> Result<()> {
        *self.calls.lock().unwrap().entry(name).or_default() += 1;
        if self.failing.load(Ordering::SeqCst) {
            return Err(MetadataError::Store {
                store: "spy".to_owned(),
                what: format!("{name} fails as it was told"),
                kind: ErrorKind::Unavailable,
            });
        }
        Ok(())
    }
}

macro_rules! ask {
    ($me:ident.$call:ident($($arg:expr),*)) => {{
        $me.note(stringify!($call))?;
        $me.inner.$call($($arg),*).await
    }};
}

#[async_trait]
impl MetadataStore for Spy {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn create_topic(&self, name: &TopicName, n: u32, config: &TopicConfig) -> Result<TopicInfo> {
        ask!(self.create_topic(name, n, config))
    }

    async fn topic(&self, name: &TopicName) -> Result<Option<TopicInfo>> {
        ask!(self.topic(name))
    }

    async fn topics(&self, after: Option<&TopicName>, limit: usize) -> Result<Vec<TopicInfo>> {
        ask!(self.topics(after, limit))
    }

    async fn partitions(&self, which: &[TopicPartition]) -> Result<Vec<PartitionInfo>> {
        ask!(self.partitions(which))
    }

    async fn partitions_of(&self, topic: &TopicName) -> Result<Vec<PartitionInfo>> {
        ask!(self.partitions_of(topic))
    }

    async fn find_segment_for_offset(&self, at: &TopicPartition, offset: u64) -> Result<Option<SegmentInfo>> {
        ask!(self.find_segment_for_offset(at, offset))
    }

    async fn next_segment(&self, at: &TopicPartition, offset: u64) -> Result<Option<SegmentInfo>> {
        ask!(self.next_segment(at, offset))
    }

    async fn find_segment_for_timestamp(&self, at: &TopicPartition, ts: i64) -> Result<Option<SegmentInfo>> {
        ask!(self.find_segment_for_timestamp(at, ts))
    }

    async fn segments_from(
        &self,
        wanted: &[(TopicPartition, u64)],
        limit_each: usize,
    ) -> Result<Vec<Vec<SegmentInfo>>> {
        ask!(self.segments_from(wanted, limit_each))
    }

    async fn acquire(&self, writer: Ulid, which: &[TopicPartition], ttl: Duration) -> Result<Vec<Lease>> {
        ask!(self.acquire(writer, which, ttl))
    }

    async fn renew(&self, writer: Ulid, ttl: Duration) -> Result<Vec<TopicPartition>> {
        ask!(self.renew(writer, ttl))
    }

    async fn release(&self, writer: Ulid, which: &[TopicPartition]) -> Result<()> {
        ask!(self.release(writer, which))
    }

    async fn register_upload(&self, upload: &Upload) -> Result<()> {
        ask!(self.register_upload(upload))
    }

    async fn commit_upload(&self, commit: &Commit) -> Result<()> {
        ask!(self.commit_upload(commit))
    }

    async fn commit_compaction(&self, compaction: &Compaction) -> Result<()> {
        ask!(self.commit_compaction(compaction))
    }

    async fn advance_log_start(&self, at: &TopicPartition, offset: u64) -> Result<u64> {
        ask!(self.advance_log_start(at, offset))
    }

    async fn expire_uploads(&self, age: Duration) -> Result<u64> {
        ask!(self.expire_uploads(age))
    }

    async fn abandon_upload(&self, id: Ulid) -> Result<()> {
        ask!(self.abandon_upload(id))
    }

    async fn dead_objects(&self, grace: Duration, limit: usize) -> Result<Vec<DeadObject>> {
        ask!(self.dead_objects(grace, limit))
    }

    async fn forget_objects(&self, ids: &[Ulid]) -> Result<()> {
        ask!(self.forget_objects(ids))
    }

    async fn committed_offsets(
        &self,
        group: &str,
        which: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>> {
        ask!(self.committed_offsets(group, which))
    }

    async fn commit_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, u64, Option<String>)],
    ) -> Result<()> {
        ask!(self.commit_offsets(group, offsets))
    }

    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<GroupInfo>> {
        ask!(self.groups(after, limit))
    }

    async fn group_offsets(&self, group: &str) -> Result<Vec<(TopicPartition, CommittedOffset)>> {
        ask!(self.group_offsets(group))
    }

    async fn delete_group(&self, group: &str) -> Result<bool> {
        ask!(self.delete_group(group))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes()
    }

    async fn restore(&self, all: &Restored, replace: bool) -> Result<()> {
        ask!(self.restore(all, replace))
    }
}
