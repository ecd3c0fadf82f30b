//! One reader inside a handle: where it is, and whether it reads in order.

use forebay_types::{ByteRange, ByteSize};

use crate::cover::Cover;
use crate::edge::{BACK, Heading, behind, first_edge};
use crate::evidence::{Doubt, Evidence, Looks, Sign, chance};
use crate::ledger::Owner;
use crate::window::Window;

/// How far ahead of itself a run is still the same run for sure: the kernel's reads come up to 512 KiB early.
const NEAR: u64 = ByteSize::mib(1).bytes();
/// How far a reader in order may jump and be taken for the same reader. Beyond `NEAR` it may as well be a second
/// one: its next read tells.
const JUMP: u64 = ByteSize::mib(16).bytes();
/// Reads elsewhere before a run counts as idle. Four readers in turn leave three between.
pub(crate) const PATIENCE: u64 = 16;

/// How a read lies to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It goes on where the run ended.
    Next,
    /// It ends where the run began.
    Previous,
    /// So many bytes off, within what reordering does.
    Near(u64),
    /// It goes on where the last read ended, in a run without order: one in order begins here.
    Turn,
    /// So many bytes ahead of a run in order: a jump, or a second reader.
    Jump(u64),
    /// It has nothing to do with the run.
    Apart,
}

/// A count of the handle's reads and their bytes: the only time there is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) reads: u64,
    pub(crate) bytes: u64,
}

/// A watched place of the object.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) owner: Owner,
    /// Which way it goes and its window, once it is in order.
    pub(crate) course: Option<(Heading, Window)>,
    /// Never asks past this: the end of the object, or of what was declared.
    pub(crate) limit: u64,
    /// Longest read.
    pub(crate) longest: u64,
    /// Bytes of all its reads.
    pub(crate) bytes: u64,
    /// When it was last read.
    pub(crate) last_read: Moment,
    /// So many reads elsewhere before what it has ahead is given up.
    pub(crate) patience: u64,
    /// What it had ahead was given up while it was not read.
    pub(crate) asleep: bool,
    /// The run in order that this one may be the continuation of, and when that was last read.
    pub(crate) parent: Option<(Owner, Moment)>,
    /// What was read. A forward run's position is its end, a backward run's its start.
    cover: Cover,
    evidence: Evidence,
    /// Its first read.
    origin: ByteRange,
    /// Its last read.
    last: ByteRange,
    /// The edge up to which bytes were said to be done.
    done: u64,
    declared: bool,
}

impl Run {
    /// A run of one read.
    pub(crate) fn new(owner: Owner, range: ByteRange, limit: u64, now: Moment) -> Self {
        Self {
            owner,
            course: None,
            limit,
            longest: range.len(),
            bytes: range.len(),
            last_read: now,
            patience: PATIENCE,
            asleep: false,
            parent: None,
            cover: Cover::new(range),
            evidence: Evidence::new(),
            origin: range,
            last: range,
            done: 0,
            declared: false,
        }
    }

    /// Whether its reader said that it reads in order, and still does.
    pub(crate) fn is_declared(&self) -> bool {
        self.declared
    }

    /// A run whose reader promised to read `range` in order.
    pub(crate) fn declared(owner: Owner, range: ByteRange, window: Window, now: Moment) -> Self {
        let mut run = Self::new(owner, ByteRange::at(range.start(), 0), range.end(), now);
        run.declared = true;
        run.start(Heading::Forward, window);
        run
    }

    pub(crate) fn heading(&self) -> Option<Heading> {
        self.course.as_ref().map(|(heading, _)| *heading)
    }

    /// How `range` lies to this run.
    pub(crate) fn fit(&self, range: ByteRange) -> Fit {
        let heading = self.heading();
        let (low, high) = (self.cover.span.start(), self.cover.span.end());
        let turns = heading.is_none() && range.start() == self.last.end();
        if heading != Some(Heading::Backward) && range.start() <= high && range.end() > high {
            let turns = turns && !self.cover.misses_at_most(2);
            return if turns { Fit::Turn } else { Fit::Next };
        }
        if heading != Some(Heading::Forward) && range.end() >= low && range.start() < low {
            return Fit::Previous;
        }
        // Reads of several MiB are overtaken by as many MiB.
        let near = NEAR.max(range.len().saturating_mul(2)).min(JUMP);
        let above = if range.start() > high {
            (range.start() - high, near)
        } else {
            (high.saturating_sub(range.end()), BACK)
        };
        let below = if range.end() < low {
            (low - range.end(), near)
        } else {
            (range.start().saturating_sub(low), BACK)
        };
        let (off, allowed) = match heading {
            Some(Heading::Forward) => above,
            Some(Heading::Backward) => below,
            None => above.min(below),
        };
        let ahead = heading == Some(Heading::Forward) && range.start() > high;
        match off <= allowed {
            true if turns => Fit::Turn,
            true => Fit::Near(off),
            false if ahead && off <= JUMP => Fit::Jump(off),
            false => Fit::Apart,
        }
    }

