//! What leaves first: S3-FIFO, by bytes, over whole objects. Pure: no disk, no clock, no lock.
//!
//! New keys enter the *small* queue, a tenth of the bytes. Its head leaves unless it was used again since it came: then
//! it goes on to the *main* queue. The main queue's head leaves unless it was used: each use buys it another round, three at
//! most. A key that left the small queue is remembered as a *ghost*; if it comes again it enters the main queue at once. So a
//! scan, which uses every object once, runs through the small queue and leaves the rest alone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// The small queue's share of all bytes: one in ten, as measured best by the authors of S3-FIFO over 6,594 traces.
const SMALL_SHARE: u64 = 10;

/// Rounds that uses can buy.
const MAX_USES: u8 = 3;

/// The order of keys.
#[derive(Debug)]
pub(crate) struct Policy<K> {
    entries: HashMap<K, Entry>,
    small: Queue<K>,
    main: Queue<K>,
    /// Victims that could not leave. Not in either queue, so that the others have their turn.
    parked: Vec<K>,
    parked_bytes: u64,
    ghosts: VecDeque<K>,
    is_ghost: HashSet<K>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    uses: u8,
    place: Place,
    /// Where it stands in its queue: an older place of the same key does not count.
    ticket: u64,
    parked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Small,
    Main,
}

#[derive(Debug)]
struct Queue<K> {
    order: VecDeque<(K, u64)>,
    bytes: u64,
}

impl<K: Copy + Eq + Hash> Policy<K> {
    pub(crate) fn new() -> Self {
        let queue = || Queue {
            order: VecDeque::new(),
            bytes: 0,
        };
        Self {
            entries: HashMap::new(),
            small: queue(),
            main: queue(),
            parked: Vec::new(),
            parked_bytes: 0,
            ghosts: VecDeque::new(),
            is_ghost: HashSet::new(),
            next_ticket: 0,
        }
    }

    /// A key came, or has another size now.
    pub(crate) fn set(&mut self, key: K, bytes: u64) {
        if let Some(entry) = self.entries.get_mut(&key) {
            let before = std::mem::replace(&mut entry.bytes, bytes);
            let (place, parked) = (entry.place, entry.parked);
            let sum = self.bytes_in(place, parked);
            *sum = *sum - before + bytes;
            return;
        }
        let place = if self.is_ghost.remove(&key) {
            Place::Main
        } else {
            Place::Small
        };
        self.enter(key, bytes, place);
    }

    /// A key from before this process: it was kept until now, so it is no newcomer. The oldest come first.
    pub(crate) fn restore(&mut self, key: K, bytes: u64) {
        if self.entries.contains_key(&key) {
            self.set(key, bytes);
        } else {
            self.enter(key, bytes, Place::Main);
        }
    }

