//! Making a manifest.

use crate::check;
use crate::entry::{DirEntry, FileEntry};
use crate::error::{EntryName, List, ManifestError};
use crate::hash::Hash;
use crate::limits::Limits;
use crate::manifest::{Base, ChunkSize, Head, Kind, Manifest, Version};
use crate::store::Store;

/// Gathers entries in any order and makes a [`Manifest`] of them.
#[derive(Clone, Debug)]
pub struct ManifestBuilder {
    head: Head,
    store: Store,
    limits: Limits,
}

impl ManifestBuilder {
    /// For a v2023-03-03 manifest.
    pub fn v2023() -> Self {
        Self::of(Head {
            version: Version::V2023,
            kind: Kind::Snapshot,
            base: Base::Relative,
            chunk_size: ChunkSize::Unwritten,
            parent: None,
        })
    }

    /// For a manifest in the **draft** format beta-2025-12.
    pub fn draft(kind: Kind, base: Base) -> Self {
        Self::of(Head {
            version: Version::Beta2025,
            kind,
            base,
            chunk_size: ChunkSize::Unwritten,
            parent: None,
        })
    }

    fn of(head: Head) -> Self {
        Self {
            head,
            store: Store::default(),
            limits: Limits::default(),
        }
    }

    /// For one that is made of `manifests`.
    pub(crate) fn derived(head: Head, manifests: &[&Manifest]) -> Self {
        let sum = |of: fn(&Store) -> usize| manifests.iter().map(|manifest| of(&manifest.store)).sum();
        Self::of(head).limits(Limits::derived(sum(Store::entries), sum(Store::text_bytes)))
    }

    /// How long chunks are. To be said before the first file. v2023-03-03 has none.
    #[must_use]
    pub fn chunk_size(mut self, size: ChunkSize) -> Self {
        self.head.chunk_size = size;
        self
    }

    /// The manifest that this one is a diff of, by its [hash](Manifest::hash).
    #[must_use]
    pub fn parent(mut self, parent: Option<Hash>) -> Self {
        self.head.parent = parent;
        self
    }

    /// How large the manifest may become; otherwise the default.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds a file, a link or a deletion.
    ///
    /// # Errors
    /// What is wrong with it, or that v2023-03-03 cannot hold it. It is not added then.
    pub fn file(&mut self, file: &FileEntry<'_>) -> Result<(), ManifestError> {
        let list = match self.head.version {
            Version::V2023 => List::Paths,
            Version::Beta2025 => List::Files,
        };
        self.head
            .check()
            .and_then(|()| check::file(file, &self.head))
            .and_then(|()| self.store.push_file(file, &self.limits))
            .map_err(|fault| fault.of(|| Some(EntryName::new(list, None, Some(file.path.as_bytes())))))
    }

    /// Adds a directory. Those that something lies in need not be added: a draft gets them by itself.
    ///
    /// # Errors
    /// What is wrong with it, or that v2023-03-03 cannot hold it. It is not added then.
    pub fn dir(&mut self, dir: DirEntry<'_>) -> Result<(), ManifestError> {
        check::dir(dir, &self.head)
            .and_then(|()| self.store.push_dir(dir, &self.limits))
            .map_err(|fault| fault.of(|| Some(EntryName::new(List::Dirs, None, Some(dir.path.as_bytes())))))
    }

    /// The manifest.
    ///
    /// # Errors
    /// Entries that exclude each other, and what a v2023-03-03 manifest as a whole cannot be.
    pub fn finish(self) -> Result<Manifest, ManifestError> {
        check::finish(self.head, self.store, None, &self.limits)
    }
}
