//! Whether reads are in order or only look so by chance.
//!
//! Random readers must cause no read-ahead, and among thousands of their reads some follow each other by accident: in
//! an object of 64 places one in 64 does. So two things are weighed. A handle gathers [`Doubt`] from reads that follow
//! nothing and from repeated ones. A run gathers [`Evidence`]: each read that goes on exactly says as many bits for
//! order as it is unlikely in an object of this size. Without doubt one such read is enough; with it the bits must
//! make chance as good as impossible.

use crate::edge::Heading;

/// More runs than can have windows are watched: four readers may come in between the two first reads of a fifth.
pub(crate) const WATCHED: usize = 8;
/// In a handle with doubt, a pattern must be this unlikely to come from random reads: 1 in 2^24 per read.
pub(crate) const PROOF: u32 = 24;
/// In a handle without doubt this much will do.
const LIKELY: u32 = 8;
/// In one whose first reads these are, this: an object of 128 places.
pub(crate) const FEW_PLACES: u32 = 4;
/// Up to this much is no doubt: four readers that start at the same time.
const COLD: u32 = 4;
/// After so many reads a run may be found to be in order although none of them went on exactly, and with this much
/// doubt: each of them raised it.
const SHUFFLED: (u32, u32) = (8, 8);
/// If they are the object's beginning without a hole, so many will do: the kernel reads ahead in two requests at a time, and
/// two threads answer them in either order.
const BEGINNING: u32 = 3;
/// Doubt beyond this says nothing more.
const MAX_DOUBT: u32 = 64;

/// What speaks against order in a handle: reads that follow nothing and repeated reads, less reads in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Doubt(u32);

impl Doubt {
    pub(crate) fn rise(&mut self, by: u32) {
        self.0 = (self.0 + by).min(MAX_DOUBT);
    }

    pub(crate) fn fall(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    /// Whether there is so little that a handle counts as unsuspicious.
    pub(crate) fn is_none(self) -> bool {
        self.0 <= COLD
    }
}

/// How a read came to a run, as far as order is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It goes on at the end; exactly, or with an overlap.
    Up { exact: bool },
    /// It goes on before the start.
    Down { exact: bool },
    /// It lies near, and has new bytes.
    Near,
    /// It was read before.
    Repeated,
}

/// What the reads of a run say for order.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    reads: u32,
    /// Reads that went on, up or down; one of them is 0.
    up: u32,
    down: u32,
    /// No read but such, and exact, since the start.
    straight: bool,
    repeated: bool,
    /// These reads by chance: 1 in 2^bits.
    bits: u32,
}

/// What a run looks like besides, when its order is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looks {
    pub(crate) doubt: Doubt,
    /// No other read came between the last two of the run.
    pub(crate) alone: bool,
    /// It begins at the first byte of the object.
    pub(crate) from_start: bool,
    /// It went up at least as far as down from its first read.
    pub(crate) rises: bool,
    /// It left out nothing.
    pub(crate) whole: bool,
    /// It left out at most half, at most a quarter, of what it passed.
    pub(crate) half: bool,
    pub(crate) dense: bool,
}

impl Evidence {
    /// Of one read.
    pub(crate) fn new() -> Self {
        Self {
            reads: 1,
            up: 0,
            down: 0,
            straight: true,
            repeated: false,
            bits: 0,
        }
    }

    /// The run begins anew, not as good as new: the reads before still speak against order.
    pub(crate) fn restart(&mut self) {
        (self.up, self.down, self.bits) = (0, 0, 0);
        self.straight = false;
    }

    /// Takes in a read with `bits` of `chance`.
    pub(crate) fn add(&mut self, sign: Sign, bits: u32) {
        self.reads = self.reads.saturating_add(1);
        match sign {
            Sign::Up { exact } => {
                if self.down > 0 {
                    self.restart();
                }
                self.up = self.up.saturating_add(1);
                self.straight &= exact;
                self.bits = (self.bits + bits).min(PROOF);
            }
            Sign::Down { exact } => {
                if self.up > 0 {
                    self.restart();
                }
                self.down = self.down.saturating_add(1);
                self.straight &= exact;
                self.bits = (self.bits + bits).min(PROOF);
            }
            Sign::Near => {
                self.straight = false;
                self.bits /= 2;
            }
            Sign::Repeated => {
                self.straight = false;
                self.repeated = true;
                self.bits = 0;
            }
        }
    }

    /// The run was not read for long: among thousands of random reads some go on from one long ago.
    pub(crate) fn fade(&mut self) {
        self.bits = 0;
    }

