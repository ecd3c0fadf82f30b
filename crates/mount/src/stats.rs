//! Figures of a mount.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use forebay_types::{Clock, SystemClock};
use serde::Serialize;

/// What a mount did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MountStats {
    /// Reads that the kernel asked for.
    pub reads: u64,
    /// Those of them that were answered at once, on the thread that asked.
    pub at_once: u64,
    /// Bytes answered.
    pub bytes: u64,
    /// Writes that the kernel asked for; none of a mount that cannot be written to.
    pub writes: u64,
    /// Bytes written by them, or copied from file to file.
    pub written: u64,
    /// Files opened.
    pub opens: u64,
    /// Opens of them whose bytes the kernel reads by itself.
    pub passthrough_opens: u64,
    /// Files that were handed to the kernel to be read by itself.
    pub handed_over: u64,
    /// Files that the kernel reads by itself now.
    pub handed_over_now: u64,
    /// Requests that were given up by their programs.
    pub interrupted: u64,
    /// Requests that ended in an error, names that are not there apart.
    pub errors: u64,
    /// Requests that wait for something.
    pub waiting: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) reads: AtomicU64,
    pub(crate) at_once: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) opens: AtomicU64,
    pub(crate) passthrough_opens: AtomicU64,
    pub(crate) interrupted: AtomicU64,
    pub(crate) errors: AtomicU64,
}

impl Counters {
    pub(crate) fn count(which: &AtomicU64) {
        which.fetch_add(1, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> MountStats {
        MountStats {
            reads: self.reads.load(Relaxed),
            at_once: self.at_once.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            writes: self.writes.load(Relaxed),
            written: self.written.load(Relaxed),
            opens: self.opens.load(Relaxed),
            passthrough_opens: self.passthrough_opens.load(Relaxed),
            interrupted: self.interrupted.load(Relaxed),
            errors: self.errors.load(Relaxed),
            ..MountStats::default()
        }
    }
}

/// What was read of one open file. Nothing of what the kernel reads by itself.
#[derive(Debug)]
pub(crate) struct FileCounters {
    /// By the mount's clock.
    pub(crate) opened: Duration,
    pub(crate) reads: AtomicU64,
    pub(crate) at_once: AtomicU64,
    pub(crate) served: AtomicU64,
    pub(crate) errors: AtomicU64,
}

impl FileCounters {
    pub(crate) fn new(clock: &SystemClock) -> Self {
        Self {
            opened: clock.now(),
            reads: AtomicU64::new(0),
            at_once: AtomicU64::new(0),
            served: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }
    }
}
