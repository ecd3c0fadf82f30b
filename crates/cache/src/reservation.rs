//! Room in the ledger: taken before bytes are written, put right afterwards.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::name::Name;
use crate::shared::Shared;

/// Attempts to reserve, each after room was made: other processes may take it first.
const ATTEMPTS: u32 = 16;

/// Bytes, and perhaps an object, that the ledger has for a write that is still to come.
#[derive(Debug)]
pub(crate) struct Reservation {
    shared: Arc<Shared>,
    bytes: u64,
    /// Objects posted and not made yet: one or none.
    entries: i64,
    /// How often this process had cleared the directory by then.
    clears: u64,
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

    /// The write is done: the object has grown from `before` to `now` bytes, and its map was changed at `changed`.
    pub(crate) fn settle(mut self, name: Name, before: u64, now: u64, changed: i64) {
        let shared = self.shared.clone();
        let mut index = shared.index();
        index.set(name, now, changed);
        self.close(now as i64 - before as i64);
    }

    /// The object was removed while it was written. Whoever did that took off what was on disk by then, part of this write
    /// perhaps included: the reservation stays in the total, which so is too high rather than too low. Unless the whole
    /// directory was cleared: then it is all that was left.
    pub(crate) fn object_is_gone(mut self) {
        let shared = self.shared.clone();
        let _index = shared.index();
        let cleared = shared.pending.clears.load(Ordering::Acquire) != self.clears;
        let kept = if cleared {
            0
        } else {
            i64::try_from(self.bytes).unwrap_or(i64::MAX)
        };
        self.close(kept);
    }

    /// The caller holds the index.
    fn close(&mut self, grown: i64) {
        if std::mem::take(&mut self.open) {
            let reserved = i64::try_from(self.bytes).unwrap_or(i64::MAX);
            self.shared.charge(grown - reserved, -self.entries);
            let pending = &self.shared.pending;
            pending.outstanding.fetch_sub(self.bytes, Ordering::AcqRel);
            pending.landed.fetch_add(self.bytes, Ordering::AcqRel);
            pending.new_entries.fetch_sub(self.entries, Ordering::AcqRel);
        }
    }
}

impl Drop for Reservation {
    /// Nothing was written.
    fn drop(&mut self) {
        if self.open {
            let shared = self.shared.clone();
            let _index = shared.index();
            self.close(0);
        }
    }
}

/// What became of an attempt to reserve.
enum Attempt {
    Reserved(Reservation),
    /// So many bytes must go first.
    Over(u64),
    /// The ledger does not know what there is.
    Unscanned,
}

impl Shared {
    /// Reserves `bytes` for the object `name`, which is `new` or not, making room if need be; `None` if there is none.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64, new: bool, name: Name) -> Option<Reservation> {
        if bytes > self.options.max_size || !self.keep_free(bytes, name) {
            return None;
        }
        self.index().will_write(name);
        if self.pending.making_room.load(Ordering::Acquire) == 0
            && let Attempt::Reserved(reservation) = self.attempt(bytes, new)?
        {
            return Some(reservation);
        }
        self.pending.making_room.fetch_add(1, Ordering::AcqRel);
        let reservation = self.reserve_in_turn(bytes, new, name);
        self.pending.making_room.fetch_sub(1, Ordering::AcqRel);
        reservation
    }

    /// One thread at a time, so that what one of them frees is not taken by another again and again.
    fn reserve_in_turn(self: &Arc<Self>, bytes: u64, new: bool, name: Name) -> Option<Reservation> {
        let mut scans = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            match self.attempt(bytes, new)? {
                Attempt::Reserved(reservation) => return Some(reservation),
                Attempt::Over(over) if self.make_room_in_turn(&mut scans, over, name) > 0 => {}
                Attempt::Over(_) => return None,
                Attempt::Unscanned => self.scan(&mut scans),
            }
        }
        None
    }

    fn attempt(self: &Arc<Self>, bytes: u64, new: bool) -> Option<Attempt> {
        let entries = i64::from(new);
        self.update(|figures| {
            let over = (figures.total.saturating_add(bytes)).saturating_sub(self.options.max_size);
            if figures.scanned == 0 {
                return Attempt::Unscanned;
            }
            if over > 0 {
                return Attempt::Over(over);
            }
            figures.total += bytes;
            figures.added = figures.added.saturating_add(bytes);
            figures.in_flight = figures.in_flight.saturating_add(bytes);
            figures.entries = figures.entries.saturating_add_signed(entries);
            self.pending.outstanding.fetch_add(bytes, Ordering::AcqRel);
            self.pending.added.fetch_add(bytes, Ordering::AcqRel);
            self.pending.new_entries.fetch_add(entries, Ordering::AcqRel);
            Attempt::Reserved(Reservation {
                shared: self.clone(),
                bytes,
                entries,
                clears: self.pending.clears.load(Ordering::Acquire),
                open: true,
            })
        })
    }
}
