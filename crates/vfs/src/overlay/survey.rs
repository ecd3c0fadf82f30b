//! All that is known above at one moment, changed or not: for a commit that makes the lower tree the same.

use crate::overlay::attrs::{Data, NodeId, NodeKind, Origin};
use crate::overlay::record::Slot;
use crate::overlay::upper::{KnownVersion, Upper};

/// Names and what is known of them.
#[derive(Debug)]
pub struct Survey {
    /// Every name that stands for a node, a directory before what is in it; the root is the first.
    pub names: Vec<Surveyed>,
    /// Versions of lower files that were hidden.
    pub hidden: Vec<KnownVersion>,
}

/// A name.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// From the root on, joined by `/`; empty for the root.
    pub path: Box<[u8]>,
    /// What it stands for; several names of one file stand for the same.
    pub id: NodeId,
    /// What that is.
    pub thing: Thing,
}

/// What a node is, and what is known of it below.
#[derive(Clone, Debug)]
pub enum Thing {
    /// A directory.
    Dir {
        /// The lower directory that shines through.
        origin: Option<Box<str>>,
        /// How many names in it are known, those that are hidden among them.
        names: usize,
    },
    /// A file.
    File {
        /// Where what is not here of it comes from, or where it was put.
        origin: Option<Origin>,
        /// How much of it is here.
        data: Data,
        /// Lower paths and versions that are known to be this file's; of the same content as its origin.
        known: Vec<KnownVersion>,
    },
    /// Something else.
    Other(NodeKind),
}

impl Upper {
    /// All that is known above.
    pub fn survey(&self) -> Survey {
        let inner = self.shared.read();
        let mut names = Vec::new();
        let mut next = vec![(NodeId::ROOT, Vec::new())];
        while let Some((id, path)) = next.pop() {
            let Some(node) = inner.state.node(id) else {
                continue;
            };
            let thing = match (node.dir(), node.file()) {
                (Some(dir), _) => {
                    for (name, slot) in &dir.entries {
                        if let Slot::Node(child) = slot {
                            let path = match path.is_empty() {
                                true => name.to_vec(),
                                false => [&path[..], name].join(&b'/'),
                            };
                            next.push((*child, path));
                        }
                    }
                    Thing::Dir {
                        origin: dir.origin.clone(),
                        names: dir.entries.len(),
                    }
                }
                (None, Some(file)) => Thing::File {
                    origin: file.origin.clone(),
                    data: file.data,
                    known: file
                        .known()
                        .map(|(path, version)| (path.into(), version.into()))
                        .collect(),
                },
                (None, None) => Thing::Other(node.kind()),
            };
            names.push(Surveyed {
                path: path.into(),
                id,
                thing,
            });
        }
        let gone = inner.state.gone.iter();
        let hidden = gone
            .map(|(path, version)| (path.clone(), version.clone()))
            .collect();
        Survey { names, hidden }
    }
}
