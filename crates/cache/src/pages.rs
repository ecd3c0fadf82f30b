//! Arrays of atomics that take memory only where they are used: the bits of a 50 TB object are 100 MB, its page list 50 KB.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use forebay_types::BlockRange;

/// Items of a page: 32 KiB of 8-byte words.
const PAGE: usize = 4096;

/// `len` items, all `T::default()` until they are changed.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    pages: Box<[OnceLock<Box<[T]>>]>,
    per_page: usize,
}

impl<T: Default> Pages<T> {
    pub(crate) fn new(len: usize) -> Self {
        // A small object has one page, no longer than needed.
        let per_page = len.clamp(1, PAGE);
        Self {
            pages: (0..len.div_ceil(per_page)).map(|_| OnceLock::new()).collect(),
            per_page,
        }
    }

    /// The item, if its page was ever touched.
    pub(crate) fn peek(&self, at: usize) -> Option<&T> {
        let page = self.pages.get(at / self.per_page)?.get()?;
        page.get(at % self.per_page)
    }

    /// The item; makes its page. `None` past the end.
    pub(crate) fn item(&self, at: usize) -> Option<&T> {
        let page = self
            .pages
            .get(at / self.per_page)?
            .get_or_init(|| (0..self.per_page).map(|_| T::default()).collect());
        page.get(at % self.per_page)
    }
}

/// One bit for each block.
#[derive(Debug)]
pub(crate) struct Bits {
    words: Pages<AtomicU64>,
}

impl Bits {
    pub(crate) fn new(blocks: u64) -> Self {
        Self {
            words: Pages::new(usize::try_from(blocks.div_ceil(64)).unwrap_or(usize::MAX)),
        }
    }

    pub(crate) fn is_set(&self, block: u64) -> bool {
        let word = self.words.peek((block / 64) as usize);
        word.is_some_and(|word| word.load(Ordering::Acquire) >> (block % 64) & 1 == 1)
    }

    /// The first block of `blocks` whose bit is as `set` says, or their end.
    pub(crate) fn first(&self, blocks: BlockRange, set: bool) -> u64 {
        for (word, mask) in words(blocks) {
            let bits = self
                .words
                .peek(word)
                .map_or(0, |word| word.load(Ordering::Acquire));
            let hit = if set { bits } else { !bits } & mask;
            if hit != 0 {
                return word as u64 * 64 + u64::from(hit.trailing_zeros());
            }
        }
        blocks.end()
    }

    /// Sets the bits of `blocks`; calls `fresh` with each block whose bit was not set.
    pub(crate) fn set(&self, blocks: BlockRange, mut fresh: impl FnMut(u64)) {
        for (at, mask) in words(blocks) {
            if let Some(word) = self.words.item(at) {
                let mut new = mask & !word.fetch_or(mask, Ordering::AcqRel);
                while new != 0 {
                    fresh(at as u64 * 64 + u64::from(new.trailing_zeros()));
                    new &= new - 1;
                }
            }
        }
    }

    /// Clears the bits of `blocks`; returns how many were set.
    pub(crate) fn clear(&self, blocks: BlockRange) -> u64 {
        let mut cleared = 0;
        for (at, mask) in words(blocks) {
            if let Some(word) = self.words.peek(at) {
                cleared += u64::from((word.fetch_and(!mask, Ordering::AcqRel) & mask).count_ones());
            }
        }
        cleared
    }
}

/// The words that hold the bits of `blocks`, each with the mask of those bits.
fn words(blocks: BlockRange) -> impl Iterator<Item = (usize, u64)> {
    let Range { start, end } = blocks.iter();
    (start / 64..end.div_ceil(64)).map(move |word| {
        let low = start.saturating_sub(word * 64).min(63);
        let high = (end - word * 64).min(64);
        let mask = (u64::MAX << low) & (u64::MAX >> (64 - high));
        (word as usize, mask)
    })
}

/// When each extent of an object was last used.
#[derive(Debug)]
pub(crate) struct Stamps {
    stamps: Pages<AtomicU32>,
}

impl Stamps {
    pub(crate) fn new(extents: u64) -> Self {
        Self {
            stamps: Pages::new(usize::try_from(extents).unwrap_or(usize::MAX)),
        }
    }

    pub(crate) fn used(&self, extent: u64, now: u32) {
        if let Some(stamp) = self.stamps.item(extent as usize) {
            stamp.store(now, Ordering::Relaxed);
        }
    }

    /// 0: never in this process.
    pub(crate) fn last_use(&self, extent: u64) -> u32 {
        self.stamps
            .peek(extent as usize)
            .map_or(0, |stamp| stamp.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_huge_object_takes_little_until_it_is_used() {
        let blocks = (50u64 << 40) / forebay_types::BLOCK;
        let bits = Bits::new(blocks);
        assert!(bits.words.pages.len() * size_of::<OnceLock<Box<[AtomicU64]>>>() < 100_000);
        bits.set(BlockRange::new(blocks - 1, blocks), |_| {});
        assert!(bits.is_set(blocks - 1));
        assert!(!bits.is_set(0));
        assert_eq!(
            bits.words
                .pages
                .iter()
                .filter(|page| page.get().is_some())
                .count(),
            1
        );
    }

    fn range() -> impl Strategy<Value = BlockRange> {
        (0u64..400, 0u64..200).prop_map(|(start, len)| BlockRange::new(start, (start + len).min(400)))
    }

    proptest! {
        #[test]
        fn bits_are_a_set(steps in prop::collection::vec((any::<bool>(), range()), 0..30), asked in range()) {
            let bits = Bits::new(400);
            let mut model = BTreeSet::new();
            for (set, blocks) in steps {
                if set {
                    let mut fresh = Vec::new();
                    bits.set(blocks, |block| fresh.push(block));
                    let expected: Vec<u64> = blocks.iter().filter(|block| model.insert(*block)).collect();
                    prop_assert_eq!(fresh, expected);
                } else {
                    let cleared = bits.clear(blocks);
                    prop_assert_eq!(cleared, blocks.iter().filter(|block| model.remove(block)).count() as u64);
                }
            }
            for block in 0..400 {
                prop_assert_eq!(bits.is_set(block), model.contains(&block));
            }
            for set in [false, true] {
                let first = asked.iter().find(|block| model.contains(block) == set).unwrap_or(asked.end());
                prop_assert_eq!(bits.first(asked, set), first);
            }
        }
    }
}
