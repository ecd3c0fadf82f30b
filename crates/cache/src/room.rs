//! Room for new bytes: made by taking out what is used least.

use std::sync::{Arc, PoisonError};

use forebay_disk::sys::stored;
use rustix::fs::FlockOperation;

use crate::dir::Shard;
use crate::files::{self, Attached, Found};
use crate::name::Name;
use crate::object::CachedObject;
use crate::options::Accounting;
use crate::scan::Scans;
use crate::shared::Shared;
use crate::stats::Count;
use crate::sys::{changed, try_lock};

/// An idle object that has more than this part of the whole budget is made smaller instead of being removed: one of many extents goes,
/// not all of them for a few bytes.
const LARGE_SHARE: u64 = 2;

/// What became of a victim.
enum Outcome {
    /// So many bytes are free now.
    Freed(u64),
    /// It was gone already.
    Gone,
    /// Somebody has it open, or used it.
    Stays,
}

impl Shared {
    /// Sees that the file system keeps what it must; `false` if it cannot.
    pub(crate) fn keep_free(self: &Arc<Self>, bytes: u64, name: Name) -> bool {
        if self.options.keep_free == 0 {
            return true;
        }
        let wanted = bytes.saturating_add(self.options.keep_free);
        match self.dir.free() {
            Some(free) if free < wanted => {
                self.make_room(wanted - free, name);
                self.dir.free().is_none_or(|free| free >= wanted)
            }
            _ => true,
        }
    }

    /// Frees at least `bytes` if it can; returns what it freed. `for_name` is being filled: it is made smaller, not removed.
    pub(crate) fn make_room(self: &Arc<Self>, bytes: u64, for_name: Name) -> u64 {
        let mut scans = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_room_in_turn(&mut scans, bytes, for_name)
    }

    pub(crate) fn make_room_in_turn(self: &Arc<Self>, scans: &mut Scans, bytes: u64, for_name: Name) -> u64 {
        // Where others hold most of the bytes, our own would always be the first to go.
        let total = self.update(|figures| figures.total).unwrap_or(0);
        if self.index().bytes() < total / 2 && scans.is_due(self.clock.now()) {
            self.scan(scans);
        }
        let freed = self.evict(bytes, for_name);
        if freed > 0 || !scans.is_due_soon(self.clock.now()) {
            return freed;
        }
        self.scan(scans);
        // The scan may have found that there is room after all: then the next attempt succeeds without us.
        let fits = self.update(|figures| figures.total < total).unwrap_or(false);
        self.evict(bytes, for_name).max(u64::from(fits))
    }

    fn evict(self: &Arc<Self>, bytes: u64, for_name: Name) -> u64 {
        let mut freed = 0;
        while freed < bytes {
            let victim = self.index().victim();
            let Some(victim) = victim else {
                break;
            };
            match self.evict_one(victim, bytes - freed, for_name) {
                Outcome::Freed(bytes) => freed += bytes,
                Outcome::Gone => self.index().remove(victim, false),
                Outcome::Stays => self.index().park(victim),
            }
        }
        self.index().resume();
        freed
    }

    fn evict_one(self: &Arc<Self>, name: Name, bytes: u64, for_name: Name) -> Outcome {
        for object in self.objects.versions(name) {
            let attached = object.opened().is_some();
            if attached && (object.is_in_use(1) || name == for_name) {
                return match object.shrink(bytes) {
                    0 => Outcome::Stays,
                    freed => self.was_shrunk(freed),
                };
            }
        }
        if name == for_name {
            return Outcome::Stays;
        }
        let large = self.index().bytes_of(name).unwrap_or(0) > self.options.max_size / LARGE_SHARE;
        if large && let Some(object) = self.object_of(name) {
            let freed = object.shrink(bytes);
            if freed > 0 {
                return self.was_shrunk(freed);
            }
        }
        for object in self.objects.versions(name) {
            self.open.remove(&object);
            object.detach();
        }
        let Ok(shard) = name.shard_in(&self.dir) else {
            return Outcome::Gone;
        };
        self.evict_files(&shard, name)
    }

