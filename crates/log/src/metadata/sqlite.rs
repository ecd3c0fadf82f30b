//! The metadata of one machine's processes, in one file.
//!
//! Every write is a closure that goes to one thread with the only connection that writes ([`writer`]); what waits there
//! shares a transaction and its sync, each in a savepoint of its own. Reads run on a few connections of their own
//! ([`readers`]): with a write-ahead log they neither wait for writes nor hold them up. [`changes`] looks at the file only
//! while somebody wants to know.

mod changes;
mod commit;
mod error;
mod groups;
mod lease;
mod objects;
mod place;
mod readers;
mod restore;
mod schema;
mod segments;
mod topics;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use forebay_types::{Clock, ErrorKind, SystemClock};
use rusqlite::Connection;
use tokio::sync::watch;
use ulid::Ulid;

use self::changes::Changes;
use self::error::Try;
use self::readers::Readers;
use self::writer::{Tx, Writer};
use super::error::{MetadataError, Result};
use super::rules::{self, CommitRow, CompactionRow, RestorePlan};
use super::store::{
    Commit, CommittedOffset, Compaction, DeadObject, GroupInfo, Lease, MetadataStore, PartitionInfo,
    Restored, SegmentInfo, TopicConfig, TopicInfo, Upload,
};
use crate::topic::{TopicName, TopicPartition};

/// Keeps the metadata in an SQLite file, for any number of processes of one machine.
///
/// The file is the owner's alone (0600, in a directory that others cannot write to), on a local file system: SQLite's
/// locks and shared memory do not work over a network. A commit is on disk when its call returns.
///
/// Leases go by the machine's clock. If that is set back, a lease lasts longer, at most twice its length; epochs fence
/// writers whatever the clock does.
///
/// ```
/// use forebay_log::TopicName;
/// use forebay_log::metadata::{MetadataStore, SqliteMetadataStore, TopicConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("log.db");
/// let store = SqliteMetadataStore::open(&path).await?;
/// let orders = TopicName::new("orders")?;
/// store.create_topic(&orders, 4, &TopicConfig::default()).await?;
/// assert_eq!(store.partitions_of(&orders).await?.len(), 4);
/// # Ok(())
/// # }
/// ```
pub struct SqliteMetadataStore {
    name: Arc<str>,
    clock: Arc<dyn Clock>,
    writer: Writer,
    readers: Readers,
    changes: Arc<Changes>,
}

impl SqliteMetadataStore {
    /// Opens the file at `path`, or makes it and its directory.
    ///
    /// # Errors
    /// `Denied` if others may write to the directory or the file is another user's, `Unsupported` on a file system where
    /// locks cannot be trusted, [`MetadataError::Schema`] if a newer program made it, [`MetadataError::Corrupt`] if it is
    /// damaged or something else, and what the disk says.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with_clock(path, Arc::new(SystemClock::new())).await
    }

    /// The same as [`Self::open`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn new(path: impl AsRef<Path>) -> Result<Self> {
        Self::open(path).await
    }

    /// [`Self::open`], with leases and ages by the wall time of `clock`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with_clock(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&path, clock)).await;
        opened.unwrap_or_else(|error| {
            Err(MetadataError::Store {
                store: "sqlite".into(),
                what: format!("opening it failed: {error}"),
                kind: ErrorKind::Internal,
            })
        })
    }

    fn open_blocking(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let name: Arc<str> = forebay_types::printable(&format!("sqlite://{}", path.display())).into();
        let path = place::prepare(path, &name)?;
        let said = |failure| error::say(&name, failure);
        let writing = schema::open(&path, &*clock).map_err(said)?;
        let readers = Readers::new(&path, Arc::clone(&name))?;
        let changes = Arc::new(Changes::new(schema::reader(&path).map_err(said)?).map_err(said)?);
        let writer = Writer::start(
            writing,
            Arc::clone(&name),
            Arc::clone(&clock),
            Arc::clone(&changes),
        )?;
        Ok(Self {
            name,
            clock,
            writer,
            readers,
            changes,
        })
    }

    fn now(&self) -> i64 {
        writer::wall_ms(&*self.clock)
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Try<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.run(work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&Tx<'_>) -> Try<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.run(work).await
    }
}

impl fmt::Debug for SqliteMetadataStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteMetadataStore").field(&self.name).finish()
    }
}

#[async_trait]
impl MetadataStore for SqliteMetadataStore {
    fn name(&self) -> &str {
        &self.name
    }

    async fn create_topic(
        &self,
        name: &TopicName,
        partitions: u32,
        config: &TopicConfig,
    ) -> Result<TopicInfo> {
        rules::partition_count(name, partitions)?;
        let (name, config) = (name.clone(), config.clone());
        self.write(move |tx| topics::create(tx, &name, partitions, &config))
            .await
    }

    async fn topic(&self, name: &TopicName) -> Result<Option<TopicInfo>> {
        let name = name.clone();
        self.read(move |db| topics::one(db, &name)).await
    }

    async fn topics(&self, after: Option<&TopicName>, limit: usize) -> Result<Vec<TopicInfo>> {
        let after = after.cloned();
        self.read(move |db| topics::list(db, after.as_ref(), rules::limit(limit)))
            .await
    }

    async fn partitions(&self, which: &[TopicPartition]) -> Result<Vec<PartitionInfo>> {
        let which = which.to_vec();
        self.read(move |db| topics::partitions(db, which)).await
    }

