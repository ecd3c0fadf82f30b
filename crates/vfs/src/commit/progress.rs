//! How far a commit is.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a commit, which whoever shows them reads whenever it likes. Relaxed: they are for people.
#[derive(Debug, Default)]
pub struct CommitProgress {
    pub(super) files: AtomicU64,
    pub(super) files_done: AtomicU64,
    pub(super) hashed: AtomicU64,
    pub(super) again: AtomicU64,
    pub(super) uploaded: AtomicU64,
    pub(super) uploaded_objects: AtomicU64,
    pub(super) there: AtomicU64,
    pub(super) there_objects: AtomicU64,
    pub(super) not_create_only: AtomicU64,
    pub(super) copied: AtomicU64,
    pub(super) deleted: AtomicU64,
    pub(super) unconditional: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// Files that are changed or have other names: each name counts.
    pub files: u64,
    /// How many of them are hashed and stored.
    pub files_done: u64,
    /// Bytes hashed, those of files that changed meanwhile each time. Bytes that are sent are hashed once more, and not
    /// counted again.
    pub hashed: u64,
    /// How often a file was hashed again because it had changed meanwhile.
    pub again: u64,
    /// Bytes that were sent to the store.
    pub uploaded: u64,
    /// Objects that were.
    pub uploaded_objects: u64,
    /// Bytes that the store had already.
    pub there: u64,
    /// Objects that it had.
    pub there_objects: u64,
    /// Objects that a store could only replace, not create.
    pub not_create_only: u64,
    /// Objects that the store copied by itself.
    pub copied: u64,
    /// Objects that were removed.
    pub deleted: u64,
    /// Requests that a store could not be asked to do only if the object is still the same: it was looked at before.
    pub unconditional: u64,
}

impl CommitProgress {
    /// The counters now.
    pub fn stats(&self) -> CommitStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CommitStats {
            files: of(&self.files),
            files_done: of(&self.files_done),
            hashed: of(&self.hashed),
            again: of(&self.again),
            uploaded: of(&self.uploaded),
            uploaded_objects: of(&self.uploaded_objects),
            there: of(&self.there),
            there_objects: of(&self.there_objects),
            not_create_only: of(&self.not_create_only),
            copied: of(&self.copied),
            deleted: of(&self.deleted),
            unconditional: of(&self.unconditional),
        }
    }
}

pub(super) fn add(counter: &AtomicU64, n: u64) -> u64 {
    counter.fetch_add(n, Ordering::Relaxed)
}
