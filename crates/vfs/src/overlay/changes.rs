//! All that differs from the lower tree, for a commit.

use std::collections::VecDeque;
use std::sync::Arc;

use forebay_types::ByteRange;

use crate::overlay::attrs::{Data, NodeId, NodeKind};
use crate::overlay::data::DataFile;
use crate::overlay::error::UpperError;
use crate::overlay::names::join_lower;
use crate::overlay::record::Slot;
use crate::overlay::state::{Body, Node};
use crate::overlay::upper::Upper;

/// How a path differs from the lower tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpperChange {
    /// The path, names joined by `/`; empty for the root.
    pub path: Box<[u8]>,
    /// What happened to it.
    pub what: What,
}

/// What happened to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The lower thing is not there any more, nor anything below it.
    Deleted,
    /// Something is there that is not what the lower tree has in this place, or not as it is.
    Node {
        /// Which node; several paths of one file have the same.
        id: NodeId,
        /// What it is.
        kind: NodeKind,
        /// Where it comes from.
        from: Whence,
        /// Whether mode, owner, times or extended attributes were set.
        attrs: bool,
        /// The content of a file; of everything else [`ContentChange::Same`].
        content: ContentChange,
    },
}

/// Where a thing comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whence {
    /// It was made here. A directory hides what the lower tree has in its place.
    Here,
    /// It is the lower thing of this place.
    Place,
    /// It is the lower thing of another place, moved or linked; a directory with all that is in it.
    Moved {
        /// Its path in the lower tree.
        path: Box<str>,
    },
}

/// How the content of a file differs from that of its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentChange {
    /// Not at all.
    Same,
    /// In these bytes, and in its length.
    Parts {
        /// Bytes that were changed.
        dirty: Vec<ByteRange>,
        /// Bytes of the file.
        len: u64,
    },
    /// All of it is new.
    Whole {
        /// Bytes of the file.
        len: u64,
    },
}

/// All changes; made by [`Upper::changes`].
#[derive(Debug)]
pub struct Changes<'a> {
    upper: &'a Upper,
    found: VecDeque<Found>,
}

/// A name, and what was known of it when the changes were asked for.
#[derive(Debug)]
struct Found {
    path: Box<[u8]>,
    node: Option<(NodeId, NodeKind, Whence, bool)>,
}

impl Upper {
    /// All that differs from the lower tree: names as they are now, content as it is when it is reached. A directory comes
    /// before what is in it.
    pub fn changes(&self) -> Changes<'_> {
        let inner = self.shared.read();
        let mut found = VecDeque::new();
        let mut dirs = vec![(NodeId::ROOT, Vec::new())];
        if let Some(root) = inner.state.node(NodeId::ROOT).filter(|root| root.changed) {
            found.push_back(Found {
                path: [].into(),
                node: Some((NodeId::ROOT, root.kind(), Whence::Place, true)),
            });
        }
        while let Some((id, path)) = dirs.pop() {
            let Some(dir) = inner.state.node(id).and_then(|node| node.dir()) else {
                continue;
            };
            for (name, slot) in &dir.entries {
                let path = join(&path, name);
                let Slot::Node(id) = *slot else {
                    found.push_back(Found {
                        path: path.into(),
                        node: None,
                    });
                    continue;
                };
                let Some(node) = inner.state.node(id) else {
                    continue;
                };
                let from = from(node, dir.origin.as_deref(), name);
                found.push_back(Found {
                    path: path.clone().into(),
                    node: Some((id, node.kind(), from, node.changed)),
                });
                if node.dir().is_some() {
                    dirs.push((id, path));
                }
            }
        }
        Changes { upper: self, found }
    }

    /// How the content of a file differs from that of its origin now.
    pub(crate) fn content_change(&self, id: NodeId) -> Result<ContentChange, UpperError> {
        let (origin, data) = self.content(id)?;
        if data == Data::Lower || self.is_as_put(id)? {
            return Ok(ContentChange::Same);
        }
        let file: Arc<DataFile> = self.data(id)?;
        let len = file.len()?;
        let Some(origin) = origin.filter(|_| data != Data::Whole) else {
            return Ok(ContentChange::Whole { len });
        };
        let dirty = file.dirty()?;
        Ok(if dirty.is_empty() && len == origin.size {
            ContentChange::Same
        } else {
            ContentChange::Parts { dirty, len }
        })
    }
}

impl Changes<'_> {
    /// `None` for what is only known here and not changed.
    fn look(&self, found: Found) -> Result<Option<UpperChange>, UpperError> {
        let Found { path, node } = found;
        let Some((id, kind, from, attrs)) = node else {
            return Ok(Some(UpperChange {
                path,
                what: What::Deleted,
            }));
        };
        let content = match kind {
            NodeKind::File => match self.upper.content_change(id) {
                // Removed since: what it hid was not there either.
                Err(UpperError::Stale { .. }) => {
                    return Ok(Some(UpperChange {
                        path,
                        what: What::Deleted,
                    }));
                }
                content => content?,
            },
            _ => ContentChange::Same,
        };
        if from == Whence::Place && !attrs && content == ContentChange::Same {
            return Ok(None);
        }
        let what = What::Node {
            id,
            kind,
            from,
            attrs,
            content,
        };
        Ok(Some(UpperChange { path, what }))
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<UpperChange, UpperError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let found = self.found.pop_front()?;
            if let Some(change) = self.look(found).transpose() {
                return Some(change);
            }
        }
    }
}

/// `dir`: the lower directory that shines through where the name is.
fn from(node: &Node, dir: Option<&str>, name: &[u8]) -> Whence {
    let origin = match &node.body {
        Body::Dir(dir) => dir.origin.as_deref(),
        Body::File(file) => file.origin.as_ref().map(|origin| &*origin.path),
        Body::Symlink { .. } | Body::Special { .. } => None,
    };
    let place = dir.and_then(|dir| join_lower(dir, name));
    match origin {
        None => Whence::Here,
        Some(origin) if Some(origin) == place.as_deref() => Whence::Place,
        Some(origin) => Whence::Moved { path: origin.into() },
    }
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() {
        name.to_vec()
    } else {
        [dir, name].join(&b'/')
    }
}

#[cfg(test)]
mod tests;
