//! What reads took.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use forebay_cache::CacheStats;
use forebay_range::RangeStats;
use forebay_readahead::Report;
use serde::Serialize;

/// Figures of one handle since it was opened.
#[derive(Clone, Debug, Serialize)]
pub struct HandleStats {
    /// Reads answered.
    pub reads: u64,
    /// Bytes given to the reader.
    pub served: u64,
    /// Reads that found all their bytes here.
    pub hits: u64,
    /// What its requests took.
    pub range: RangeStats,
    /// What read-ahead did.
    pub read_ahead: Report,
}

/// Figures of a reader since the process started.
#[derive(Clone, Debug, Serialize)]
pub struct ReaderStats {
    /// Reads answered.
    pub reads: u64,
    /// Bytes given to readers.
    pub served: u64,
    /// Reads that found all their bytes here.
    pub hits: u64,
    /// What all requests took.
    pub range: RangeStats,
    /// What read-ahead did, of handles that were closed.
    pub read_ahead: Report,
    /// What the cache has, if there is one.
    pub cache: Option<CacheStats>,
}

/// Reads, as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(crate) reads: AtomicU64,
    pub(crate) served: AtomicU64,
    pub(crate) hits: AtomicU64,
}

impl Reads {
    pub(crate) fn count(&self, bytes: u64, hit: bool) {
        self.reads.fetch_add(1, Relaxed);
        self.served.fetch_add(bytes, Relaxed);
        self.hits.fetch_add(u64::from(hit), Relaxed);
    }
}
