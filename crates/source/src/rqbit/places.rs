//! The few streams that a client is asked for at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How many streams may be open, and who waits for one. First come, first served.
#[derive(Clone, Debug)]
pub(super) struct Places {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    all: usize,
    free: usize,
    queue: VecDeque<oneshot::Sender<Place>>,
}

/// The right to have one stream open; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// `None` in one that was handed on.
    places: Option<Places>,
}

impl Places {
    pub(super) fn new(all: usize) -> Self {
        let all = all.max(1);
        let shared = Shared {
            all,
            free: all,
            queue: VecDeque::new(),
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// One that is free, if nobody waits for it.
    pub(super) fn try_take(&self) -> Option<Place> {
        let mut shared = self.lock();
        shared.free = shared.free.checked_sub(1)?;
        Some(self.place())
    }

    /// The next one that becomes free after those who wait already. Dropping the receiver gives up the wait.
    pub(super) fn wait(&self) -> oneshot::Receiver<Place> {
        let (tell, told) = oneshot::channel();
        self.lock().queue.push_back(tell);
        // One may have become free since the caller looked.
        if let Some(place) = self.try_take() {
            drop(place);
        }
        told
    }

    /// Whether anybody waits.
    pub(super) fn is_wanted(&self) -> bool {
        self.lock().queue.iter().any(|tell| !tell.is_closed())
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        let shared = self.lock();
        shared.all - shared.free
    }

    fn place(&self) -> Place {
        Place {
            places: Some(self.clone()),
        }
    }

    fn give_back(&self) {
        loop {
            let next = {
                let mut shared = self.lock();
                let Some(next) = shared.queue.pop_front() else {
                    shared.free += 1;
                    return;
                };
                next
            };
            match next.send(self.place()) {
                Ok(()) => return,
                // He went away: to the next one, without coming here again from within.
                Err(mut place) => place.places = None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            places.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_go_round_in_order() {
        let places = Places::new(2);
        let (first, second) = (places.try_take().unwrap(), places.try_take().unwrap());
        assert!(places.try_take().is_none() && !places.is_wanted());
        let (third, given_up, fourth) = (places.wait(), places.wait(), places.wait());
        drop(given_up);
        assert!(places.is_wanted());
        drop(first);
        let third = third.await.unwrap();
        drop(second);
        let fourth = fourth.await.unwrap();
        assert_eq!(places.taken(), 2);
        drop((third, fourth));
        assert_eq!(places.taken(), 0);
        // Free already: no wait.
        drop(places.wait().await.unwrap());
        assert_eq!(places.taken(), 0);
    }

    #[tokio::test]
    async fn a_place_that_nobody_takes_out_is_not_lost() {
        let places = Places::new(1);
        let told = places.wait();
        assert_eq!(places.taken(), 1);
        drop(told);
        assert_eq!(places.taken(), 0);
    }
}
