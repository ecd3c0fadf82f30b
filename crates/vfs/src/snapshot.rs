//! The names of one directory at one moment.

use std::fmt;
use std::sync::Arc;

use crate::ino::{Ino, Kind};
use crate::inode::Inode;
use crate::place::Place;

/// The names of one directory, sorted by their bytes. Names, order and numbers stay as they are for as long as somebody
/// reads it, so an index is a good offset of a readdir stream; `.` and `..` are not among them.
pub struct DirSnapshot {
    place: Arc<Place>,
    entries: Box<[Arc<Inode>]>,
}

/// One name of a [`DirSnapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// The name.
    pub name: &'a str,
    /// The number of the node.
    pub ino: Ino,
    /// What it is.
    pub kind: Kind,
}

impl DirSnapshot {
    /// `entries` are sorted by name and have no name twice.
    pub(crate) fn new(place: Arc<Place>, entries: Vec<Arc<Inode>>) -> Self {
        Self {
            place,
            entries: entries.into(),
        }
    }

    /// The directory.
    pub fn ino(&self) -> Ino {
        self.place.ino
    }

    /// The directory above it; the root is above itself.
    pub fn parent(&self) -> Ino {
        self.place.parent()
    }

    /// How many names.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The name at `index`.
    pub fn get(&self, index: usize) -> Option<DirEntry<'_>> {
        self.entries.get(index).map(|inode| DirEntry {
            name: &inode.name,
            ino: inode.ino,
            kind: inode.kind(),
        })
    }

    /// All names from `index` on.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = DirEntry<'_>> {
        (index..self.len()).filter_map(|index| self.get(index))
    }

    pub(crate) fn inodes(&self) -> &[Arc<Inode>] {
        &self.entries
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Inode>> {
        let found = self.entries.binary_search_by(|inode| (*inode.name).cmp(name));
        found.ok().map(|index| &self.entries[index])
    }
}

impl fmt::Debug for DirSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirSnapshot")
            .field("place", &self.place)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
