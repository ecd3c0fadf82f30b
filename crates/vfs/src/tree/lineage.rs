//! Numbers by themselves: held once more, and where they stand. For what lies on top of a tree.

use forebay_range::Target;

use super::Tree;
use crate::entry::FileMeta;
use crate::ino::Ino;
use crate::path::DirPath;

/// Where a node stands.
#[derive(Debug)]
pub(crate) struct Lineage {
    /// The directories that lead to it, from the root on; empty for the root itself.
    pub(crate) above: Vec<Above>,
    /// Its name in the last of them.
    pub(crate) name: Box<str>,
}

/// A directory on the way.
#[derive(Debug)]
pub(crate) struct Above {
    pub(crate) ino: Ino,
    pub(crate) path: DirPath,
    /// Nanoseconds since 1970.
    pub(crate) modified: u64,
}

impl Above {
    /// Its name in the directory above; empty for the root.
    pub(crate) fn name(&self) -> &str {
        let path = self.path.as_str();
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }
}

impl Lineage {
    /// The path of the node, names joined by `/`.
    pub(crate) fn path(&self) -> String {
        self.above
            .last()
            .map_or_else(String::new, |above| above.path.join(&self.name))
    }
}

impl Tree {
    /// One more reference of the kernel to a number that it holds, whatever became of the node. `false`: it does not hold
    /// it.
    pub fn hold(&self, ino: Ino) -> bool {
        ino == Ino::ROOT || self.shared.table().hold_again(ino)
    }

    /// Whether the kernel holds a number.
    pub(crate) fn holds(&self, ino: Ino) -> bool {
        self.shared.table().any(ino).is_some()
    }

    /// Whether a number that the kernel holds still stands for something.
    pub(crate) fn is_alive(&self, ino: Ino) -> bool {
        self.shared.table().node(ino).is_ok()
    }

    /// Where a node stands that the kernel holds, also one that is gone.
    pub(crate) fn lineage(&self, ino: Ino) -> Option<Lineage> {
        let table = self.shared.table();
        let inode = table.any(ino)?;
        if ino == Ino::ROOT {
            return Some(Lineage {
                above: Vec::new(),
                name: Box::default(),
            });
        }
        let places = std::iter::successors(Some(&inode.dir), |place| place.above());
        let mut above: Vec<_> = places
            .map(|place| Above {
                ino: place.ino,
                path: place.path.clone(),
                modified: table
                    .any(place.ino)
                    .map_or(self.shared.born, |dir| dir.modified()),
            })
            .collect();
        above.reverse();
        Some(Lineage {
            above,
            name: inode.name.clone(),
        })
    }

    /// What a reader opens for the file at `path` in the version that `meta` says, whatever is there now.
    pub(crate) fn target(&self, path: &str, meta: &FileMeta) -> Target {
        let (dir, name) = match path.rsplit_once('/') {
            Some((above, name)) => (DirPath::of(above), name),
            None => (DirPath::root(), path),
        };
        self.shared.namespace.target(&dir, name, meta)
    }
}
