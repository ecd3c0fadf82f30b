//! The policy: takes each read to the run it belongs to, and plans what that run should have ahead.

use std::mem;

use forebay_types::ByteRange;

use crate::config::ReadAheadConfig;
use crate::ledger::{EVERYWHERE, Ledger, Owner};
use crate::plan::{Pattern, Plan, Read};
use crate::report::{Report, Window as View};
use crate::run::{COLD, Fit, Heading, PATIENCE, Run, WATCHED, ceil, floor};
use crate::stride::{StrideRun, StrideSearch};
use crate::window::Window;

/// Runs with a window of their own, per handle.
const MAX_RUNS: usize = 4;
/// Doubt beyond this says nothing more.
const MAX_DOUBT: u32 = 64;
/// A stride that broke soon was none: two of them, and the next must prove itself.
const FALSE_STRIDE: u32 = 3;
/// What a run has ahead is given up once an eighth of it was read elsewhere, this much at least.
const ELSEWHERE: (u64, u64) = (8, 1 << 20);

/// The read-ahead of one open handle. A new one knows nothing of earlier handles.
#[derive(Clone, Debug)]
pub struct ReadAhead {
    config: ReadAheadConfig,
    object_size: u64,
    /// Watched places; at most `MAX_RUNS` of them are in order and have a window.
    runs: Vec<Run>,
    search: StrideSearch,
    stride: Option<StrideRun>,
    ledger: Ledger,
    /// No longer wanted since the last plan.
    cancelled: Vec<ByteRange>,
    /// What speaks against order in this handle: new places and repeated reads, less reads in order.
    doubt: u32,
    /// Reads so far, and their bytes: the only time there is here.
    now: (u64, u64),
    owners: u64,
    report: Report,
}

/// Who a read belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Run(usize),
    Stride,
}

impl ReadAhead {
    /// For a handle just opened, on an object of `object_size` bytes.
    pub fn new(config: ReadAheadConfig, object_size: u64) -> Self {
        Self {
            config,
            object_size,
            runs: Vec::new(),
            search: StrideSearch::default(),
            stride: None,
            ledger: Ledger::default(),
            cancelled: Vec::new(),
            doubt: 0,
            now: (0, 0),
            owners: 0,
            report: Report::default(),
        }
    }

    /// `range` is going to be read whole and in order: its run is in order from the first byte, its window starts at
    /// `size`. Nothing is asked for before the first read.
    pub fn declare(&mut self, range: ByteRange) {
        let range = range.clamp_to(self.object_size);
        if range.is_empty() {
            return;
        }
        if let Some(victim) = self.least_recent_in_order() {
            self.stop(victim);
        }
        let owner = self.owner();
        let mut run = Run::declared(owner, range, Window::declared(&self.config));
        run.last_read = self.now;
        self.watch(run);
        self.report.runs_seen += 1;
    }

    /// Takes in a read and says what should follow from it.
    pub fn observe(&mut self, read: Read) -> Plan {
        self.report.reads += 1;
        self.report.starved += u64::from(read.starved);
        let range = read.range.clamp_to(self.object_size);
        let mut plan = Plan::default();
        if !range.is_empty() {
            self.serve(read, range, &mut plan);
        }
        plan.cancel = mem::take(&mut self.cancelled);
        plan
    }

    /// `range` is what the object has of the read; not empty.
    fn serve(&mut self, read: Read, range: ByteRange, plan: &mut Plan) {
        self.now = (self.now.0 + 1, self.now.1.saturating_add(range.len()));
        let used = self.ledger.take(range, None, |_, _| ()) + self.uncancel(range);
        count(&mut self.report.served, range.len());
        count(&mut self.report.used_ahead, used);
        self.report.unasked += u64::from(used == 0);
        match self.place(range) {
            Reader::Stride => self.plan_stride(read, range, used, plan),
            Reader::Run(at) => self.plan_run(at, read, used, plan),
        }
        self.give_up_the_idle();
    }

    /// Memory was refused for `asked`, a range of a plan or the rest of one: it was not asked for. The window of its
    /// run halves.
    pub fn refused(&mut self, asked: ByteRange) {
        let (bytes, owners) = self.take_back(asked);
        self.report.asked_ahead = self.report.asked_ahead.saturating_sub(bytes);
        if let Some(run) = &mut self.stride
            && owners.contains(&run.owner)
        {
            run.refused(asked);
        }
        self.halve(&owners);
    }

