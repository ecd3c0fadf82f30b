//! Where a reader is: segment, run, batch, record.

use bytes::Bytes;
use ulid::Ulid;

use super::ReadLimit;
use super::segments::Segments;
use crate::batch::{self, Batch, BatchError, Decoded};
use crate::error::{LogError, Result};
use crate::log::Log;
use crate::metadata::PartitionInfo;
use crate::record::Record;
use crate::topic::TopicPartition;

/// Remembers everything that the next read needs, so that it goes on in the middle of a batch.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The offset to go on at.
    next: u64,
    pub(super) segments: Segments,
    /// Batches that were fetched and verified, and not decoded yet.
    pub(super) stored: Stored,
    /// The batch that `next` is in.
    decoded: Option<(Decoded, batch::Cursor)>,
    /// Fetches in a row, each of which followed the one before.
    pub(super) in_order: u32,
    /// The base offset of the segment that read-ahead knows to be read in order.
    pub(super) declared: Option<u64>,
}

/// Verified bytes of whole batches.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) bytes: Bytes,
    /// Which object they are of.
    pub(super) object: Ulid,
    /// Where they begin in it.
    pub(super) position: u64,
}

impl Cursor {
    /// The offset to go on at.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The reader may pass over offsets that hold nothing.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.next = self.next.max(offset);
    }

    /// Goes to `offset`, if it is not there.
    fn seek(&mut self, offset: u64) {
        if offset != self.next {
            self.next = offset;
            self.stored = Stored::default();
            self.decoded = None;
            self.in_order = 0;
            self.declared = None;
        }
    }

    pub(super) async fn read(
        &mut self,
        log: &Log,
        at: &TopicPartition,
        start: u64,
        ends: &PartitionInfo,
        limit: ReadLimit,
        out: &mut Vec<Record>,
    ) -> Result<()> {
        self.seek(start);
        let mut bytes = 0;
        while out.len() < limit.records
            && (bytes < limit.bytes || out.is_empty())
            && self.next < ends.high_watermark
        {
            if let Some((decoded, place)) = &mut self.decoded {
                let before = out.len();
                let left = (limit.records - out.len(), limit.bytes.saturating_sub(bytes));
                bytes += decoded
                    .read(place, self.next, left.0, left.1, out)
                    .map_err(|source| wrong(at, decoded.base_offset(), source))?;
                match out[before..].last() {
                    Some(last) => self.next = last.offset + 1,
                    None => {
                        self.next = self.next.max(decoded.next_offset());
                        self.decoded = None;
                    }
                }
            } else if !self.stored.bytes.is_empty() {
                self.decoded = self.next_batch(log, at)?;
            } else {
                self.fetch(
                    log,
                    at,
                    limit.records - out.len(),
                    limit.bytes.saturating_sub(bytes),
                )
                .await?;
            }
        }
        Ok(())
    }

    pub(super) async fn read_batches(
        &mut self,
        log: &Log,
        at: &TopicPartition,
        start: u64,
        ends: &PartitionInfo,
        max_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<()> {
        self.seek(start);
        // What is left of batches that were decoded in part belongs to another kind of read.
        self.stored = Stored::default();
        self.decoded = None;
        let mut bytes = 0;
        while (bytes < max_bytes || out.is_empty()) && self.next < ends.high_watermark {
            self.fetch(log, at, usize::MAX, max_bytes.saturating_sub(bytes))
                .await?;
            let mut stored = std::mem::take(&mut self.stored).bytes;
            // Of the first run, the batches before.
            let mut rest = stored.clone();
            while !rest.is_empty() {
                let batch = Batch::split_off_front_trusted(&mut rest)
                    .map_err(|source| wrong(at, self.next, source))?;
                if batch.header().next_offset() <= self.next {
                    stored = rest.clone();
                } else {
                    self.next = batch.header().next_offset();
                }
            }
            if !stored.is_empty() {
                bytes += stored.len();
                out.push(stored);
            }
        }
        Ok(())
    }

    /// The next stored batch, decoded; `None` if it ends before `next`.
    fn next_batch(&mut self, log: &Log, at: &TopicPartition) -> Result<Option<(Decoded, batch::Cursor)>> {
        let place = (self.stored.object, self.stored.position);
        let batch = Batch::split_off_front_trusted(&mut self.stored.bytes)
            .map_err(|source| wrong(at, self.next, source))?;
        let header = batch.header();
        self.stored.position += header.len as u64;
        if header.next_offset() <= self.next {
            return Ok(None);
        }
        let decoded = match log.shared.decoded.get(place) {
            Some(decoded) => decoded,
            None => {
                let decoded = batch
                    .decode(&log.shared.options.caps)
                    .map_err(|source| wrong(at, header.base_offset, source))?;
                log.shared.decoded.put(place, &decoded);
                decoded
            }
        };
        let start = decoded.cursor();
        Ok(Some((decoded, start)))
    }

    pub(super) async fn offset_for_timestamp(
        &mut self,
        log: &Log,
        at: &TopicPartition,
        timestamp: i64,
    ) -> Result<u64> {
        let ends = log
            .shared
            .ends
            .ask(std::slice::from_ref(at))
            .await?
            .swap_remove(0);
        let found = log
            .shared
            .metadata
            .find_segment_for_timestamp(at, timestamp)
            .await?;
        let Some(found) = found else {
            return Ok(ends.high_watermark);
        };
        self.seek(found.base_offset.max(ends.log_start));
        self.stored = Stored::default();
        self.decoded = None;
        while self.next < ends.high_watermark {
            // Runs whose records are all older are passed over unread.
            if !self.skip_runs_before(log, at, timestamp).await? {
                continue;
            }
            self.fetch(log, at, 1, 1).await?;
            while !self.stored.bytes.is_empty() {
                let Some((decoded, _)) = self.next_batch(log, at)? else {
                    continue;
                };
                let first = decoded
                    .first_at_or_after(timestamp)
                    .map_err(|source| wrong(at, decoded.base_offset(), source))?;
                if let Some(offset) = first.filter(|offset| *offset >= ends.log_start) {
                    return Ok(offset);
                }
                self.next = self.next.max(decoded.next_offset());
            }
        }
        Ok(ends.high_watermark)
    }
}

fn wrong(at: &TopicPartition, offset: u64, source: BatchError) -> LogError {
    LogError::Batch {
        at: at.clone(),
        offset,
        source,
    }
}
