//! LZ4 frames (lz4.org, "LZ4 Frame Format Description", 1.6), decoded straight to where the records stay.
//!
//! ```text
//! magic 0x184D2204, FLG, BD, content size (u64, if FLG bit 3), header checksum
//! blocks: length (u32; bit 31: stored as it is), bytes, checksum (u32, if FLG bit 4); length 0 ends them
//! content checksum (u32, if FLG bit 2)
//! ```
//!
//! Numbers are little endian, checksums are xxh32. Blocks are independent if FLG bit 5 is set; else they may refer to the
//! 64 KiB before them.

use lz4_flex::block::{DecompressError, decompress_into, decompress_into_with_dict};
use twox_hash::XxHash32;

use super::{Fault, take, take_slice};

pub(in super::super) const MAGIC: u32 = 0x184D_2204;
pub(in super::super) const STORED: u32 = 1 << 31;
const WINDOW: usize = 64 * 1024;

/// A block makes at most this many bytes of one.
const MAX_RATIO: usize = 255;

/// What the frame's header says.
struct Frame {
    linked: bool,
    block_sums: bool,
    content_sum: bool,
    content_size: Option<u64>,
    block_max: usize,
}

/// A block: whether it is stored as it is, and its bytes.
type Block<'a> = (bool, &'a [u8]);

pub(super) fn decompress(stored: &[u8], cap: usize) -> Result<Vec<u8>, Fault> {
    let mut rest = stored;
    let frame = Frame::parse(&mut rest)?;
    let size = frame.size(rest, cap)?;
    let mut out = vec![0; size];
    let mut len = 0;
    while let Some(block) = frame.next(&mut rest, true)? {
        len += frame.block(block, &mut out, len)?;
    }
    out.truncate(len);
    if frame.content_size.is_some_and(|told| told != len as u64) {
        return Err(Fault::new("it holds less than it says"));
    }
    if frame.content_sum && u32::from_le_bytes(take(&mut rest)?) != XxHash32::oneshot(0, &out) {
        return Err(Fault::new("the checksum of its content is wrong"));
    }
    if !rest.is_empty() {
        return Err(Fault::new("bytes follow the frame"));
    }
    Ok(out)
}

impl Frame {
    fn parse(rest: &mut &[u8]) -> Result<Self, Fault> {
        if u32::from_le_bytes(take(rest)?) != MAGIC {
            return Err(Fault::new("it is no LZ4 frame"));
        }
        let descriptor = *rest;
        let [flags, sizes] = take(rest)?;
        // Bits 0-3 and 7 of the sizes and bit 1 of the flags are reserved.
        if flags >> 6 != 1 || flags & 0b10 != 0 || sizes & 0x8F != 0 {
            return Err(Fault::new("its frame is of an unknown version"));
        }
        let block_max = match sizes >> 4 {
            code @ 4..=7 => 1 << (8 + 2 * code),
            _ => return Err(Fault::new("the size of its blocks is undefined")),
        };
        let content_size = if flags & 0b1000 != 0 {
            Some(u64::from_le_bytes(take(rest)?))
        } else {
            None
        };
        if flags & 1 != 0 {
            return Err(Fault::new("it needs a dictionary, which Kafka has none of"));
        }
        let checked = &descriptor[..descriptor.len() - rest.len()];
        let [sum] = take(rest)?;
        if sum != (XxHash32::oneshot(0, checked) >> 8) as u8 {
            return Err(Fault::new("the checksum of its header is wrong"));
        }
        Ok(Self {
            linked: flags & 0b10_0000 == 0,
            block_sums: flags & 0b1_0000 != 0,
            content_sum: flags & 0b100 != 0,
            content_size,
            block_max,
        })
    }

    /// The next block; `None` at the end of them.
    fn next<'a>(&self, rest: &mut &'a [u8], verify: bool) -> Result<Option<Block<'a>>, Fault> {
        let word = u32::from_le_bytes(take(rest)?);
        if word == 0 {
            return Ok(None);
        }
        let len = (word & !STORED) as usize;
        if len > self.block_max {
            return Err(Fault::new("a block is longer than its frame says"));
        }
        let bytes = take_slice(rest, len)?;
        if self.block_sums {
            let sum = u32::from_le_bytes(take(rest)?);
            if verify && sum != XxHash32::oneshot(0, bytes) {
                return Err(Fault::new("the checksum of a block is wrong"));
            }
        }
        Ok(Some((word & STORED != 0, bytes)))
    }

    /// Room that is enough for all blocks; at most `cap`.
    fn size(&self, mut rest: &[u8], cap: usize) -> Result<usize, Fault> {
        let mut most = 0_usize;
        while let Some((stored, bytes)) = self.next(&mut rest, false)? {
            most += if stored {
                bytes.len()
            } else {
                self.block_max.min(bytes.len() * MAX_RATIO)
            };
        }
        match self.content_size {
            Some(told) if told > most as u64 => Err(Fault::new("it says that it holds more than it can")),
            Some(told) if told > cap as u64 => Err(Fault::Bomb),
            Some(told) => Ok(told as usize),
            None => Ok(most.min(cap)),
        }
    }

    /// Decompresses a block to `at`, and returns how long it is.
    fn block(&self, (stored, bytes): Block<'_>, out: &mut [u8], at: usize) -> Result<usize, Fault> {
        let (before, free) = out.split_at_mut(at);
        let room = free.len().min(self.block_max);
        let free = &mut free[..room];
        if stored {
            let Some(to) = free.get_mut(..bytes.len()) else {
                return Err(self.full(room));
            };
            to.copy_from_slice(bytes);
            return Ok(bytes.len());
        }
        let done = if self.linked && !before.is_empty() {
            decompress_into_with_dict(bytes, free, &before[before.len().saturating_sub(WINDOW)..])
        } else {
            decompress_into(bytes, free)
        };
        done.map_err(|error| match error {
            DecompressError::OutputTooSmall { .. } => self.full(room),
            other => Fault::new(other.to_string()),
        })
    }

    /// A block found no room.
    fn full(&self, room: usize) -> Fault {
        if self.content_size.is_some() {
            Fault::new("it holds more than it says")
        } else if room == self.block_max {
            Fault::new("a block holds more than its frame says")
        } else {
            Fault::Bomb
        }
    }
}