    /// Bytes were evicted that had been read ahead and not read yet: they are wasted, and the window of their run
    /// halves.
    pub fn evicted_unread(&mut self, range: ByteRange) {
        let (bytes, owners) = self.take_back(range);
        count(&mut self.report.wasted, bytes);
        self.halve(&owners);
    }

    /// The handle is closed: nothing is wanted any more, and what was not read counts as wasted.
    pub fn close(&mut self) -> Report {
        count(&mut self.report.wasted, self.ledger.bytes());
        let closed = Self::new(self.config.clone(), self.object_size);
        *self = Self {
            report: self.report,
            ..closed
        };
        self.report
    }

    /// The figures so far.
    pub fn report(&self) -> Report {
        self.report
    }

    /// Bytes asked for ahead and not read yet.
    pub fn outstanding(&self) -> u64 {
        self.ledger.bytes()
    }

    /// What each run in order has ahead, for a live view.
    pub fn window(&self) -> impl Iterator<Item = View> {
        let runs = self.runs.iter().filter_map(|run| {
            let (heading, window) = run.course.as_ref()?;
            Some(self.view(pattern(*heading), run.position(), run.owner, window))
        });
        let stride = self.stride.iter().map(|run| {
            let pattern = Pattern::Strided {
                step: run.stride.step,
            };
            self.view(pattern, run.stride.start, run.owner, &run.window)
        });
        runs.chain(stride)
    }

    fn view(&self, pattern: Pattern, position: u64, owner: Owner, window: &Window) -> View {
        let all = self
            .ledger
            .of(owner)
            .reduce(|all, range| ByteRange::new(all.start(), range.end()));
        let extent = all.unwrap_or(ByteRange::at(position, 0));
        View {
            pattern,
            position,
            start: extent.start(),
            end: extent.end(),
            ahead: self.ledger.bytes_of(owner),
            size: window.size(),
        }
    }

    /// The run that a read belongs to, a new one if to none.
    fn place(&mut self, range: ByteRange) -> Reader {
        if let Some(run) = &mut self.stride
            && run.follow(range)
        {
            run.last_read = self.now;
            self.doubt = self.doubt.saturating_sub(1);
            return Reader::Stride;
        }
        let (at, repeats) = self.place_in_runs(range);
        let goes_on = self.search.goes_on(range);
        // Readers in order between the pieces of a stride do not disturb it.
        if repeats || self.runs[at].heading().is_some() && !goes_on {
            return Reader::Run(at);
        }
        if let Some(run) = self.stride.take() {
            self.give_up(run.owner, EVERYWHERE);
            self.search.clear();
            if run.is_short() {
                self.doubt = (self.doubt + FALSE_STRIDE).min(MAX_DOUBT);
            }
        }
        let Some(stride) = self.search.read(range, self.doubt, self.object_size) else {
            return Reader::Run(at);
        };
        let window = Window::first(&self.config, stride.len);
        let mut run = StrideRun::new(self.owner(), stride, window);
        run.last_read = self.now;
        self.stride = Some(run);
        self.report.runs_seen += 1;
        Reader::Stride
    }

