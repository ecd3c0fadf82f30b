//! The metadata of several machines, in PostgreSQL.
//!
//! Statements take and give arrays, so that a call is a handful of round trips however many partitions it names. Whoever
//! changes partitions locks their rows first, in the order of their numbers. What fails because a connection broke, the
//! server restarted or two transactions met is done again until a deadline ([`retry`]); each call can be done twice
//! without harm, since uploads have names and epochs only grow.

mod commit;
mod error;
mod groups;
mod lease;
mod listen;
mod objects;
mod restore;
mod retry;
mod schema;
mod segments;
mod topics;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio::sync::watch;
use ulid::Ulid;

use self::listen::Listener;
use self::retry::Retry;
use self::url::{Door, Pooled};
use super::error::Result;
use super::rules::{self, CommitRow, CompactionRow, RestorePlan};
use super::store::{
    Commit, CommittedOffset, Compaction, DeadObject, GroupInfo, Lease, MetadataStore, PartitionInfo,
    Restored, SegmentInfo, TopicConfig, TopicInfo, Upload,
};
use crate::topic::{TopicName, TopicPartition};

/// Connections of one process, beside the one that listens. A transaction holds one for a few round trips.
const CONNECTIONS: usize = 8;
/// How long a call is tried again.
const DEADLINE: Duration = Duration::from_secs(30);
/// The same for a whole restore, whose one transaction is as long as the store is large.
const RESTORE_DEADLINE: Duration = Duration::from_secs(3600);

/// The server's time in milliseconds since 1970: as a statement runs, not as its transaction began.
const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Keeps the metadata in PostgreSQL (12 or newer), for any number of machines.
///
/// Leases go by the server's clock. Calls that fail because the server is away are tried again for 30 seconds.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use forebay_log::metadata::PostgresMetadataStore;
///
/// let url = "postgres://log:secret@db.example:5432/log?sslmode=verify-full&schema=orders";
/// let store = PostgresMetadataStore::connect(url).await?;
/// # Ok(())
/// # }
/// ```
pub struct PostgresMetadataStore {
    name: Arc<str>,
    pool: Pool,
    listener: Listener,
    deadline: Duration,
}

/// Does `$step` with a connection again and again, until it is done, fails for good, or the time is over.
macro_rules! again {
    ($store:expr, $client:ident => $step:expr) => {
        again!($store, $store.deadline, $client => $step)
    };
    ($store:expr, $deadline:expr, $client:ident => $step:expr) => {{
        let mut retry = Retry::new(&$store.name, $deadline);
        loop {
            let attempt = async {
                let mut client = $store.pool.get().await?;
                let $client = &mut client;
                $step.await
            };
            let outcome = retry.attempt(attempt).await;
            if let Some(answer) = retry.settle(outcome).await {
                break answer;
            }
        }
    }};
}

impl PostgresMetadataStore {
    /// Connects to `postgres://user:password@host:port/database?sslmode=…&schema=…`, and makes the schema (`forebay`
    /// unless said) and its tables if they are missing.
    ///
    /// `sslmode` is as libpq has it: `disable`; `prefer` (what holds if nothing is said: encrypted if the server can);
    /// `require` (encrypted, but any certificate will do, as with libpq when it has no root file); `verify-full` (a
    /// certificate of that host, by the roots of this machine). Other parameters are the driver's (`connect_timeout`,
    /// `application_name`, `target_session_attrs`, …).
    ///
    /// # Errors
    /// `Invalid` if the URL makes no sense, `Denied` if the server refuses, `Unavailable` if it cannot be reached within
    /// 30 seconds, [`MetadataError::Schema`](super::MetadataError::Schema) if a newer program made the tables.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_within(url, DEADLINE).await
    }

    /// [`Self::connect`], with another time for which this and every call is tried again.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_within(url: &str, deadline: Duration) -> Result<Self> {
        let door = Arc::new(Door::parse(url)?);
        let settings = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_connect(door.config().clone(), Pooled(Arc::clone(&door)), settings);
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .build()
            .map_err(|error| door.internal(&error.to_string()))?;
        let store = Self {
            name: door.name().into(),
            pool,
            listener: Listener::new(Arc::clone(&door)),
            deadline,
        };
        let schema = door.schema();
        again!(store, client => schema::migrate(client, schema, &store.name))?;
        Ok(store)
    }
}

impl fmt::Debug for PostgresMetadataStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresMetadataStore").field(&self.name).finish()
    }
}

