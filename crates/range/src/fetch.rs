//! Single parts of one object, for a caller that decides itself what to fetch and where to keep it.

use std::sync::Arc;

use forebay_types::ByteRange;

use crate::error::RangeError;
use crate::part::Job;
use crate::plan;
use crate::read::Opened;
use crate::state::{PartOut, ReadState, Shared};
use crate::stats::RangeStats;
use crate::target::{Known, Target};
use crate::urgency::Urgency;

/// Parts of one object that share its version, its `max_concurrent_ranges` and its figures. Cheap to clone.
///
/// Memory is the caller's: he reserves it from [`crate::RangeEngine::budget`] before he asks for a part, and keeps it
/// for as long as he keeps the bytes.
#[derive(Clone, Debug)]
pub struct Fetch {
    state: Arc<ReadState>,
}

/// The part whose answer came with [`crate::RangeEngine::open`].
#[derive(Debug)]
pub struct FirstPart {
    opened: Opened,
}

impl Fetch {
    pub(crate) fn new(shared: Arc<Shared>, target: Target, known: Known) -> Self {
        let target = Target {
            known: Some(known),
            ..target
        };
        Self {
            state: ReadState::new(shared, target),
        }
    }

    /// What is read.
    pub fn target(&self) -> &Target {
        &self.state.target
    }

    /// How `range` is cut into parts.
    pub fn parts(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + use<> {
        plan::parts(range, &self.state.target.config)
    }

    /// Figures of all parts so far.
    pub fn stats(&self) -> RangeStats {
        self.state.stats()
    }

    /// Fetches one part into `out`, in its turn, with its retries; gives `out` back.
    ///
    /// # Errors
    /// If the part fails for good, or `out` does. `out` then has the bytes up to some chunk.
    ///
    /// # Cancel safety
    /// Dropping the future ends the request and drops `out`.
    pub async fn part<O: PartOut>(
        &self,
        part: ByteRange,
        urgency: impl Into<Urgency>,
        out: O,
    ) -> Result<O, RangeError> {
        let job = Job {
            state: self.state.clone(),
            part,
            start: 0,
            urgency: urgency.into(),
            answer: None,
            turn: None,
        };
        job.run(out).await
    }
}

impl FirstPart {
    /// The bytes that its answer has from the start on, as far as they were asked for.
    pub fn range(&self) -> ByteRange {
        self.opened.first_range().unwrap_or_default()
    }

    /// Whether the server gives the object only as a whole: every other request would bring all of it again.
    pub fn is_whole(&self) -> bool {
        self.opened.is_whole()
    }

    /// Takes the bytes of `part`, which starts where the answer does, into `out`; what the answer has beyond is left.
    ///
    /// # Errors
    /// As [`Fetch::part`].
    ///
    /// # Cancel safety
    /// As [`Fetch::part`].
    pub async fn run<O: PartOut>(mut self, part: ByteRange, out: O) -> Result<O, RangeError> {
        let job = Job {
            state: self.opened.state().clone(),
            part,
            start: 0,
            urgency: self.opened.state().target.intent.into(),
            answer: self.opened.take_first(),
            turn: None,
        };
        job.run(out).await
    }
}

impl Opened {
    /// The parts that are still to come, for a caller who fetches them one by one, and the one that is on its way.
    pub fn into_fetch(self) -> (Fetch, Option<FirstPart>) {
        let fetch = Fetch {
            state: self.state().clone(),
        };
        let first = self.first_range().is_some().then_some(FirstPart { opened: self });
        (fetch, first)
    }
}