    /// The watched run that a read belongs to, and whether the read repeats what that run has read.
    fn place_in_runs(&mut self, range: ByteRange) -> (usize, bool) {
        let rank = |run: &Run| match run.fit(range) {
            // Of two runs that end here, the one in order.
            Fit::Next | Fit::Previous => Some((0, u64::from(run.course.is_none()))),
            Fit::Near(_) if run.turns_to(range) => Some((0, 2)),
            Fit::Near(off) => Some((1, off)),
            Fit::Jump => Some((2, range.start() - run.span.end())),
            Fit::Apart => None,
        };
        let ranked = self.runs.iter().enumerate();
        let best = ranked.filter_map(|(at, run)| Some((rank(run)?, at))).min();
        let Some((_, at)) = best.filter(|((closeness, _), _)| *closeness < 2) else {
            let parent = best.map(|(_, at)| (self.runs[at].owner, self.runs[at].last_read.0));
            // A jump of a reader in order says nothing against order.
            self.doubt = (self.doubt + u32::from(parent.is_none())).min(MAX_DOUBT);
            let mut run = Run::new(self.owner(), range, self.object_size);
            run.last_read = self.now;
            run.parent = parent;
            return (self.watch(run), false);
        };
        let run = &mut self.runs[at];
        let mut fit = run.fit(range);
        if run.turns_to(range) {
            run.restart();
            fit = Fit::Next;
        }
        let repeats = run.read(range, fit, self.object_size);
        let alone = run.last_read.0 + 1 == self.now.0;
        run.last_read = self.now;
        if range.end() > run.limit {
            run.limit = self.object_size;
        }
        let in_order = run.course.is_some();
        let sparse = run.is_sparse();
        match fit {
            Fit::Next | Fit::Previous if in_order => self.doubt = self.doubt.saturating_sub(1),
            Fit::Near(_) if repeats || !in_order => self.doubt = (self.doubt + 1).min(MAX_DOUBT),
            _ => (),
        }
        match in_order {
            true if sparse => self.stop(at),
            true => (),
            false => return (self.settle(at, alone), repeats),
        }
        (at, repeats)
    }

    /// Gives a run its window if its reads are in order by now. Where the run is afterwards.
    fn settle(&mut self, at: usize, alone: bool) -> usize {
        if let Some((parent, last)) = self.runs[at].parent.take()
            && let Some(parent) = self.runs.iter().position(|run| run.owner == parent)
            && self.runs[parent].last_read.0 == last
        {
            return self.continue_run(parent, at);
        }
        let Some(heading) = self.runs[at].order(self.doubt, alone) else {
            return at;
        };
        if self.runs.iter().filter(|run| run.course.is_some()).count() == MAX_RUNS {
            // Of five readers in turn four keep their windows. If each new one took the window of another, all five
            // would be fetched for and none of them served.
            let idle = self
                .least_recent_in_order()
                .filter(|victim| self.now.0 - self.runs[*victim].last_read.0 >= PATIENCE);
            let Some(victim) = idle else {
                return at;
            };
            self.stop(victim);
        }
        let run = &mut self.runs[at];
        run.start(heading, Window::first(&self.config, run.longest));
        self.report.runs_seen += 1;
        at
    }

    /// The reader of `from` jumped and goes on at `to`: what still lies ahead goes with it. So does the window, unless
    /// the jump went past it: then it starts anew, for who jumps so wide wastes a window each time.
    fn continue_run(&mut self, from: usize, to: usize) -> usize {
        let Some((heading, window)) = self.runs[from].course.take() else {
            return to;
        };
        let (old, new) = (self.runs[from].owner, self.runs[to].owner);
        self.ledger.hand_over(old, new, self.runs[to].span.end());
        self.give_up(old, EVERYWHERE);
        let window = if self.ledger.bytes_of(new) > 0 {
            window
        } else {
            Window::first(&self.config, self.runs[to].longest)
        };
        self.runs[to].limit = self.runs[from].limit;
        self.runs[to].start(heading, window);
        self.runs.swap_remove(from);
        if to == self.runs.len() { from } else { to }
    }

    fn plan_run(&mut self, at: usize, read: Read, used: u64, plan: &mut Plan) {
        let run = &mut self.runs[at];
        let ahead = self.ledger.bytes_of(run.owner);
        let Some((heading, window)) = &mut run.course else {
            plan.pattern = if self.doubt > COLD {
                Pattern::Random
            } else {
                Pattern::New
            };
            return;
        };
        plan.pattern = pattern(*heading);
        if mem::take(&mut run.asleep) {
            // It came back after all: next time it is waited for longer.
            run.patience = run.patience.saturating_mul(4);
        }
        window.used(used);
        let grows = read.starved && used > 0 && window.starved(&self.config, read.spare, ahead);
        self.report.windows_grown += u64::from(grows);
        if let Some(passed) = run.passed() {
            let owner = run.owner;
            self.pass(owner, passed, plan);
        }
        if self.config.enabled {
            self.ask_run(at, read.spare, grows, plan);
        }
    }

