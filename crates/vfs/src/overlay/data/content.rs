//! What is known of the content of a file that was changed: which blocks are here, and which of those were changed.

use forebay_types::{BLOCK, BlockRange, ByteRange};
use rustix::io::Errno;

use crate::overlay::map::{Block, Map};

/// What is known of the content.
#[derive(Debug)]
pub(crate) struct Content {
    /// `None`: all of it is here.
    pub(super) map: Option<Map>,
    /// Size of the lower file.
    pub(super) lower: u64,
    /// Bytes from here on have nothing to do with the lower file; never more than the file is long.
    pub(super) limit: u64,
    /// The limit that the journal has.
    pub(super) recorded: u64,
}

impl Content {
    pub(crate) fn whole() -> Self {
        Self {
            map: None,
            lower: 0,
            limit: 0,
            recorded: 0,
        }
    }

    /// `lower`: size of the lower file; `recorded`: the limit that the journal has; `len`: bytes of the file.
    pub(crate) fn mapped(map: Map, lower: u64, recorded: u64, len: u64) -> Self {
        Self {
            map: Some(map),
            lower,
            // A killed process may have cut the file and not said so.
            limit: recorded.min(len).min(lower),
            recorded,
        }
    }

    /// The first run of absent bytes in `range`, in whole blocks.
    pub(super) fn absent_in(&self, range: ByteRange) -> Option<ByteRange> {
        let map = self.map.as_ref()?;
        let blocks = BlockRange::touching(range.clamp_to(self.limit));
        let start = map.find(blocks, |block| block == Block::Absent);
        if start == blocks.end() {
            return None;
        }
        let end = map.find(BlockRange::new(start, blocks.end()), |block| {
            block != Block::Absent
        });
        Some(BlockRange::new(start, end).bytes(self.limit))
    }

    /// The absent blocks at the edges of `range` that it covers only partly, as far as they come from below.
    pub(super) fn partly_covered(&self, range: ByteRange) -> Vec<ByteRange> {
        let mut needed = Vec::new();
        let Some(map) = &self.map else {
            return needed;
        };
        let blocks = BlockRange::touching(range.clamp_to(self.limit));
        if blocks.is_empty() {
            return needed;
        }
        for block in [blocks.start(), blocks.end() - 1] {
            let bytes = BlockRange::new(block, block + 1).bytes(self.limit);
            let is_covered = range.start() <= bytes.start() && bytes.end() <= range.end();
            if !is_covered && map.get(block) == Block::Absent && needed.last() != Some(&bytes) {
                needed.push(bytes);
            }
        }
        needed
    }

    /// Blocks whose bytes below the limit are all in `range`.
    pub(super) fn covered(&self, range: ByteRange) -> BlockRange {
        BlockRange::inside(range.clamp_to(self.limit), self.limit)
    }

    /// Where what was written is cut off by a block that did not become one of ours, because it was not written whole: what
    /// is below counts there still.
    pub(super) fn here_until(&self, written: ByteRange) -> u64 {
        let end = written.end();
        let block = end / BLOCK;
        match &self.map {
            Some(map) if end < self.limit && map.get(block) == Block::Absent => {
                (block * BLOCK).max(written.start())
            }
            _ => end,
        }
    }

    /// Whether a change of `range` changes nothing here.
    pub(super) fn is_dirty(&self, range: ByteRange) -> bool {
        let Some(map) = &self.map else {
            return true;
        };
        let blocks = BlockRange::touching(range.clamp_to(self.limit));
        self.recorded <= self.limit && map.find(blocks, |block| block != Block::Dirty) == blocks.end()
    }

    pub(super) fn mark(&mut self, blocks: BlockRange, from: Block, to: Block) -> Result<(), Errno> {
        match &mut self.map {
            Some(map) => map.set(blocks, |block| block == from, to),
            None => Ok(()),
        }
    }
}
