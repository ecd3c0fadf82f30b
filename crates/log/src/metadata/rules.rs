//! What both stores decide alike, in pure code: they read rows, ask here, and write what is decided.
//!
//! Numbers are `u64` outside and signed 64-bit columns inside: what comes in is checked ([`int`]), what is read is checked
//! again ([`uint`]), since a file can be damaged.

mod change;
mod lease;
mod restore;

pub(super) use change::{
    CommitRow, CompactionRow, ObjectRow, ObjectState, SegmentRow, check_replaced, may_become_live,
    may_commit, repeat,
};
pub(super) use lease::{Claim, LeaseRow, claim, ttl_ms};
pub(super) use restore::{RestorePlan, RestoredSegment};

use std::time::Duration;

use bytes::Bytes;
use forebay_types::printable;
use ulid::Ulid;

use super::error::{MetadataError, Result};
use super::store::{PartitionInfo, SegmentInfo, TopicConfig, TopicInfo};
use crate::topic::{TopicName, TopicPartition};

/// Most partitions of a topic: each is a row.
pub(super) const MAX_PARTITIONS: u32 = 100_000;
/// Longest key, as all object stores have it; also what an index of PostgreSQL can hold.
const MAX_KEY: usize = 1024;
/// Longest name of a group.
const MAX_GROUP: usize = 1024;
/// Longest note beside a committed offset. Kafka allows 4 KiB unless told otherwise.
const MAX_NOTE: usize = 64 << 10;
/// Longest batch index.
const MAX_INDEX: usize = 64 << 20;
/// Most rows that one answer may have.
const MAX_LIMIT: usize = 1 << 30;

/// Why a step of a store did not do what was asked; `E` is the driver's error.
#[derive(Debug)]
pub(super) enum Failure<E> {
    /// What the caller is told.
    Said(MetadataError),
    /// The store holds what it should not.
    Wrong(String),
    /// The driver could not.
    Driver(E),
}

impl<E> From<MetadataError> for Failure<E> {
    fn from(error: MetadataError) -> Self {
        Self::Said(error)
    }
}

impl<E> From<Wrong> for Failure<E> {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong.0)
    }
}

/// What is stored makes no sense.
#[derive(Debug)]
pub(super) struct Wrong(pub(super) String);

/// An [`MetadataError::Invalid`].
pub(super) fn invalid(what: impl Into<String>) -> MetadataError {
    MetadataError::Invalid { what: what.into() }
}

/// `value` as it is stored.
pub(super) fn int(what: &str, value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| {
        invalid(format!(
            "{what} is {value}, more than the {} that can be stored",
            i64::MAX
        ))
    })
}

/// What was stored by [`int`].
pub(super) fn uint(what: &str, value: i64) -> Result<u64, Wrong> {
    u64::try_from(value).map_err(|_| Wrong(format!("{what} is {value}")))
}

/// A limit as it is asked with.
pub(super) fn limit(rows: usize) -> i64 {
    rows.min(MAX_LIMIT) as i64
}

/// A duration in whole milliseconds.
pub(super) fn millis(what: &str, value: Duration) -> Result<i64> {
    // Half the range, so that sums with the time of day have room.
    i64::try_from(value.as_millis())
        .ok()
        .filter(|ms| *ms <= i64::MAX / 2)
        .ok_or_else(|| invalid(format!("{what} is {value:?}, longer than can be counted")))
}

/// A text that is stored and compared.
fn text(what: &str, value: &str, most: usize) -> Result<()> {
    if value.len() > most {
        return Err(invalid(format!(
            "{what} is {} bytes long, at most {most} can be",
            value.len()
        )));
    }
    if value.contains('\0') {
        return Err(invalid(format!("{what} has a zero byte: {}", printable(value))));
    }
    Ok(())
}

/// Whether a group may be called so.
pub(super) fn group_name(group: &str) -> Result<()> {
    if group.is_empty() {
        return Err(invalid("the name of a group is empty"));
    }
    text("the name of a group", group, MAX_GROUP)
}

/// Whether that may be noted beside an offset.
pub(super) fn note(metadata: Option<&str>) -> Result<()> {
    text(
        "the metadata of a committed offset",
        metadata.unwrap_or(""),
        MAX_NOTE,
    )
}

/// Whether an object may be called so.
pub(super) fn key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(invalid("the key of an object is empty"));
    }
    text("the key of an object", key, MAX_KEY)
}

/// A key that another upload has.
pub(super) fn taken(key: &str) -> MetadataError {
    invalid(format!("another upload has the key {}", printable(key)))
}

/// Why an object is not forgotten.
pub(super) fn not_dead(id: Ulid) -> String {
    format!("object {id} is not dead: segments refer to it, or its upload may still be committed")
}

/// How many partitions a topic may have.
pub(super) fn partition_count(topic: &TopicName, partitions: u32) -> Result<()> {
    match partitions {
        1..=MAX_PARTITIONS => Ok(()),
        _ => Err(invalid(format!(
            "topic {topic} is to have {partitions} partitions: it can have 1 to {MAX_PARTITIONS}"
        ))),
    }
}

/// The same partition may not stand twice in a call that changes it.
pub(super) fn no_twice<'a>(at: impl Iterator<Item = &'a TopicPartition>) -> Result<()> {
    let mut all: Vec<_> = at.collect();
    all.sort_unstable();
    match all.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(invalid(format!("partition {} stands there twice", pair[0]))),
        None => Ok(()),
    }
}

