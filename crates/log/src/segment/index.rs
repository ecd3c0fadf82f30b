//! Which bytes of a section hold which offsets.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use forebay_types::limits::MAX_SEGMENT_STRETCHES;

use super::layout::{VERSION, check_version, crc32c, put_crc};
use super::{STRETCH, SegmentError};

/// Bytes before the entries, of an entry, and after them.
const FRONT: usize = 8;
pub(super) const ENTRY: usize = 36;
const CRC: usize = 4;

/// A stretch: whole batches, one after the other, that are read and checked together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The offset of its first batch.
    pub base_offset: u64,
    /// Where it begins in its section, in bytes.
    pub position: u64,
    /// How long it is, in bytes.
    pub length: u32,
    /// CRC-32C of its bytes.
    pub crc: u32,
    /// How many records.
    pub records: u32,
    /// Their greatest timestamp, in milliseconds since 1970; -1 if none has one.
    pub max_timestamp: i64,
}

/// The stretches of a section, in their order; always one at least. A copy costs nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct BatchIndex {
    entries: Arc<[IndexEntry]>,
    /// One past the last offset of the last stretch.
    next_offset: u64,
}

impl BatchIndex {
    /// `entries` keep the rules that [`Self::decode`] checks.
    pub(super) fn new(entries: &[IndexEntry], next_offset: u64) -> Self {
        Self {
            entries: entries.into(),
            next_offset,
        }
    }

    /// The stretches.
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// The index as bytes, with a version and a CRC of their own: for an object's index block, and for a database.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(encoded_len(self.entries.len()));
        self.put(&mut out);
        out.into()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u16(VERSION);
        out.put_u16(0);
        // Not more than MAX_SEGMENT_STRETCHES.
        out.put_u32(self.entries.len() as u32);
        for entry in self.entries.iter() {
            out.put_u64(entry.base_offset);
            out.put_u64(entry.position);
            out.put_u32(entry.length);
            out.put_u32(entry.crc);
            out.put_u32(entry.records);
            out.put_i64(entry.max_timestamp);
        }
        put_crc(out, start);
    }

    /// Reads the index of a section that has the offsets `base_offset..next_offset` in `length` bytes. Allocates no more
    /// than `bytes` are long.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`] if the checksum does not fit, or the stretches do not fit each other or the section:
    /// they follow each other without a gap, none but the last is shorter than 64 KiB, their offsets rise, none has
    /// more records than offsets. [`SegmentError::Newer`] if a later version of this program wrote it.
    pub fn decode(
        bytes: &[u8],
        base_offset: u64,
        next_offset: u64,
        length: u64,
    ) -> Result<Self, SegmentError> {
        let damaged = |why: String| Err(SegmentError::damaged(format!("batch index: {why}")));
        let Some((mut inside, mut crc)) = bytes.len().checked_sub(CRC).map(|at| bytes.split_at(at)) else {
            return damaged(format!("{} bytes are none", bytes.len()));
        };
        if inside.len() < FRONT {
            return damaged(format!("{} bytes are none", bytes.len()));
        }
        if crc.get_u32() != crc32c(inside) {
            return damaged("its checksum does not fit".to_owned());
        }
        check_version(inside.get_u16())?;
        if inside.get_u16() != 0 {
            return damaged("bytes that are to be 0 are not".to_owned());
        }
        let count = inside.get_u32() as usize;
        if count == 0 || count > MAX_SEGMENT_STRETCHES {
            return damaged(format!("{count} stretches (1 to {MAX_SEGMENT_STRETCHES} can be)"));
        }
        if bytes.len() != encoded_len(count) {
            return damaged(format!("{count} stretches do not fit into {} bytes", bytes.len()));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(IndexEntry {
                base_offset: inside.get_u64(),
                position: inside.get_u64(),
                length: inside.get_u32(),
                crc: inside.get_u32(),
                records: inside.get_u32(),
                max_timestamp: inside.get_i64(),
            });
        }
        check(&entries, base_offset, next_offset, length)?;
        Ok(Self::new(&entries, next_offset))
    }

    /// The stretch that holds `offset`, or else the first one after it; `None` if there is none.
    ///
    /// Where offsets are missing at the end of a stretch, it counts as holding them: then go on with the next one.
    pub fn find(&self, offset: u64) -> Option<usize> {
        if offset >= self.next_offset {
            return None;
        }
        let after = self.entries.partition_point(|entry| entry.base_offset <= offset);
        Some(after.saturating_sub(1))
    }

    /// Where stretch `stretch` ends at the latest: the offset that the next one begins with, or the section's next one.
    pub(super) fn end_offset(&self, stretch: usize) -> u64 {
        self.entries
            .get(stretch + 1)
            .map_or(self.next_offset, |next| next.base_offset)
    }

    /// The first stretch that has a record with timestamp `ts` or a later one; `None` if there is none. Timestamps are
    /// in no order, so this looks at one stretch after the other.
    pub fn find_timestamp(&self, ts: i64) -> Option<usize> {
        self.entries.iter().position(|entry| entry.max_timestamp >= ts)
    }
}

impl fmt::Debug for BatchIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter()).finish()
    }
}

/// Bytes of an index of `count` stretches.
pub(super) const fn encoded_len(count: usize) -> usize {
    FRONT + count * ENTRY + CRC
}

/// Bytes of the index that `bytes` begin with, as it says; `None` if they end before it does.
pub(super) fn peek_len(bytes: &[u8]) -> Option<usize> {
    let mut count = bytes.get(4..FRONT)?;
    let len = encoded_len(
        usize::try_from(count.get_u32())
            .ok()?
            .min(MAX_SEGMENT_STRETCHES + 1),
    );
    (len <= bytes.len()).then_some(len)
}

/// Whether the stretches fit each other and their section.
fn check(
    entries: &[IndexEntry],
    base_offset: u64,
    next_offset: u64,
    length: u64,
) -> Result<(), SegmentError> {
    let mut position = 0u64;
    let mut base = base_offset;
    for (i, entry) in entries.iter().enumerate() {
        let next = entries.get(i + 1);
        let end = next.map_or(next_offset, |next| next.base_offset);
        let wrong = if entry.position != position {
            Some(format!("it begins at byte {}, not at {position}", entry.position))
        } else if entry.base_offset != base {
            Some(format!("the section begins at offset {base}"))
        } else if end <= entry.base_offset {
            Some(format!("what follows has offset {end}"))
        } else if u64::from(entry.records) > end - entry.base_offset {
            Some(format!("{} records up to offset {end}", entry.records))
        } else if entry.length == 0 || next.is_some() && u64::from(entry.length) < STRETCH {
            Some(format!("{} bytes are too few", entry.length))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Err(SegmentError::damaged(format!("batch index: {wrong}")).in_stretch(entry));
        }
        // 2^18 stretches of 2^32 bytes at most.
        position += u64::from(entry.length);
        base = end;
    }
    if position != length {
        let why = format!("batch index: stretches of {position} bytes in a section of {length}");
        return Err(SegmentError::damaged(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