    fn ask_run(&mut self, at: usize, spare: u64, grows: bool, plan: &mut Plan) {
        let run = &self.runs[at];
        let Some((heading, window)) = &run.course else {
            return;
        };
        let heading = *heading;
        let size = window.size().min(self.share());
        let mut room = spare.min(self.config.cap().saturating_sub(self.ledger.bytes()));
        let covered = self.ledger.covered(run.next(size));
        if covered < size - size / 2 || grows {
            let granule = self.config.granule(size);
            let mut gaps = self.ledger.gaps(reach(run, heading, size, granule));
            if heading == Heading::Backward {
                gaps.reverse();
            }
            let owner = run.owner;
            for gap in gaps {
                let fits = fit_in(gap, heading, room, granule);
                if !fits.is_empty() {
                    room -= fits.len();
                    self.ask(owner, fits, plan);
                }
                if fits != gap {
                    break;
                }
            }
        }
        let run = &self.runs[at];
        if heading == Heading::Forward && run.limit == self.object_size {
            let past = run
                .span
                .end()
                .saturating_add(size)
                .saturating_sub(self.object_size);
            plan.beyond = past.min(room);
        }
    }

    fn plan_stride(&mut self, read: Read, range: ByteRange, used: u64, plan: &mut Plan) {
        let share = self.share();
        let Some(run) = &mut self.stride else {
            return;
        };
        let owner = run.owner;
        plan.pattern = Pattern::Strided {
            step: run.stride.step,
        };
        run.window.used(used);
        let ahead = self.ledger.bytes_of(owner);
        let grows = read.starved && used > 0 && run.window.starved(&self.config, read.spare, ahead);
        self.report.windows_grown += u64::from(grows);
        if let Some(passed) = run.passed() {
            self.pass(owner, passed, plan);
        }
        let mut room = read
            .spare
            .min(self.config.cap().saturating_sub(self.ledger.bytes()));
        let Some(run) = self.stride.as_mut().filter(|_| self.config.enabled) else {
            return;
        };
        let size = run.window.size().min(share);
        let wanted = run.ask(size, room, grows, range, self.object_size);
        for gap in wanted
            .into_iter()
            .flat_map(|range| self.ledger.gaps(range))
            .collect::<Vec<_>>()
        {
            if gap.len() > room {
                if let Some(run) = &mut self.stride {
                    run.refused(gap);
                }
                break;
            }
            room -= gap.len();
            self.ask(owner, gap, plan);
        }
    }

    fn ask(&mut self, owner: Owner, range: ByteRange, plan: &mut Plan) {
        self.ledger.add(owner, range);
        count(&mut self.report.asked_ahead, range.len());
        plan.ahead.push(range);
    }

    /// A run has passed `range`. What other runs are about to read of it stays.
    fn pass(&mut self, owner: Owner, range: ByteRange, plan: &mut Plan) {
        count(
            &mut self.report.wasted,
            self.ledger.take(range, Some(owner), |_, _| ()),
        );
        let mut others = Ledger::default();
        for run in self.runs.iter().filter(|run| run.owner != owner) {
            if let Some(window) = run.window() {
                for gap in others.gaps(run.next(window.size())) {
                    others.add(run.owner, gap);
                }
            }
        }
        plan.done.extend(others.gaps(range.clamp_to(self.object_size)));
    }

    /// An equal share for each run that is being read, of what the handle may have ahead.
    fn share(&self) -> u64 {
        let runs = self
            .runs
            .iter()
            .filter(|run| run.course.is_some() && !run.asleep)
            .count();
        let readers = runs + usize::from(self.stride.is_some());
        self.config.cap() / (readers as u64).max(1)
    }

    /// What is ahead of runs that nobody reads any more is given up: the reader went elsewhere, and what is still in
    /// flight competes with what it waits for there. The place is kept, for a reader that comes back.
    fn give_up_the_idle(&mut self) {
        let (reads, bytes) = self.now;
        let idle = |last: (u64, u64), patience, ahead: u64| {
            reads - last.0 >= patience && bytes - last.1 >= (ahead / ELSEWHERE.0).max(ELSEWHERE.1)
        };
        for at in 0..self.runs.len() {
            let run = &mut self.runs[at];
            if run.course.is_none() || run.asleep || reads - run.last_read.0 < run.patience {
                continue;
            }
            let owner = run.owner;
            if idle(run.last_read, run.patience, self.ledger.bytes_of(owner)) {
                run.asleep = true;
                self.give_up(owner, EVERYWHERE);
            }
        }
        if let Some(run) = &self.stride
            && idle(run.last_read, PATIENCE, self.ledger.bytes_of(run.owner))
        {
            let owner = run.owner;
            self.stride = None;
            self.give_up(owner, EVERYWHERE);
        }
    }

