//! The map of a file whose content is partly below: which of its blocks are here, and which were changed.
//!
//! ```text
//!    0  head    magic (8), format (4), bytes of a block (4), size of the lower file (8)
//! 4096  now     2 bits for each block of the lower file, four to a byte, the lowest bits first
//!       safe    the same at a multiple of 4096: what was durable with its data when last synced
//! ```
//!
//! Numbers are little endian. A block is absent (0), clean (1) or dirty (2). The head never changes. `now` is written in
//! place as soon as the bytes of a block are: it is what counts after a killed process. `safe` is what counts after a
//! power loss, which may have let `now` through and not the data.

use std::ops::Range;

use forebay_disk::sys::{read_at, write_at};
use forebay_types::{BLOCK, BlockRange, ByteRange};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs;
use rustix::io::Errno;

use crate::overlay::sys::size_of;

const MAGIC: &[u8; 8] = b"forebayB";
const FORMAT: u32 = 1;
const HEAD: usize = 24;
const TABLES: u64 = 4096;
const PER_BYTE: u64 = 4;

/// Largest lower file that can be changed: its table is 1 GiB.
pub(crate) const MAX_SIZE: u64 = 1 << 48;

/// What is known of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Absent,
    Clean,
    Dirty,
}

impl Block {
    fn bits(self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::Clean => 1,
            Self::Dirty => 2,
        }
    }

    fn of(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Absent,
            1 => Self::Clean,
            // 3 is never written. What it was, was here: to call it changed is safe.
            _ => Self::Dirty,
        }
    }
}

/// An open map.
#[derive(Debug)]
pub(crate) struct Map {
    fd: OwnedFd,
    /// `now`, as on disk.
    table: Vec<u8>,
    /// Blocks in it.
    blocks: u64,
    /// Bytes of the table that may differ from `safe`.
    unsafe_bytes: Range<usize>,
}

/// A copy of a part of the table.
#[derive(Debug)]
pub(crate) struct Part {
    at: usize,
    bytes: Vec<u8>,
}

fn table_len(size: u64) -> usize {
    size.div_ceil(BLOCK).div_ceil(PER_BYTE) as usize
}

fn safe_at(size: u64) -> u64 {
    TABLES + (table_len(size) as u64).next_multiple_of(4096)
}

