//! Records out of a batch: the loop that every consumed record goes through.

use bytes::Bytes;

use crate::record::{Header, Record};

use super::caps::Caps;
use super::error::BatchError;
use super::header::BatchHeader;
use super::parse::{Fault, bytes, varint, varlong};

/// Room is made for at most this many records before they have been seen.
const RESERVE: usize = 4096;

/// The records of a batch after decompression. Clones share the bytes, and so do the records read from it.
#[derive(Clone, Debug)]
pub struct Decoded {
    data: Bytes,
    memory: usize,
    base_offset: u64,
    base_timestamp: i64,
    /// Every record's timestamp, if the broker set it.
    append_time: Option<i64>,
    last_offset_delta: u32,
    records: u32,
    max_headers: u32,
    control: bool,
}

/// Which record of a [`Decoded`] comes next. Going on from it costs nothing, wherever it is.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    /// Where the record starts in the records' bytes.
    at: usize,
    /// Its number.
    index: u32,
    /// The smallest offset delta that it may have.
    min_delta: u32,
}

/// A record of which place and time are known.
struct Frame<'a> {
    offset: u64,
    timestamp: i64,
    /// Its bytes from the key on.
    rest: &'a [u8],
    /// The record after it.
    next: Cursor,
}

impl Decoded {
    /// Takes `data`, the records' bytes, of which `memory` were allocated for it.
    pub(super) fn new(
        header: &BatchHeader,
        caps: &Caps,
        data: Bytes,
        memory: usize,
    ) -> Result<Self, BatchError> {
        let decoded = Self {
            data,
            memory,
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time: header.log_append_time().then_some(header.max_timestamp),
            last_offset_delta: header.last_offset_delta,
            records: header.records,
            max_headers: caps.headers,
            control: header.is_control(),
        };
        if decoded.records == 0 && !decoded.data.is_empty() {
            return Err(BatchError::Field {
                field: "records",
                value: 0,
                why: "though there are bytes of records",
            });
        }
        Ok(decoded)
    }

    /// Offset of the first record when the batch was made.
    pub fn base_offset(&self) -> u64 {
        self.base_offset
    }

    /// The offset after the last one of the batch, which may be beyond its last record: compaction leaves holes.
    pub fn next_offset(&self) -> u64 {
        self.base_offset + u64::from(self.last_offset_delta) + 1
    }

    /// Whether it holds marks of a transaction and not data: then no record is ever read from it.
    pub fn is_control(&self) -> bool {
        self.control
    }

