//! Memory for bytes on their way, for all reads of an engine together.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use forebay_types::MemoryBudget;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One permit of the semaphore stands for this many bytes: with `u32` permits the budget can be 16 TiB.
const UNIT: u64 = 4096;

/// A number of bytes that may be in flight at a time. First come, first served; clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    total_units: u32,
    overdrawn: Arc<AtomicU64>,
    /// Of the bytes reserved, those set aside for pools.
    aside: Arc<AtomicU64>,
}

impl Budget {
    /// A budget of `bytes`, rounded up to 4 KiB.
    pub fn new(bytes: u64) -> Self {
        let most = u64::try_from(Semaphore::MAX_PERMITS)
            .unwrap_or(u64::MAX)
            .min(u64::from(u32::MAX));
        let total_units = bytes.div_ceil(UNIT).clamp(1, most) as u32;
        Self {
            units: Arc::new(Semaphore::new(total_units as usize)),
            total_units,
            overdrawn: Arc::default(),
            aside: Arc::default(),
        }
    }

    /// The whole budget in bytes.
    pub fn total(&self) -> u64 {
        u64::from(self.total_units) * UNIT
    }

    /// Bytes reserved now, what is overdrawn included.
    pub fn in_flight(&self) -> u64 {
        let free = self.units.available_permits() as u64;
        (u64::from(self.total_units) - free) * UNIT + self.overdrawn.load(Relaxed)
    }

    /// Bytes that can be reserved now.
    pub fn free(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT
    }

    /// Waits for `bytes`; more than the whole budget counts as the whole budget.
    ///
    /// # Cancel safety
    /// Dropping the future loses its place in the queue and nothing else.
    pub async fn reserve(&self, bytes: u64) -> Reservation {
        let units = self.units_for(bytes);
        let permit = self
            .units
            .clone()
            .acquire_many_owned(units)
            .await
            .expect("the semaphore is never closed");
        Reservation {
            permit: Some(permit),
            kept: 0,
            overdrawn: 0,
            budget: self.clone(),
        }
    }

    /// `bytes` at once, or nothing.
    pub fn try_reserve(&self, bytes: u64) -> Option<Reservation> {
        let permit = self
            .units
            .clone()
            .try_acquire_many_owned(self.units_for(bytes))
            .ok()?;
        Some(Reservation {
            permit: Some(permit),
            kept: 0,
            overdrawn: 0,
            budget: self.clone(),
        })
    }

    /// `bytes` above the budget, for a reader that could not go on otherwise.
    pub fn overdraw(&self, bytes: u64) -> Reservation {
        self.overdrawn.fetch_add(bytes, Relaxed);
        Reservation {
            permit: None,
            kept: 0,
            overdrawn: bytes,
            budget: self.clone(),
        }
    }

    fn units_for(&self, bytes: u64) -> u32 {
        bytes.div_ceil(UNIT).min(u64::from(self.total_units)) as u32
    }
}

/// What may be set aside for longer than a read: this part of the budget. The rest is for bytes on their way.
const ASIDE: u64 = 4;

impl MemoryBudget for Budget {
    /// At most a quarter of the budget in all.
    fn try_set_aside(&self, bytes: u64) -> Option<Box<dyn Any + Send + Sync>> {
        let most = self.total() / ASIDE;
        let fits = |aside: u64| aside.checked_add(bytes).filter(|sum| *sum <= most);
        self.aside.fetch_update(Relaxed, Relaxed, fits).ok()?;
        // Takes the bytes off again if there is no room at the moment.
        let mut share = Aside {
            reservation: None,
            bytes,
            aside: self.aside.clone(),
        };
        share.reservation = Some(self.try_reserve(bytes)?);
        Some(Box::new(share))
    }
}

/// Bytes set aside.
struct Aside {
    reservation: Option<Reservation>,
    bytes: u64,
    aside: Arc<AtomicU64>,
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.reservation = None;
        self.aside.fetch_sub(self.bytes, Relaxed);
    }
}

/// Bytes taken from a [`Budget`]; they go back when it is dropped, or bit by bit.
#[derive(Debug)]
pub struct Reservation {
    permit: Option<OwnedSemaphorePermit>,
    /// Given back by the caller but not yet a whole unit.
    kept: u64,
    overdrawn: u64,
    budget: Budget,
}

impl Reservation {
    /// Takes `bytes` out of it, rounded up to 4 KiB; `None` if it has not so many.
    pub fn split(&mut self, bytes: u64) -> Option<Self> {
        let units = usize::try_from(bytes.div_ceil(UNIT)).ok()?;
        Some(Self {
            permit: Some(self.permit.as_mut()?.split(units)?),
            kept: 0,
            overdrawn: 0,
            budget: self.budget.clone(),
        })
    }

    /// Gives `bytes` back early.
    pub fn release(&mut self, bytes: u64) {
        if self.overdrawn > 0 {
            let back = bytes.min(self.overdrawn);
            self.overdrawn -= back;
            self.budget.overdrawn.fetch_sub(back, Relaxed);
            return;
        }
        self.kept += bytes;
        if let Some(permit) = &mut self.permit {
            let units = ((self.kept / UNIT) as usize).min(permit.num_permits());
            self.kept -= units as u64 * UNIT;
            drop(permit.split(units));
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.overdrawn.fetch_sub(self.overdrawn, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_comes_back() {
        let budget = Budget::new(1 << 20);
        let mut half = budget.reserve(512 << 10).await;
        assert_eq!(budget.in_flight(), 512 << 10);
        assert!(budget.try_reserve(513 << 10).is_none());
        half.release(100);
        assert_eq!(budget.in_flight(), 512 << 10, "less than a unit stays");
        half.release(8192 - 100);
        assert_eq!(budget.in_flight(), (512 << 10) - 8192);
        drop(half);
        assert_eq!(budget.in_flight(), 0);
    }

    #[tokio::test]
    async fn more_than_all_is_all() {
        let budget = Budget::new(1 << 20);
        let all = budget.reserve(1 << 40).await;
        assert_eq!(budget.in_flight(), budget.total());
        let mut extra = budget.overdraw(1000);
        assert_eq!(budget.in_flight(), budget.total() + 1000);
        extra.release(400);
        drop((all, extra));
        assert_eq!(budget.in_flight(), 0);
    }

    #[test]
    fn a_quarter_can_be_set_aside() {
        let budget = Budget::new(8 << 20);
        let one = budget.try_set_aside(1 << 20).unwrap();
        let two = budget.try_set_aside(1 << 20).unwrap();
        assert_eq!(budget.in_flight(), 2 << 20);
        assert!(budget.try_set_aside(4096).is_none(), "no more than a quarter");
        drop((one, two));
        assert_eq!(budget.in_flight(), 0);
        let used = budget.try_reserve(7 << 20).unwrap();
        assert!(budget.try_set_aside(2 << 20).is_none(), "no room");
        drop(used);
        assert!(budget.try_set_aside(2 << 20).is_some());
    }
}
