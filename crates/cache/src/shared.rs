//! What all parts of an open cache share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use forebay_types::{Clock, ObjectId};
use rustix::io::Errno;

use crate::dir::{Dir, Shard};
use crate::files::{self, Taken};
use crate::index::Index;
use crate::keeper::Bell;
use crate::known::stamp;
use crate::ledger::{Figures, Ledger};
use crate::name::Name;
use crate::object::CachedObject;
use crate::options::{Accounting, CacheOptions};
use crate::queue::Queue;
use crate::scan::Scans;
use crate::stats::{Count, Counts};

/// An object that was not used for so long is closed, so that other processes may take it out.
const IDLE: Duration = Duration::from_secs(10);

/// The inside of a [`crate::Cache`].
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: CacheOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dir: Dir,
    pub(crate) ledger: Ledger,
    pub(crate) counts: Counts,
    pub(crate) pending: Pending,
    index: Mutex<Index>,
    pub(crate) objects: Registry,
    pub(crate) open: OpenList,
    pub(crate) queue: Queue,
    pub(crate) bell: Bell,
    /// Held by who makes room, scans, clears: one at a time in this process.
    pub(crate) room: Mutex<Scans>,
    /// `clears` of the ledger when this process looked last.
    clears: AtomicU64,
    pub(crate) said: Said,
    /// The file system refused O_DIRECT.
    pub(crate) direct_refused: AtomicBool,
}

/// Changes of the budget's figures that are not in the ledger yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    total: AtomicI64,
    entries: AtomicI64,
    /// Bytes that are reserved in the ledger and perhaps not yet on disk.
    pub(crate) outstanding: AtomicU64,
    /// Objects that are posted and perhaps not made yet.
    pub(crate) new_entries: AtomicI64,
}

impl Shared {
    pub(crate) fn new(options: CacheOptions, clock: Arc<dyn Clock>, dir: Dir, ledger: Ledger) -> Self {
        Self {
            queue: Queue::new(options.write_behind),
            options,
            clock,
            dir,
            ledger,
            counts: Counts::default(),
            pending: Pending::default(),
            index: Mutex::new(Index::new()),
            objects: Registry::default(),
            open: OpenList::default(),
            bell: Bell::default(),
            room: Mutex::default(),
            clears: AtomicU64::new(0),
            said: Said::default(),
            direct_refused: AtomicBool::new(false),
        }
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, what: Count, n: u64) {
        if self.counts.add(what, n) {
            self.bell.ring();
        }
    }

    /// Changes the budget's figures, at the next opportunity.
    pub(crate) fn charge(&self, bytes: i64, entries: i64) {
        self.pending.total.fetch_add(bytes, Ordering::AcqRel);
        self.pending.entries.fetch_add(entries, Ordering::AcqRel);
        if self.counts.touch() {
            self.bell.ring();
        }
    }