    /// Takes an object out that this process does not have open.
    fn evict_files(&self, shard: &Shard, name: Name) -> Outcome {
        let map = match files::find(shard, name) {
            Ok(Found::Map(map)) => map,
            Ok(Found::Absent) => return Outcome::Gone,
            Ok(Found::Damaged) => {
                let before = self.index().bytes_of(name).unwrap_or(0);
                self.remove_damaged(shard, name);
                return Outcome::Freed(before);
            }
            Err(e) => {
                self.note_failure::<()>(Err(e));
                return Outcome::Gone;
            }
        };
        if let Ok(stat) = rustix::fs::fstat(&map.fd)
            && self.index().used_elsewhere(name, changed(&stat))
        {
            return Outcome::Stays;
        }
        let instance = map.head.instance;
        // Shared first, like everybody, then alone: who has it open keeps it.
        let files = match files::attach(shard, name, map) {
            Ok(Attached::Files(files)) => files,
            Ok(Attached::Gone) => return Outcome::Gone,
            Ok(Attached::Broken) => {
                let before = self.index().bytes_of(name).unwrap_or(0);
                self.remove_broken(shard, name, instance);
                return Outcome::Freed(before);
            }
            Ok(Attached::Busy) | Err(_) => return Outcome::Stays,
        };
        if !try_lock(files.data_fd(), FlockOperation::NonBlockingLockExclusive).unwrap_or(false) {
            return Outcome::Stays;
        }
        match files::take_out(shard, name) {
            Ok(Some(taken))
                if taken
                    .map
                    .as_ref()
                    .is_some_and(|map| map.head.instance == instance) =>
            {
                let freed = self.removed(name, taken, shard, true);
                self.count(Count::Evictions, 1);
                self.count(Count::EvictedBytes, freed);
                Outcome::Freed(freed)
            }
            Ok(Some(taken)) => {
                taken.put_back(shard);
                Outcome::Stays
            }
            Ok(None) | Err(_) => Outcome::Gone,
        }
    }

    /// Takes the map `instance` of another version out of the way; what this process has of it is closed.
    pub(crate) fn replace(&self, shard: &Shard, name: Name, instance: u64) -> Result<(), rustix::io::Errno> {
        let versions = self.objects.versions(name);
        let has = |object: &&Arc<CachedObject>| {
            object
                .opened()
                .is_some_and(|open| open.known.instance == instance)
        };
        // Fills of it that are under way come to their end first: what is measured then is all there is.
        let _io: Vec<_> = versions
            .iter()
            .filter(has)
            .map(|object| object.io.write().unwrap_or_else(PoisonError::into_inner))
            .collect();
        let Some(taken) = files::take_out(shard, name)? else {
            return Ok(());
        };
        if taken
            .map
            .as_ref()
            .is_some_and(|map| map.head.instance != instance)
        {
            taken.put_back(shard);
            return Ok(());
        }
        self.removed(name, taken, shard, false);
        for object in versions.iter().filter(has) {
            // Readers that are under way go on; the space comes back when the last of them is done.
            if !object.is_in_use(1) {
                self.open.remove(object);
                object.forget();
            }
        }
        Ok(())
    }

    fn was_shrunk(&self, freed: u64) -> Outcome {
        self.count(Count::Shrinks, 1);
        self.count(Count::EvictedBytes, freed);
        Outcome::Freed(freed)
    }

    /// What a map and its data are charged with, without opening them.
    pub(crate) fn charge_of(&self, shard: &Shard, name: Name, map: &rustix::fs::Stat, data: u64) -> u64 {
        match self.options.accounting {
            Accounting::Disk => stored(map) + data,
            Accounting::Content => match files::find(shard, name) {
                Ok(Found::Map(map)) => map.content().unwrap_or(0),
                _ => 0,
            },
        }
    }
}
