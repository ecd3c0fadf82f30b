//! Decompressed batches that somebody may want again.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay_types::MemoryBudget;
use serde::Serialize;
use ulid::Ulid;

use crate::batch::Decoded;

/// A batch: its object and where it begins in it.
pub(crate) type Place = (Ulid, u64);

/// What became of batches that readers wanted decompressed, since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DecodedStats {
    /// Batches that were decompressed.
    pub decompressed: u64,
    /// Batches that were found decompressed.
    pub found: u64,
    /// Bytes of decompressed batches that are kept now.
    pub kept_bytes: u64,
}

/// Keeps the batches that were decompressed last. Batches without compression are slices of what the disk cache has:
/// keeping those would keep everything twice.
pub(crate) struct DecodedCache {
    most: u64,
    budget: Arc<dyn MemoryBudget>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_place: HashMap<Place, Entry>,
    /// Oldest use first.
    by_use: BTreeMap<u64, Place>,
    uses: u64,
    bytes: u64,
    decompressed: u64,
    found: u64,
}

struct Entry {
    decoded: Decoded,
    used: u64,
    _memory: Box<dyn Any + Send + Sync>,
}

impl DecodedCache {
    pub(crate) fn new(most: u64, budget: Arc<dyn MemoryBudget>) -> Self {
        Self {
            most,
            budget,
            kept: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, place: Place) -> Option<Decoded> {
        let mut kept = self.kept();
        let kept = &mut *kept;
        let entry = kept.by_place.get_mut(&place)?;
        kept.found += 1;
        kept.by_use.remove(&entry.used);
        kept.uses += 1;
        entry.used = kept.uses;
        kept.by_use.insert(entry.used, place);
        Some(entry.decoded.clone())
    }

    /// Counts `decoded`, and keeps it if there is memory for it, in place of those that were used longest ago.
    pub(crate) fn put(&self, place: Place, decoded: &Decoded) {
        let bytes = decoded.memory() as u64;
        if bytes == 0 {
            return;
        }
        let mut kept = self.kept();
        kept.decompressed += 1;
        if bytes > self.most {
            return;
        }
        kept.forget(place);
        while kept.bytes + bytes > self.most && kept.forget_oldest() {}
        let memory = loop {
            match self.budget.try_set_aside(bytes) {
                Some(memory) => break memory,
                None if kept.forget_oldest() => {}
                // Whoever reads needs the memory more.
                None => return,
            }
        };
        kept.uses += 1;
        let used = kept.uses;
        kept.bytes += bytes;
        kept.by_use.insert(used, place);
        let entry = Entry {
            decoded: decoded.clone(),
            used,
            _memory: memory,
        };
        kept.by_place.insert(place, entry);
    }

    pub(crate) fn stats(&self) -> DecodedStats {
        let kept = self.kept();
        DecodedStats {
            decompressed: kept.decompressed,
            found: kept.found,
            kept_bytes: kept.bytes,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget(&mut self, place: Place) {
        if let Some(entry) = self.by_place.remove(&place) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.decoded.memory() as u64;
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let oldest = self.by_use.values().next().copied();
        if let Some(place) = oldest {
            self.forget(place);
        }
        oldest.is_some()
    }
}

impl fmt::Debug for DecodedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodedCache")
            .field("most", &self.most)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
