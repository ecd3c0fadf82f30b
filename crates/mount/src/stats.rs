//! Figures of a mount.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a mount did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountStats {
    /// Reads that the kernel asked for.
    pub reads: u64,
    /// Those of them that were answered at once, on the thread that asked.
    pub at_once: u64,
    /// Bytes answered.
    pub bytes: u64,
    /// Files opened.
    pub opens: u64,
    /// Files that the kernel reads by itself.
    pub handed_over: u64,
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
    pub(crate) opens: AtomicU64,
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
            opens: self.opens.load(Relaxed),
            interrupted: self.interrupted.load(Relaxed),
            errors: self.errors.load(Relaxed),
            ..MountStats::default()
        }
    }
}
