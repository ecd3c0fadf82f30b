//! Figures of a disk.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::engine::EngineKind;
use crate::pool::PoolStats;

/// What a [`crate::Disk`] did so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskStats {
    /// Which engine serves.
    pub engine: EngineKind,
    /// Reads given to the engine.
    pub reads: u64,
    /// Bytes that came past the page cache, edges included.
    pub direct_bytes: u64,
    /// Bytes that came through the page cache, because a file system refused or nobody asked for more.
    pub buffered_bytes: u64,
    /// Bytes written past the page cache.
    pub direct_written: u64,
    /// Bytes written through the page cache: where a file system refused, and the end of a file that is no whole unit.
    pub buffered_written: u64,
    /// Files that were to be read or written directly and could not.
    pub refused_files: u64,
    /// Edge units that came from a neighbour's read.
    pub shared_edges: u64,
    /// Reads into memory that the kernel knew already.
    pub registered_reads: u64,
    /// The pool of buffers.
    pub pool: PoolStats,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) reads: AtomicU64,
    pub(crate) direct_bytes: AtomicU64,
    pub(crate) buffered_bytes: AtomicU64,
    pub(crate) direct_written: AtomicU64,
    pub(crate) buffered_written: AtomicU64,
    pub(crate) refused_files: AtomicU64,
    pub(crate) shared_edges: AtomicU64,
    pub(crate) registered_reads: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self, engine: EngineKind, pool: PoolStats) -> DiskStats {
        DiskStats {
            engine,
            reads: self.reads.load(Relaxed),
            direct_bytes: self.direct_bytes.load(Relaxed),
            buffered_bytes: self.buffered_bytes.load(Relaxed),
            direct_written: self.direct_written.load(Relaxed),
            buffered_written: self.buffered_written.load(Relaxed),
            refused_files: self.refused_files.load(Relaxed),
            shared_edges: self.shared_edges.load(Relaxed),
            registered_reads: self.registered_reads.load(Relaxed),
            pool,
        }
    }
}
