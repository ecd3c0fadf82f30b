//! The names of a directory, above and below.

use std::fmt;
use std::sync::Arc;

use super::find::is_missing;
use super::{Merged, MergedAttr, MergedError};
use crate::ino::Ino;
use crate::overlay::{NodeId, NodeKind, UpperEntry};
use crate::snapshot::DirSnapshot;

/// The names of one directory at one moment, sorted by their bytes. They stay as they are for as long as somebody reads, so
/// an index is a good offset of a readdir stream; `.` and `..` are not among them.
pub struct MergedDir {
    ino: Ino,
    parent: Ino,
    node: Option<NodeId>,
    lower: Option<Arc<DirSnapshot>>,
    names: Names,
}

/// What is in it.
enum Names {
    /// What the lower directory has: nothing is above.
    Lower,
    Both(Box<[Slot]>),
}

enum Slot {
    /// An index in the lower directory.
    Lower(usize),
    Upper {
        name: Box<[u8]>,
        id: NodeId,
        kind: NodeKind,
        ino: Ino,
    },
}

/// One name of a [`MergedDir`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedEntry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The number that it had when the directory was read; of what came up since, another one than a lookup tells, perhaps.
    pub ino: Ino,
    /// What it is.
    pub kind: NodeKind,
}

impl MergedDir {
    /// The directory.
    pub fn ino(&self) -> Ino {
        self.ino
    }

    /// The directory above it; the root is above itself.
    pub fn parent(&self) -> Ino {
        self.parent
    }

    /// How many names.
    pub fn len(&self) -> usize {
        match &self.names {
            Names::Lower => self.lower.as_ref().map_or(0, |lower| lower.len()),
            Names::Both(slots) => slots.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name at `index`.
    pub fn get(&self, index: usize) -> Option<MergedEntry<'_>> {
        match &self.names {
            Names::Lower => self.get_lower(index),
            Names::Both(slots) => match slots.get(index)? {
                Slot::Lower(index) => self.get_lower(*index),
                Slot::Upper { name, kind, ino, .. } => Some(MergedEntry {
                    name,
                    ino: *ino,
                    kind: *kind,
                }),
            },
        }
    }

    fn get_lower(&self, index: usize) -> Option<MergedEntry<'_>> {
        let entry = self.lower.as_ref()?.get(index)?;
        Some(MergedEntry {
            name: entry.name.as_bytes(),
            ino: entry.ino,
            kind: entry.kind.into(),
        })
    }

    /// All names from `index` on.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = MergedEntry<'_>> {
        (index..self.len()).filter_map(|index| self.get(index))
    }
}

impl fmt::Debug for MergedDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedDir")
            .field("ino", &self.ino)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Merged {
    /// The names of a directory.
    ///
    /// # Errors
    /// [`crate::overlay::UpperError::NotADir`] and [`crate::VfsError::NotADirectory`]; [`MergedError::Stale`]; what the lower
    /// tree says.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn read_dir(&self, ino: Ino) -> Result<Arc<MergedDir>, MergedError> {
        let dir = self.dir(ino).await?;
        let lower = match dir.lower {
            None => None,
            Some(lower) => match self.tree().read_dir(lower).await {
                Ok(listed) => Some(listed),
                // What is above stays, though what was below is gone.
                Err(error) if dir.node.is_some() && is_missing(&error) => None,
                Err(error) => return Err(error.into()),
            },
        };
        // It may have come up while it was listed.
        let node = dir.node.or_else(|| self.node(ino));
        let names = match node {
            None => Names::Lower,
            Some(node) => self.merge(node, lower.as_deref())?,
        };
        let parent = match (node, &lower) {
            (Some(node), _) => self.shared.numbers.shown(self.shared.upper.parent(node)?),
            (None, Some(lower)) => self
                .shared
                .numbers
                .over(lower.parent())
                .map_or(lower.parent(), |(_, ino)| ino),
            (None, None) => Ino::ROOT,
        };
        Ok(Arc::new(MergedDir {
            ino,
            parent,
            node,
            lower,
            names,
        }))
    }

    fn merge(&self, node: NodeId, lower: Option<&DirSnapshot>) -> Result<Names, MergedError> {
        let above = self.shared.upper.entries(node)?;
        if above.is_empty() {
            return Ok(Names::Lower);
        }
        let below = lower.map_or(0, DirSnapshot::len);
        let mut slots = Vec::with_capacity(above.len() + below);
        let mut index = 0;
        let name_at = |index: usize| Some(lower?.get(index)?.name.as_bytes());
        for (name, entry) in above {
            while let Some(below) = name_at(index)
                && *below <= *name
            {
                // The same name is what it is above.
                if *below < *name {
                    slots.push(Slot::Lower(index));
                }
                index += 1;
            }
            if let UpperEntry::Node { id, kind } = entry {
                let ino = self.shared.numbers.shown(id);
                slots.push(Slot::Upper { name, id, kind, ino });
            }
        }
        slots.extend((index..below).map(Slot::Lower));
        Ok(Names::Both(slots.into()))
    }

    /// The attributes of the name at `index`, of which the kernel holds one more reference then: for readdirplus, once for
    /// each entry that goes into the reply. `None`, and no reference, if the name does not stand for that any more.
    pub fn refer(&self, dir: &MergedDir, index: usize) -> Option<MergedAttr> {
        let slot = match &dir.names {
            Names::Lower => None,
            Names::Both(slots) => Some(slots.get(index)?),
        };
        match slot {
            None => self.refer_lower(dir, index),
            Some(Slot::Lower(index)) => self.refer_lower(dir, *index),
            Some(Slot::Upper { name, id, .. }) => self.refer_node(dir.node?, name, Some(*id)),
        }
    }

    fn refer_lower(&self, dir: &MergedDir, index: usize) -> Option<MergedAttr> {
        let lower = dir.lower.as_ref()?;
        let name = lower.get(index)?.name.as_bytes();
        let attr = self.tree().refer(lower, index)?;
        let held = self.shared.numbers.lower_ref(attr.ino);
        if let Some(node) = dir.node.or_else(|| self.node(dir.ino))
            && self.shared.upper.entry(node, name).ok()?.is_some()
        {
            drop(held);
            return self.refer_node(node, name, None);
        }
        if !self.still_lower(attr.ino) {
            return None;
        }
        held.keep();
        Some(self.lower_attr(&attr))
    }

    fn refer_node(&self, dir: NodeId, name: &[u8], expected: Option<NodeId>) -> Option<MergedAttr> {
        match self.shared.upper.entry(dir, name).ok()?? {
            UpperEntry::Node { id, .. } if expected.is_none_or(|expected| expected == id) => {
                self.told(id, (dir, name)).ok()
            }
            UpperEntry::Node { .. } | UpperEntry::Whiteout => None,
        }
    }
}
