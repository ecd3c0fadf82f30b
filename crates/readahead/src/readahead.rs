//! The policy of one handle: its state, and the calls that change it.

mod ask;
mod place;
mod release;

use std::mem;

use forebay_types::ByteRange;

use crate::config::ReadAheadConfig;
use crate::edge::Heading;
use crate::evidence::Doubt;
use crate::ledger::{Ledger, Owner};
use crate::plan::{Pattern, Plan, Read};
use crate::report::{Report, Window as View, count};
use crate::run::{Moment, Run};
use crate::stride::{StrideRun, StrideSearch};
use crate::window::Window;

/// The read-ahead of one open handle. A new one knows nothing of earlier handles.
#[derive(Clone, Debug)]
pub struct ReadAhead {
    config: ReadAheadConfig,
    object_size: u64,
    /// Watched places; four of them at most are in order and have a window.
    runs: Vec<Run>,
    search: StrideSearch,
    stride: Option<StrideRun>,
    /// Asked for, not read, still wanted.
    ledger: Ledger,
    /// No longer wanted since the last plan.
    cancelled: Vec<ByteRange>,
    doubt: Doubt,
    /// Runs that ended early, with more ahead than they had read, since one went on.
    bursts: u32,
    now: Moment,
    owners: u64,
    report: Report,
}

/// Who a read belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// By its place among the runs.
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
            doubt: Doubt::default(),
            bursts: 0,
            now: Moment::default(),
            owners: 0,
            report: Report::default(),
        }
    }

    /// `range` is going to be read whole and in order: its run is in order from the first byte, its window has all
    /// of `max`, and nothing past the range is asked for. Nothing is asked for before the first read either.
    pub fn declare(&mut self, range: ByteRange) {
        let range = range.clamp_to(self.object_size);
        if range.is_empty() {
            return;
        }
        self.make_way_for(range);
        let owner = self.owner();
        let window = Window::declared(&self.config);
        self.watch(Run::declared(owner, range, window, self.now));
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

    /// Memory was refused for `asked`, a range of a plan or the rest of one: it was not asked for. The window of its
    /// run halves.
    pub fn refused(&mut self, asked: ByteRange) {
        let (bytes, owners) = self.take_back(asked);
        self.report.asked_ahead = self.report.asked_ahead.saturating_sub(bytes);
        if let Some(run) = self.stride.as_mut().filter(|run| owners.contains(&run.owner)) {
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
            Some(self.view((*heading).into(), run.position(), run.owner, window))
        });
        let stride = self.stride.iter().map(|run| {
            let step = run.stride.step;
            self.view(
                Pattern::Strided { step },
                run.stride.start,
                run.owner,
                &run.window,
            )
        });
        runs.chain(stride)
    }

    fn view(&self, pattern: Pattern, position: u64, owner: Owner, window: &Window) -> View {
        let ranges = self.ledger.of(owner);
        let all = ranges.reduce(|all, range| ByteRange::new(all.start(), range.end()));
        let all = all.unwrap_or(ByteRange::at(position, 0));
        View {
            pattern,
            position,
            start: all.start(),
            end: all.end(),
            ahead: self.ledger.bytes_of(owner),
            size: window.size(),
        }
    }

    /// `range` is what the object has of the read; not empty.
    fn serve(&mut self, read: Read, range: ByteRange, plan: &mut Plan) {
        self.now.reads += 1;
        self.now.bytes = self.now.bytes.saturating_add(range.len());
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

    fn owner(&mut self) -> Owner {
        self.owners += 1;
        Owner(self.owners)
    }
}

impl From<Heading> for Pattern {
    fn from(heading: Heading) -> Self {
        match heading {
            Heading::Forward => Self::Sequential,
            Heading::Backward => Self::Backward,
        }
    }
}