impl Map {
    /// Writes a map of a lower file of `size` bytes of which nothing is here.
    pub(crate) fn create(fd: OwnedFd, size: u64) -> Result<Self, Errno> {
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&FORMAT.to_le_bytes());
        head.extend_from_slice(&(BLOCK as u32).to_le_bytes());
        head.extend_from_slice(&size.to_le_bytes());
        fs::ftruncate(&fd, safe_at(size) + table_len(size) as u64)?;
        write_at(&fd, &head, 0)?;
        Ok(Self {
            fd,
            table: vec![0; table_len(size)],
            blocks: size.div_ceil(BLOCK),
            unsafe_bytes: 0..0,
        })
    }

    /// Reads the map of a lower file of `size` bytes; `None` if it is none, or one of another file.
    pub(crate) fn open(fd: OwnedFd, size: u64) -> Result<Option<Self>, Errno> {
        let mut head = [0; HEAD];
        if read_at(&fd, &mut head, 0)? < HEAD
            || head[..8] != *MAGIC
            || head[8..12] != FORMAT.to_le_bytes()
            || head[12..16] != (BLOCK as u32).to_le_bytes()
            || head[16..24] != size.to_le_bytes()
            || size_of(&fd)? < safe_at(size) + table_len(size) as u64
        {
            return Ok(None);
        }
        let table = read_table(&fd, TABLES, size)?;
        let safe = read_table(&fd, safe_at(size), size)?;
        let differs = |at: &usize| table[*at] != safe[*at];
        let first = (0..table.len()).find(differs);
        let last = (0..table.len()).rfind(differs);
        let unsafe_bytes = first.zip(last).map_or(0..0, |(first, last)| first..last + 1);
        Ok(Some(Self {
            fd,
            table,
            blocks: size.div_ceil(BLOCK),
            unsafe_bytes,
        }))
    }

    pub(crate) fn get(&self, block: u64) -> Block {
        self.table
            .get((block / PER_BYTE) as usize)
            .map_or(Block::Dirty, |byte| Block::of(byte >> (2 * (block % PER_BYTE))))
    }

    /// The first block in `blocks` of which `is` holds, or their end. Blocks beyond the table are dirty.
    pub(crate) fn find(&self, blocks: BlockRange, is: impl Fn(Block) -> bool) -> u64 {
        blocks
            .iter()
            .find(|&block| is(self.get(block)))
            .unwrap_or(blocks.end())
    }

    /// Makes blocks `to`, where `from` holds, on disk and then in memory. On an error nothing changed in memory.
    pub(crate) fn set(
        &mut self,
        blocks: BlockRange,
        from: impl Fn(Block) -> bool,
        to: Block,
    ) -> Result<(), Errno> {
        let blocks = BlockRange::new(blocks.start(), blocks.end().min(self.blocks));
        let first = self.find(blocks, &from);
        if first == blocks.end() {
            return Ok(());
        }
        let at = (first / PER_BYTE) as usize;
        let end = blocks.end().div_ceil(PER_BYTE) as usize;
        let mut bytes = self.table[at..end].to_vec();
        for block in first..blocks.end() {
            if from(self.get(block)) {
                let byte = &mut bytes[(block / PER_BYTE) as usize - at];
                let shift = 2 * (block % PER_BYTE);
                *byte = *byte & !(3 << shift) | to.bits() << shift;
            }
        }
        write_at(&self.fd, &bytes, TABLES + at as u64)?;
        self.table[at..end].copy_from_slice(&bytes);
        self.is_unsafe(at..end);
        Ok(())
    }

    /// Whether all blocks below `limit` bytes are here.
    pub(crate) fn is_complete(&self, limit: u64) -> bool {
        let all = BlockRange::of_size(limit);
        // Four blocks at a time: a file of a terabyte has 16 million.
        let bytes = (all.end() / PER_BYTE) as usize;
        let is_full = |byte: &u8| (byte | byte >> 1) & 0x55 == 0x55;
        let rest = BlockRange::new(bytes as u64 * PER_BYTE, all.end());
        self.table[..bytes].iter().all(is_full)
            && self.find(rest, |block| block == Block::Absent) == rest.end()
    }

    /// The bytes below `limit` of blocks of which `is` holds, neighbours joined.
    pub(crate) fn ranges(&self, limit: u64, is: impl Fn(Block) -> bool) -> Vec<ByteRange> {
        let all = BlockRange::of_size(limit);
        let mut ranges = Vec::new();
        let mut at = 0;
        loop {
            at = self.find(BlockRange::new(at, all.end()), &is);
            if at == all.end() {
                return ranges;
            }
            let end = self.find(BlockRange::new(at, all.end()), |block| !is(block));
            ranges.push(BlockRange::new(at, end).bytes(limit));
            at = end;
        }
    }

    /// Whether something may not be safe.
    pub(crate) fn has_unsafe(&self) -> bool {
        !self.unsafe_bytes.is_empty()
    }

    /// What is not safe; it is taken to be so from now on.
    pub(crate) fn take_unsafe(&mut self) -> Option<Part> {
        let range = std::mem::take(&mut self.unsafe_bytes);
        (!range.is_empty()).then(|| Part {
            at: range.start,
            bytes: self.table[range].to_vec(),
        })
    }

    /// What [`Map::take_unsafe`] gave did not become safe.
    pub(crate) fn put_back(&mut self, part: &Part) {
        self.is_unsafe(part.at..part.at + part.bytes.len());
    }

    /// Writes what was taken to be safe: the data of its blocks is durable.
    pub(crate) fn write_safe(&self, part: &Part, size: u64) -> Result<(), Errno> {
        write_at(&self.fd, &part.bytes, safe_at(size) + part.at as u64)
    }

    fn is_unsafe(&mut self, bytes: Range<usize>) {
        let known = &mut self.unsafe_bytes;
        *known = if known.start == known.end {
            bytes
        } else {
            known.start.min(bytes.start)..known.end.max(bytes.end)
        };
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn read_table(fd: &OwnedFd, at: u64, size: u64) -> Result<Vec<u8>, Errno> {
    let mut table = vec![0; table_len(size)];
    let got = read_at(fd, &mut table, at)?;
    if got < table.len() {
        return Err(Errno::IO);
    }
    Ok(table)
}

/// Sets `now` right after a power loss. What is safe stays. What is not safe is here only where the file system has data
/// for the whole of the block: those that write data before they tell of it (all that are in use) then have the right
/// one. Whatever is here counts as changed, because the mark of a change may be lost.
pub(crate) fn after_power_loss(data: &OwnedFd, map: &mut Map, size: u64) -> Result<(), Errno> {
    let safe = read_table(&map.fd, safe_at(size), size)?;
    let len = size_of(data)?;
    let mut table = vec![0; map.table.len()];
    for block in 0..map.blocks {
        let place = (block / PER_BYTE) as usize;
        let shift = 2 * (block % PER_BYTE);
        let is_safe = Block::of(safe[place] >> shift) != Block::Absent;
        let is_here = is_safe
            || map.get(block) != Block::Absent && {
                let bytes = BlockRange::new(block, block + 1).bytes(len);
                !bytes.is_empty() && is_all_data(data, bytes)?
            };
        if is_here {
            table[place] |= Block::Dirty.bits() << shift;
        }
    }
    write_at(&map.fd, &table, TABLES)?;
    map.table = table;
    map.is_unsafe(0..map.table.len());
    Ok(())
}

fn is_all_data(fd: &OwnedFd, bytes: ByteRange) -> Result<bool, Errno> {
    match fs::seek(fd, fs::SeekFrom::Data(bytes.start())) {
        Ok(at) if at == bytes.start() => {}
        Ok(_) | Err(Errno::NXIO) => return Ok(false),
        Err(e) => return Err(e),
    }
    Ok(fs::seek(fd, fs::SeekFrom::Hole(bytes.start()))? >= bytes.end())
}

#[cfg(test)]
mod tests;
