//! What a tree did.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// Figures of a [`Tree`](crate::Tree) since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TreeStats {
    /// Names looked up.
    pub lookups: u64,
    /// Attributes asked for.
    pub attrs: u64,
    /// Directories read.
    pub read_dirs: u64,
    /// Of all these, how many were answered at once.
    pub hits: u64,
    /// Single names asked of the namespace.
    pub looks: u64,
    /// Directories asked of the namespace.
    pub lists: u64,
    /// Questions that joined one that was under way.
    pub joined: u64,
    /// Changes told to whoever listens.
    pub notices: u64,
    /// Names left out of listings, because no file can have them. A name counts in each listing that meets it.
    pub skipped_names: u64,
    /// Files left out of listings, because a directory has their name. A file counts in each listing that meets it.
    pub shadowed_keys: u64,
    /// Directories whose listings were forgotten to make room.
    pub evicted: u64,
    /// Nodes that the kernel holds now, the root among them.
    pub nodes: u64,
    /// Entries of listings and missing names remembered now.
    pub cached: u64,
}

/// The counters behind [`TreeStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) lookups: Counter,
    pub(crate) attrs: Counter,
    pub(crate) read_dirs: Counter,
    pub(crate) hits: Counter,
    pub(crate) looks: Counter,
    pub(crate) lists: Counter,
    pub(crate) joined: Counter,
    pub(crate) skipped: Counter,
    pub(crate) shadowed: Counter,
    pub(crate) evicted: Counter,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Tells the number before.
    pub(crate) fn add(&self, more: u64) -> u64 {
        self.0.fetch_add(more, Relaxed)
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// One more question, answered at once or not.
    pub(crate) fn count(&self, hits: &Self, hit: bool) {
        self.add(1);
        if hit {
            hits.add(1);
        }
    }
}
