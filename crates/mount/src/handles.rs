//! What the kernel has open.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the kernel holds open, by the number that it was given.
#[derive(Debug)]
pub(crate) struct Handles<T> {
    open: Mutex<HashMap<u64, Arc<T>>>,
    /// Shared by tables whose numbers must differ.
    next: Arc<AtomicU64>,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            next: Arc::new(AtomicU64::new(1)),
        }
    }
}

impl<T> Handles<T> {
    /// Another table; no number is in both.
    pub(crate) fn beside<U>(&self) -> Handles<U> {
        Handles {
            open: Mutex::default(),
            next: self.next.clone(),
        }
    }

    pub(crate) fn insert(&self, what: Arc<T>) -> u64 {
        let number = self.next.fetch_add(1, Relaxed);
        self.lock().insert(number, what);
        number
    }

    pub(crate) fn get(&self, number: u64) -> Option<Arc<T>> {
        self.lock().get(&number).cloned()
    }

    pub(crate) fn remove(&self, number: u64) -> Option<Arc<T>> {
        self.lock().remove(&number)
    }

    /// Whether one of them is such.
    pub(crate) fn any(&self, is_such: impl Fn(&T) -> bool) -> bool {
        self.lock().values().any(|open| is_such(open))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<T>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
