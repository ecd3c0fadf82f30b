//! What read-ahead did for a handle, in figures.

use serde::Serialize;

use crate::plan::Pattern;

/// Counts since the handle was opened. `asked_ahead` = `used_ahead` + `wasted` + what is asked for and not read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Reads told of.
    pub reads: u64,
    /// Bytes of the object in them.
    pub served: u64,
    /// Bytes asked for ahead, without those that memory refused.
    pub asked_ahead: u64,
    /// Bytes of those that were read.
    pub used_ahead: u64,
    /// Bytes of those that were cancelled, evicted, passed over or left at the close. Some may have arrived and
    /// serve a later read from the cache all the same.
    pub wasted: u64,
    /// Reads that found some of their bytes not yet there.
    pub starved: u64,
    /// Reads of which no byte had been asked for ahead.
    pub unasked: u64,
    /// Times a window grew.
    pub windows_grown: u64,
    /// Times a window was halved.
    pub windows_halved: u64,
    /// Runs recognised or declared: sequential, backward or strided.
    pub runs_seen: u64,
}

impl std::ops::AddAssign for Report {
    /// What several handles did together.
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.served += other.served;
        self.asked_ahead += other.asked_ahead;
        self.used_ahead += other.used_ahead;
        self.wasted += other.wasted;
        self.starved += other.starved;
        self.unasked += other.unasked;
        self.windows_grown += other.windows_grown;
        self.windows_halved += other.windows_halved;
        self.runs_seen += other.runs_seen;
    }
}

/// What one run has ahead now, for a live view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Which kind of run.
    pub pattern: Pattern,
    /// Where the reader is.
    pub position: u64,
    /// First byte asked for and not read; the position if there is none.
    pub start: u64,
    /// One past the last of them.
    pub end: u64,
    /// Bytes asked for and not read; less than `end - start` where there are gaps.
    pub ahead: u64,
    /// The size of the window: what may be ahead.
    pub size: u64,
}

/// Adds to a figure; 16 EiB are as far as it counts.
pub(crate) fn count(figure: &mut u64, bytes: u64) {
    *figure = figure.saturating_add(bytes);
}
