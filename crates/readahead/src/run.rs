//! One reader inside a handle: where it is, and whether it reads in order.

use forebay_types::{BLOCK, ByteRange, ByteSize};

use crate::ledger::Owner;
use crate::window::Window;

/// How far behind itself a run is still the same run, and how much it keeps there. The kernel's reads come up to
/// 256 KiB back when it reorders them (measured by Mountpoint); four times that.
pub(crate) const BACK: u64 = ByteSize::mib(1).bytes();
/// How far ahead of itself a run is still the same run for sure: the kernel's reads come up to 512 KiB early.
const NEAR: u64 = ByteSize::mib(1).bytes();
/// How far a reader in order may jump and be taken for the same reader. Beyond `NEAR` it may as well be a second
/// one: its next read tells.
const JUMP: u64 = ByteSize::mib(16).bytes();
/// More runs than can have windows are watched: four readers may come in between the two first reads of a fifth.
pub(crate) const WATCHED: u64 = 8;
/// Once random reads were seen, a run must be this unlikely to be one of them: 1 in 2^24 per read.
const PROOF: u32 = 24;
/// Up to this much doubt (new places and repeated reads, less reads in order) a handle counts as unsuspicious: four
/// readers that start at the same time.
pub(crate) const COLD: u32 = 4;
/// That unlikely by chance is enough while the handle is unsuspicious.
const LIKELY: u32 = 8;
/// Reads of which the order may be lost at the start of a run, and how much doubt that allows.
const SHUFFLED: (u32, u32) = (8, 8);
/// Density is looked at over the last bytes passed, up to this many.
const MEMORY: u64 = ByteSize::mib(32).bytes();
/// Passed bytes are said to be done in pieces of this size at least.
const WORTH_SAYING: u64 = 4 * BLOCK;
/// Holes remembered per run. A reader who leaves more is not one in order.
const MAX_HOLES: usize = 64;

/// In which direction a run in order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heading {
    Forward,
    Backward,
}

/// How a read lies to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It goes on where the run ended.
    Next,
    /// It ends where the run began.
    Previous,
    /// So many bytes off, within what reordering does.
    Near(u64),
    /// A jump ahead of a run in order, or a second reader there.
    Jump,
    /// It has nothing to do with the run.
    Apart,
}

#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) owner: Owner,
    /// Its first read.
    origin: ByteRange,
    /// The bytes between its furthest reads. A forward run's position is the end, a backward run's the start.
    pub(crate) span: ByteRange,
    /// In order, and since then with a window: which way.
    pub(crate) course: Option<(Heading, Window)>,
    /// Never asks past this; the end of the object, or of what was declared.
    pub(crate) limit: u64,
    /// The edge up to which bytes were said to be done.
    pub(crate) done: u64,
    /// The last read.
    last: ByteRange,
    /// Longest read.
    pub(crate) longest: u64,
    /// The handle's reads and their bytes when this run was last read.
    pub(crate) last_read: (u64, u64),
    /// So many reads elsewhere before what it has ahead is given up.
    pub(crate) patience: u64,
    /// What it had ahead was given up while it was not read.
    pub(crate) asleep: bool,
    /// The run in order that this one may be the continuation of, and when that was last read.
    pub(crate) parent: Option<(Owner, u64)>,
    declared: bool,
    /// Bytes in the span that were not read, in order. Reads that were overtaken fill them later.
    holes: Vec<ByteRange>,
    /// Of the last `passed` bytes of the span, `missing` were not read.
    passed: u64,
    missing: u64,
    reads: u32,
    repeated: bool,
    /// Reads that went on exactly, up and down, without another between them.
    up: u32,
    down: u32,
    /// No read but such since the start.
    straight: bool,
    /// How unlikely these reads are by chance: 1 in 2^bits.
    bits: u32,
}

/// Reads elsewhere before what a run has ahead is given up, at first. Four readers in turn leave three between.
pub(crate) const PATIENCE: u64 = 16;

impl Run {
    /// A run of one read.
    pub(crate) fn new(owner: Owner, range: ByteRange, limit: u64) -> Self {
        Self {
            owner,
            origin: range,
            span: range,
            course: None,
            limit,
            done: 0,
            last: range,
            longest: range.len(),
            last_read: (0, 0),
            patience: PATIENCE,
            asleep: false,
            parent: None,
            declared: false,
            holes: Vec::new(),
            passed: range.len(),
            missing: 0,
            reads: 1,
            repeated: false,
            up: 0,
            down: 0,
            straight: true,
            bits: 0,
        }
    }