    /// Bytes that decompression allocated; 0 if the records are where the batch is.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// The first record.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            at: 0,
            index: 0,
            min_delta: 0,
        }
    }

    /// The record at `cursor`, which goes on to the next; `None` after the last.
    ///
    /// # Errors
    /// [`BatchError::Record`] if it is damaged; `cursor` stays at it.
    pub fn next(&self, cursor: &mut Cursor) -> Result<Option<Record>, BatchError> {
        if self.control || cursor.index >= self.records {
            return Ok(None);
        }
        let read = self.frame(*cursor).and_then(|frame| {
            let (record, _) = self.record(&frame)?;
            Ok((record, frame.next))
        });
        let (record, next) = read.map_err(|fault| self.damaged(*cursor, fault))?;
        *cursor = next;
        Ok(Some(record))
    }

    /// Appends the records from `cursor` on whose offset is `from` or greater to `out`, until there are `max_records` or
    /// the next one would make their keys, values and headers more than `max_bytes`; the first is taken whatever its
    /// size, unless `max_records` is 0. Records before `from` are passed over for good, and of them length, time and place are looked at alone. Returns the bytes of what was
    /// appended.
    ///
    /// # Errors
    /// [`BatchError::Record`] if a record is damaged; then `cursor` and `out` are as before.
    pub fn read(
        &self,
        cursor: &mut Cursor,
        from: u64,
        max_records: usize,
        max_bytes: usize,
        out: &mut Vec<Record>,
    ) -> Result<usize, BatchError> {
        if self.control {
            return Ok(0);
        }
        let before = out.len();
        let left = self.records.saturating_sub(cursor.index) as usize;
        out.reserve(left.min(max_records).min(RESERVE));
        let full = before.saturating_add(max_records);
        let mut at = *cursor;
        let mut taken = 0;
        let mut one = || -> Result<bool, Fault> {
            let frame = self.frame(at)?;
            if frame.offset >= from {
                let (record, size) = self.record(&frame)?;
                if out.len() > before && taken + size > max_bytes {
                    return Ok(false);
                }
                taken += size;
                out.push(record);
            }
            at = frame.next;
            Ok(at.index < self.records && out.len() < full)
        };
        if left > 0 && max_records > 0 {
            loop {
                match one() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(fault) => {
                        out.truncate(before);
                        return Err(self.damaged(at, fault));
                    }
                }
            }
        }
        *cursor = at;
        Ok(taken)
    }

    /// Offset of the first record whose timestamp is `timestamp` or later, in the order of offsets; `None` if there is
    /// none. Every record's time is looked at: they are in no order.
    ///
    /// # Errors
    /// [`BatchError::Record`] if a record up to that one is damaged.
    pub fn first_at_or_after(&self, timestamp: i64) -> Result<Option<u64>, BatchError> {
        let mut at = self.cursor();
        while !self.control && at.index < self.records {
            let frame = self.frame(at).map_err(|fault| self.damaged(at, fault))?;
            if frame.timestamp >= timestamp {
                return Ok(Some(frame.offset));
            }
            at = frame.next;
        }
        Ok(None)
    }

    /// Length, time and place of the record at `at`, which is not beyond the last.
    #[inline(always)]
    fn frame(&self, at: Cursor) -> Result<Frame<'_>, Fault> {
        let mut rest = match self.data.get(at.at..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => return Err(Fault::NoMore),
        };
        let len = varint(&mut rest).map_err(cut_short)?;
        let len = usize::try_from(len).map_err(|_| Fault::Length)?;
        let Some((mut rest, after)) = rest.split_at_checked(len) else {
            return Err(Fault::CutShort);
        };
        let Some((_attributes, tail)) = rest.split_first() else {
            return Err(Fault::BeyondLength);
        };
        rest = tail;
        let since = varlong(&mut rest)?;
        let delta = varint(&mut rest)?;
        let delta = match u32::try_from(delta) {
            Ok(delta) if (at.min_delta..=self.last_offset_delta).contains(&delta) => delta,
            _ => return Err(Fault::Offset),
        };
        let timestamp = match self.append_time {
            Some(time) => time,
            None => self.base_timestamp.checked_add(since).ok_or(Fault::Timestamp)?,
        };
        if at.index + 1 == self.records && !after.is_empty() {
            return Err(Fault::Trailing);
        }
        Ok(Frame {
            offset: self.base_offset + u64::from(delta),
            timestamp,
            rest,
            next: Cursor {
                at: self.data.len() - after.len(),
                index: at.index + 1,
                // No overflow: a delta comes from an i32.
                min_delta: delta + 1,
            },
        })
    }

    /// The rest of a record, and the bytes of its key, value and headers.
    #[inline(always)]
    fn record(&self, frame: &Frame<'_>) -> Result<(Record, usize), Fault> {
        let mut rest = frame.rest;
        let end = frame.next.at;
        let key = bytes(&mut rest, end, Fault::KeyLength)?;
        let value = bytes(&mut rest, end, Fault::ValueLength)?;
        let tombstone = value.is_none();
        let value = value.unwrap_or_default();
        let mut size = value.len() + key.as_ref().map_or(0, ExactSizeIterator::len);
        let count = varint(&mut rest)?;
        let headers = if count == 0 {
            Vec::new()
        } else {
            self.headers(&mut rest, end, count, &mut size)?
        };
        if !rest.is_empty() {
            return Err(Fault::Leftover);
        }
        let record = Record {
            offset: frame.offset,
            timestamp: frame.timestamp,
            key: key.map(|key| self.data.slice(key)),
            value: self.data.slice(value),
            tombstone,
            headers,
        };
        Ok((record, size))
    }

    #[inline(never)]
    fn headers(
        &self,
        rest: &mut &[u8],
        end: usize,
        count: i32,
        size: &mut usize,
    ) -> Result<Vec<Header>, Fault> {
        let count = u32::try_from(count).map_err(|_| Fault::HeaderCount)?;
        if count > self.max_headers {
            return Err(Fault::HeaderCap);
        }
        // Each has two lengths, of a byte at least.
        if count as usize > rest.len() / 2 {
            return Err(Fault::HeaderCount);
        }
        let mut headers = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let name = bytes(rest, end, Fault::NameLength)?.ok_or(Fault::NameLength)?;
            let value = bytes(rest, end, Fault::ValueLength)?;
            *size += name.len() + value.as_ref().map_or(0, ExactSizeIterator::len);
            headers.push(Header {
                name: self.data.slice(name),
                value: value.map(|value| self.data.slice(value)),
            });
        }
        Ok(headers)
    }

    #[cold]
    fn damaged(&self, at: Cursor, fault: Fault) -> BatchError {
        BatchError::Record {
            base_offset: self.base_offset,
            index: at.index,
            at: at.at,
            why: fault.as_str(),
        }
    }
}

/// A length that is cut off is the end of the records, not of the record.
#[cold]
fn cut_short(fault: Fault) -> Fault {
    match fault {
        Fault::BeyondLength => Fault::CutShort,
        other => other,
    }
}