    /// Which way the run goes, if its reads say so.
    ///
    /// In an unsuspicious handle the second read in order is enough, the third for a backward run; so are eight reads
    /// out of order that left out less than a quarter, and three that are the object's beginning. Otherwise chance must be ruled out.
    pub(crate) fn order(&self, looks: Looks) -> Option<Heading> {
        let Looks { doubt, .. } = looks;
        let (heading, goes_on) = match (self.up, self.down) {
            (_, 0 | 1) => (Heading::Forward, self.up > 0),
            (_, _) => (Heading::Backward, true),
        };
        let forward = heading == Heading::Forward;
        // Most readers in order begin at the first byte, and few random ones do.
        let likely = forward && looks.from_start
            || self.bits >= LIKELY
            || self.bits >= FEW_PLACES && looks.alone && doubt.0 <= COLD / 2;
        let plain = goes_on && self.straight && likely && doubt.is_none();
        let enough = if looks.from_start && looks.whole {
            BEGINNING
        } else {
            SHUFFLED.0
        };
        let shuffled = forward
            && self.reads >= enough
            && doubt.0 <= SHUFFLED.1
            && !self.repeated
            && looks.rises
            && looks.dense;
        let proven = goes_on && self.bits >= PROOF && looks.half;
        (plain || shuffled || proven).then_some(heading)
    }
}

/// How unlikely it is that a random read of `len` bytes goes on from one of the watched runs: 1 in 2^n.
pub(crate) fn chance(len: u64, object_size: u64) -> u32 {
    let places = object_size / len.max(1) / WATCHED as u64;
    places.checked_ilog2().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL: Looks = Looks {
        doubt: Doubt(0),
        alone: true,
        from_start: false,
        rises: true,
        whole: false,
        half: true,
        dense: true,
    };
    const WARM: Looks = Looks {
        doubt: Doubt(30),
        ..COOL
    };
    const UP: Sign = Sign::Up { exact: true };
    const DOWN: Sign = Sign::Down { exact: true };
    const FORWARD: Option<Heading> = Some(Heading::Forward);
    const BACKWARD: Option<Heading> = Some(Heading::Backward);

    #[test]
    fn order_by_reads_and_doubt() {
        let gappy = Looks {
            half: false,
            dense: false,
            ..COOL
        };
        let among_four = Looks {
            doubt: Doubt(4),
            alone: false,
            ..COOL
        };
        let from_start = Looks {
            from_start: true,
            ..among_four
        };
        let beginning = Looks {
            from_start: true,
            whole: true,
            ..COOL
        };
        let overlap = Sign::Up { exact: false };
        for (signs, bits, looks, expected) in [
            (vec![], 10, COOL, None),
            (vec![UP], 10, COOL, FORWARD),
            (vec![UP], 4, COOL, FORWARD),
            (vec![UP], 3, COOL, None),
            (vec![UP, UP], 2, COOL, FORWARD),
            (vec![UP], 7, among_four, None),
            (vec![UP], 8, among_four, FORWARD),
            (vec![UP, UP], 4, among_four, FORWARD),
            (vec![UP], 0, from_start, FORWARD),
            (vec![UP], 10, WARM, None),
            (vec![UP, UP], 10, WARM, None),
            (vec![UP, UP, UP], 10, WARM, FORWARD),
            (vec![UP, UP, UP], 10, Looks { half: false, ..WARM }, None),
            (vec![UP, UP, Sign::Near, UP], 10, WARM, None),
            (vec![UP, UP, Sign::Near, UP, UP], 10, WARM, FORWARD),
            (vec![UP, UP, UP, Sign::Repeated], 10, WARM, None),
            (vec![DOWN], 10, COOL, None),
            (vec![DOWN, DOWN], 10, COOL, BACKWARD),
            (vec![DOWN, UP], 10, COOL, None),
            (vec![DOWN, DOWN], 10, WARM, None),
            (vec![DOWN; 3], 10, WARM, BACKWARD),
            (vec![overlap], 10, COOL, None),
            (vec![overlap; 3], 10, COOL, FORWARD),
            (vec![Sign::Near; 6], 10, COOL, None),
            (vec![Sign::Near; 7], 10, COOL, FORWARD),
            (vec![Sign::Near; 2], 10, beginning, FORWARD),
            (vec![Sign::Near; 1], 10, beginning, None),
            (vec![Sign::Near; 2], 10, WARM, None),
            (vec![Sign::Near; 7], 10, gappy, None),
            (vec![Sign::Near; 7], 10, WARM, None),
            (
                [vec![Sign::Repeated], vec![Sign::Near; 20]].concat(),
                10,
                COOL,
                None,
            ),
        ] {
            let mut evidence = Evidence::new();
            for sign in &signs {
                evidence.add(*sign, bits);
            }
            assert_eq!(evidence.order(looks), expected, "{signs:?} {bits} {looks:?}");
        }
    }

    #[test]
    fn a_small_object_has_many_accidents() {
        assert_eq!(chance(128 << 10, 1 << 30), 10);
        assert_eq!(chance(128 << 10, 1 << 20), 0);
        assert_eq!(chance(0, u64::MAX), 60);
        assert_eq!(chance(1, 0), 0);
    }
}