    /// A run whose reader promised to read `range` in order.
    pub(crate) fn declared(owner: Owner, range: ByteRange, window: Window) -> Self {
        Self {
            course: Some((Heading::Forward, window)),
            done: floor(range.start(), BLOCK),
            declared: true,
            ..Self::new(owner, ByteRange::at(range.start(), 0), range.end())
        }
    }

    pub(crate) fn heading(&self) -> Option<Heading> {
        self.course.as_ref().map(|(heading, _)| *heading)
    }

    pub(crate) fn window(&self) -> Option<&Window> {
        self.course.as_ref().map(|(_, window)| window)
    }

    /// How `range` lies to this run.
    pub(crate) fn fit(&self, range: ByteRange) -> Fit {
        let heading = self.heading();
        let (lo, hi) = (self.span.start(), self.span.end());
        if heading != Some(Heading::Backward) && range.start() <= hi && range.end() > hi {
            return Fit::Next;
        }
        if heading != Some(Heading::Forward) && range.end() >= lo && range.start() < lo {
            return Fit::Previous;
        }
        // Reads of several MiB are overtaken by as many MiB.
        let near = NEAR.max(range.len().saturating_mul(2)).min(JUMP);
        let above = if range.start() > hi {
            (range.start() - hi, near)
        } else {
            (hi.saturating_sub(range.end()), BACK)
        };
        let below = if range.end() < lo {
            (lo - range.end(), near)
        } else {
            (range.start().saturating_sub(lo), BACK)
        };
        let (off, allowed) = match heading {
            Some(Heading::Forward) => above,
            Some(Heading::Backward) => below,
            None => above.min(below),
        };
        if off <= allowed {
            Fit::Near(off)
        } else if heading == Some(Heading::Forward) && range.start() > hi && off <= JUMP {
            Fit::Jump
        } else {
            Fit::Apart
        }
    }

    /// Whether `range` goes on where the last read ended, but not where the run ended: a reader in order that began
    /// among reads without order.
    pub(crate) fn turns_to(&self, range: ByteRange) -> bool {
        self.course.is_none() && range.start() == self.last.end() && matches!(self.fit(range), Fit::Near(_))
    }

    /// Begins anew with the last read. The reads before it still speak against order.
    pub(crate) fn restart(&mut self) {
        let new = Self::new(self.owner, self.last, self.limit);
        *self = Self {
            straight: false,
            reads: self.reads,
            repeated: self.repeated,
            ..new
        };
    }

    /// Takes in a read that fits. Whether it repeats what was read before, and nothing else.
    pub(crate) fn read(&mut self, range: ByteRange, fit: Fit, object_size: u64) -> bool {
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
        self.last = range;
        self.longest = self.longest.max(range.len());
        self.reads = self.reads.saturating_add(1);
        let repeats = grown == 0 && filled == 0;
        let exact = range.start() == before.end() || range.end() == before.start();
        self.weigh(fit, repeats, exact, chance(range.len(), object_size));
        repeats
    }

    /// How much this read says for order.
    fn weigh(&mut self, fit: Fit, repeats: bool, exact: bool, bits: u32) {
        match fit {
            Fit::Next => {
                self.bits = if self.down > 0 { 0 } else { self.bits } + bits;
                self.straight &= self.down == 0 && exact;
                (self.up, self.down) = (self.up.saturating_add(1), 0);
            }
            Fit::Previous => {
                self.bits = if self.up > 0 { 0 } else { self.bits } + bits;
                self.straight &= self.up == 0 && exact;
                (self.up, self.down) = (0, self.down.saturating_add(1));
            }
            Fit::Near(_) | Fit::Jump | Fit::Apart => {
                self.bits = if repeats { 0 } else { self.bits / 2 };
                self.straight = false;
            }
        }
        self.bits = self.bits.min(PROOF);
        self.repeated |= repeats;
    }