#[async_trait]
impl MetadataStore for PostgresMetadataStore {
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
        // Tells this call's topic from another's when the outcome of an attempt is not known.
        let token = Ulid::generate();
        again!(self, client => topics::create(client, name, partitions, config, token))
    }

    async fn topic(&self, name: &TopicName) -> Result<Option<TopicInfo>> {
        again!(self, client => topics::one(client, name))
    }

    async fn topics(&self, after: Option<&TopicName>, limit: usize) -> Result<Vec<TopicInfo>> {
        again!(self, client => topics::list(client, after, rules::limit(limit)))
    }

    async fn partitions(&self, which: &[TopicPartition]) -> Result<Vec<PartitionInfo>> {
        again!(self, client => topics::partitions(client, which))
    }

    async fn partitions_of(&self, topic: &TopicName) -> Result<Vec<PartitionInfo>> {
        again!(self, client => topics::partitions_of(client, topic))
    }

    async fn find_segment_for_offset(&self, at: &TopicPartition, offset: u64) -> Result<Option<SegmentInfo>> {
        again!(self, client => segments::holding(client, at, offset))
    }

    async fn next_segment(&self, at: &TopicPartition, offset: u64) -> Result<Option<SegmentInfo>> {
        again!(self, client => segments::next(client, at, offset))
    }

    async fn find_segment_for_timestamp(
        &self,
        at: &TopicPartition,
        timestamp: i64,
    ) -> Result<Option<SegmentInfo>> {
        again!(self, client => segments::at_time(client, at, timestamp))
    }

    async fn segments_from(
        &self,
        wanted: &[(TopicPartition, u64)],
        limit_each: usize,
    ) -> Result<Vec<Vec<SegmentInfo>>> {
        again!(self, client => segments::from(client, wanted, rules::limit(limit_each)))
    }

    /// After an attempt whose outcome is not known, the next one gives newer epochs, and none that is clean.
    async fn acquire(&self, writer: Ulid, which: &[TopicPartition], ttl: Duration) -> Result<Vec<Lease>> {
        let ttl = rules::ttl_ms(ttl)?;
        rules::no_twice(which.iter())?;
        again!(self, client => lease::acquire(client, writer, which, ttl))?
    }

    async fn renew(&self, writer: Ulid, ttl: Duration) -> Result<Vec<TopicPartition>> {
        let ttl = rules::ttl_ms(ttl)?;
        again!(self, client => lease::renew(client, writer, ttl))
    }

    async fn release(&self, writer: Ulid, which: &[TopicPartition]) -> Result<()> {
        again!(self, client => lease::release(client, writer, which))
    }

    async fn register_upload(&self, upload: &Upload) -> Result<()> {
        rules::key(&upload.key)?;
        again!(self, client => objects::register(client, upload))
    }

    async fn commit_upload(&self, commit: &Commit) -> Result<()> {
        let commit = CommitRow::of(commit)?;
        let channel = self.listener.channel();
        again!(self, client => commit::upload(client, &commit, channel))?;
        self.listener.moved();
        Ok(())
    }

    async fn commit_compaction(&self, compaction: &Compaction) -> Result<()> {
        let compaction = CompactionRow::of(compaction)?;
        let channel = self.listener.channel();
        again!(self, client => commit::compaction(client, &compaction, channel))?;
        self.listener.moved();
        Ok(())
    }

    async fn advance_log_start(&self, at: &TopicPartition, offset: u64) -> Result<u64> {
        again!(self, client => commit::advance(client, at, offset))
    }

    /// After an attempt whose outcome is not known, those that it declared dead are not counted.
    async fn expire_uploads(&self, age: Duration) -> Result<u64> {
        let age = rules::millis("the age of an upload", age)?;
        again!(self, client => objects::expire(client, age))
    }

    async fn abandon_upload(&self, id: Ulid) -> Result<()> {
        again!(self, client => objects::abandon(client, id))
    }

    async fn dead_objects(&self, grace: Duration, limit: usize) -> Result<Vec<DeadObject>> {
        let grace = rules::millis("the grace of dead objects", grace)?;
        again!(self, client => objects::dead(client, grace, rules::limit(limit)))
    }

    async fn forget_objects(&self, ids: &[Ulid]) -> Result<()> {
        again!(self, client => objects::forget(client, ids))
    }

    async fn committed_offsets(
        &self,
        group: &str,
        which: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>> {
        rules::group_name(group)?;
        again!(self, client => groups::committed(client, group, which))
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
        again!(self, client => groups::commit(client, group, offsets))
    }

    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<GroupInfo>> {
        // No name has a zero byte, which the server would refuse: what comes after one comes after what stands before it.
        let after = after.map(|after| after.split('\0').next().unwrap_or(after));
        again!(self, client => groups::list(client, after, rules::limit(limit)))
    }

    async fn group_offsets(&self, group: &str) -> Result<Vec<(TopicPartition, CommittedOffset)>> {
        rules::group_name(group)?;
        again!(self, client => groups::offsets(client, group))
    }

    /// After an attempt whose outcome is not known, the answer may be that there was none.
    async fn delete_group(&self, group: &str) -> Result<bool> {
        rules::group_name(group)?;
        again!(self, client => groups::delete(client, group))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.listener.subscribe()
    }

    async fn restore(&self, all: &Restored, replace: bool) -> Result<()> {
        let plan = RestorePlan::of(all)?;
        let token = Ulid::generate();
        let deadline = RESTORE_DEADLINE.max(self.deadline);
        let (name, channel) = (&self.name, self.listener.channel());
        again!(self, deadline, client => restore::run_all(client, &plan, replace, token, name, channel))?;
        self.listener.moved();
        Ok(())
    }
}
