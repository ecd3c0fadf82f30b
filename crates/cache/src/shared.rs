//! What all parts of an open cache share.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_types::Clock;
use rustix::io::Errno;

use crate::dir::{Dir, Shard};
use crate::files::{self, Taken};
use crate::index::Index;
use crate::keeper::Bell;
use crate::known::stamp;
use crate::ledger::{Figures, Ledger};
use crate::name::Name;
use crate::options::{Accounting, CacheOptions};
use crate::prove::Announcer;
use crate::queue::Queue;
use crate::registry::{OpenList, Registry};
use crate::said::Said;
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
    /// Held by who does the keeper's work.
    pub(crate) keeping: Mutex<()>,
    /// Held by who makes room, scans, clears: one at a time in this process.
    pub(crate) room: Mutex<Scans>,
    /// `clears` of the ledger when this process looked last.
    clears: AtomicU64,
    pub(crate) said: Said,
    pub(crate) refutations: Announcer,
    /// The file system refused O_DIRECT.
    pub(crate) direct_refused: AtomicBool,
}

/// Changes of the budget's figures that are not in the ledger yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    total: AtomicI64,
    entries: AtomicI64,
    /// What settled writes take off the ledger's `in_flight`.
    pub(crate) landed: AtomicU64,
    /// Bytes that are in the ledger for writes that are not settled. It and the next two rise with the ledger's lock held.
    pub(crate) outstanding: AtomicU64,
    /// Objects that are in the ledger and not made yet.
    pub(crate) new_entries: AtomicI64,
    /// All bytes that this process ever reserved.
    pub(crate) added: AtomicU64,
    /// Threads that wait for room: newcomers stand behind them.
    pub(crate) making_room: AtomicU64,
    /// How often this process cleared the directory.
    pub(crate) clears: AtomicU64,
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
            keeping: Mutex::new(()),
            room: Mutex::default(),
            clears: AtomicU64::new(0),
            said: Said::default(),
            refutations: Announcer::default(),
            direct_refused: AtomicBool::new(false),
        }
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_index(&self) -> Option<MutexGuard<'_, Index>> {
        self.index.try_lock().ok()
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

    /// An object takes `now` bytes instead of `before`. In one step with the index, for scans.
    pub(crate) fn resized(&self, name: Name, before: u64, now: u64) {
        let mut index = self.index();
        index.resize(name, now);
        self.charge(now as i64 - before as i64, 0);
    }

    /// Posts what is pending, changes the figures further, and returns what `change` does; `None` if the ledger cannot be used.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Figures) -> R) -> Option<R> {
        let counts = self.counts.take();
        // First: what is taken off here has its bytes among the total's.
        let landed = self.pending.landed.swap(0, Ordering::AcqRel);
        let total = self.pending.total.swap(0, Ordering::AcqRel);
        let entries = self.pending.entries.swap(0, Ordering::AcqRel);
        let result = self.ledger.update(|figures| {
            figures.total = figures.total.saturating_add_signed(total);
            figures.entries = figures.entries.saturating_add_signed(entries);
            figures.in_flight = figures.in_flight.saturating_sub(landed);
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
                self.pending.landed.fetch_add(landed, Ordering::AcqRel);
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
        // What the data took is not known without the map; the next scan sets the total right.
        self.removed(name, taken, shard, false);
        self.sweep_data_of(shard, name);
    }

    /// Removes the object `instance` of a name, whose data is not as it should be.
    pub(crate) fn remove_broken(&self, shard: &Shard, name: Name, instance: u64) {
        let Some(Some(taken)) = self.note_failure(files::take_out(shard, name)) else {
            return;
        };
        if taken
            .map
            .as_ref()
            .is_some_and(|map| map.head.instance != instance)
        {
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
        {
            let mut index = self.index();
            index.remove(name, evicted);
            // In one step with the index, for scans.
            self.charge(-i64::try_from(bytes).unwrap_or(i64::MAX), -1);
        }
        // Posted before the files are gone: a scan of another process that misses them ends after this, and so does not take
        // them off twice.
        self.update(|_| ());
        taken.remove(shard);
        bytes
    }
}