    /// Posts what is pending, changes the figures further, and returns what `change` does; `None` if the ledger cannot be used.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Figures) -> R) -> Option<R> {
        let counts = self.counts.take();
        let total = self.pending.total.swap(0, Ordering::AcqRel);
        let entries = self.pending.entries.swap(0, Ordering::AcqRel);
        let result = self.ledger.update(|figures| {
            figures.total = figures.total.saturating_add_signed(total);
            figures.entries = figures.entries.saturating_add_signed(entries);
            for (posted, new) in figures.counts.iter_mut().zip(counts) {
                *posted = posted.saturating_add(new);
            }
            let result = change(figures);
            (result, figures.clears)
        });
        match result {
            Some((result, clears)) => {
                self.see_clears(clears);
                Some(result)
            }
            None => {
                self.said.ledger();
                for (what, n) in Count::ALL.into_iter().zip(counts) {
                    self.counts.add(what, n);
                }
                self.charge(total, entries);
                None
            }
        }
    }

    /// Says that this process knows of so many clears.
    pub(crate) fn saw_clears(&self, clears: u64) {
        self.clears.store(clears, Ordering::Release);
    }

    /// Another process cleared the directory: what is open here is unlinked, and goes when it is closed.
    fn see_clears(&self, clears: u64) {
        if self.clears.swap(clears, Ordering::AcqRel) != clears {
            self.bell.ask_to_forget();
        }
    }

    /// Closes and forgets all objects of this process.
    pub(crate) fn forget_all(&self) {
        drop(self.open.take_all());
        for object in self.objects.all() {
            object.forget();
        }
        self.index().retain(|_| false);
    }

    /// Closes what was not used for a while.
    pub(crate) fn detach_idle(&self) {
        let now = stamp(self.clock.now());
        let idle = stamp(IDLE);
        for object in self.open.all() {
            let last_use = object.last_use.load(Ordering::Relaxed);
            if now.saturating_sub(last_use) > idle && object.opened().is_some() {
                object.detach();
            }
        }
    }

    /// Passes a result on; a failure is counted, said once, and otherwise a miss.
    pub(crate) fn note_failure<T>(&self, result: Result<T, Errno>) -> Option<T> {
        result
            .inspect_err(|errno| {
                self.count(Count::IoErrors, 1);
                self.said.failure(*errno, &self.dir);
            })
            .ok()
    }

    /// Removes what is under a name and is no map.
    pub(crate) fn remove_damaged(&self, shard: &Shard, name: Name) {
        let Some(Some(taken)) = self.note_failure(files::take_out(shard, name)) else {
            return;
        };
        if taken.map.is_some() {
            // Another process put a good one there in between.
            taken.put_back(shard);
            return;
        }
        self.count(Count::Corrupt, 1);
        self.said.damaged(name);
        self.removed(name, taken, shard, false);
    }

    /// Removes the object `instance` of a name, whose data is not as it should be.
    pub(crate) fn remove_broken(&self, shard: &Shard, name: Name, instance: u64) {
        let Some(Some(taken)) = self.note_failure(files::take_out(shard, name)) else {
            return;
        };
        if taken.map.as_ref().is_some_and(|map| map.head.instance != instance) {
            taken.put_back(shard);
            return;
        }
        self.count(Count::Broken, 1);
        self.said.broken(name);
        self.removed(name, taken, shard, false);
    }

    /// Removes the files of an object that this process took out, and takes it off the budget; returns its bytes.
    pub(crate) fn removed(&self, name: Name, taken: Taken, shard: &Shard, evicted: bool) -> u64 {
        let bytes = match self.options.accounting {
            Accounting::Disk => taken.charged,
            Accounting::Content => taken.map.as_ref().map_or(0, |map| map.content().unwrap_or(0)),
        };
        taken.remove(shard);
        let mut index = self.index();
        index.remove(name, evicted);
        // In one step with the index, for scans.
        self.charge(-i64::try_from(bytes).unwrap_or(i64::MAX), -1);
        bytes
    }

}

/// The objects that somebody has, by name. One for each version.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_name: Mutex<HashMap<Name, Vec<(ObjectId, Weak<CachedObject>)>>>,
}

impl Registry {
    /// The object, made if nobody has it.
    pub(crate) fn object(&self, name: Name, id: &ObjectId, make: impl FnOnce() -> Arc<CachedObject>) -> Arc<CachedObject> {
        let mut by_name = self.lock();
        let versions = by_name.entry(name).or_default();
        if let Some(object) = versions
            .iter()
            .find(|(other, _)| other == id)
            .and_then(|(_, object)| object.upgrade())
        {
            return object;
        }
        versions.retain(|(_, object)| object.strong_count() > 0);
        let object = make();
        versions.push((id.clone(), Arc::downgrade(&object)));
        object
    }

    /// All versions of a name that somebody has.
    pub(crate) fn versions(&self, name: Name) -> Vec<Arc<CachedObject>> {
        let by_name = self.lock();
        let versions = by_name.get(&name).into_iter().flatten();
        versions.filter_map(|(_, object)| object.upgrade()).collect()
    }

    pub(crate) fn all(&self) -> Vec<Arc<CachedObject>> {
        let by_name = self.lock();
        let objects = by_name.values().flatten();
        objects.filter_map(|(_, object)| object.upgrade()).collect()
    }

    /// An object of this name is gone.
    pub(crate) fn forget(&self, name: Name) {
        let mut by_name = self.lock();
        if let Some(versions) = by_name.get_mut(&name) {
            versions.retain(|(_, object)| object.strong_count() > 0);
            if versions.is_empty() {
                by_name.remove(&name);
            }
        }
    }

