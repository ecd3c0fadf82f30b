//! The map file: which object, which version, and which of its blocks are there.
//!
//! ```text
//!   0  head      magic, format, sizes, offsets, lengths of the strings, CRC over all of it and the strings
//! 128  records   seal, validated, generation, handed out: each 16 bytes with a check of its own, changed in place
//! 256  strings   origin URL, scope, key, version
//!      table     8 bytes for each block (see `table`), at a multiple of 64
//!      data      objects of at most 256 KiB: their bytes, at a multiple of 64
//! ```
//!
//! All numbers are little endian. The file is read and written, never mapped: a file that is cut short must not end the process.

use std::sync::Arc;
use std::time::Duration;

use forebay_types::limits::MAX_KEY_BYTES;
use forebay_types::{BLOCK, BlockRange, ObjectId, Origin, Version};

use crate::table::{ENTRY, crc32c_of, mix};

/// Objects up to this size live inside their map: one file, no sync.
pub(crate) const INSIDE: u64 = 256 * 1024;

/// The first read of a map takes this much: head, records, and the strings of nearly every object.
pub(crate) const FIRST_READ: usize = 4096;

const MAGIC: [u8; 8] = *b"forebayM";
const FORMAT: u32 = 1;
const HEAD: usize = 84;
const RECORDS: u64 = 128;
const RECORD_STEP: u64 = 32;
const STRINGS: usize = 256;

/// End of the records.
pub(crate) const RECORDS_END: usize = STRINGS;

/// Longest URL, scope and version: checked before anything is allocated.
const MAX_TEXT: usize = 4096;

/// Largest object: more than any file system holds, and far from overflow.
const MAX_SIZE: u64 = 1 << 50;

/// The part of a map that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: ObjectId,
    /// Random: ties table, records and data file to this map and no other.
    pub(crate) instance: u64,
    /// Wall clock.
    pub(crate) created: Duration,
    pub(crate) layout: Layout,
}

/// Where things are in a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    table: u64,
    /// `None`: the data is a file of its own.
    pub(crate) inside: Option<u64>,
    /// End of the head and its strings.
    strings_end: usize,
}

impl Layout {
    /// Where the entry of `block` is.
    pub(crate) fn entry(&self, block: u64) -> u64 {
        self.table + block * ENTRY
    }
}

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHead {
    /// The bytes end before the head does: `0` bytes are needed.
    Short(usize),
    /// It is damaged, or was never one.
    Damaged,
}

impl Head {
    /// A new map for `id`; `None` if its names or its size are beyond the limits of the format.
    pub(crate) fn new(id: ObjectId, instance: u64, created: Duration) -> Option<Self> {
        let texts = texts(&id);
        if lengths_are_bad(&texts.each_ref().map(|text| text.len())) || id.size > MAX_SIZE {
            return None;
        }
        let strings = texts.iter().map(|text| text.len()).sum();
        let layout = layout(id.size, strings);
        Some(Self {
            id,
            instance,
            created,
            layout,
        })
    }

    /// Head, empty records, and strings.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let texts = texts(&self.id);
        let mut bytes = vec![0; self.layout.strings_end];
        let mut at = 0;
        let mut put = |value: &[u8]| {
            bytes[at..at + value.len()].copy_from_slice(value);
            at += value.len();
        };
        put(&MAGIC);
        put(&FORMAT.to_le_bytes());
        put(&(BLOCK as u32).to_le_bytes());
        put(&self.id.size.to_le_bytes());
        put(&self.instance.to_le_bytes());
        put(&self.layout.inside.unwrap_or(0).to_le_bytes());
        put(&self.layout.table.to_le_bytes());
        put(&micros(self.created).to_le_bytes());
        for text in &texts {
            put(&(text.len() as u32).to_le_bytes());
        }
        put(&version_kind(&self.id.version).to_le_bytes());
        debug_assert_eq!(at, HEAD - 8);
        at = STRINGS;
        for text in &texts {
            bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
            at += text.len();
        }
        let crc = head_crc(&bytes);
        bytes[HEAD - 8..HEAD - 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a head from the first bytes of a file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHead> {
        if bytes.len() < STRINGS {
            return Err(BadHead::Short(STRINGS));
        }
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        if bytes[..8] != MAGIC || u32_at(8) != FORMAT || u64::from(u32_at(12)) != BLOCK {
            return Err(BadHead::Damaged);
        }
        let size = u64_at(16);
        let lengths: [usize; 4] = std::array::from_fn(|i| u32_at(56 + 4 * i) as usize);
        if lengths_are_bad(&lengths) || size > MAX_SIZE {
            return Err(BadHead::Damaged);
        }
        let layout = layout(size, lengths.iter().sum());
        if bytes.len() < layout.strings_end {
            return Err(BadHead::Short(layout.strings_end));
        }
        let bytes = &bytes[..layout.strings_end];
        let agrees = u64_at(32) == layout.inside.unwrap_or(0) && u64_at(40) == layout.table;
        if !agrees || u32_at(HEAD - 8) != head_crc(bytes) {
            return Err(BadHead::Damaged);
        }
        let mut rest = &bytes[STRINGS..];
        let mut texts = [""; 4];
        for (text, len) in texts.iter_mut().zip(lengths) {
            let (head, tail) = rest.split_at(len);
            *text = str::from_utf8(head).map_err(|_| BadHead::Damaged)?;
            rest = tail;
        }
        let [url, scope, key, version] = texts;
        let version = match u32_at(72) {
            0 if version.is_empty() => Version::Unknown,
            1 => Version::ETag(version.into()),
            2 => Version::Modified(version.parse().map_err(|_| BadHead::Damaged)?),
            _ => return Err(BadHead::Damaged),
        };
        Ok(Self {
            id: ObjectId {
                origin: Origin::new(url, scope),
                key: key.into(),
                version,
                size,
            },
            instance: u64_at(24),
            created: Duration::from_micros(u64_at(48)),
            layout,
        })
    }

    /// Bytes of the file when its table is whole, and its data if that is inside.
    pub(crate) fn file_len(&self) -> u64 {
        map_len(&self.id).0
    }
}

/// A value that changes while the map lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// 1: all blocks are there, were checked, and are on disk.
    Seal,
    /// When the server last confirmed the version: microseconds of the wall clock.
    Validated,
    /// Random, changed whenever blocks are taken out: who remembers another one forgets what was there.
    Generation,
    /// 1: the file was given to the kernel or to another program, which may map it: never punch it.
    HandedOut,
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Never written.
    Unset,
    /// This.
    Is(u64),
    /// Something, but not what was written.
    Damaged,
}

