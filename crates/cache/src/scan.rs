//! Looking through the directory: what there is, how large, how old; and what nobody owns any more.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use forebay_disk::sys::stored;
use rustix::fs::{FlockOperation, Stat};

use crate::dir::{Shard, is_ours};
use crate::files::{self, Found};
use crate::name::{FileKind, Name};
use crate::options::Accounting;
use crate::shared::Shared;
use crate::stats::Count;
use crate::sys::{changed, try_lock};

/// A file that no map refers to may belong to an object that is being made: not if it is older than this.
const ORPHAN_AGE: Duration = Duration::from_secs(600);

/// When this process scanned last, and how long it took.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    last: Option<(Duration, Duration)>,
    /// Others wrote meanwhile: the total may be too high.
    in_doubt: bool,
}

impl Scans {
    /// Whether a scan for better knowledge may be made: one a second, and at most 5 % of the time goes into them.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.is_due_after(now, Duration::from_secs(1), 20)
    }

    /// Whether a scan without which nothing can be stored may be made: a fifth of the time.
    pub(crate) fn is_due_soon(&self, now: Duration) -> bool {
        self.is_due_after(now, Duration::from_millis(5), 5)
    }

    /// Whether a scan that others disturbed should be repeated: after 10 s at the earliest, for 1 % of the time.
    pub(crate) fn is_due_again(&self, now: Duration) -> bool {
        self.in_doubt && self.is_due_after(now, Duration::from_secs(10), 100)
    }

    fn is_due_after(&self, now: Duration, least: Duration, times: u32) -> bool {
        self.last
            .is_none_or(|(when, took)| now.saturating_sub(when) >= least.max(times * took))
    }
}

/// What a scan found.
#[derive(Debug, Default)]
struct Inventory {
    objects: Vec<(Name, u64, i64)>,
    /// Files that belong to no object yet, or no more: they take room all the same.
    loose: u64,
}

impl Shared {
    /// The scan at the start, in the background.
    pub(crate) fn first_scan(&self) {
        let mut scans = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if scans.last.is_none() {
            self.scan(&mut scans);
        }
    }

    /// Scans, sets the total and the index right, and sweeps. The caller holds `room`: nothing leaves meanwhile by our own hand.
    pub(crate) fn scan(&self, scans: &mut Scans) {
        let start = self.clock.now();
        let alone = self.dir.is_alone();
        let begun = self.update(|figures| {
            let here = self.pending.outstanding.load(Ordering::Acquire);
            if alone {
                // What processes that were killed had under way is done with.
                figures.in_flight = here;
            }
            let elsewhere = figures.in_flight.saturating_sub(here);
            (
                figures.added,
                self.pending.added.load(Ordering::Acquire),
                elsewhere,
            )
        });
        let Some((added, added_here, in_flight_elsewhere)) = begun else {
            return;
        };
        let known = self.index().begin_scan();
        let mut inventory = Inventory::default();
        for shard in 0..=u8::MAX {
            if self.bell.has_ended() {
                return;
            }
            if let Ok(dir) = self.dir.shard(shard) {
                self.scan_shard(shard, &dir, &mut inventory);
            }
        }
        let Inventory { mut objects, loose } = inventory;
        objects.sort_unstable_by_key(|(_, _, changed)| *changed);
        {
            // Held to the end: what this process adds and removes is either in the index, or posted afterwards.
            let mut index = self.index();
            let (bytes, entries) = index.end_scan(objects, &known);
            self.counts.add(Count::Scans, 1);
            let busy_elsewhere = self.update(|figures| {
                let here = self.pending.added.load(Ordering::Acquire) - added_here;
                // What others had under way, or wrote meanwhile, may or may not be among what was seen: in doubt it is
                // counted twice, never not at all.
                let elsewhere =
                    figures.added.saturating_sub(added).saturating_sub(here) + in_flight_elsewhere;
                let to_come = self.pending.outstanding.load(Ordering::Acquire);
                figures.total = (bytes + loose).saturating_add(elsewhere).saturating_add(to_come);
                figures.entries =
                    entries.saturating_add_signed(self.pending.new_entries.load(Ordering::Acquire));
                figures.scanned = 1;
                elsewhere > 0
            });
            scans.in_doubt = busy_elsewhere.unwrap_or(true);
        }
        let now = self.clock.now();
        scans.last = Some((now, now.saturating_sub(start)));
    }

    fn scan_shard(&self, shard: u8, dir: &Shard, inventory: &mut Inventory) {
        let Some(names) = self.note_failure(dir.list()) else {
            return;
        };
        let mut maps: HashMap<Name, Stat> = HashMap::new();
        let mut data: HashMap<Name, Vec<(u64, Stat)>> = HashMap::new();
        for file in &names {
            let (Some(kind), Ok(stat)) = (Name::parse(shard, file), dir.stat(file)) else {
                continue;
            };
            match kind {
                FileKind::Map(name) => {
                    maps.insert(name, stat);
                }
                FileKind::Data(name, instance) => data.entry(name).or_default().push((instance, stat)),
                FileKind::Temporary => self.sweep(dir, file, &stat, inventory),
            }
        }
        for (name, stat) in maps {
            let mut files = data.remove(&name).unwrap_or_default();
            if files.len() > 1 {
                // Only the map can tell which of them is its own.
                let own = match files::find(dir, name) {
                    Ok(Found::Map(map)) => Some(map.head.instance),
                    _ => None,
                };
                files.retain(|(instance, stat)| {
                    let keep = own.is_none_or(|own| own == *instance);
                    if !keep {
                        self.sweep(dir, &name.data(*instance), stat, inventory);
                    }
                    keep
                });
            }
            let of_data = files.iter().map(|(_, stat)| stored(stat)).sum();
            let bytes = self.charge_of(dir, name, &stat, of_data);
            inventory.objects.push((name, bytes, changed(&stat)));
        }
        for (name, files) in data {
            for (instance, stat) in files {
                self.sweep(dir, &name.data(instance), &stat, inventory);
            }
        }
    }

    /// Removes a file that nobody owns: old, and locked by nobody.
    fn sweep(&self, dir: &Shard, file: &str, stat: &Stat, inventory: &mut Inventory) {
        if !is_ours(stat) {
            // It could be anything: it is neither opened nor removed, and it is not the cache's.
            return;
        }
        if !is_free(dir, file) {
            // Of an object that is being made: its bytes are reserved.
            return;
        }
        let born = Duration::from_nanos(u64::try_from(changed(stat)).unwrap_or(0));
        let old = self.clock.wall().saturating_sub(born) > ORPHAN_AGE;
        if old && dir.unlink(file).is_ok() {
            self.count(Count::Swept, 1);
        } else if self.options.accounting == Accounting::Disk {
            inventory.loose += stored(stat);
        }
    }

    /// Removes the data of a name whose map was damaged: nobody knows any more which file it was. What is locked belongs to an object
    /// that is in use, or is just being made.
    pub(crate) fn sweep_data_of(&self, dir: &Shard, name: Name) {
        for file in dir.list().unwrap_or_default() {
            let is_data =
                matches!(Name::parse(name.shard(), &file), Some(FileKind::Data(other, _)) if other == name);
            if is_data && is_free(dir, &file) && dir.unlink(&file).is_ok() {
                self.count(Count::Swept, 1);
            }
        }
    }
}

/// Whether nobody has a file locked.
fn is_free(dir: &Shard, file: &str) -> bool {
    dir.open_to_read(file)
        .and_then(|fd| try_lock(&fd, FlockOperation::NonBlockingLockExclusive))
        .unwrap_or(false)
}

#[cfg(test)]
mod tests;
