//! Reading one partition.

mod cursor;
mod fetch;
mod segments;

use std::sync::Arc;

use bytes::Bytes;
use forebay_cache::SegmentCache;
use object_store::ObjectStore;
use tokio::sync::Mutex;

use crate::ends::ReadEnds;
use crate::error::{LogError, Result};
use crate::log::Log;
use crate::metadata::{MetadataStore, PartitionInfo};
use crate::options::LogOptions;
use crate::record::Record;
use crate::topic::{TopicName, TopicPartition};
use cursor::Cursor;

/// Bytes that a read gives at most if only records are counted: memory has an end.
const MOST_BYTES: usize = 64 << 20;

/// How much one read gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Records.
    pub records: usize,
    /// Bytes of keys, values and headers; the first record is given though it is longer.
    pub bytes: usize,
}

impl ReadLimit {
    /// At most so many records.
    pub fn records(records: usize) -> Self {
        Self {
            records,
            bytes: MOST_BYTES,
        }
    }

    /// Records of so many bytes at most, and at least one.
    pub fn bytes(bytes: usize) -> Self {
        Self {
            records: usize::MAX,
            bytes,
        }
    }
}

impl From<usize> for ReadLimit {
    fn from(records: usize) -> Self {
        Self::records(records)
    }
}

/// What a read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadResult {
    /// Records, in the order of their offsets. Fewer than asked for only at the high watermark, if their bytes are limited,
    /// or if those after them cannot be read: then the next read says why.
    pub records: Vec<Record>,
    /// The partition's: the offset that its next record will get. At most [`LogOptions::ends_max_age`] old, and just
    /// asked for if this read came to the end.
    pub high_watermark: u64,
    /// The first offset that can be read.
    pub log_start: u64,
    /// Where to go on: after the last record, or after what is no record (a gap, a control batch).
    pub next_offset: u64,
}

/// Batches as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchesResult {
    /// Whole batches, back to back in each piece, checksums verified. The first one may begin before the offset asked for.
    pub batches: Vec<Bytes>,
    /// As in [`ReadResult`].
    pub high_watermark: u64,
    /// As in [`ReadResult`].
    pub log_start: u64,
    /// The offset after the last batch.
    pub next_offset: u64,
}

/// Reads one partition. It remembers where the last read ended, and goes on there without a search, in the middle of a batch
/// if need be; a read elsewhere costs one look-up and, cold, one request. Reads of one reader wait for each other: a
/// consumer each has its own. Bytes, requests and decompressed batches are shared by all readers of a [`Log`].
#[derive(Debug)]
pub struct PartitionReader {
    log: Log,
    at: TopicPartition,
    cursor: Mutex<Cursor>,
}

impl Log {
    /// A reader of one partition.
    pub fn partition(&self, topic: TopicName, partition: u32) -> PartitionReader {
        PartitionReader::of(self.clone(), TopicPartition::new(topic, partition))
    }
}

impl PartitionReader {
    /// A reader of a log at the root of `object_store`, as [`Log::adopt`] makes it. A program with more than one
    /// reader has them share with [`Log::partition`].
    ///
    /// # Errors
    /// If no topic can have this name.
    pub fn new(
        topic: impl AsRef<str>,
        partition_id: u32,
        metadata: Arc<dyn MetadataStore>,
        object_store: Arc<dyn ObjectStore>,
        cache: &SegmentCache,
    ) -> Result<Self> {
        let log = Log::adopt(object_store, cache, metadata, LogOptions::default());
        Ok(log.partition(TopicName::new(topic.as_ref())?, partition_id))
    }

    pub(crate) fn of(log: Log, at: TopicPartition) -> Self {
        Self {
            log,
            at,
            cursor: Mutex::default(),
        }
    }

    /// Which partition.
    pub fn at(&self) -> &TopicPartition {
        &self.at
    }

    /// The log that it reads.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The records from `start_offset` on. At the high watermark there are none, and that is no error; in a gap those
    /// after it.
    ///
    /// # Errors
    /// [`LogError::OffsetNotFound`] below the log start and above the high watermark, with both. Errors of bucket and
    /// metadata, after their retries; the next read starts anew.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next read searches its place again.
    pub async fn read(&self, start_offset: u64, limit: impl Into<ReadLimit>) -> Result<ReadResult> {
        let limit = limit.into();
        let mut cursor = self.cursor.lock().await;
        let mut ends = self.ends_around(start_offset).await?;
        let mut records = Vec::new();
        let read = cursor
            .read(&self.log, &self.at, start_offset, &mut ends, limit, &mut records)
            .await;
        let next_offset = cursor.settle(read, !records.is_empty())?;
        drop(cursor);
        Ok(ReadResult {
            records,
            // What was committed since the ends were asked for may have been read as well.
            high_watermark: ends.info.high_watermark.max(next_offset),
            log_start: ends.info.log_start,
            next_offset,
        })
    }

    /// Stored batches from the one that holds `start_offset` on, as many as fit into `max_bytes` and at least one, not
    /// decompressed, checksums verified.
    ///
    /// # Errors
    /// As [`Self::read`].
    ///
    /// # Cancel safety
    /// As [`Self::read`].
    pub async fn read_batches(&self, start_offset: u64, max_bytes: usize) -> Result<BatchesResult> {
        let mut cursor = self.cursor.lock().await;
        let mut ends = self.ends_around(start_offset).await?;
        let mut batches = Vec::new();
        let read = cursor
            .read_batches(
                &self.log,
                &self.at,
                start_offset,
                &mut ends,
                max_bytes,
                &mut batches,
            )
            .await;
        let next_offset = cursor.settle(read, !batches.is_empty())?;
        drop(cursor);
        Ok(BatchesResult {
            batches,
            high_watermark: ends.info.high_watermark.max(next_offset),
            log_start: ends.info.log_start,
            next_offset,
        })
    }

    /// The ends of the partition as they are now.
    ///
    /// # Errors
    /// Of the metadata.
    pub async fn ends(&self) -> Result<PartitionInfo> {
        Ok(self.log.shared.ends.now(&self.at).await?.info)
    }

    async fn ends_around(&self, offset: u64) -> Result<ReadEnds> {
        let ends = self.log.shared.ends.around(&self.at, offset).await?;
        if (ends.info.log_start..=ends.info.high_watermark).contains(&offset) {
            return Ok(ends);
        }
        Err(not_found(ends.info, offset))
    }

    /// The offset of the first record with this timestamp (milliseconds since 1970) or a later one; the high watermark
    /// if there is none.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn offset_for_timestamp(&self, timestamp: i64) -> Result<u64> {
        let mut cursor = self.cursor.lock().await;
        let found = cursor.offset_for_timestamp(&self.log, &self.at, timestamp).await;
        // A search does not say how its reader goes on.
        *cursor = Cursor::default();
        found
    }
}

fn not_found(ends: PartitionInfo, offset: u64) -> LogError {
    LogError::OffsetNotFound {
        at: ends.at,
        offset,
        log_start: ends.log_start,
        high_watermark: ends.high_watermark,
    }
}

/// Reads several partitions side by side, each from its own offset: the results in the order asked for.
///
/// # Errors
/// The first one; the others are given up.
pub async fn read_multiple_partitions(
    partitions: &[(&PartitionReader, u64)],
    limit: impl Into<ReadLimit>,
) -> Result<Vec<ReadResult>> {
    let limit = limit.into();
    futures::future::try_join_all(
        partitions
            .iter()
            .map(|(reader, offset)| reader.read(*offset, limit)),
    )
    .await
}