    /// No `Arc` of an object may be dropped under this lock: its drop takes it again.
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Vec<(ObjectId, Weak<CachedObject>)>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The objects that are open, or were not long ago: kept alive, so that an object that is read again and again by others who each
/// let it go is neither opened nor checked again.
#[derive(Debug, Default)]
pub(crate) struct OpenList {
    objects: Mutex<Vec<Arc<CachedObject>>>,
}

impl OpenList {
    /// Adds an object; if there are more than `max`, those that were not used for longest are closed and let go.
    pub(crate) fn push(&self, object: Arc<CachedObject>, max: usize) {
        if object.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let surplus = {
            let mut objects = self.lock();
            objects.push(object);
            if objects.len() <= max {
                return;
            }
            // An eighth at once, so that the sort is paid by many.
            objects.sort_by_key(|object| std::cmp::Reverse(object.last_use.load(Ordering::Relaxed)));
            objects.split_off((max - max / 8).max(1))
        };
        for object in surplus {
            let_go(&object);
        }
    }

    /// Closes an object and lets it go.
    pub(crate) fn remove(&self, object: &Arc<CachedObject>) {
        let found = {
            let mut objects = self.lock();
            let at = objects.iter().position(|other| Arc::ptr_eq(other, object));
            at.map(|at| objects.swap_remove(at))
        };
        if let Some(object) = found {
            let_go(&object);
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<CachedObject>> {
        self.lock().clone()
    }

    /// Lets all go, without closing those that others have.
    pub(crate) fn take_all(&self) -> Vec<Arc<CachedObject>> {
        let objects = std::mem::take(&mut *self.lock());
        for object in &objects {
            object.listed.store(false, Ordering::Release);
        }
        objects
    }

    /// Whether any is open.
    pub(crate) fn any_open(&self) -> bool {
        self.all().iter().any(|object| object.opened().is_some())
    }

    /// As for [`Registry`]: no `Arc` may be dropped under it.
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<CachedObject>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn let_go(object: &Arc<CachedObject>) {
    object.listed.store(false, Ordering::Release);
    object.detach();
}

/// What was said already: each trouble is worth one line in the log, and a counter for the rest.
#[derive(Debug, Default)]
pub(crate) struct Said {
    said: AtomicU32,
}

impl Said {
    fn first(&self, topic: u32) -> bool {
        self.said.fetch_or(1 << topic, Ordering::Relaxed) >> topic & 1 == 0
    }

    pub(crate) fn failure(&self, errno: Errno, dir: &Dir) {
        let full = matches!(errno, Errno::NOSPC | Errno::DQUOT);
        if self.first(u32::from(full)) {
            let dir = dir.path().display();
            if full {
                tracing::warn!(%dir, "no space left for the cache: what does not fit is read from its source again");
            } else {
                tracing::warn!(%dir, %errno, "the cache directory fails: what it cannot give is read from its source");
            }
        }
    }

    pub(crate) fn ledger(&self) {
        if self.first(2) {
            tracing::warn!("the cache's ledger cannot be written: nothing is added to the cache until it can be");
        }
    }

    pub(crate) fn corrupt(&self, id: &ObjectId, block: u64) {
        if self.first(3) {
            tracing::warn!(%id, block, "a cached block is damaged and is fetched again; `cache verify` looks for more");
        }
    }

    pub(crate) fn damaged(&self, name: Name) {
        if self.first(4) {
            tracing::warn!(?name, "a damaged map was removed from the cache");
        }
    }

    pub(crate) fn broken(&self, name: Name) {
        if self.first(5) {
            tracing::warn!(?name, "a cached object whose data was cut or lost was removed");
        }
    }

    pub(crate) fn refused_direct(&self) {
        if self.first(6) {
            tracing::info!("the cache's file system refuses O_DIRECT: writes go through the page cache");
        }
    }

    pub(crate) fn refused_nowait(&self) {
        if self.first(7) {
            tracing::info!("the cache's file system cannot read only what is in memory: such reads go to worker threads");
        }
    }

    pub(crate) fn no_room(&self, bytes: u64) {
        if self.first(8) {
            tracing::warn!(bytes, "nothing can leave the cache to make room: the bytes are not kept");
        }
    }

    pub(crate) fn malformed(&self, fill: &crate::Fill) {
        if self.first(9) {
            tracing::error!(?fill, "a fill is not made of whole blocks of its object: it is dropped");
        }
    }

    pub(crate) fn oversized(&self, bytes: u64, max_size: u64) {
        if self.first(10) {
            tracing::warn!(bytes, max_size, "larger than the whole cache: not kept");
        }
    }

    pub(crate) fn unfit(&self, id: &ObjectId) {
        if self.first(11) {
            tracing::warn!(%id, "its names are too long for the cache: not kept");
        }
    }
}
