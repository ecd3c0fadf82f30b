//! Directions, round numbers, and the edge behind a reader.

use forebay_types::{BLOCK, ByteRange, ByteSize};

/// How far behind itself a run is still the same run, and how much it keeps there. The kernel's reads come up to
/// 256 KiB back when it reorders them (measured by Mountpoint); four times that.
pub(crate) const BACK: u64 = ByteSize::mib(1).bytes();
/// Passed bytes are said to be done in pieces of this size at least.
const WORTH_SAYING: u64 = 4 * BLOCK;

/// In which direction a run in order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heading {
    Forward,
    Backward,
}

/// Moves the edge up to which bytes are done to `BACK` behind `position`, in whole blocks; what was passed by that.
/// `None` while it is too little to be worth a call.
pub(crate) fn behind(heading: Heading, position: u64, done: &mut u64) -> Option<ByteRange> {
    let passed = match heading {
        Heading::Forward => ByteRange::new(*done, floor(position.saturating_sub(BACK), BLOCK)),
        Heading::Backward => ByteRange::new(ceil(position.saturating_add(BACK), BLOCK), *done),
    };
    if passed.len() < WORTH_SAYING {
        return None;
    }
    *done = match heading {
        Heading::Forward => passed.end(),
        Heading::Backward => passed.start(),
    };
    Some(passed)
}

/// The edge from which on a run that covers `span` passes bytes: its whole first block counts.
pub(crate) fn first_edge(heading: Heading, span: ByteRange) -> u64 {
    match heading {
        Heading::Forward => floor(span.start(), BLOCK),
        Heading::Backward => ceil(span.end(), BLOCK),
    }
}

/// The last multiple of `unit` up to `at`.
pub(crate) fn floor(at: u64, unit: u64) -> u64 {
    at / unit * unit
}

/// The first multiple of `unit` from `at` on; the end of the number space if there is none.
pub(crate) fn ceil(at: u64, unit: u64) -> u64 {
    at.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_a_mebibyte_behind_is_passed_in_whole_blocks() {
        let mut done = 0;
        assert_eq!(behind(Heading::Forward, BACK + WORTH_SAYING - 1, &mut done), None);
        let passed = behind(Heading::Forward, BACK + WORTH_SAYING + 1, &mut done);
        assert_eq!(passed, Some(ByteRange::new(0, WORTH_SAYING)));
        assert_eq!(behind(Heading::Forward, BACK + WORTH_SAYING + 1, &mut done), None);

        let mut done = 100 * BLOCK;
        let passed = behind(Heading::Backward, 70 * BLOCK - 1, &mut done);
        assert_eq!(passed, Some(ByteRange::new(86 * BLOCK, 100 * BLOCK)));
        assert_eq!(done, 86 * BLOCK);
    }
}