/// Bytes of a record.
pub(crate) const RECORD: usize = 16;

impl Record {
    pub(crate) fn offset(self) -> u64 {
        RECORDS + RECORD_STEP * self as u64
    }

    pub(crate) fn encode(self, value: u64, instance: u64) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..8].copy_from_slice(&value.to_le_bytes());
        bytes[8..].copy_from_slice(&self.check(value, instance).to_le_bytes());
        bytes
    }

    /// Reads it from the first bytes of a map.
    pub(crate) fn decode(self, map: &[u8], instance: u64) -> Value {
        let at = self.offset() as usize;
        let Some(bytes) = map.get(at..at + RECORD) else {
            return Value::Damaged;
        };
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        match (word(0), word(8)) {
            (0, 0) => Value::Unset,
            (value, check) if check == self.check(value, instance) => Value::Is(value),
            _ => Value::Damaged,
        }
    }

    fn check(self, value: u64, instance: u64) -> u64 {
        mix(instance ^ mix(value ^ mix(self as u64))) | 1
    }
}

pub(crate) fn micros(wall: Duration) -> u64 {
    u64::try_from(wall.as_micros()).unwrap_or(u64::MAX)
}

fn version_kind(version: &Version) -> u32 {
    match version {
        Version::Unknown => 0,
        Version::ETag(_) => 1,
        Version::Modified(_) => 2,
    }
}

/// The strings in the order of the file.
fn texts(id: &ObjectId) -> [Arc<str>; 4] {
    let version = match &id.version {
        Version::ETag(tag) => tag.clone(),
        Version::Modified(micros) => micros.to_string().into(),
        Version::Unknown => "".into(),
    };
    [
        id.origin.url().into(),
        id.origin.scope().into(),
        id.key.clone(),
        version,
    ]
}

fn lengths_are_bad(lengths: &[usize; 4]) -> bool {
    let [url, scope, key, version] = *lengths;
    url > MAX_TEXT || scope > MAX_TEXT || key > MAX_KEY_BYTES || version > MAX_TEXT
}

fn layout(size: u64, strings: usize) -> Layout {
    let strings_end = STRINGS + strings;
    let table = (strings_end as u64).next_multiple_of(64);
    let table_end = table + BlockRange::of_size(size).len() * ENTRY;
    Layout {
        table,
        inside: (size <= INSIDE).then(|| table_end.next_multiple_of(64)),
        strings_end,
    }
}

/// Bytes of the map of `id`, and whether its data is inside.
pub(crate) fn map_len(id: &ObjectId) -> (u64, bool) {
    let layout = layout(id.size, texts(id).iter().map(|text| text.len()).sum());
    match layout.inside {
        Some(data) => (data + id.size, true),
        None => (layout.entry(BlockRange::of_size(id.size).end()), false),
    }
}

/// Over the head without the CRC itself, and the strings; the records between them change.
fn head_crc(bytes: &[u8]) -> u32 {
    crc32c_of(&[
        &bytes[..HEAD - 8],
        &bytes[HEAD - 4..RECORDS as usize],
        &bytes[STRINGS..],
    ])
}

#[cfg(test)]
mod tests;
