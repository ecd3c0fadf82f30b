//! What was asked for ahead and not read yet, and by which run.

use forebay_types::ByteRange;

/// The name of a run; never given twice in a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) u64);

/// Every byte belongs to one run at most: that no byte is asked for twice holds by construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Sorted, not empty, not overlapping.
    entries: Vec<Entry>,
    /// Their bytes.
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    range: ByteRange,
    owner: Owner,
}

/// All bytes there can be.
pub(crate) const EVERYWHERE: ByteRange = ByteRange::new(0, u64::MAX);

impl Ledger {
    /// Bytes of all runs.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The ranges of one run, in order.
    pub(crate) fn of(&self, owner: Owner) -> impl Iterator<Item = ByteRange> {
        self.entries
            .iter()
            .filter(move |entry| entry.owner == owner)
            .map(|entry| entry.range)
    }

    /// Bytes of one run.
    pub(crate) fn bytes_of(&self, owner: Owner) -> u64 {
        self.of(owner).map(ByteRange::len).sum()
    }

    /// Enters a range in which nothing is entered yet.
    pub(crate) fn add(&mut self, owner: Owner, range: ByteRange) {
        debug_assert_eq!(self.covered(range), 0);
        if range.is_empty() {
            return;
        }
        self.bytes += range.len();
        let at = self.first_after(range.start());
        // What continues the entry before it needs none of its own.
        if let Some(before) = at.checked_sub(1).and_then(|before| self.entries.get_mut(before))
            && before.owner == owner
            && before.range.end() == range.start()
        {
            before.range = ByteRange::new(before.range.start(), range.end());
            return;
        }
        self.entries.insert(at, Entry { range, owner });
    }

    /// Takes out what lies in `within`, of one run or of all, and shows it to `each`. Returns how many bytes it was.
    pub(crate) fn take(
        &mut self,
        within: ByteRange,
        of: Option<Owner>,
        mut each: impl FnMut(Owner, ByteRange),
    ) -> u64 {
        let mut taken = 0;
        let mut at = self.first_after(within.start());
        while let Some(&Entry { range, owner }) = self.entries.get(at) {
            let common = range.intersect(within);
            if common.is_empty() && range.start() >= within.end() {
                break;
            }
            if common.is_empty() || of.is_some_and(|of| of != owner) {
                at += 1;
                continue;
            }
            taken += common.len();
            each(owner, common);
            let left = ByteRange::new(range.start(), common.start());
            let right = ByteRange::new(common.end(), range.end());
            match (left.is_empty(), right.is_empty()) {
                (true, true) => {
                    self.entries.remove(at);
                }
                (true, false) => self.entries[at].range = right,
                (false, true) => {
                    self.entries[at].range = left;
                    at += 1;
                }
                (false, false) => {
                    self.entries[at].range = left;
                    self.entries.insert(at + 1, Entry { range: right, owner });
                    break;
                }
            }
        }
        self.bytes -= taken;
        taken
    }

    /// What one run has in `within` belongs to another from now on.
    pub(crate) fn hand_over(&mut self, from: Owner, to: Owner, within: ByteRange) {
        let mut moved = Vec::new();
        self.take(within, Some(from), |_, range| {
            moved.push(range);
        });
        for range in moved {
            self.add(to, range);
        }
    }

    /// How many bytes of `range` are entered, by whichever run.
    pub(crate) fn covered(&self, range: ByteRange) -> u64 {
        self.overlapping(range).map(ByteRange::len).sum()
    }

    /// The parts of `range` that no run has entered, in order.
    pub(crate) fn gaps(&self, range: ByteRange) -> Vec<ByteRange> {
        let mut gaps = Vec::new();
        let mut at = range.start();
        for common in self.overlapping(range) {
            if at < common.start() {
                gaps.push(ByteRange::new(at, common.start()));
            }
            at = common.end();
        }
        if at < range.end() {
            gaps.push(ByteRange::new(at, range.end()));
        }
        gaps
    }

    fn overlapping(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> {
        self.entries[self.first_after(range.start())..]
            .iter()
            .map(move |entry| entry.range.intersect(range))
            .take_while(|common| !common.is_empty())
    }

    /// The first entry with a byte at `start` or after it.
    fn first_after(&self, start: u64) -> usize {
        self.entries.partition_point(|entry| entry.range.end() <= start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_that_touch_are_one_entry() {
        let mut ledger = Ledger::default();
        ledger.add(Owner(1), ByteRange::new(0, 10));
        ledger.add(Owner(1), ByteRange::new(10, 20));
        ledger.add(Owner(2), ByteRange::new(20, 30));
        assert_eq!(ledger.entries.len(), 2);
        ledger.hand_over(Owner(1), Owner(2), ByteRange::new(15, 18));
        assert_eq!(ledger.bytes_of(Owner(1)), 17);
        assert_eq!(ledger.bytes_of(Owner(2)), 13);
        assert_eq!(ledger.bytes(), 30);
    }

    proptest! {
        #[test]
        fn behaves_as_an_owner_for_each_byte(
            steps in prop::collection::vec((0u8..4, 0u64..100, 0u64..30, 0u64..3), 0..60),
        ) {
            let mut ledger = Ledger::default();
            let mut model = [None; 140];
            for (what, at, len, owner) in steps {
                let range = ByteRange::at(at, len);
                let bytes = range.start() as usize..range.end() as usize;
                match what {
                    0 | 1 => {
                        for gap in ledger.gaps(range) {
                            for byte in gap.start()..gap.end() {
                                prop_assert_eq!(model[byte as usize].replace(owner), None);
                            }
                            ledger.add(Owner(owner), gap);
                        }
                    }
                    2 => {
                        let mut taken = Vec::new();
                        ledger.take(range, Some(Owner(owner)), |_, part| taken.push(part));
                        let expected = model[bytes].iter_mut().filter(|has| **has == Some(owner));
                        prop_assert_eq!(expected.map(|has| *has = None).count() as u64,
                            taken.into_iter().map(ByteRange::len).sum::<u64>());
                    }
                    _ => {
                        let taken = ledger.take(range, None, |_, _| ());
                        let expected = model[bytes].iter_mut().filter(|has| has.is_some());
                        prop_assert_eq!(expected.map(|has| *has = None).count() as u64, taken);
                    }
                }
                for owner in 0..3 {
                    let expected = model.iter().filter(|has| **has == Some(owner)).count() as u64;
                    prop_assert_eq!(ledger.bytes_of(Owner(owner)), expected);
                }
                prop_assert_eq!(ledger.bytes(), model.iter().flatten().count() as u64);
                prop_assert_eq!(ledger.covered(range), model[range.start() as usize..range.end() as usize]
                    .iter().flatten().count() as u64);
            }
        }
    }
}