/// The number of a partition: topics have less than 2^31 numbers.
pub(super) fn pid(topic: i64, partition: u32) -> i64 {
    topic << 32 | i64::from(partition)
}

/// The partition of a number, within its topic.
pub(super) fn partition_of(pid: i64) -> u32 {
    pid as u32
}

/// A topic's row.
pub(super) struct TopicRow {
    pub(super) name: String,
    pub(super) partitions: i64,
    pub(super) config: String,
    pub(super) created_ms: i64,
}

impl TopicRow {
    /// What is stored of a config.
    pub(super) fn config(config: &TopicConfig) -> Result<String> {
        serde_json::to_string(config).map_err(|error| invalid(format!("the topic's config: {error}")))
    }

    pub(super) fn info(self) -> Result<TopicInfo, Wrong> {
        let config = serde_json::from_str(&self.config)
            .map_err(|error| Wrong(format!("the config of topic {}: {error}", printable(&self.name))))?;
        Ok(TopicInfo {
            name: topic_name(&self.name)?,
            partitions: partitions(self.partitions)?,
            config,
            created_ms: self.created_ms,
        })
    }
}

/// The stored name of a topic.
pub(super) fn topic_name(name: &str) -> Result<TopicName, Wrong> {
    TopicName::new(name).map_err(|error| Wrong(error.to_string()))
}

/// The stored number of partitions.
pub(super) fn partitions(count: i64) -> Result<u32, Wrong> {
    u32::try_from(count).map_err(|_| Wrong(format!("a topic has {count} partitions")))
}

/// Whether a topic with so many partitions has this one.
pub(super) fn has(at: &TopicPartition, partitions: u32) -> Result<()> {
    if at.partition < partitions {
        return Ok(());
    }
    Err(MetadataError::UnknownPartition {
        at: at.clone(),
        partitions,
    })
}

/// The columns of a partition that readers see.
pub(super) struct EndsRow {
    pub(super) log_start: i64,
    pub(super) next_offset: i64,
    pub(super) segments: i64,
    pub(super) bytes: i64,
    pub(super) epoch: i64,
}

impl EndsRow {
    pub(super) fn info(&self, at: TopicPartition) -> Result<PartitionInfo, Wrong> {
        Ok(PartitionInfo {
            log_start: uint("a log start", self.log_start)?,
            high_watermark: uint("a high watermark", self.next_offset)?,
            segments: uint("a number of segments", self.segments)?,
            bytes: uint("a number of bytes", self.bytes)?,
            epoch: uint("an epoch", self.epoch)?,
            at,
        })
    }
}

/// A segment's row with that of its object.
pub(super) struct FoundRow {
    pub(super) base_offset: i64,
    pub(super) next_offset: i64,
    pub(super) object: Vec<u8>,
    pub(super) position: i64,
    pub(super) length: i64,
    pub(super) records: i64,
    pub(super) max_timestamp: i64,
    pub(super) epoch: i64,
    pub(super) index: Vec<u8>,
    /// Key, size and entity tag; `None` if there is no such object.
    pub(super) key: Option<String>,
    pub(super) size: Option<i64>,
    pub(super) etag: Option<String>,
}

impl FoundRow {
    pub(super) fn info(self, at: TopicPartition) -> Result<SegmentInfo, Wrong> {
        let object = ulid(&self.object)?;
        let (Some(key), Some(size), Some(etag)) = (self.key, self.size, self.etag) else {
            return Err(Wrong(format!(
                "{at} has a segment at {} in object {object}, which is not there",
                self.base_offset
            )));
        };
        Ok(SegmentInfo {
            base_offset: uint("an offset", self.base_offset)?,
            next_offset: uint("an offset", self.next_offset)?,
            object,
            key: key.into(),
            object_size: uint("the size of an object", size)?,
            etag: etag.into(),
            position: uint("a position", self.position)?,
            length: uint("a length", self.length)?,
            records: uint("a number of records", self.records)?,
            max_timestamp: self.max_timestamp,
            epoch: uint("an epoch", self.epoch)?,
            index: Bytes::from(self.index),
            at,
        })
    }
}

/// A stored name of an object or a writer.
pub(super) fn ulid(bytes: &[u8]) -> Result<Ulid, Wrong> {
    let bytes = <[u8; 16]>::try_from(bytes)
        .map_err(|_| Wrong(format!("a name of {} bytes where 16 should be", bytes.len())))?;
    Ok(Ulid::from_bytes(bytes))
}

/// A segment, as far as the greatest timestamps up to it are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) base_offset: i64,
    /// Its own greatest timestamp.
    pub(super) max_timestamp: i64,
    /// The greatest of all up to it, as stored.
    pub(super) running: i64,
}

/// Which stored maxima have to change when what stands before these segments changed, and the maximum to go on with;
/// `None` if one was right, since then all after it are.
pub(super) fn rerun(mut before: i64, segments: &[Running]) -> (Vec<(i64, i64)>, Option<i64>) {
    let mut changed = Vec::new();
    for segment in segments {
        before = before.max(segment.max_timestamp);
        if before == segment.running {
            return (changed, None);
        }
        changed.push((segment.base_offset, before));
    }
    (changed, Some(before))
}

#[cfg(test)]
mod tests;
