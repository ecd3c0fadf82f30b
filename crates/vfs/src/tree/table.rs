//! All that is remembered, behind one lock that is never held while anything is waited for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::dir::{Dir, Known, Listing, Stray};
use crate::error::VfsError;
use crate::ino::Ino;
use crate::inode::Inode;
use crate::place::Place;

/// What the kernel holds, by number; what is known of directories, by theirs.
#[derive(Debug)]
pub(super) struct Table {
    nodes: HashMap<Ino, Held>,
    dirs: HashMap<Ino, Dir>,
    /// Weight of all directories.
    cached: usize,
    /// Weight at which room is made.
    evict_at: usize,
    /// Counts uses of directories.
    step: u64,
}

/// A node and how often the kernel holds it.
#[derive(Debug)]
struct Held {
    inode: Arc<Inode>,
    refs: u64,
}

impl Table {
    /// With the root, which the kernel holds for ever.
    pub(super) fn new(root: Inode, max_entries: usize) -> Self {
        root.hold(true);
        let place = root.dir.clone();
        let held = Held {
            inode: Arc::new(root),
            refs: 1,
        };
        let dir = Dir::new(place);
        Self {
            nodes: HashMap::from([(Ino::ROOT, held)]),
            cached: dir.weight(),
            dirs: HashMap::from([(Ino::ROOT, dir)]),
            evict_at: max_entries,
            step: 0,
        }
    }

    /// How many nodes the kernel holds.
    pub(super) fn held(&self) -> usize {
        self.nodes.len()
    }

    /// What is remembered beside them.
    pub(super) fn cached(&self) -> usize {
        self.cached
    }

    /// A node that the kernel holds.
    pub(super) fn node(&self, ino: Ino) -> Result<&Arc<Inode>, VfsError> {
        match self.nodes.get(&ino) {
            Some(held) if !held.inode.is_gone() => Ok(&held.inode),
            Some(_) | None => Err(VfsError::Stale { ino }),
        }
    }

    /// A node that the kernel holds, also one that is gone.
    pub(super) fn any(&self, ino: Ino) -> Option<&Arc<Inode>> {
        Some(&self.nodes.get(&ino)?.inode)
    }

    /// The path of a node that the kernel holds, also of one that is gone.
    pub(super) fn path(&self, ino: Ino) -> Option<String> {
        let inode = &self.nodes.get(&ino)?.inode;
        Some(inode.dir.path.join(&inode.name))
    }

    /// A directory that the kernel holds.
    pub(super) fn dir(&mut self, ino: Ino) -> Result<&Dir, VfsError> {
        let inode = self.node(ino)?;
        let Some(place) = inode.place() else {
            let path = inode.path();
            return Err(VfsError::NotADirectory { path });
        };
        if !self.dirs.contains_key(&ino) {
            self.with(&place, |_| ());
        }
        self.step += 1;
        let step = self.step;
        match self.dirs.get_mut(&ino) {
            Some(dir) => {
                dir.used = step;
                Ok(dir)
            }
            None => Err(VfsError::Stale { ino }),
        }
    }

    /// What is remembered of a directory, if anything is.
    pub(super) fn dir_at(&self, ino: Ino) -> Option<&Dir> {
        self.dirs.get(&ino)
    }

