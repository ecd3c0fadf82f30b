//! What to ask for, so that each run has its window ahead.

use std::mem;

use forebay_types::ByteRange;

use super::ReadAhead;
use crate::config::piece;
use crate::edge::{Heading, ceil, floor};
use crate::ledger::Owner;
use crate::plan::{Pattern, Plan, Read};
use crate::report::count;
use crate::run::Run;

/// How much longer a run is waited for, that was given up and came back after all.
const MORE_PATIENCE: u64 = 4;
/// So many bursts in a row are a habit.
const BURSTS: u32 = 2;
/// A run that has read this much is no burst.
const LONG: u64 = 16 << 20;
/// Where memory is scarce, less than this is not asked for: it takes 3 ms at 90 MB/s, its first byte 30 ms.
const CRUMB: u64 = 256 << 10;

impl ReadAhead {
    /// `used` bytes of the read had been asked for.
    pub(super) fn plan_run(&mut self, at: usize, read: Read, used: u64, plan: &mut Plan) {
        let run = &mut self.runs[at];
        let Some((heading, window)) = &mut run.course else {
            plan.pattern = if self.doubt.is_none() {
                Pattern::New
            } else {
                Pattern::Random
            };
            return;
        };
        plan.pattern = (*heading).into();
        if mem::take(&mut run.asleep) {
            run.patience = run.patience.saturating_mul(MORE_PATIENCE);
        }
        window.used(used);
        // After bursts a window grows to what its run has read, no more: else each wastes several times what it reads.
        let burst = self.bursts >= BURSTS && window.size() >= run.bytes;
        if run.bytes > LONG {
            self.bursts = 0;
        }
        let starved = read.starved && used > 0 && !burst;
        let grows = starved && window.starved(&self.config, read.spare, self.ledger.bytes_of(run.owner));
        self.report.windows_grown += u64::from(grows);
        let (owner, declared) = (run.owner, run.is_declared());
        if let Some(passed) = run.passed() {
            self.pass(owner, passed, plan);
        }
        if self.config.enabled || declared {
            self.ask_for_run(at, read.spare, grows, plan);
        }
    }

    fn ask_for_run(&mut self, at: usize, spare: u64, grows: bool, plan: &mut Plan) {
        let share = self.share();
        let mut room = self.room(spare);
        let run = &self.runs[at];
        let Some((heading, window)) = &run.course else {
            return;
        };
        let (owner, heading, window) = (run.owner, *heading, window.size().min(share));
        let limit = run.limit;
        let past = run.position().saturating_add(window);
        let past = match heading {
            Heading::Forward if limit == self.object_size => past.saturating_sub(self.object_size),
            Heading::Forward | Heading::Backward => 0,
        };
        // What there is no memory for is no part of the window: cut on its large units, little would fit.
        let wish = window;
        let window = wish.min(self.ledger.bytes_of(owner).saturating_add(room));
        let covered = self.ledger.covered(run.next(window));
        let granule = self.config.granule(window);
        // Large windows unit by unit: waiting until half of one is used up would leave half of the connections that it
        // keeps busy without work (measured: 1,030 instead of 1,330 MB/s at 30 ms and 90 MB/s each).
        let low = if granule == self.config.unit {
            window.saturating_sub(granule)
        } else {
            (window - window / 2).saturating_sub(1)
        };
        if covered <= low || grows {
            let mut gaps = self.ledger.gaps(reach(run, heading, window, granule));
            if heading == Heading::Backward {
                gaps.reverse();
            }
            for gap in gaps {
                let fits = fit_in(gap, heading, room, granule);
                let crumb = window < wish && fits.len() < CRUMB.min(wish / 2) && fits.end() < limit;
                if crumb || fits.is_empty() {
                    break;
                }
                room -= fits.len();
                let most = if grows { piece(fits.len()) } else { fits.len() };
                let mut rest = fits;
                while !rest.is_empty() {
                    let (next, after) = rest.split_at(most);
                    self.ask(owner, next, plan);
                    rest = after;
                }
                if fits != gap {
                    break;
                }
            }
        }
        if self.config.enabled {
            plan.beyond = past;
        }
    }

    /// `range` is what the object has of the read.
    pub(super) fn plan_stride(&mut self, read: Read, range: ByteRange, used: u64, plan: &mut Plan) {
        let Some(run) = &mut self.stride else {
            return;
        };
        let owner = run.owner;
        let step = run.stride.step;
        plan.pattern = Pattern::Strided { step };
        run.window.used(used);
        let starved = read.starved && used > 0;
        let ahead = self.ledger.bytes_of(owner);
        let grows = starved && run.window.starved(&self.config, read.spare, ahead);
        self.report.windows_grown += u64::from(grows);
        if let Some(passed) = run.passed() {
            self.pass(owner, passed, plan);
        }
        if self.config.enabled {
            self.ask_for_stride(owner, read.spare, range, grows, plan);
        }
    }

    fn ask_for_stride(&mut self, owner: Owner, spare: u64, range: ByteRange, grows: bool, plan: &mut Plan) {
        let share = self.share();
        let mut room = self.room(spare);
        let Some(run) = &mut self.stride else {
            return;
        };
        let window = run.window.size().min(share);
        for wanted in run.ask(window, room, grows, range, self.object_size) {
            for gap in self.ledger.gaps(wanted) {
                if gap.len() > room {
                    if let Some(run) = &mut self.stride {
                        run.refused(gap);
                    }
                    return;
                }
                room -= gap.len();
                self.ask(owner, gap, plan);
            }
        }
    }

    fn ask(&mut self, owner: Owner, range: ByteRange, plan: &mut Plan) {
        self.ledger.add(owner, range);
        count(&mut self.report.asked_ahead, range.len());
        plan.ahead.push(range);
    }

    /// Bytes that may be asked for now.
    fn room(&self, spare: u64) -> u64 {
        spare.min(self.config.cap().saturating_sub(self.ledger.bytes()))
    }

    /// An equal share for each run that is being read, of what the handle may have ahead.
    fn share(&self) -> u64 {
        let awake = |run: &&Run| run.course.is_some() && !run.asleep;
        let runs = self.runs.iter().filter(awake).count() + usize::from(self.stride.is_some());
        self.config.cap() / (runs as u64).max(1)
    }
}

/// The window of a run as it is asked for: its far end on a granule. What would be left to the end of the object and
/// is less than half a granule is taken along.
fn reach(run: &Run, heading: Heading, window: u64, granule: u64) -> ByteRange {
    let next = run.next(window);
    match heading {
        Heading::Forward => {
            let end = floor(next.end(), granule);
            let left = run.limit - end;
            let all = next.end() == run.limit || left < granule / 2;
            ByteRange::new(next.start(), if all { run.limit } else { end })
        }
        Heading::Backward => {
            let start = ceil(next.start(), granule);
            let all = next.start() == 0 || start < granule / 2;
            ByteRange::new(if all { 0 } else { start }, next.end())
        }
    }
}

/// The near part of `gap` that fits in `room`, cut on a granule.
fn fit_in(gap: ByteRange, heading: Heading, room: u64, granule: u64) -> ByteRange {
    if gap.len() <= room {
        return gap;
    }
    match heading {
        Heading::Forward => ByteRange::new(gap.start(), floor(gap.start() + room, granule)),
        Heading::Backward => {
            let start = ceil(gap.end() - room, granule).min(gap.end());
            ByteRange::new(start, gap.end())
        }
    }
}
