//! Units at the edges of reads under way: who wants the same unit waits for it instead of reading it again.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::runtime::Id;
use tokio::sync::oneshot;

/// The unit, as far as the file has it; nothing if its read failed.
pub(crate) type Edge = Option<Bytes>;

/// Edge units of one file that are being read, by where they begin.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    under_way: Mutex<HashMap<u64, Claimed>>,
}

#[derive(Debug)]
struct Claimed {
    /// The runtime that has to be polled for the read to come to its end; `None` if it does by itself.
    reaper: Option<Id>,
    waiting: Vec<oneshot::Sender<Edge>>,
}

/// What became of asking for an edge unit.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Nobody reads it: the one who asked does, and must deliver.
    Mine,
    /// Somebody does, and will tell.
    Theirs(oneshot::Receiver<Edge>),
    /// Somebody does who may never be told, because another runtime reaps for them: it is read again and not shared.
    Apart,
}

impl Edges {
    /// Asks for the unit at `at`, for a read that `reaper` is to reap.
    pub(crate) fn claim(&self, at: u64, reaper: Option<Id>) -> Claim {
        match self.lock().entry(at) {
            Entry::Occupied(mut claimed) => {
                let claimed = claimed.get_mut();
                if claimed.reaper.is_some() && claimed.reaper != reaper {
                    return Claim::Apart;
                }
                let (tell, told) = oneshot::channel();
                claimed.waiting.push(tell);
                Claim::Theirs(told)
            }
            Entry::Vacant(free) => {
                free.insert(Claimed {
                    reaper,
                    waiting: Vec::new(),
                });
                Claim::Mine
            }
        }
    }

    /// Ends the claim on the unit at `at` and tells who waits.
    pub(crate) fn deliver(&self, at: u64, unit: Option<&[u8]>) {
        let waiting = self
            .lock()
            .remove(&at)
            .map_or_else(Vec::new, |claimed| claimed.waiting);
        if waiting.is_empty() {
            return;
        }
        let edge = unit.map(Bytes::copy_from_slice);
        for tell in waiting {
            // Who has gone away needs nothing.
            let _ = tell.send(edge.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Claimed>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
