//! Room for new bytes: reserved in the ledger before they are written, made by taking out what is used least.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rustix::fs::FlockOperation;

use crate::dir::Shard;
use crate::files::{self, Attached, Found};
use crate::name::Name;
use crate::options::Accounting;
use crate::shared::Shared;
use crate::stats::Count;
use crate::sys::{changed, charged, try_lock};

/// An idle object that has more than this part of the whole budget is made smaller instead of being removed: one of many extents goes,
/// not all of them for a few bytes.
const LARGE_SHARE: u64 = 2;

/// Attempts to reserve, each after room was made: other processes may take it first.
const ATTEMPTS: u32 = 16;

/// Bytes, and perhaps an object, that the ledger has for a write that is still to come.
#[derive(Debug)]
pub(crate) struct Reservation {
    shared: Arc<Shared>,
    bytes: u64,
    /// Objects posted and not made yet: one or none.
    entries: i64,
    open: bool,
}

impl Reservation {
    /// The object was made. In one step with the index, so that a scan counts it once.
    pub(crate) fn entry_was_made(&mut self, name: Name, changed: i64) {
        let mut index = self.shared.index();
        index.set(name, 0, changed);
        if std::mem::take(&mut self.entries) == 0 {
            // It was there when the bytes were reserved, and was removed since.
            self.shared.charge(0, 1);
        } else {
            self.shared.pending.new_entries.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The write is done: the object has grown by so many bytes.
    pub(crate) fn settle(mut self, grown: i64) {
        self.close(grown);
    }

    fn close(&mut self, grown: i64) {
        if std::mem::take(&mut self.open) {
            let reserved = i64::try_from(self.bytes).unwrap_or(i64::MAX);
            self.shared.charge(grown - reserved, -self.entries);
            self.withdraw();
        }
    }

    /// Nothing of it is to come any more.
    fn withdraw(&self) {
        let pending = &self.shared.pending;
        pending.outstanding.fetch_sub(self.bytes, Ordering::AcqRel);
        pending.new_entries.fetch_sub(self.entries, Ordering::AcqRel);
    }
}

impl Drop for Reservation {
    /// Nothing was written.
    fn drop(&mut self) {
        self.close(0);
    }
}

/// What became of an attempt to reserve.
enum Attempt {
    Reserved,
    /// So many bytes must go first.
    Over(u64),
    /// The ledger does not know what there is.
    Unscanned,
}

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
    /// Reserves `bytes` for the object `name`, which is `new` or not, making room if need be; `None` if there is none.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64, new: bool, name: Name) -> Option<Reservation> {
        if bytes > self.options.max_size || !self.keep_free(bytes, name) {
            return None;
        }
        let entries = i64::from(new);
        self.pending.outstanding.fetch_add(bytes, Ordering::AcqRel);
        self.pending.new_entries.fetch_add(entries, Ordering::AcqRel);
        // Given back when it is dropped, and not settled as long as nothing is reserved.
        let mut reservation = Reservation {
            shared: self.clone(),
            bytes,
            entries,
            open: true,
        };
        for _ in 0..ATTEMPTS {
            match self.attempt(bytes, entries) {
                Some(Attempt::Reserved) => return Some(reservation),
                Some(Attempt::Over(over)) if self.make_room(over, name) > 0 => {}
                Some(Attempt::Unscanned) => {
                    let mut scans = self.room.lock().unwrap_or_else(PoisonError::into_inner);
                    // Another thread may have scanned while this one waited.
                    if !self.update(|figures| figures.scanned == 1)? {
                        self.scan(&mut scans);
                    }
                }
                Some(Attempt::Over(_)) | None => break,
            }
        }
        reservation.open = false;
        reservation.withdraw();
        None
    }

    fn attempt(&self, bytes: u64, entries: i64) -> Option<Attempt> {
        self.update(|figures| {
            let over = (figures.total.saturating_add(bytes)).saturating_sub(self.options.max_size);
            if figures.scanned == 0 {
                Attempt::Unscanned
            } else if over > 0 {
                Attempt::Over(over)
            } else {
                figures.total += bytes;
                figures.added = figures.added.saturating_add(bytes);
                figures.entries = figures.entries.saturating_add_signed(entries);
                Attempt::Reserved
            }
        })
    }

    /// Sees that the file system keeps what it must; `false` if it cannot.
    fn keep_free(self: &Arc<Self>, bytes: u64, name: Name) -> bool {
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
        // Where others hold most of the bytes, our own would always be the first to go.
        let total = self.update(|figures| figures.total).unwrap_or(0);
        if self.index().bytes() < total / 2 && scans.is_due(self.clock.now()) {
            self.scan(&mut scans);
        }
        let freed = self.evict(bytes, for_name);
        if freed > 0 || !scans.is_due_soon(self.clock.now()) {
            return freed;
        }
        self.scan(&mut scans);
        // The scan may have found that there is room after all: then the next attempt succeeds without us.
        let fits = self.update(|figures| figures.total < total).unwrap_or(false);
        self.evict(bytes, for_name).max(u64::from(fits))
    }

    fn evict(self: &Arc<Self>, bytes: u64, for_name: Name) -> u64 {
        let mut freed = 0;
        let mut stayed = 0;
        while freed < bytes {
            let victim = {
                let mut index = self.index();
                if stayed > index.len() {
                    break;
                }
                index.victim()
            };
            let Some(victim) = victim else {
                break;
            };
            match self.evict_one(victim, bytes - freed, for_name) {
                Outcome::Freed(bytes) => {
                    freed += bytes;
                    stayed = 0;
                }
                Outcome::Gone => self.index().remove(victim, false),
                Outcome::Stays => {
                    stayed += 1;
                    self.index().pass_over(victim);
                }
            }
        }
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
            Ok(Some(taken)) if taken.map.as_ref().is_some_and(|map| map.head.instance == instance) => {
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
        let Some(taken) = files::take_out(shard, name)? else {
            return Ok(());
        };
        if taken.map.as_ref().is_some_and(|map| map.head.instance != instance) {
            taken.put_back(shard);
            return Ok(());
        }
        self.removed(name, taken, shard, false);
        for object in self.objects.versions(name) {
            // Readers that are under way go on; the space comes back when the last of them is done.
            if object.opened().is_some_and(|open| open.known.instance == instance) && !object.is_in_use(1) {
                self.open.remove(&object);
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
            Accounting::Disk => charged(map) + data,
            Accounting::Content => match files::find(shard, name) {
                Ok(Found::Map(map)) => map.content().unwrap_or(0),
                _ => 0,
            },
        }
    }
}
