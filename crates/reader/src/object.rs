//! One version of one object, as all its handles share it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use forebay_cache::{Cache, CachedObject, Hold, Staging};
use forebay_range::{RangeError, Reservation};
use forebay_types::{ByteRange, ObjectId, Version};

use crate::handle::Inner;

/// Memory of the engine's budget, held for staged bytes.
#[derive(Debug)]
pub(crate) struct Memory(pub(crate) Reservation);

impl Hold for Memory {
    fn release(&mut self, bytes: u64) {
        self.0.release(bytes);
    }
}

/// The bytes of an object that are on their way.
pub(crate) type OnTheirWay = Staging<Memory, Arc<RangeError>>;

/// One version of one object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) id: ObjectId,
    /// Where it is kept; `None` if it is not.
    pub(crate) cached: Option<Arc<CachedObject>>,
    pub(crate) staging: OnTheirWay,
    /// Who has it open.
    handles: Mutex<Vec<Weak<Inner>>>,
}

impl Object {
    pub(crate) fn size(&self) -> u64 {
        self.id.size
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
    /// The object of this id, shared with everybody who has it open. Kept in `cache`, unless nothing tells its versions
    /// apart: such bytes could be mixed with those of another version later.
    pub(crate) fn get(&self, id: ObjectId, cache: Option<&Cache>) -> Arc<Object> {
        let cache = cache.filter(|_| id.version != Version::Unknown);
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
            id: key.0.clone(),
            handles: Mutex::default(),
        });
        open.insert(key, Arc::downgrade(&object));
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
