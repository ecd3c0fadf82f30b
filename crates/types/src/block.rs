//! Blocks: the unit in which the cache knows what it has.

use std::fmt;
use std::ops::Range;

use crate::ByteRange;

/// Bytes of a block. 64 KiB: a random read of 256 KiB fetches a quarter more at worst, and the map of a terabyte is 128 MiB.
pub const BLOCK: u64 = 64 * 1024;

/// Blocks `start..end` of an object, by number; `end` is not included. Never inverted, may be empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockRange {
    start: u64,
    end: u64,
}

impl BlockRange {
    /// The range `start..end`; an inverted pair becomes the empty range at `start`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self {
            start,
            end: if end < start { start } else { end },
        }
    }

    /// All blocks of an object of `size` bytes.
    pub const fn of_size(size: u64) -> Self {
        Self::new(0, size.div_ceil(BLOCK))
    }

    /// The blocks that have a byte in `range`.
    pub const fn touching(range: ByteRange) -> Self {
        if range.is_empty() {
            let at = range.start() / BLOCK;
            return Self::new(at, at);
        }
        Self::new(range.start() / BLOCK, range.end().div_ceil(BLOCK))
    }

    /// The blocks that lie whole in `range`, in an object of `size` bytes: its last block may be short.
    pub const fn inside(range: ByteRange, size: u64) -> Self {
        let end = if range.end() >= size {
            size.div_ceil(BLOCK)
        } else {
            range.end() / BLOCK
        };
        Self::new(range.start().div_ceil(BLOCK), end)
    }

    /// First block.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// One past the last block.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Number of blocks.
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether it holds no block.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Their bytes, in an object of `size` bytes.
    pub fn bytes(self, size: u64) -> ByteRange {
        ByteRange::new(self.start.saturating_mul(BLOCK), self.end.saturating_mul(BLOCK)).clamp_to(size)
    }

    /// The numbers, one after the other.
    pub fn iter(self) -> Range<u64> {
        self.start..self.end
    }
}

impl IntoIterator for BlockRange {
    type Item = u64;
    type IntoIter = Range<u64>;

    fn into_iter(self) -> Range<u64> {
        self.iter()
    }
}

impl fmt::Debug for BlockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocks {}..{}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_may_be_short() {
        let size = 2 * BLOCK + 10;
        assert_eq!(BlockRange::of_size(size), BlockRange::new(0, 3));
        assert_eq!(BlockRange::new(2, 3).bytes(size), ByteRange::new(2 * BLOCK, size));
        let tail = ByteRange::new(BLOCK, size);
        assert_eq!(BlockRange::inside(tail, size), BlockRange::new(1, 3));
        assert_eq!(
            BlockRange::inside(ByteRange::new(1, size - 1), size),
            BlockRange::new(1, 2)
        );
    }

    #[test]
    fn a_byte_touches_one_block() {
        assert_eq!(
            BlockRange::touching(ByteRange::at(BLOCK, 1)),
            BlockRange::new(1, 2)
        );
        assert_eq!(
            BlockRange::touching(ByteRange::at(BLOCK - 1, 2)),
            BlockRange::new(0, 2)
        );
        assert!(BlockRange::touching(ByteRange::at(BLOCK, 0)).is_empty());
    }

    #[test]
    fn an_empty_object_has_no_block() {
        assert!(BlockRange::of_size(0).is_empty());
    }
}
