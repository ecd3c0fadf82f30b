//! How much of what a run passed it has read.

use forebay_types::{ByteRange, ByteSize};

use crate::edge::BACK;

/// Density is looked at over the last bytes passed, up to this many.
const MEMORY: u64 = ByteSize::mib(32).bytes();
/// Holes remembered per run. A reader who leaves more is not one in order.
const MAX_HOLES: usize = 16;

/// The bytes between the furthest reads of a run, and which of them were left out.
#[derive(Clone, Debug)]
pub(crate) struct Cover {
    pub(crate) span: ByteRange,
    /// Not read. Reads that were overtaken fill them later.
    holes: Vec<ByteRange>,
    /// Of the last `passed` bytes, `missing` were not read.
    passed: u64,
    missing: u64,
}

impl Cover {
    /// Of one read.
    pub(crate) fn new(range: ByteRange) -> Self {
        Self {
            span: range,
            holes: Vec::new(),
            passed: range.len(),
            missing: 0,
        }
    }

    /// Takes in a read. Whether any of its bytes is new.
    pub(crate) fn read(&mut self, range: ByteRange) -> bool {
        let before = self.span;
        self.span = ByteRange::new(before.start().min(range.start()), before.end().max(range.end()));
        let gap = if range.start() > before.end() {
            ByteRange::new(before.end(), range.start())
        } else {
            ByteRange::new(range.end().min(before.start()), before.start())
        };
        let filled = self.fill(range);
        if !gap.is_empty() {
            self.open(gap);
        }
        let grown = self.span.len() - before.len();
        self.passed = self.passed.saturating_add(grown);
        self.missing = self.missing.saturating_add(gap.len()).saturating_sub(filled);
        while self.passed > MEMORY {
            self.passed /= 2;
            self.missing /= 2;
        }
        grown > 0 || filled > 0
    }

    /// Bytes passed, as far as they are remembered.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether at most one part in `parts` is missing.
    pub(crate) fn misses_at_most(&self, parts: u64) -> bool {
        self.missing <= self.passed / parts
    }

    /// What is read of the holes after all.
    fn fill(&mut self, range: ByteRange) -> u64 {
        let filled = self.holes.iter().map(|hole| hole.intersect(range).len()).sum();
        if filled > 0 {
            let parts = self.holes.drain(..).flat_map(|hole| {
                let common = hole.intersect(range);
                [
                    ByteRange::new(hole.start(), common.start()),
                    ByteRange::new(common.end(), hole.end()),
                ]
            });
            self.holes = parts.filter(|part| !part.is_empty()).collect();
        }
        filled
    }

    /// A gap opens at an edge. Holes too far from both edges are forgotten, for no read that fits reaches them.
    fn open(&mut self, gap: ByteRange) {
        let low = self.span.start().saturating_add(2 * BACK);
        let high = self.span.end().saturating_sub(2 * BACK);
        self.holes
            .retain(|hole| hole.end() >= high || hole.start() <= low);
        if self.holes.len() >= MAX_HOLES {
            self.holes.remove(0);
        }
        self.holes.push(gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_by_reads_that_were_overtaken() {
        let mut cover = Cover::new(ByteRange::new(100, 200));
        assert!(cover.read(ByteRange::new(300, 400)));
        assert!(!cover.misses_at_most(4));
        assert!(cover.read(ByteRange::new(0, 50)));
        assert!(cover.read(ByteRange::new(210, 290)), "the middle of a hole");
        assert!(!cover.read(ByteRange::new(220, 280)), "again");
        assert!(cover.read(ByteRange::new(190, 300)) && cover.read(ByteRange::new(50, 100)));
        assert_eq!((cover.passed, cover.missing), (400, 0));
        assert!(cover.holes.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut cover = Cover::new(ByteRange::new(0, 10));
        for n in 1..1_000_000 {
            cover.read(ByteRange::at(n * 1000, 10));
        }
        assert!(cover.holes.len() <= MAX_HOLES && cover.passed <= MEMORY);
        assert!(!cover.misses_at_most(2));
    }
}
