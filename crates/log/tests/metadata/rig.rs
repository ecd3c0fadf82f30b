//! A place for a store, and what tests say to stores.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use forebay_log::metadata::{
    Commit, Compaction, Lease, MetadataStore, NewSegment, SqliteMetadataStore, TopicConfig, Upload,
};
use forebay_log::{TopicName, TopicPartition};
use forebay_types::ManualClock;
use ulid::Ulid;

/// Where a store lies. Opened again, the same store is there.
#[async_trait]
pub(crate) trait Rig: Send + Sync {
    /// One more instance.
    async fn open(&self) -> Arc<dyn MetadataStore>;
    /// Time goes by, for leases and ages.
    async fn pass(&self, time: Duration);
    /// The first number of the answer to a query.
    async fn number(&self, sql: &str) -> i64;
}

/// Rows that contradict each other, as queries that count them. The same tables are in both stores.
const CONTRADICTIONS: &[&str] = &[
    "SELECT count(*) FROM objects o WHERE o.refs <> (SELECT count(*) FROM segments s WHERE s.object = o.id)",
    "SELECT count(*) FROM objects WHERE (refs > 0) <> (state = 1)",
    "SELECT count(*) FROM segments s WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.id = s.object)",
    "SELECT count(*) FROM partitions p WHERE p.segments <> (SELECT count(*) FROM segments s WHERE s.pid = p.pid)
        OR p.bytes <> (SELECT coalesce(sum(s.length), 0) FROM segments s WHERE s.pid = p.pid)",
    "SELECT count(*) FROM segments s WHERE s.running_max_timestamp <>
        (SELECT max(b.max_timestamp) FROM segments b WHERE b.pid = s.pid AND b.base_offset <= s.base_offset)",
    "SELECT count(*) FROM consumer_groups g WHERE g.partitions <>
        (SELECT count(*) FROM group_offsets o WHERE o.group_id = g.id)",
];

/// Everything that is counted beside the rows agrees with the rows.
pub(crate) async fn check(rig: &dyn Rig) {
    for sql in CONTRADICTIONS {
        assert_eq!(rig.number(sql).await, 0, "{sql}");
    }
}

/// A store in a file, with a clock that tests move.
pub(crate) struct SqliteRig {
    _dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) clock: ManualClock,
}

impl SqliteRig {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            path: dir.path().join("log.db"),
            _dir: dir,
            clock: ManualClock::default(),
        }
    }
}

#[async_trait]
impl Rig for SqliteRig {
    async fn open(&self) -> Arc<dyn MetadataStore> {
        let clock = Arc::new(self.clock.clone());
        Arc::new(
            SqliteMetadataStore::open_with_clock(&self.path, clock)
                .await
                .unwrap(),
        )
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    async fn number(&self, sql: &str) -> i64 {
        let db = rusqlite::Connection::open(&self.path).unwrap();
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

pub(crate) fn at(name: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(topic(name), partition)
}

/// Long enough for what a test does in it, also on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) async fn create(store: &dyn MetadataStore, name: &str, partitions: u32) {
    store
        .create_topic(&topic(name), partitions, &TopicConfig::default())
        .await
        .unwrap();
}

/// A topic `t` and the lease of its partition 0.
pub(crate) async fn leased(store: &dyn MetadataStore, writer: Ulid) -> Lease {
    create(store, "t", 1).await;
    lease(store, writer).await
}

pub(crate) async fn lease(store: &dyn MetadataStore, writer: Ulid) -> Lease {
    store
        .acquire(writer, &[at("t", 0)], LONG)
        .await
        .unwrap()
        .remove(0)
}

/// A segment of 100 bytes at position 0.
pub(crate) fn segment(at: TopicPartition, epoch: u64, from: u64, to: u64, time: i64) -> NewSegment {
    NewSegment {
        at,
        epoch,
        base_offset: from,
        next_offset: to,
        position: 0,
        length: 100,
        records: to - from,
        max_timestamp: time,
        index: vec![from as u8; 3].into(),
    }
}

pub(crate) fn commit_of(id: Ulid, segments: Vec<NewSegment>) -> Commit {
    Commit {
        id,
        object_size: 1000,
        etag: format!("\"{id}\"").into(),
        segments,
    }
}

pub(crate) async fn register(store: &dyn MetadataStore) -> Ulid {
    let id = Ulid::generate();
    let upload = Upload {
        id,
        key: format!("flush/{id}.seg").into(),
    };
    store.register_upload(&upload).await.unwrap();
    id
}

/// Registers and commits.
pub(crate) async fn write(
    store: &dyn MetadataStore,
    segments: Vec<NewSegment>,
) -> forebay_log::metadata::Result<Ulid> {
    let id = register(store).await;
    store.commit_upload(&commit_of(id, segments)).await?;
    Ok(id)
}

pub(crate) fn compaction_of(id: Ulid, segment: NewSegment, replaces: Vec<(u64, Ulid)>) -> Compaction {
    Compaction {
        id,
        object_size: 1000,
        etag: "\"c\"".into(),
        segment,
        replaces,
    }
}
