//! What is no longer wanted: passed, given up, refused, evicted.

use forebay_types::ByteRange;

use super::ReadAhead;
use crate::edge::{Heading, ceil, floor};
use crate::ledger::{EVERYWHERE, Ledger, Owner};
use crate::plan::Plan;
use crate::report::count;
use crate::run::{Moment, PATIENCE};

/// What a run has ahead is given up once an eighth of it was read elsewhere, 1 MiB at least. Waiting for all of it
/// would leave 32 MiB in flight beside the 32 MiB that the reader waits for at its new place.
const ELSEWHERE: (u64, u64) = (8, 1 << 20);

impl ReadAhead {
    /// A run has passed `range`. What other runs have asked for there, or are about to read, stays.
    pub(super) fn pass(&mut self, owner: Owner, range: ByteRange, plan: &mut Plan) {
        let mut others = Ledger::default();
        for run in self.runs.iter().filter(|run| run.owner != owner) {
            let Some((_, window)) = &run.course else {
                continue;
            };
            for gap in others.gaps(run.next(window.size()).intersect(range)) {
                self.ledger.hand_over(owner, run.owner, gap);
                others.add(run.owner, gap);
            }
        }
        for passed in others.gaps(range.clamp_to(self.object_size)) {
            let unread = self.ledger.take(passed, Some(owner), |_, _| ());
            count(&mut self.report.wasted, unread);
            plan.done.extend(self.ledger.gaps(passed));
        }
    }

    /// What is ahead of runs that nobody reads any more is given up: the reader went elsewhere, and what is still in
    /// flight competes with what it waits for there. The place is kept, for a reader that comes back.
    pub(super) fn give_up_the_idle(&mut self) {
        let now = self.now;
        let waits = |last: Moment, patience| now.reads - last.reads < patience;
        let idle = |last: Moment, ahead: u64| {
            now.bytes.saturating_sub(last.bytes) >= (ahead / ELSEWHERE.0).max(ELSEWHERE.1)
        };
        for at in 0..self.runs.len() {
            let run = &mut self.runs[at];
            if run.course.is_none() || run.asleep || waits(run.last_read, run.patience) {
                continue;
            }
            let owner = run.owner;
            if idle(run.last_read, self.ledger.bytes_of(owner)) {
                run.asleep = true;
                self.note_end(at);
                self.give_up(owner, EVERYWHERE);
            }
        }
        if let Some(run) = self.stride.as_ref()
            && !waits(run.last_read, PATIENCE)
            && idle(run.last_read, self.ledger.bytes_of(run.owner))
        {
            let owner = run.owner;
            self.stride = None;
            self.give_up(owner, EVERYWHERE);
        }
    }

    /// A run ends, or so it seems: whether it was a burst.
    pub(super) fn note_end(&mut self, at: usize) {
        let run = &self.runs[at];
        let burst = self.ledger.bytes_of(run.owner) > run.bytes / 2;
        self.bursts = self.bursts.saturating_add(u32::from(burst));
    }

    /// What `owner` has in `within` is no longer wanted.
    pub(super) fn give_up(&mut self, owner: Owner, within: ByteRange) {
        let cancelled = &mut self.cancelled;
        let each = |_, range| cancelled.push(range);
        let bytes = self.ledger.take(within, Some(owner), each);
        count(&mut self.report.wasted, bytes);
    }

    /// What was to be cancelled with the next plan and met another fate before: how many bytes, now to be counted
    /// elsewhere.
    pub(super) fn uncancel(&mut self, range: ByteRange) -> u64 {
        if self.cancelled.is_empty() {
            return 0;
        }
        let mut left = Ledger::default();
        for cancelled in self.cancelled.drain(..) {
            left.add(Owner(0), cancelled);
        }
        let bytes = left.take(range, None, |_, _| ());
        self.cancelled.extend(left.of(Owner(0)));
        self.report.wasted = self.report.wasted.saturating_sub(bytes);
        bytes
    }

    /// Bytes that somebody else disposed of: how many were still in the books, and of which runs.
    pub(super) fn take_back(&mut self, range: ByteRange) -> (u64, Vec<Owner>) {
        let mut owners = Vec::new();
        let bytes = self.ledger.take(range, None, |owner, _| {
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        });
        (bytes + self.uncancel(range), owners)
    }

    /// Halves the windows of these runs; what lies beyond the smaller window is no longer wanted.
    pub(super) fn halve(&mut self, owners: &[Owner]) {
        for &owner in owners {
            if let Some(run) = self.stride.as_mut().filter(|run| run.owner == owner) {
                self.report.windows_halved += u64::from(run.window.halve());
                let beyond = run.shrink();
                self.give_up(owner, beyond);
            }
            let Some(run) = self.runs.iter_mut().find(|run| run.owner == owner) else {
                continue;
            };
            let position = run.position();
            let Some((heading, window)) = &mut run.course else {
                continue;
            };
            self.report.windows_halved += u64::from(window.halve());
            let size = window.size();
            let granule = self.config.granule(size);
            let beyond = match heading {
                Heading::Forward => ByteRange::new(ceil(position.saturating_add(size), granule), u64::MAX),
                Heading::Backward => ByteRange::new(0, floor(position.saturating_sub(size), granule)),
            };
            self.give_up(owner, beyond);
        }
    }
}
