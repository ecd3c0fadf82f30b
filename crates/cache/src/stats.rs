//! What the cache did: counted in this process, posted to the ledger, told for all processes together.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;

/// The figures of all processes since the directory was made or cleared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CacheStats {
    /// Bytes charged against the budget now.
    pub current_size: u64,
    /// The budget.
    pub max_size: u64,
    /// Objects in the cache.
    pub entry_count: u64,
    /// Reads answered from the cache.
    pub hits: u64,
    /// Reads that had to wait for the source.
    pub misses: u64,
    /// Hits among all reads, 0 to 1; 0 before the first read.
    pub hit_rate: f64,
    /// Bytes answered from the cache.
    pub bytes_hit: u64,
    /// Bytes that had to come from the source.
    pub bytes_missed: u64,
    /// Bytes written into the cache.
    pub bytes_stored: u64,
    /// Fills that were not kept: no room, a failing disk, a version that is no longer wanted.
    pub drops: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
    /// Objects removed to make room.
    pub evictions: u64,
    /// Bytes freed to make room, by removing objects and by shrinking them.
    pub evicted_bytes: u64,
    /// Times that a large object was shrunk.
    pub shrinks: u64,
    /// Blocks whose checksum did not match, and maps that could not be read.
    pub corrupt: u64,
    /// Entries removed because a file of theirs was missing or had the wrong length.
    pub broken: u64,
    /// Files removed that nothing referred to.
    pub swept: u64,
    /// Writes that went around the page cache.
    pub direct_writes: u64,
    /// Writes through the page cache.
    pub buffered_writes: u64,
    /// Writes that should have gone around the page cache, but the file system refused.
    pub refused_direct: u64,
    /// Reads that could not ask for "only if in memory", because the file system cannot tell.
    pub refused_nowait: u64,
    /// Writes and reads of the cache's own files that failed.
    pub io_errors: u64,
    /// How often the directory was looked through.
    pub scans: u64,
}

/// What is counted. The order is that of the ledger file; new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Hits,
    Misses,
    BytesHit,
    BytesMissed,
    BytesStored,
    Drops,
    DroppedBytes,
    Evictions,
    EvictedBytes,
    Shrinks,
    Corrupt,
    Broken,
    Swept,
    DirectWrites,
    BufferedWrites,
    RefusedDirect,
    RefusedNowait,
    IoErrors,
    Scans,
}

impl Count {
    /// All of them, in order.
    pub(crate) const ALL: [Self; COUNTS] = [
        Self::Hits,
        Self::Misses,
        Self::BytesHit,
        Self::BytesMissed,
        Self::BytesStored,
        Self::Drops,
        Self::DroppedBytes,
        Self::Evictions,
        Self::EvictedBytes,
        Self::Shrinks,
        Self::Corrupt,
        Self::Broken,
        Self::Swept,
        Self::DirectWrites,
        Self::BufferedWrites,
        Self::RefusedDirect,
        Self::RefusedNowait,
        Self::IoErrors,
        Self::Scans,
    ];
}

/// How many there are.
pub(crate) const COUNTS: usize = Count::Scans as usize + 1;

/// Counted in this process and not yet in the ledger.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pending: [AtomicU64; COUNTS],
    dirty: AtomicBool,
}

impl Counts {
    /// Adds `n`; tells whether these are the first news since the last [`Counts::take`].
    pub(crate) fn add(&self, what: Count, n: u64) -> bool {
        self.pending[what as usize].fetch_add(n, Ordering::Relaxed);
        self.touch()
    }

    /// Says that there is news of another kind.
    pub(crate) fn touch(&self) -> bool {
        !self.dirty.load(Ordering::Relaxed) && !self.dirty.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Relaxed)
    }

    /// Takes what is pending, to post it.
    pub(crate) fn take(&self) -> [u64; COUNTS] {
        self.dirty.store(false, Ordering::Release);
        std::array::from_fn(|i| self.pending[i].swap(0, Ordering::AcqRel))
    }

    /// What is pending, without taking it.
    pub(crate) fn peek(&self) -> [u64; COUNTS] {
        std::array::from_fn(|i| self.pending[i].load(Ordering::Relaxed))
    }
}

impl CacheStats {
    /// From the figures of a ledger.
    pub(crate) fn of(current_size: u64, entry_count: u64, max_size: u64, counts: &[u64; COUNTS]) -> Self {
        let at = |what: Count| counts[what as usize];
        let (hits, misses) = (at(Count::Hits), at(Count::Misses));
        let reads = hits.saturating_add(misses);
        Self {
            current_size,
            max_size,
            entry_count,
            hits,
            misses,
            hit_rate: if reads == 0 {
                0.0
            } else {
                hits as f64 / reads as f64
            },
            bytes_hit: at(Count::BytesHit),
            bytes_missed: at(Count::BytesMissed),
            bytes_stored: at(Count::BytesStored),
            drops: at(Count::Drops),
            dropped_bytes: at(Count::DroppedBytes),
            evictions: at(Count::Evictions),
            evicted_bytes: at(Count::EvictedBytes),
            shrinks: at(Count::Shrinks),
            corrupt: at(Count::Corrupt),
            broken: at(Count::Broken),
            swept: at(Count::Swept),
            direct_writes: at(Count::DirectWrites),
            buffered_writes: at(Count::BufferedWrites),
            refused_direct: at(Count::RefusedDirect),
            refused_nowait: at(Count::RefusedNowait),
            io_errors: at(Count::IoErrors),
            scans: at(Count::Scans),
        }
    }
}