    /// A key was used again.
    pub(crate) fn used(&mut self, key: K) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.uses = (entry.uses + 1).min(MAX_USES);
        }
    }

    /// A key is gone. If it was removed to make room, and stood in the small queue, it leaves a ghost.
    pub(crate) fn remove(&mut self, key: K, evicted: bool) {
        let Some(entry) = self.entries.remove(&key) else {
            return;
        };
        *self.bytes_in(entry.place, entry.parked) -= entry.bytes;
        if evicted && entry.place == Place::Small && self.is_ghost.insert(key) {
            self.ghosts.push_back(key);
        }
        // As many ghosts as there are entries: as long a memory as the cache itself has.
        while self.ghosts.len() > self.entries.len().max(16) {
            if let Some(oldest) = self.ghosts.pop_front() {
                self.is_ghost.remove(&oldest);
            }
        }
        self.tidy();
    }

    /// Who leaves next. It stays until it is removed, or parked.
    pub(crate) fn victim(&mut self) -> Option<K> {
        loop {
            let from = self.next_queue()?;
            let Some(&(key, ticket)) = self.queue(from).order.front() else {
                // Bytes without keys cannot be; whatever is left stands in the other queue.
                return None;
            };
            let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.ticket == ticket) else {
                self.queue(from).order.pop_front();
                continue;
            };
            if entry.uses == 0 {
                return Some(key);
            }
            match from {
                Place::Small => entry.uses = 0,
                Place::Main => entry.uses -= 1,
            }
            self.move_to(key, Place::Main);
        }
    }

    /// The victim cannot leave now: it is none until [`Policy::resume`].
    pub(crate) fn park(&mut self, key: K) {
        let ticket = self.next_ticket();
        if let Some(entry) = self.entries.get_mut(&key).filter(|entry| !entry.parked) {
            entry.parked = true;
            entry.ticket = ticket;
            let (place, bytes) = (entry.place, entry.bytes);
            self.queue(place).bytes -= bytes;
            self.parked_bytes += bytes;
            self.parked.push(key);
        }
    }

    /// Those that could not leave stand at the ends of their queues again.
    pub(crate) fn resume(&mut self) {
        for key in std::mem::take(&mut self.parked) {
            // One that was removed, and came again, is not parked any more.
            if let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.parked) {
                entry.parked = false;
                let (place, bytes) = (entry.place, entry.bytes);
                self.parked_bytes -= bytes;
                self.queue(place).bytes += bytes;
                self.move_to(key, place);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.small.bytes + self.main.bytes + self.parked_bytes
    }

    /// Bytes of a key.
    pub(crate) fn bytes_of(&self, key: K) -> Option<u64> {
        self.entries.get(&key).map(|entry| entry.bytes)
    }

    /// The keys, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.entries.keys().copied()
    }

    /// The small queue, when it has more than its share or nothing else is there.
    fn next_queue(&mut self) -> Option<Place> {
        self.tidy();
        match (self.small.order.is_empty(), self.main.order.is_empty()) {
            (true, true) => None,
            (false, true) => Some(Place::Small),
            (true, false) => Some(Place::Main),
            (false, false) if self.small.bytes > (self.small.bytes + self.main.bytes) / SMALL_SHARE => {
                Some(Place::Small)
            }
            (false, false) => Some(Place::Main),
        }
    }

    /// Drops places at the heads that no longer count.
    fn tidy(&mut self) {
        for place in [Place::Small, Place::Main] {
            while let Some(&(key, ticket)) = self.queue(place).order.front() {
                if self.entries.get(&key).is_some_and(|entry| entry.ticket == ticket) {
                    break;
                }
                self.queue(place).order.pop_front();
            }
        }
    }

    fn enter(&mut self, key: K, bytes: u64, place: Place) {
        let ticket = self.next_ticket();
        let queue = self.queue(place);
        queue.bytes += bytes;
        queue.order.push_back((key, ticket));
        self.entries.insert(
            key,
            Entry {
                bytes,
                uses: 0,
                place,
                ticket,
                parked: false,
            },
        );
    }

    fn move_to(&mut self, key: K, place: Place) {
        let ticket = self.next_ticket();
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        entry.ticket = ticket;
        let from = std::mem::replace(&mut entry.place, place);
        let bytes = entry.bytes;
        self.queue(from).bytes -= bytes;
        let queue = self.queue(place);
        queue.bytes += bytes;
        queue.order.push_back((key, ticket));
        // A key that is moved again and again leaves old places behind: not more than there are keys.
        let keys = self.entries.len();
        let entries = &self.entries;
        for queue in [&mut self.small, &mut self.main] {
            if queue.order.len() > 2 * keys + 16 {
                queue
                    .order
                    .retain(|(key, ticket)| entries.get(key).is_some_and(|entry| entry.ticket == *ticket));
            }
        }
    }

    fn next_ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn bytes_in(&mut self, place: Place, parked: bool) -> &mut u64 {
        if parked {
            &mut self.parked_bytes
        } else {
            &mut self.queue(place).bytes
        }
    }

    fn queue(&mut self, place: Place) -> &mut Queue<K> {
        match place {
            Place::Small => &mut self.small,
            Place::Main => &mut self.main,
        }
    }
}

#[cfg(test)]
mod tests;