    fn least_recent_in_order(&self) -> Option<usize> {
        let in_order = self
            .runs
            .iter()
            .enumerate()
            .filter(|(_, run)| run.course.is_some());
        in_order.min_by_key(|(_, run)| run.last_read.0).map(|(at, _)| at)
    }

    fn stop(&mut self, at: usize) {
        self.runs[at].stop();
        self.give_up(self.runs[at].owner, EVERYWHERE);
    }

    /// What `owner` has in `within` is no longer wanted.
    fn give_up(&mut self, owner: Owner, within: ByteRange) {
        let cancelled = &mut self.cancelled;
        self.report.wasted += self
            .ledger
            .take(within, Some(owner), |_, range| cancelled.push(range));
    }

    /// What was to be cancelled with the next plan and met another fate before: how many bytes, now to be counted
    /// elsewhere.
    fn uncancel(&mut self, range: ByteRange) -> u64 {
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

    fn take_back(&mut self, range: ByteRange) -> (u64, Vec<Owner>) {
        let mut owners = Vec::new();
        let bytes = self.ledger.take(range, None, |owner, _| {
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        });
        (bytes + self.uncancel(range), owners)
    }

    /// Halves the windows of these runs; what lies beyond the smaller window is no longer wanted.
    fn halve(&mut self, owners: &[Owner]) {
        for &owner in owners {
            if let Some(run) = self.stride.as_mut().filter(|run| run.owner == owner) {
                self.report.windows_halved += u64::from(run.window.halve());
                let beyond = run.shrink();
                self.give_up(owner, beyond);
            }
            let Some(run) = self.runs.iter_mut().find(|run| run.owner == owner) else {
                continue;
            };
            let Some((heading, window)) = &mut run.course else {
                continue;
            };
            self.report.windows_halved += u64::from(window.halve());
            let (heading, size) = (*heading, window.size());
            let granule = self.config.granule(size);
            let beyond = match heading {
                Heading::Forward => {
                    ByteRange::new(ceil(run.span.end().saturating_add(size), granule), u64::MAX)
                }
                Heading::Backward => ByteRange::new(0, floor(run.span.start().saturating_sub(size), granule)),
            };
            self.give_up(owner, beyond);
        }
    }

    /// Watches a run, in the place of the one not read for longest. Where it is.
    fn watch(&mut self, run: Run) -> usize {
        if self.runs.len() as u64 == WATCHED {
            let unknown = self
                .runs
                .iter()
                .enumerate()
                .filter(|(_, run)| run.course.is_none());
            if let Some((oldest, _)) = unknown.min_by_key(|(_, run)| run.last_read.0) {
                self.runs[oldest] = run;
                return oldest;
            }
        }
        self.runs.push(run);
        self.runs.len() - 1
    }

    fn owner(&mut self) -> Owner {
        self.owners += 1;
        Owner(self.owners)
    }
}

/// Adds to a figure of the report; 16 EiB are as far as it counts.
fn count(figure: &mut u64, bytes: u64) {
    *figure = figure.saturating_add(bytes);
}

fn pattern(heading: Heading) -> Pattern {
    match heading {
        Heading::Forward => Pattern::Sequential,
        Heading::Backward => Pattern::Backward,
    }
}

/// The window of a run as it is asked for: its far end on a granule. What would be left to the end of the object and
/// is less than half a granule is taken along.
fn reach(run: &Run, heading: Heading, size: u64, granule: u64) -> ByteRange {
    let next = run.next(size);
    match heading {
        Heading::Forward => {
            let end = if next.end() >= run.limit {
                run.limit
            } else {
                floor(next.end(), granule)
            };
            let end = if run.limit - end < granule / 2 {
                run.limit
            } else {
                end
            };
            ByteRange::new(next.start(), end)
        }
        Heading::Backward => {
            let start = ceil(next.start(), granule);
            let start = if start < granule / 2 || next.start() == 0 {
                0
            } else {
                start
            };
            ByteRange::new(start, next.end())
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