    /// Which way the run goes, if its reads say so. `doubt` is what speaks against order in this handle; `alone`, that
    /// no other read came between the last two.
    ///
    /// In an unsuspicious handle the second read in order is enough, the third for a backward one; so are eight reads
    /// out of order that left less than a quarter out. After random reads a run must prove that chance did not make it.
    pub(crate) fn order(&self, doubt: u32, alone: bool) -> Option<Heading> {
        let (heading, steps) = match (self.up, self.down) {
            (up, 0) if up > 0 => (Heading::Forward, up),
            (0, down) if down > 1 => (Heading::Backward, down),
            _ if self.reads < SHUFFLED.0 => return None,
            _ => (Heading::Forward, 0),
        };
        // Most readers begin at the first byte, and few others end there.
        let from_start = self.span.start() == 0 && heading == Heading::Forward;
        let likely = from_start || self.bits >= LIKELY || self.bits > 0 && alone && doubt <= COLD / 2;
        let plain = self.straight && steps > 0 && likely && doubt <= COLD;
        let shuffled = self.reads >= SHUFFLED.0
            && doubt <= SHUFFLED.1
            && !self.repeated
            && self.missing <= self.passed / 4
            && self.span.end() - self.origin.end() >= self.origin.start() - self.span.start()
            && heading == Heading::Forward;
        let proven = steps > 0 && self.bits >= PROOF && self.missing <= self.passed / 2;
        (plain || shuffled || proven).then_some(heading)
    }

    /// It is in order from now on, with this window.
    pub(crate) fn start(&mut self, heading: Heading, window: Window) {
        self.done = match heading {
            Heading::Forward => floor(self.span.start(), BLOCK),
            Heading::Backward => ceil(self.span.end(), BLOCK),
        };
        self.course = Some((heading, window));
    }

    /// Whether it leaves out more than it reads by now. Who promised to read in order is believed.
    pub(crate) fn is_sparse(&self) -> bool {
        !self.declared && self.missing > self.passed / 2 && self.passed >= 2 * NEAR
    }

    /// It is no longer in order; what it reads next must prove otherwise.
    pub(crate) fn stop(&mut self) {
        self.course = None;
        self.declared = false;
        self.straight = false;
        self.bits = 0;
        (self.up, self.down) = (0, 0);
    }

    /// Where the reader is.
    pub(crate) fn position(&self) -> u64 {
        match self.heading() {
            Some(Heading::Backward) => self.span.start(),
            Some(Heading::Forward) | None => self.span.end(),
        }
    }

    /// The next `len` bytes on its way.
    pub(crate) fn next(&self, len: u64) -> ByteRange {
        match self.heading() {
            Some(Heading::Backward) => {
                let end = self.span.start();
                ByteRange::new(end.saturating_sub(len), end)
            }
            Some(Heading::Forward) | None => {
                let start = self.span.end();
                ByteRange::new(start, start.saturating_add(len).min(self.limit))
            }
        }
    }

    /// What lies `BACK` or more behind the position and was not said to be done yet, in whole blocks, once it is
    /// worth saying.
    pub(crate) fn passed(&mut self) -> Option<ByteRange> {
        let heading = self.heading()?;
        behind(heading, self.position(), &mut self.done)
    }

    /// What is read of `range` after all.
    fn fill(&mut self, range: ByteRange) -> u64 {
        if self.holes.is_empty() {
            return 0;
        }
        let mut filled = 0;
        let mut left = Vec::with_capacity(self.holes.len() + 1);
        for hole in self.holes.drain(..) {
            let common = hole.intersect(range);
            filled += common.len();
            for part in [
                ByteRange::new(hole.start(), common.start()),
                ByteRange::new(common.end(), hole.end()),
            ] {
                if !part.is_empty() {
                    left.push(part);
                }
            }
        }
        self.holes = left;
        filled
    }

    /// A gap opens at an edge. Holes too far behind are forgotten: no read that fits reaches them.
    fn open(&mut self, gap: ByteRange) {
        let (lo, hi) = (self.span.start(), self.span.end());
        self.holes.retain(|hole| {
            hole.end() >= hi.saturating_sub(2 * BACK) || hole.start() <= lo.saturating_add(2 * BACK)
        });
        if self.holes.len() == MAX_HOLES {
            self.holes.remove(0);
        }
        self.holes.push(gap);
    }
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

/// The last multiple of `unit` up to `at`.
pub(crate) fn floor(at: u64, unit: u64) -> u64 {
    at / unit * unit
}

/// The first multiple of `unit` from `at` on.
pub(crate) fn ceil(at: u64, unit: u64) -> u64 {
    at.div_ceil(unit).saturating_mul(unit)
}

/// How unlikely it is that a random read of `len` bytes continues one of the watched runs: 1 in 2^n.
pub(crate) fn chance(len: u64, object_size: u64) -> u32 {
    let places = object_size / len.max(1) / WATCHED;
    places.checked_ilog2().unwrap_or(0)
}
