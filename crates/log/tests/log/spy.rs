//! Metadata that counts what is asked of it, and goes wrong where a test wants it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
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

use crate::world::within;

type Result<T> = std::result::Result<T, MetadataError>;

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
pub(crate) struct Spy {
    inner: Arc<dyn MetadataStore>,
    calls: Mutex<BTreeMap<&'static str, u64>>,
    traps: Mutex<Vec<Trap>>,
    /// Calls that fell into a trap.
    trapped: AtomicU64,
}

impl Spy {
    pub(crate) fn on(inner: Arc<dyn MetadataStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            calls: Mutex::default(),
            traps: Mutex::default(),
            trapped: AtomicU64::new(0),
        })
    }

    /// Calls so far, of all kinds.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.lock().unwrap().values().sum()
    }

    pub(crate) fn calls_of(&self, name: &str) -> u64 {
        self.calls.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    /// The next so many calls of that name; of any, if it is empty.
    pub(crate) fn trap(&self, call: &'static str, act: Act, times: u64) {
        self.traps.lock().unwrap().push(Trap { call, act, times });
    }

    /// All calls fail until [`Self::clear`].
    pub(crate) fn fail(&self) {
        self.trap("", Act::Fail, u64::MAX);
    }

    /// There are no traps any more.
    pub(crate) fn clear(&self) {
        self.traps.lock().unwrap().clear();
    }

    pub(crate) fn trapped(&self) -> u64 {
        self.trapped.load(Ordering::SeqCst)
    }

    pub(crate) async fn until_trapped(&self, times: u64) {
        let all = async {
            while self.trapped() < times {
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

    async fn hand_on<T>(&self, call: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        *self.calls.lock().unwrap().entry(call).or_default() += 1;
        let lost = || MetadataError::Store {
            store: "spy".to_owned(),
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

macro_rules! ask {
    ($me:ident.$call:ident($($arg:expr),*)) => {
        $me.hand_on(stringify!($call), $me.inner.$call($($arg),*)).await
    };
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
