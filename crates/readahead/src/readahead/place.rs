//! Which run a read belongs to, and when a run is in order.

use forebay_types::ByteRange;

use super::{ReadAhead, Reader};
use crate::edge::Heading;
use crate::evidence::WATCHED;
use crate::ledger::EVERYWHERE;
use crate::run::{Fit, PATIENCE, Run};
use crate::stride::StrideRun;
use crate::window::Window;

/// Runs with a window of their own, per handle.
const MAX_RUNS: usize = 4;
/// How much doubt a stride leaves that broke soon: two of them, and the next must prove itself.
const FALSE_STRIDE: u32 = 3;

impl ReadAhead {
    /// The run that a read belongs to, a new one if to none.
    pub(super) fn place(&mut self, range: ByteRange) -> Reader {
        if let Some(run) = self.stride.as_mut()
            && run.follow(range)
        {
            run.last_read = self.now;
            self.doubt.fall();
            return Reader::Stride;
        }
        let (at, repeats) = self.place_in_runs(range);
        // Readers in order between the pieces of a stride do not disturb it.
        let in_order = self.runs[at].course.is_some() && !self.search.goes_on(range);
        if !repeats && !in_order && self.place_in_stride(range) {
            return Reader::Stride;
        }
        Reader::Run(at)
    }

    /// Whether the read makes a new stride. The one before it, if any, is broken by it.
    fn place_in_stride(&mut self, range: ByteRange) -> bool {
        if let Some(broken) = self.stride.take() {
            self.give_up(broken.owner, EVERYWHERE);
            self.search.clear();
            if broken.is_short() {
                self.doubt.rise(FALSE_STRIDE);
            }
        }
        let Some(stride) = self.search.read(range, self.doubt, self.object_size) else {
            return false;
        };
        let window = Window::first(&self.config, stride.len);
        if window.size() < stride.len {
            // Not even one piece may be ahead; its parts may be, by the window of a run.
            return false;
        }
        self.stride = Some(StrideRun::new(self.owner(), stride, window, self.now));
        self.report.runs_seen += 1;
        true
    }

    /// The watched run that a read belongs to, and whether the read repeats what that run has read.
    fn place_in_runs(&mut self, range: ByteRange) -> (usize, bool) {
        let rank = |(at, run): (usize, &Run)| {
            let rank = match run.fit(range) {
                // Of two runs that end here, the one in order.
                Fit::Next | Fit::Previous => (u64::from(run.course.is_none()), 0),
                Fit::Turn => (2, 0),
                Fit::Near(off) => (3, off),
                Fit::Jump(off) => (4, off),
                Fit::Apart => return None,
            };
            Some((rank, at))
        };
        let best = self.runs.iter().enumerate().filter_map(rank).min();
        let best = best.map(|(_, at)| (at, self.runs[at].fit(range)));
        match best {
            Some((at, Fit::Jump(_))) => {
                // A jump of a reader in order says nothing against order.
                let mut run = Run::new(self.owner(), range, self.object_size, self.now);
                run.parent = Some((self.runs[at].owner, self.runs[at].last_read));
                (self.watch(run), false)
            }
            Some((at, fit)) => self.continue_at(at, range, fit),
            None => {
                self.doubt.rise(1);
                let run = Run::new(self.owner(), range, self.object_size, self.now);
                (self.watch(run), false)
            }
        }
    }

    /// The read goes on with this run.
    fn continue_at(&mut self, at: usize, range: ByteRange, fit: Fit) -> (usize, bool) {
        let run = &mut self.runs[at];
        let in_order = run.course.is_some();
        let alone = run.last_read.reads + 1 == self.now.reads;
        let repeats = run.read(range, fit, self.now, self.object_size);
        let sparse = run.is_sparse();
        match fit {
            Fit::Next | Fit::Previous if in_order => self.doubt.fall(),
            Fit::Near(_) if repeats || !in_order => self.doubt.rise(1),
            _ => (),
        }
        if !in_order {
            return (self.settle(at, alone), repeats);
        }
        if sparse {
            self.stop(at);
        }
        (at, repeats)
    }

