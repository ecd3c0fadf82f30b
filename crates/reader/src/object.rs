//! One version of one object, as all its handles share it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use forebay_cache::{Cache, CachedObject, Hold, Staging};
use forebay_range::{RangeError, Reservation, Urgency};
use forebay_types::{ByteRange, ObjectId, Origin, Proof};

use crate::handle::Inner;

/// Memory of the engine's budget, held for staged bytes.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) reservation: Reservation,
    /// Of a fill that is longer than its memory: held until the fill ends, while bytes come and go.
    pub(crate) whole: bool,
    /// The handle's leave to be above the budget, if this memory is.
    pub(crate) _overdraft: Option<Overdraft>,
}

impl Hold for Memory {
    fn release(&mut self, bytes: u64) {
        if !self.whole {
            self.reservation.release(bytes);
        }
    }
}

/// Leave to have one piece of memory above the budget. One per handle.
#[derive(Debug)]
pub(crate) struct Overdraft(Arc<AtomicBool>);

impl Overdraft {
    /// The leave, unless it is in use.
    pub(crate) fn take(flag: &Arc<AtomicBool>) -> Option<Self> {
        let free = flag.compare_exchange(false, true, Relaxed, Relaxed).is_ok();
        free.then(|| Self(flag.clone()))
    }
}

impl Drop for Overdraft {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// An object in all its versions.
pub(crate) type Name = (Origin, Arc<str>);

/// The bytes of an object that are on their way.
pub(crate) type OnTheirWay = Staging<Memory, Arc<RangeError>>;

/// One version of one object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) id: ObjectId,
    /// Where it is kept; `None` if it is not.
    pub(crate) cached: Option<Arc<CachedObject>>,
    pub(crate) staging: OnTheirWay,
    /// Its server gives it only as a whole: one request for all that is missing.
    pub(crate) single_stream: AtomicBool,
    /// Held by who brings all of it, to have it checked.
    pub(crate) proving: tokio::sync::Mutex<()>,
    /// Who has it open.
    handles: Mutex<Vec<Weak<Inner>>>,
    /// Parts that are not through yet, by where they start.
    queued: Mutex<BTreeMap<u64, (u64, Urgency)>>,
}

/// A part in the list of those that are not through; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Queued {
    object: Arc<Object>,
    start: u64,
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.object.queued().remove(&self.start);
    }
}

impl Object {
    pub(crate) fn size(&self) -> u64 {
        self.id.size
    }

    /// Whose versions it is one of.
    pub(crate) fn name(&self) -> Name {
        (self.id.origin.clone(), self.id.key.clone())
    }

    fn queued(&self) -> MutexGuard<'_, BTreeMap<u64, (u64, Urgency)>> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part is on its way to its turn.
    pub(crate) fn queue(self: &Arc<Self>, range: ByteRange, urgency: &Urgency) -> Queued {
        self.queued()
            .insert(range.start(), (range.end(), urgency.clone()));
        Queued {
            object: self.clone(),
            start: range.start(),
        }
    }

    /// A reader waits for `range`: the parts that bring it go first, whoever asked for them.
    pub(crate) fn hurry(&self, range: ByteRange) {
        for (end, urgency) in self.queued().range(..range.end()).rev().map(|(_, part)| part) {
            // Parts do not overlap: those further down end further down.
            if *end <= range.start() {
                return;
            }
            urgency.raise();
        }
    }

    /// One more has it open.
    pub(crate) fn enlist(&self, handle: Weak<Inner>) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|handle| handle.strong_count() > 0);
        handles.push(handle);
    }

    /// Gives up what was fetched ahead, until `wanted` bytes are free; whose it was hears of it.
    fn reclaim(&self, wanted: u64) -> u64 {
        let reclaimed = self.staging.reclaim(wanted);
        if !reclaimed.lost.is_empty() {
            let handles: Vec<_> = {
                let handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
                handles.iter().filter_map(Weak::upgrade).collect()
            };
            for handle in handles {
                for range in &reclaimed.lost {
                    handle.ahead().evicted(*range);
                }
            }
        }
        reclaimed.freed
    }

    /// All its bytes.
    pub(crate) fn whole(&self) -> ByteRange {
        ByteRange::new(0, self.size())
    }
}

/// The objects that handles are open on.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    open: Mutex<HashMap<(ObjectId, bool), Weak<Object>>>,
}

impl Objects {
    /// The object of this id, shared with everybody who has it open; kept in `cache`, if one is given, and checked there by
    /// `proof`.
    pub(crate) fn get(
        &self,
        id: ObjectId,
        cache: Option<&Cache>,
        proof: Option<&Arc<dyn Proof>>,
    ) -> Arc<Object> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (id, cache.is_some());
        if let Some(object) = open.get(&key).and_then(Weak::upgrade) {
            return object;
        }
        if open.len() >= 64 && open.len().is_power_of_two() {
            open.retain(|_, object| object.strong_count() > 0);
        }
        let object = Arc::new(Object {
            cached: cache.map(|cache| cache.object(&key.0)),
            staging: Staging::new(key.0.size),
            single_stream: AtomicBool::new(false),
            proving: tokio::sync::Mutex::default(),
            id: key.0.clone(),
            handles: Mutex::default(),
            queued: Mutex::default(),
        });
        open.insert(key, Arc::downgrade(&object));
        drop(open);
        if let (Some(cached), Some(proof)) = (&object.cached, proof) {
            cached.must_prove(proof);
        }
        object
    }

    /// Memory that can be had back from read-ahead, of all objects together.
    pub(crate) fn reclaim(&self, wanted: u64) -> u64 {
        let objects: Vec<_> = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.values().filter_map(Weak::upgrade).collect()
        };
        let mut freed = 0;
        for object in objects {
            if freed >= wanted {
                break;
            }
            freed += object.reclaim(wanted - freed);
        }
        freed
    }
}
