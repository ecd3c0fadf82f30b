//! One question at a time about one thing: who asks the same meanwhile waits for the same answer.
//!
//! A flight belongs to all who wait for it. Whoever of them is awake drives it, so it goes on when the one that began
//! it gives up, and when the last gives up it is dropped, and with it its requests. There is no task of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

/// A question under way.
pub(super) type Flight<T> = Shared<BoxFuture<'static, T>>;

/// All questions of one sort that are under way.
#[derive(Debug)]
pub(super) struct Flights<K, T>
where
    T: Clone,
{
    under_way: Arc<Mutex<HashMap<K, UnderWay<T>>>>,
}

#[derive(Debug)]
struct UnderWay<T: Clone> {
    asked: u64,
    flight: WeakShared<BoxFuture<'static, T>>,
}

/// Whether somebody else had begun it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boarding {
    Begun,
    Joined,
}

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self {
            under_way: Arc::default(),
        }
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The flight of `key`, if it was begun after question `since`; else a new one, that begins as question `asked`.
    ///
    /// Dropping what it answers with gives up this wait only.
    pub(super) fn board<F>(
        &self,
        key: K,
        since: u64,
        asked: u64,
        begin: impl FnOnce() -> F,
    ) -> (Flight<T>, Boarding)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut under_way = lock(&self.under_way);
        let present = under_way
            .get(&key)
            .and_then(|present| Some((present.asked, present.flight.upgrade()?)));
        // An old flight that is not joined may be ours alone by now; it locks the table of flights when it is dropped.
        let _old = match present {
            Some((begun, flight)) if begun >= since => return (flight, Boarding::Joined),
            old => old,
        };
        let landing = Landing {
            under_way: self.under_way.clone(),
            key: key.clone(),
            asked,
        };
        let work = begin();
        let flight = async move {
            let _landing = landing;
            work.await
        }
        .boxed()
        .shared();
        if let Some(weak) = flight.downgrade() {
            under_way.insert(key, UnderWay { asked, flight: weak });
        }
        drop(under_way);
        (flight, Boarding::Begun)
    }

    /// How many are under way.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.under_way).len()
    }
}

/// Takes a flight out of the table when it has landed or was given up.
struct Landing<K: Eq + Hash, T: Clone> {
    under_way: Arc<Mutex<HashMap<K, UnderWay<T>>>>,
    key: K,
    asked: u64,
}

impl<K: Eq + Hash, T: Clone> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        // Another one may have begun since this was given up.
        if under_way
            .get(&self.key)
            .is_some_and(|flight| flight.asked == self.asked)
        {
            under_way.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
