//! The contract of a metadata store, and its words.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use ulid::Ulid;

use super::error::Result;
use crate::topic::{TopicName, TopicPartition};

/// What a topic's users may choose. Stored as JSON; fields that are missing have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicConfig {
    /// Records older than this may go: whole segments, whose newest record is older. Milliseconds; `None` keeps them.
    pub retention_ms: Option<u64>,
    /// Stored bytes of a partition above which its oldest segments may go. `None` keeps them.
    pub retention_bytes: Option<u64>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicInfo {
    /// Its name.
    pub name: TopicName,
    /// How many partitions, numbered from 0.
    pub partitions: u32,
    /// What was chosen.
    pub config: TopicConfig,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
}

/// The ends of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Which.
    pub at: TopicPartition,
    /// The first offset that can be read. Everything below was retained long enough.
    pub log_start: u64,
    /// The offset that the next record will get: everything below is committed.
    pub high_watermark: u64,
    /// Segments.
    pub segments: u64,
    /// Stored bytes of all segments.
    pub bytes: u64,
    /// The epoch of its newest lease; 0 if it was never written.
    pub epoch: u64,
}

/// Where the records `base_offset..next_offset` of a partition are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Which partition.
    pub at: TopicPartition,
    /// The first offset.
    pub base_offset: u64,
    /// The offset after the last one.
    pub next_offset: u64,
    /// The object that holds it, perhaps with sections of other partitions.
    pub object: Ulid,
    /// The object's key in the bucket.
    pub key: Arc<str>,
    /// The object's bytes.
    pub object_size: u64,
    /// The object's entity tag as the store told at the upload.
    pub etag: Arc<str>,
    /// Where its batches begin in the object, in bytes.
    pub position: u64,
    /// How long they are.
    pub length: u64,
    /// How many records.
    pub records: u64,
    /// The greatest timestamp of its records, in milliseconds since 1970; -1 if none has one.
    pub max_timestamp: i64,
    /// The epoch in which its (last) batch was written.
    pub epoch: u64,
    /// The batch index, encoded as in the segment's own.
    pub index: Bytes,
}

/// The right to write a partition, as it was when it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which partition.
    pub at: TopicPartition,
    /// Greater than that of every lease before.
    pub epoch: u64,
    /// Where its writer goes on.
    pub next_offset: u64,
    /// Whether the writer before gave it back with nothing on its way (or there was none): then no upload of an earlier
    /// epoch can turn up in the bucket any more.
    pub clean: bool,
}

/// What is about to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its name, unguessable.
    pub id: Ulid,
    /// Its key in the bucket.
    pub key: Arc<str>,
}

/// One section of an uploaded object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSegment {
    /// Which partition.
    pub at: TopicPartition,
    /// The epoch of the lease it was written under.
    pub epoch: u64,
    /// The first offset.
    pub base_offset: u64,
    /// The offset after the last one.
    pub next_offset: u64,
    /// Where its batches begin in the object.
    pub position: u64,
    /// How long they are.
    pub length: u64,
    /// How many records.
    pub records: u64,
    /// Their greatest timestamp, -1 for none.
    pub max_timestamp: i64,
    /// The batch index, encoded.
    pub index: Bytes,
}

/// An upload that is in the bucket and becomes part of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// As registered.
    pub id: Ulid,
    /// The object's bytes.
    pub object_size: u64,
    /// Its entity tag.
    pub etag: Arc<str>,
    /// At most one for each partition.
    pub segments: Vec<NewSegment>,
}

/// One object takes the place of several segments that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// As registered.
    pub id: Ulid,
    /// The object's bytes.
    pub object_size: u64,
    /// Its entity tag.
    pub etag: Arc<str>,
    /// The new segment: exactly the offsets of those it replaces. Its epoch is not compared with anything.
    pub segment: NewSegment,
    /// What it replaces: (base offset, object), in the order of offsets.
    pub replaces: Vec<(u64, Ulid)>,
}

/// An object that can be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadObject {
    /// Its name.
    pub id: Ulid,
    /// Its key in the bucket.
    pub key: Arc<str>,
}

/// How far a group got in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedOffset {
    /// The offset of the record that it reads next.
    pub offset: u64,
    /// What it noted beside.
    pub metadata: Option<String>,
    /// When, in milliseconds since 1970 (set by the store).
    pub committed_ms: i64,
}

/// A group of consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub name: String,
    /// In how many partitions it committed.
    pub partitions: u64,
    /// Its newest commit, in milliseconds since 1970.
    pub committed_ms: i64,
}

/// A partition as the bucket shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredPartition {
    /// Which.
    pub at: TopicPartition,
    /// The first offset that can be read.
    pub log_start: u64,
    /// The offset after the last record.
    pub high_watermark: u64,
    /// The newest epoch found; the next lease has a greater one, and is not clean.
    pub epoch: u64,
    /// In the order of offsets.
    pub segments: Vec<SegmentInfo>,
}

/// Everything that a store should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Topics.
    pub topics: Vec<TopicInfo>,
    /// Their partitions; one that is missing is empty.
    pub partitions: Vec<RestoredPartition>,
    /// Committed offsets by group.
    pub groups: Vec<(String, TopicPartition, CommittedOffset)>,
}

/// Keeps what the log knows beside its bytes. See the module's documentation.
///
/// Calls about partitions fail with `UnknownTopic` or `UnknownPartition` where there is none. All calls may be given up by
/// dropping their future: what was begun is then done or not, as a whole.
#[async_trait]
pub trait MetadataStore: fmt::Debug + Send + Sync {
    /// Its name in messages: where it is, without secrets.
    fn name(&self) -> &str;

    // Topics.