    /// Gives a run its window if its reads are in order by now. Where the run is afterwards.
    fn settle(&mut self, at: usize, alone: bool) -> usize {
        if let Some((parent, last_read)) = self.runs[at].parent.take()
            && let Some(parent) = self.runs.iter().position(|run| run.owner == parent)
            && self.runs[parent].last_read == last_read
        {
            return self.follow_jump(parent, at);
        }
        let Some(heading) = self.runs[at].order(self.doubt, alone) else {
            return at;
        };
        if let Some(oldest) = self.oldest_of_all() {
            // Of five readers in turn four keep their windows. If each new one took the window of another, all five
            // would be fetched for and none of them served.
            if self.now.reads - self.runs[oldest].last_read.reads < PATIENCE {
                return at;
            }
            self.stop(oldest);
        }
        let run = &mut self.runs[at];
        run.start(heading, Window::first(&self.config, run.longest));
        self.report.runs_seen += 1;
        at
    }

    /// The reader of `from` jumped and goes on at `to`: what still lies ahead goes with it. So does the window, unless
    /// the jump went past it: then it starts anew, for who jumps so wide wastes a window each time.
    fn follow_jump(&mut self, from: usize, to: usize) -> usize {
        let Some((heading, window)) = self.runs[from].course.take() else {
            return to;
        };
        let (old, new) = (self.runs[from].owner, self.runs[to].owner);
        let ahead = ByteRange::new(self.runs[to].position(), u64::MAX);
        self.ledger.hand_over(old, new, ahead);
        self.give_up(old, EVERYWHERE);
        let window = if self.ledger.bytes_of(new) > 0 {
            window
        } else {
            Window::first(&self.config, self.runs[to].longest)
        };
        if self.runs[to].position() <= self.runs[from].limit {
            self.runs[to].limit = self.runs[from].limit;
        }
        self.runs[to].start(heading, window);
        self.runs.swap_remove(from);
        if to == self.runs.len() { from } else { to }
    }

    /// The run in order that was not read for longest, if there are as many as there may be.
    fn oldest_of_all(&self) -> Option<usize> {
        let in_order = || {
            let runs = self.runs.iter().enumerate();
            runs.filter(|(_, run)| run.course.is_some())
        };
        let full = in_order().count() >= MAX_RUNS;
        let oldest = in_order().min_by_key(|(_, run)| run.last_read.reads);
        oldest.filter(|_| full).map(|(at, _)| at)
    }

    /// Frees a window for a declared run: that of the run it goes on from, or else the oldest if all are taken.
    pub(super) fn make_way_for(&mut self, range: ByteRange) {
        let same = |run: &Run| run.heading() == Some(Heading::Forward) && run.position() == range.start();
        if let Some(same) = self.runs.iter().position(same) {
            self.stop(same);
            self.runs.swap_remove(same);
        } else if let Some(oldest) = self.oldest_of_all() {
            self.stop(oldest);
        }
    }

    /// Watches a run, in the place of the one not read for longest. Where it is.
    pub(super) fn watch(&mut self, run: Run) -> usize {
        if self.runs.len() >= WATCHED {
            let runs = self.runs.iter().enumerate();
            let unknown = runs.filter(|(_, run)| run.course.is_none());
            if let Some((oldest, _)) = unknown.min_by_key(|(_, run)| run.last_read.reads) {
                self.runs[oldest] = run;
                return oldest;
            }
        }
        self.runs.push(run);
        self.runs.len() - 1
    }

    /// A run is no longer in order, or its window is needed elsewhere.
    fn stop(&mut self, at: usize) {
        self.note_end(at);
        self.runs[at].stop();
        self.give_up(self.runs[at].owner, EVERYWHERE);
    }
}