    /// Changes what is remembered of a directory.
    pub(super) fn with<T>(&mut self, place: &Arc<Place>, change: impl FnOnce(&mut Dir) -> T) -> T {
        self.step += 1;
        let dir = match self.dirs.entry(place.ino) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let dir = entry.insert(Dir::new(place.clone()));
                self.cached += dir.weight();
                dir
            }
        };
        dir.used = self.step;
        let before = dir.weight();
        let result = change(dir);
        self.cached = self.cached - before + dir.weight();
        result
    }

    /// One more reference of the kernel. Answers with the node that the name stands for, which may be a newer one; `None`
    /// if there is none any more.
    pub(super) fn hold(&mut self, inode: &Arc<Inode>, now: u64) -> Option<Arc<Inode>> {
        let inode = self.with(&inode.dir, |dir| match dir.known(&inode.name, now) {
            Known::Found(known) => Some(known.clone()),
            Known::Missing { .. } | Known::NotListed { .. } | Known::Nothing if inode.is_gone() => None,
            // A number that the kernel knows must not be given up.
            Known::Missing { .. } | Known::NotListed { .. } | Known::Nothing => {
                dir.put_stray(inode.name.clone(), Stray::Found(inode.clone()), now);
                Some(inode.clone())
            }
        })?;
        self.hold_known(&inode);
        Some(inode)
    }

    /// One more reference of the kernel to a node that its directory knows by its name, as this lock has seen.
    pub(super) fn hold_known(&mut self, inode: &Arc<Inode>) {
        let held = self.nodes.entry(inode.ino).or_insert_with(|| Held {
            inode: inode.clone(),
            refs: 0,
        });
        held.refs += 1;
        inode.hold(true);
    }

    /// One more reference of the kernel to a number that it holds, also of a node that is gone. `false`: it does not.
    #[cfg(target_os = "linux")]
    pub(super) fn hold_again(&mut self, ino: Ino) -> bool {
        let held = self.nodes.get_mut(&ino);
        held.map(|held| held.refs += 1).is_some()
    }

    /// The kernel gave back `refs` references. Tells whether it has others.
    pub(super) fn forget(&mut self, ino: Ino, refs: u64) -> bool {
        if ino == Ino::ROOT {
            return true;
        }
        let Entry::Occupied(mut entry) = self.nodes.entry(ino) else {
            return false;
        };
        let held = entry.get_mut();
        held.refs = held.refs.saturating_sub(refs);
        if held.refs > 0 {
            return true;
        }
        let inode = entry.remove().inode;
        inode.hold(false);
        // A single name is known for as long as the kernel holds it; one of a listing, as long as the listing is.
        let dir = self.dirs.get(&inode.dir.ino);
        if let Some(Stray::Found(stray)) = dir.and_then(|dir| dir.stray(&inode.name))
            && Arc::ptr_eq(stray, &inode)
        {
            self.with(&inode.dir.clone(), |dir| dir.drop_stray(&inode.name));
        }
        self.tidy(inode.dir.ino);
        // A directory that nobody can name by this number again.
        let listed = self.dirs.get(&inode.dir.ino).is_some_and(|dir| dir.lists(&inode));
        if (!listed || inode.is_gone()) && self.dirs.get(&ino).is_some_and(|dir| !dir.has_held_strays()) {
            self.remove_dir(ino);
        }
        false
    }

    /// Forgets a directory of which nothing is remembered and that the kernel does not hold.
    fn tidy(&mut self, ino: Ino) {
        if !self.nodes.contains_key(&ino) && self.dirs.get(&ino).is_some_and(Dir::is_empty) {
            self.remove_dir(ino);
        }
    }

    fn remove_dir(&mut self, ino: Ino) {
        if let Some(dir) = self.dirs.remove(&ino) {
            self.cached -= dir.weight();
        }
    }

    /// Makes room if there is more than `max` beside the listing of `keep`: the directories that were used least lately
    /// lose their listings and missing names, until a quarter is free. Answers with those listings, to be dropped
    /// outside the lock.
    pub(super) fn evict(&mut self, keep: Ino, max: usize) -> Vec<Listing> {
        if self.cached <= self.evict_at {
            return Vec::new();
        }
        let mut idle: Vec<(u64, Ino)> = self
            .dirs
            .iter()
            .filter(|(ino, _)| **ino != keep)
            .map(|(ino, dir)| (dir.used, *ino))
            .collect();
        idle.sort_unstable();
        let mut evicted = Vec::new();
        for (_, ino) in idle {
            if self.cached <= max / 4 * 3 {
                break;
            }
            evicted.extend(self.forget_listing(ino));
        }
        if self.cached > max
            && let Some(place) = self.dirs.get(&keep).map(|dir| dir.place.clone())
        {
            self.with(&place, Dir::drop_idle_strays);
        }
        // What is left cannot go: it is not looked through again before there is a quarter more.
        self.evict_at = max.max(self.cached + self.cached / 4);
        evicted
    }

    fn forget_listing(&mut self, ino: Ino) -> Option<Listing> {
        let place = self.dirs.get(&ino)?.place.clone();
        let listing = self.with(&place, |dir| {
            dir.drop_idle_strays();
            dir.take_listing()
        });
        self.tidy(ino);
        listing
    }
}
