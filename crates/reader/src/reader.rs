//! What all reads of a process share.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use forebay_cache::Cache;
use forebay_range::{Known, RangeEngine, Target};
use forebay_readahead::{ReadAheadConfig, Report};

use forebay_types::Version;

use crate::buffers::Buffers;
use crate::object::{Name, Objects};
use crate::options::ReaderOptions;
use crate::stats::{ReaderStats, Reads};

/// Since its last change an object is told from later versions by the date alone: the step of HTTP dates, and as much
/// again for clocks that differ.
const SETTLED: Duration = Duration::from_secs(2);

/// Reads objects through the cache, with read-ahead. Cheap to clone; clones share everything, so one per process is
/// right.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: RangeEngine,
    pub(crate) cache: Option<Cache>,
    pub(crate) options: ReaderOptions,
    pub(crate) objects: Objects,
    pub(crate) buffers: Buffers,
    pub(crate) reads: Reads,
    pub(crate) keepers: AtomicU64,
    /// Objects whose cached version a server has contradicted: the next open asks, whatever freshness says.
    doubted: Mutex<HashSet<Name>>,
    pub(crate) closed: Mutex<Report>,
}

impl Reader {
    /// Reads with `engine`, keeps in `cache`, or nothing without one.
    pub fn new(engine: RangeEngine, cache: Option<Cache>, options: ReaderOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                engine,
                cache,
                options,
                objects: Objects::default(),
                buffers: Buffers::default(),
                reads: Reads::default(),
                keepers: AtomicU64::new(0),
                doubted: Mutex::default(),
                closed: Mutex::default(),
            }),
        }
    }

    /// The engine that it fetches with.
    pub fn engine(&self) -> &RangeEngine {
        &self.shared.engine
    }

    /// The cache, if there is one.
    pub fn cache(&self) -> Option<&Cache> {
        self.shared.cache.as_ref()
    }

    /// Waits until the disk has all that was given to it.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait; the writes go on.
    pub async fn flush(&self) {
        if let Some(cache) = self.shared.cache.clone() {
            // Fails only if the runtime ends, and with it the wait.
            let _ = tokio::task::spawn_blocking(move || cache.flush()).await;
        }
    }

    /// Figures since the start.
    pub fn stats(&self) -> ReaderStats {
        let reads = &self.shared.reads;
        ReaderStats {
            reads: reads.reads.load(Relaxed),
            served: reads.served.load(Relaxed),
            hits: reads.hits.load(Relaxed),
            range: self.shared.engine.stats(),
            read_ahead: *self.shared.closed.lock().unwrap_or_else(PoisonError::into_inner),
            cache: self.shared.cache.as_ref().map(Cache::stats),
        }
    }
}

impl Shared {
    /// The cache, if this version of the target may be kept in it: not if its source is as near as the disk, and not if
    /// another version could pass for this one, whose bytes would then be mixed with it.
    pub(crate) fn cache_for(&self, target: &Target, known: &Known) -> Option<&Cache> {
        let told_apart = match known.version {
            Version::ETag(_) => true,
            // Two changes within a second have the same date.
            Version::Modified(micros) => {
                let changed = Duration::from_micros(u64::try_from(micros).unwrap_or_default());
                self.engine.clock().wall() >= changed + SETTLED
            }
            Version::Unknown => false,
        };
        self.cache.as_ref().filter(|_| target.cached && told_apart)
    }

    /// Bytes of memory that read-ahead may take: an eighth of the budget is left to demand.
    pub(crate) fn spare(&self) -> u64 {
        let budget = self.engine.budget();
        budget.free().saturating_sub(budget.total() / 8)
    }

    /// The server said that an object changed or went away.
    pub(crate) fn doubt(&self, name: Name) {
        self.doubted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name);
    }

    pub(crate) fn is_doubted(&self, name: &Name) -> bool {
        self.doubted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(name)
    }

    /// The server told which version is the present one.
    pub(crate) fn trust(&self, name: &Name) {
        self.doubted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }

    /// How a handle on `key` runs ahead, when one request brings `unit` bytes.
    pub(crate) fn read_ahead(&self, key: &str, unit: u64) -> ReadAheadConfig {
        let base = ReadAheadConfig {
            unit,
            ..self.options.read_ahead.clone()
        };
        base.for_key(&self.options.by_extension, key)
    }
}
