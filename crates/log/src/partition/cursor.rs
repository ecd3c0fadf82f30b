//! Where a reader is: segment, stretch, batch, record.

use bytes::{Buf, Bytes};
use ulid::Ulid;

use super::ReadLimit;
use super::segments::Segments;
use crate::batch::{self, Batch, BatchError, Decoded};
use crate::ends::ReadEnds;
use crate::error::{LogError, Result};
use crate::log::Log;
use crate::record::Record;
use crate::topic::TopicPartition;

/// Remembers everything that the next read needs, so that it goes on in the middle of a batch.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The offset to go on at.
    next: u64,
    /// The end of the partition, as far as this reader knows.
    pub(super) high_watermark: u64,
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

impl Stored {
    /// Takes the whole batches from the one with `next` on that are at most `most` bytes together, or the first one whatever
    /// its size if `at_least_one`; `next` moves on. Nothing is left if all were taken.
    fn take_batches(
        &mut self,
        next: &mut u64,
        most: usize,
        at_least_one: bool,
    ) -> std::result::Result<Bytes, BatchError> {
        let mut rest = self.bytes.clone();
        let mut taken = 0;
        while !rest.is_empty() {
            let batch = Batch::split_off_front_trusted(&mut rest)?;
            let header = batch.header();
            if header.next_offset() <= *next {
                // Only those before the first one, so nothing was taken.
                self.skip(header.len);
                continue;
            }
            if taken + header.len > most && !(at_least_one && taken == 0) {
                break;
            }
            taken += header.len;
            *next = header.next_offset();
        }
        let batches = self.bytes.slice(..taken);
        self.skip(taken);
        Ok(batches)
    }

    fn skip(&mut self, len: usize) {
        self.bytes.advance(len);
        self.position += len as u64;
    }
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

    /// After an error the cursor may stand anywhere. What was read before it, if there is `something`, is given all the
    /// same: else who reads much at a time would get nothing of what lies before a damaged place. Says where to go on.
    pub(super) fn settle(&mut self, read: Result<()>, something: bool) -> Result<u64> {
        let next = self.next;
        if let Err(error) = read {
            *self = Self::default();
            if !something {
                return Err(error);
            }
            tracing::debug!(%error, next, "a read ends early");
        }
        Ok(next)
    }

    pub(super) async fn read(
        &mut self,
        log: &Log,
        at: &TopicPartition,
        start: u64,
        ends: &mut ReadEnds,
        limit: ReadLimit,
        out: &mut Vec<Record>,
    ) -> Result<()> {
        self.seek(start);
        let mut bytes = 0;
        while out.len() < limit.records
            && (bytes < limit.bytes || out.is_empty())
            && ends.reach(&log.shared.ends, self.next).await?
        {
            let left = ReadLimit {
                records: limit.records - out.len(),
                bytes: limit.bytes.saturating_sub(bytes),
            };
            if let Some((decoded, place)) = &mut self.decoded {
                let (before, from) = (out.len(), *place);
                let read = decoded
                    .read(place, self.next, left.records, left.bytes, out)
                    .map_err(|source| wrong(at, decoded.base_offset(), source))?;
                if read > left.bytes && before > 0 {
                    // A batch gives its first record though it is too long; but this is not the first of the read.
                    out.truncate(before);
                    *place = from;
                    break;
                }
                bytes += read;
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
                self.high_watermark = ends.info.high_watermark;
                self.fetch(log, at, left).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn read_batches(
        &mut self,
        log: &Log,
        at: &TopicPartition,
        start: u64,
        ends: &mut ReadEnds,
        max_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<()> {
        self.seek(start);
        if self.decoded.take().is_some() {
            // The batch that was read in part is not among those any more.
            self.stored = Stored::default();
        }
        let mut left = max_bytes;
        while (left > 0 || out.is_empty()) && ends.reach(&log.shared.ends, self.next).await? {
            if self.stored.bytes.is_empty() {
                self.high_watermark = ends.info.high_watermark;
                self.fetch(log, at, ReadLimit::bytes(left)).await?;
            }
            let taken = self.stored.take_batches(&mut self.next, left, out.is_empty());
            let taken = taken.map_err(|source| wrong(at, self.next, source))?;
            left = left.saturating_sub(taken.len());
            if !taken.is_empty() {
                out.push(taken);
            }
            if !self.stored.bytes.is_empty() {
                // The next one is too long.
                break;
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
        let ends = log.shared.ends.now(at).await?.info;
        let found = log
            .shared
            .metadata
            .find_segment_for_timestamp(at, timestamp)
            .await?;
        let Some(found) = found else {
            return Ok(ends.high_watermark);
        };
        *self = Self::default();
        self.next = found.base_offset.max(ends.log_start);
        self.high_watermark = ends.high_watermark;
        while self.next < ends.high_watermark {
            // Stretches whose records are all older are passed over unread.
            if !self.skip_stretches_before(log, at, timestamp).await? {
                continue;
            }
            self.fetch(log, at, ReadLimit::records(1)).await?;
            while !self.stored.bytes.is_empty() {
                let Some((decoded, _)) = self.next_batch(log, at)? else {
                    continue;
                };
                let first = first_at_or_after(&decoded, timestamp, ends.log_start)
                    .map_err(|source| wrong(at, decoded.base_offset(), source))?;
                if let Some(offset) = first {
                    return Ok(offset);
                }
                self.next = self.next.max(decoded.next_offset());
            }
        }
        Ok(ends.high_watermark)
    }
}

/// The first record from `log_start` on with this timestamp or a later one.
fn first_at_or_after(
    decoded: &Decoded,
    timestamp: i64,
    log_start: u64,
) -> std::result::Result<Option<u64>, BatchError> {
    let first = decoded.first_at_or_after(timestamp)?;
    if first.is_none_or(|offset| offset >= log_start) {
        return Ok(first);
    }
    // The log starts in the middle of this batch.
    let mut place = decoded.cursor();
    while let Some(record) = decoded.next(&mut place)? {
        if record.offset >= log_start && record.timestamp >= timestamp {
            return Ok(Some(record.offset));
        }
    }
    Ok(None)
}

fn wrong(at: &TopicPartition, offset: u64, source: BatchError) -> LogError {
    LogError::Batch {
        at: at.clone(),
        offset,
        source,
    }
}