    /// Makes a topic. `partitions` is 1 to 100,000.
    async fn create_topic(
        &self,
        name: &TopicName,
        partitions: u32,
        config: &TopicConfig,
    ) -> Result<TopicInfo>;

    /// A topic, if there is one.
    async fn topic(&self, name: &TopicName) -> Result<Option<TopicInfo>>;

    /// Topics in the order of their names, at most `limit`, only those after `after`.
    async fn topics(&self, after: Option<&TopicName>, limit: usize) -> Result<Vec<TopicInfo>>;

    // Reading.

    /// The ends of partitions, in the order asked for.
    async fn partitions(&self, which: &[TopicPartition]) -> Result<Vec<PartitionInfo>>;

    /// The ends of all partitions of a topic.
    async fn partitions_of(&self, topic: &TopicName) -> Result<Vec<PartitionInfo>>;

    /// The segment that holds an offset, also one below the log start as long as the segment is there.
    async fn find_segment_for_offset(&self, at: &TopicPartition, offset: u64) -> Result<Option<SegmentInfo>>;

    /// The first segment that begins at or after an offset: the next one, when asked with a segment's `next_offset`.
    async fn next_segment(&self, at: &TopicPartition, offset: u64) -> Result<Option<SegmentInfo>>;

    /// The first segment in which a record has this timestamp or a later one. It may be one whose records at that time lie
    /// below the log start. No timestamp is below 0: such a one finds the first segment that has any.
    async fn find_segment_for_timestamp(
        &self,
        at: &TopicPartition,
        timestamp: i64,
    ) -> Result<Option<SegmentInfo>>;

    /// For several partitions at once, in the order asked for: the segments from the one that holds the offset (or the
    /// first after it) on, at most `limit_each` each.
    async fn segments_from(
        &self,
        wanted: &[(TopicPartition, u64)],
        limit_each: usize,
    ) -> Result<Vec<Vec<SegmentInfo>>>;

    // Writing.

    /// Gives `writer` the right to write all of these partitions until `ttl` from now, or none of them: each with a new
    /// epoch, also if the same writer has it already. Fails with `Held` while another writer's lease runs, and notes that
    /// it is wanted. By the store's own clock. `ttl` is a millisecond to a day.
    async fn acquire(&self, writer: Ulid, which: &[TopicPartition], ttl: Duration) -> Result<Vec<Lease>>;

    /// Prolongs all leases that `writer` holds, also those that ran out and that nobody took, until `ttl` from now, and
    /// returns those which another writer waits for: until it gives them back.
    async fn renew(&self, writer: Ulid, ttl: Duration) -> Result<Vec<TopicPartition>>;

    /// Gives leases back. `writer` has nothing on its way to these partitions, and will write no more in these epochs.
    /// Those that it does not hold any more are left alone. A commit in an epoch that was given back is `Fenced`.
    async fn release(&self, writer: Ulid, which: &[TopicPartition]) -> Result<()>;

    /// Says what will be uploaded. The same once more is nothing new; another key for it, or its key for another, is
    /// `Invalid`.
    async fn register_upload(&self, upload: &Upload) -> Result<()>;

    /// Makes an uploaded object part of its partitions, all or nothing, durably. Prolongs nothing. Said again after it
    /// succeeded, it succeeds again, until its object is forgotten; with other contents it is `Invalid`. A lease that ran
    /// out does not matter while nobody else took it.
    async fn commit_upload(&self, commit: &Commit) -> Result<()>;

    /// Puts one segment in the place of several. Fails with `Moved` if they are not all there any more as said, or do not
    /// follow each other; said again after it succeeded, it succeeds again.
    async fn commit_compaction(&self, compaction: &Compaction) -> Result<()>;

    /// Moves the log start of a partition up to `offset` (at most to the high watermark, never back), and drops the segments that lie
    /// wholly below. Returns the log start.
    async fn advance_log_start(&self, at: &TopicPartition, offset: u64) -> Result<u64>;

    // Deleting.

    /// Declares uploads dead that were registered longer ago than `age` and never committed: no commit of them succeeds
    /// from now on. Returns how many.
    async fn expire_uploads(&self, age: Duration) -> Result<u64>;

    /// Declares one upload dead, if it was not committed.
    async fn abandon_upload(&self, id: Ulid) -> Result<()>;

    /// Objects that have been dead, or without a segment that refers to them, for longer than `grace`: at most `limit`.
    async fn dead_objects(&self, grace: Duration, limit: usize) -> Result<Vec<DeadObject>>;

    /// These are deleted in the bucket. All or nothing: one that is not dead is `Invalid`, one that is not known is nothing.
    async fn forget_objects(&self, ids: &[Ulid]) -> Result<()>;

    // Groups.

    /// How far a group got, in the order asked for.
    async fn committed_offsets(
        &self,
        group: &str,
        which: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>>;

    /// Notes how far a group got, all or nothing: offset and metadata for each partition. The last one said counts, also if
    /// it is lower.
    async fn commit_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, u64, Option<String>)],
    ) -> Result<()>;

    /// Groups in the order of their names, at most `limit`, only those after `after`.
    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<GroupInfo>>;

    /// Everything that a group committed.
    async fn group_offsets(&self, group: &str) -> Result<Vec<(TopicPartition, CommittedOffset)>>;

    /// Forgets a group; whether there was one.
    async fn delete_group(&self, group: &str) -> Result<bool>;

    // The whole.

    /// A number that changes soon (within 50 ms of another process's, at once of this one's) after segments were committed
    /// anywhere. Costs something only while receivers live.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Takes over everything. Fails with `NotEmpty` if there is a topic; `replace` forgets what was there first, in the
    /// same transaction.
    async fn restore(&self, all: &Restored, replace: bool) -> Result<()>;
}