    /// Takes in a read that fits. Whether it repeats what was read before, and nothing else.
    pub(crate) fn read(&mut self, range: ByteRange, fit: Fit, now: Moment, object_size: u64) -> bool {
        if now.reads - self.last_read.reads > PATIENCE {
            self.evidence.fade();
        }
        if fit == Fit::Turn {
            self.evidence.restart();
            self.cover = Cover::new(self.last);
            self.origin = self.last;
        }
        let before = self.cover.span;
        let new = self.cover.read(range);
        let exact = range.start() == before.end() || range.end() == before.start();
        let sign = match fit {
            Fit::Next | Fit::Turn => Sign::Up { exact },
            Fit::Previous => Sign::Down { exact },
            Fit::Near(_) | Fit::Jump(_) | Fit::Apart if new => Sign::Near,
            Fit::Near(_) | Fit::Jump(_) | Fit::Apart => Sign::Repeated,
        };
        self.evidence.add(sign, chance(range.len(), object_size));
        self.last = range;
        self.last_read = now;
        self.longest = self.longest.max(range.len());
        self.bytes = self.bytes.saturating_add(range.len());
        if range.end() > self.limit {
            // Further than was declared: from here on it is a guess.
            self.limit = object_size;
            self.declared = false;
        }
        !new
    }

    /// Which way the run goes, if its reads say so.
    pub(crate) fn order(&self, doubt: Doubt, alone: bool) -> Option<Heading> {
        let span = self.cover.span;
        self.evidence.order(Looks {
            doubt,
            alone,
            from_start: span.start() == 0,
            rises: span.end() - self.origin.end() >= self.origin.start() - span.start(),
            whole: self.cover.misses_at_most(u64::MAX),
            half: self.cover.misses_at_most(2),
            dense: self.cover.misses_at_most(4),
        })
    }

    /// It is in order from now on, with this window.
    pub(crate) fn start(&mut self, heading: Heading, window: Window) {
        self.done = first_edge(heading, self.cover.span);
        self.course = Some((heading, window));
    }

    /// Whether it leaves out more than it reads by now. Who promised to read in order is believed.
    pub(crate) fn is_sparse(&self) -> bool {
        !self.declared && !self.cover.misses_at_most(2) && self.cover.passed() >= 2 * NEAR
    }

    /// It is no longer in order; what it reads next must prove otherwise.
    pub(crate) fn stop(&mut self) {
        self.course = None;
        self.declared = false;
        self.evidence.restart();
    }

    /// Where the reader is.
    pub(crate) fn position(&self) -> u64 {
        match self.heading() {
            Some(Heading::Backward) => self.cover.span.start(),
            Some(Heading::Forward) | None => self.cover.span.end(),
        }
    }

    /// The next `len` bytes on its way.
    pub(crate) fn next(&self, len: u64) -> ByteRange {
        let at = self.position();
        match self.heading() {
            Some(Heading::Backward) => ByteRange::new(at.saturating_sub(len), at),
            Some(Heading::Forward) | None => ByteRange::new(at, at.saturating_add(len).min(self.limit)),
        }
    }

    /// What it has passed since the last call; see `behind`.
    pub(crate) fn passed(&mut self) -> Option<ByteRange> {
        let heading = self.heading()?;
        behind(heading, self.position(), &mut self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReadAheadConfig;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    #[test]
    fn reads_fit_within_what_a_kernel_reorders_and_a_reader_jumps() {
        let read = |start, len| ByteRange::at(start, len);
        let window = || Window::first(&ReadAheadConfig::default(), 128 * KIB);
        let place = Run::new(Owner(1), read(100 * MIB, 2 * MIB), u64::MAX, Moment::default());
        let mut forward = place.clone();
        forward.start(Heading::Forward, window());
        let mut backward = place.clone();
        backward.start(Heading::Backward, window());
        let end = 102 * MIB;
        for (range, anywhere, up, down) in [
            (read(end, KIB), Fit::Next, Fit::Next, Fit::Apart),
            (read(end - KIB, 2 * KIB), Fit::Next, Fit::Next, Fit::Apart),
            (read(end + KIB, KIB), Fit::Near(KIB), Fit::Near(KIB), Fit::Apart),
            (
                read(end + 2 * MIB, KIB),
                Fit::Apart,
                Fit::Jump(2 * MIB),
                Fit::Apart,
            ),
            (
                read(end + 2 * MIB, MIB),
                Fit::Near(2 * MIB),
                Fit::Near(2 * MIB),
                Fit::Apart,
            ),
            (
                read(end + 16 * MIB, KIB),
                Fit::Apart,
                Fit::Jump(16 * MIB),
                Fit::Apart,
            ),
            (read(end + 17 * MIB, KIB), Fit::Apart, Fit::Apart, Fit::Apart),
            (read(end - MIB, MIB), Fit::Near(0), Fit::Near(0), Fit::Near(MIB)),
            (
                read(100 * MIB - KIB, KIB),
                Fit::Previous,
                Fit::Apart,
                Fit::Previous,
            ),
            (
                read(99 * MIB, KIB),
                Fit::Near(MIB - KIB),
                Fit::Apart,
                Fit::Near(MIB - KIB),
            ),
            (read(90 * MIB, KIB), Fit::Apart, Fit::Apart, Fit::Apart),
        ] {
            assert_eq!(
                [place.fit(range), forward.fit(range), backward.fit(range)],
                [anywhere, up, down],
                "{range}"
            );
        }
    }

    #[test]
    fn a_reader_in_order_among_scattered_reads_begins_a_run() {
        let mut run = Run::new(Owner(1), ByteRange::at(0, KIB), u64::MAX, Moment::default());
        let late = ByteRange::at(500 * KIB, KIB);
        run.read(late, run.fit(late), Moment::default(), 1 << 30);
        let next = ByteRange::at(501 * KIB, KIB);
        assert_eq!(run.fit(next), Fit::Turn);
        run.read(next, Fit::Turn, Moment::default(), 1 << 30);
        assert_eq!(run.cover.span, ByteRange::new(500 * KIB, 502 * KIB));
    }
}