    async fn partitions_of(&self, topic: &TopicName) -> Result<Vec<PartitionInfo>> {
        let topic = topic.clone();
        self.read(move |db| topics::partitions_of(db, &topic)).await
    }

    async fn find_segment_for_offset(&self, at: &TopicPartition, offset: u64) -> Result<Option<SegmentInfo>> {
        let at = at.clone();
        self.read(move |db| segments::holding(db, &at, offset)).await
    }

    async fn next_segment(&self, at: &TopicPartition, offset: u64) -> Result<Option<SegmentInfo>> {
        let at = at.clone();
        self.read(move |db| segments::next(db, &at, offset)).await
    }

    async fn find_segment_for_timestamp(
        &self,
        at: &TopicPartition,
        timestamp: i64,
    ) -> Result<Option<SegmentInfo>> {
        let at = at.clone();
        self.read(move |db| segments::at_time(db, &at, timestamp)).await
    }

    async fn segments_from(
        &self,
        wanted: &[(TopicPartition, u64)],
        limit_each: usize,
    ) -> Result<Vec<Vec<SegmentInfo>>> {
        let wanted = wanted.to_vec();
        self.read(move |db| segments::from(db, &wanted, rules::limit(limit_each)))
            .await
    }

    async fn acquire(&self, writer: Ulid, which: &[TopicPartition], ttl: Duration) -> Result<Vec<Lease>> {
        let ttl = rules::ttl_ms(ttl)?;
        rules::no_twice(which.iter())?;
        let which = which.to_vec();
        // The wish for a lease that another holds is kept, so the transaction succeeds although the call does not.
        self.write(move |tx| lease::acquire(tx, writer, &which, ttl))
            .await?
    }

    async fn renew(&self, writer: Ulid, ttl: Duration) -> Result<Vec<TopicPartition>> {
        let ttl = rules::ttl_ms(ttl)?;
        self.write(move |tx| lease::renew(tx, writer, ttl)).await
    }

    async fn release(&self, writer: Ulid, which: &[TopicPartition]) -> Result<()> {
        let which = which.to_vec();
        self.write(move |tx| lease::release(tx, writer, &which)).await
    }

    async fn register_upload(&self, upload: &Upload) -> Result<()> {
        rules::key(&upload.key)?;
        let upload = upload.clone();
        self.write(move |tx| objects::register(tx, &upload)).await
    }

    async fn commit_upload(&self, commit: &Commit) -> Result<()> {
        let commit = CommitRow::of(commit)?;
        self.write(move |tx| commit::upload(tx, &commit)).await
    }

    async fn commit_compaction(&self, compaction: &Compaction) -> Result<()> {
        let compaction = CompactionRow::of(compaction)?;
        self.write(move |tx| commit::compaction(tx, &compaction)).await
    }

    async fn advance_log_start(&self, at: &TopicPartition, offset: u64) -> Result<u64> {
        let at = at.clone();
        self.write(move |tx| commit::advance(tx, &at, offset)).await
    }

    async fn expire_uploads(&self, age: Duration) -> Result<u64> {
        let age = rules::millis("the age of an upload", age)?;
        self.write(move |tx| objects::expire(tx, age)).await
    }

    async fn abandon_upload(&self, id: Ulid) -> Result<()> {
        self.write(move |tx| objects::abandon(tx, id)).await
    }

    async fn dead_objects(&self, grace: Duration, limit: usize) -> Result<Vec<DeadObject>> {
        let until = self
            .now()
            .saturating_sub(rules::millis("the grace of dead objects", grace)?);
        self.read(move |db| objects::dead(db, until, rules::limit(limit)))
            .await
    }

    async fn forget_objects(&self, ids: &[Ulid]) -> Result<()> {
        let ids = ids.to_vec();
        self.write(move |tx| objects::forget(tx, &ids)).await
    }

    async fn committed_offsets(
        &self,
        group: &str,
        which: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>> {
        rules::group_name(group)?;
        let (group, which) = (group.to_owned(), which.to_vec());
        self.read(move |db| groups::committed(db, &group, &which)).await
    }

    async fn commit_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, u64, Option<String>)],
    ) -> Result<()> {
        rules::group_name(group)?;
        rules::no_twice(offsets.iter().map(|(at, ..)| at))?;
        for (_, offset, metadata) in offsets {
            rules::int("a committed offset", *offset)?;
            rules::note(metadata.as_deref())?;
        }
        let (group, offsets) = (group.to_owned(), offsets.to_vec());
        self.write(move |tx| groups::commit(tx, &group, &offsets)).await
    }

    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<GroupInfo>> {
        let after = after.map(str::to_owned);
        self.read(move |db| groups::list(db, after.as_deref(), rules::limit(limit)))
            .await
    }

    async fn group_offsets(&self, group: &str) -> Result<Vec<(TopicPartition, CommittedOffset)>> {
        rules::group_name(group)?;
        let group = group.to_owned();
        self.read(move |db| groups::offsets(db, &group)).await
    }

    async fn delete_group(&self, group: &str) -> Result<bool> {
        rules::group_name(group)?;
        let group = group.to_owned();
        self.write(move |tx| groups::delete(tx, &group)).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn restore(&self, all: &Restored, replace: bool) -> Result<()> {
        let plan = RestorePlan::of(all)?;
        self.write(move |tx| restore::run(tx, &plan, replace)).await
    }
}
