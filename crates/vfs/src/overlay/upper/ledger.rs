//! What is known of lower files that are hidden, and of content that was put below.
//!
//! Over a lower tree that others change too, and that a commit changes, an overlay knows which version of a lower file was
//! hidden: of files with a node their origin says so, of all others a list does (`State::gone`). What is on the list may be
//! to be seen all the same, because it came back: who asks looks where the path leads ([`Upper::find`]).

use super::adopt::check_len;
use super::{Upper, entry};
use crate::overlay::attrs::{Data, DataStamp, NodeId, Origin};
use crate::overlay::error::UpperError;
use crate::overlay::names::join_lower;
use crate::overlay::record::{Change, Slot};
use crate::overlay::shared::Inner;
use crate::overlay::state::State;

/// What stands for the version of a directory that is hidden: it has none.
pub const DIR_VERSION: &str = "directory";

/// A lower path and a version of what is there.
pub type KnownVersion = (Box<str>, Box<str>);

/// Where a lower path leads in the tree as it is to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// To a node above.
    Node(NodeId),
    /// To what is below, if it is there. The last directory that is above has nothing of this name.
    Below {
        /// That directory.
        dir: NodeId,
        /// The name in it.
        name: Box<[u8]>,
    },
    /// To nothing, or to something else.
    Hidden,
}

/// What came of a note that content was put below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The file is known to be there.
    Put,
    /// It has another content by now, or is gone: only the version of what was put is known, and if need be it is hidden.
    Changed,
}

impl Upper {
    /// Whether it is known which versions of lower files are hidden.
    pub fn has_ledger(&self) -> bool {
        self.shared.read().state.has_ledger
    }

    /// Which versions of lower files were hidden, by path. May name what is to be seen again.
    pub fn hidden_versions(&self) -> Vec<KnownVersion> {
        let inner = self.shared.read();
        let gone = inner.state.gone.iter();
        gone.map(|(path, version)| (path.clone(), version.clone()))
            .collect()
    }

    /// Where a lower path leads.
    pub fn find(&self, path: &str) -> Found {
        self.shared.read().state.find(path)
    }

    /// Hides a lower file of this version, or a directory ([`DIR_VERSION`]), of which nothing is known above.
    ///
    /// # Errors
    /// As [`Upper::hide`]; [`UpperError::TooLong`].
    pub fn hide_file(&self, parent: NodeId, name: &[u8], version: &str) -> Result<(), UpperError> {
        check_len("the version of a lower file", version)?;
        self.hide_as(parent, name, Some(version))
    }

    /// The content of a file was put below as `origin`: all of it, as it was when its data file was like `stamp`; of a file
    /// that has none, a copy of its origin. It counts as unchanged from then on, for as long as the data file stays like
    /// that. If the path leads elsewhere by now, what was put is hidden.
    ///
    /// # Errors
    /// The disk; [`UpperError::TooLong`].
    pub fn record_put(
        &self,
        id: NodeId,
        origin: &Origin,
        stamp: Option<DataStamp>,
    ) -> Result<Recorded, UpperError> {
        check_len("the path of a lower file", &origin.path)?;
        check_len("the version of a lower file", &origin.version)?;
        self.shared.change(|inner| {
            let mut changes = Vec::new();
            let put = inner.put(id, origin, stamp);
            let recorded = match put {
                Some(put) => {
                    changes.extend(put);
                    Recorded::Put
                }
                None => {
                    changes.push(gone(&origin.path, &origin.version));
                    Recorded::Changed
                }
            };
            if let Found::Below { dir, name } = inner.state.find(&origin.path) {
                // Removed or moved while it was on its way: nothing was there to be hidden then.
                changes.push(entry(dir, &name, Some(Slot::Whiteout)));
            }
            changes.extend(inner.state.came_to_know(&origin.path));
            inner.commit(id, &changes)?;
            Ok(recorded)
        })
    }

    /// A lower file that is hidden has this version now; `None`: it is gone, or to be seen.
    ///
    /// # Errors
    /// The disk; [`UpperError::TooLong`].
    pub fn record_hidden(&self, path: &str, version: Option<&str>) -> Result<(), UpperError> {
        check_len("the version of a lower file", version.unwrap_or_default())?;
        self.shared.change(|inner| {
            let mut changes = Vec::new();
            if inner.state.gone.get(path).map(|known| &**known) != version {
                changes.push(Change::Gone {
                    path: path.into(),
                    version: version.map(Into::into),
                });
            }
            if version.is_none() {
                changes.extend(inner.state.came_to_know(path));
            }
            match changes.is_empty() {
                true => Ok(()),
                false => inner.commit(NodeId::ROOT, &changes),
            }
        })
    }

    /// A content is about to be put at a lower path, which `what` tells from others. Until it is known what became of that
    /// ([`Upper::record_put`], [`Upper::record_hidden`]), [`Upper::sent`] says so, also to who opens the overlay after
    /// a crash of this process.
    ///
    /// # Errors
    /// The disk; [`UpperError::TooLong`].
    pub fn record_sent(&self, path: &str, what: &str) -> Result<(), UpperError> {
        check_len("the path of a lower file", path)?;
        check_len("what tells a content from others", what)?;
        self.shared.change(|inner| {
            let known = inner.state.sent.get(path).and_then(|sent| sent.last());
            if known.is_some_and(|known| **known == *what) {
                return Ok(());
            }
            let change = Change::Sent {
                path: path.into(),
                what: Some(what.into()),
            };
            inner.commit(NodeId::ROOT, &[change])
        })
    }

    /// What may have been put at a lower path without anybody having heard that it was, the latest last.
    pub fn sent(&self, path: &str) -> Vec<Box<str>> {
        let inner = self.shared.read();
        inner.state.sent.get(path).cloned().unwrap_or_default()
    }

    /// The paths of which [`Upper::sent`] says something.
    pub fn sent_paths(&self) -> Vec<Box<str>> {
        self.shared.read().state.sent.keys().cloned().collect()
    }

    /// Everything that a directory has is known above, and nothing of what is below is seen in it any more: what comes to be
    /// there belongs to who has that name now.
    ///
    /// # Errors
    /// [`UpperError::Stale`], [`UpperError::NotADir`], the disk.
    pub fn leave_below(&self, dir: NodeId) -> Result<(), UpperError> {
        self.shared.change(|inner| match inner.dir(dir)?.origin {
            Some(_) => inner.commit_to(dir, &[Change::Alone { id: dir }]),
            None => Ok(()),
        })
    }

    /// Everything in a directory is below at `path`, too; `None`: not so. When the overlay is opened the next time, the
    /// directory may lie over that ([`Upper::settle`]).
    ///
    /// # Errors
    /// [`UpperError::Stale`], [`UpperError::NotADir`], the disk.
    pub fn record_settled(&self, dir: NodeId, path: Option<&str>) -> Result<(), UpperError> {
        self.shared.change(|inner| {
            if inner.dir(dir)?.settled.as_deref() == path {
                return Ok(());
            }
            let change = Change::Settled {
                id: dir,
                path: path.map(Into::into),
            };
            inner.commit_to(dir, &[change])
        })
    }
}

impl Inner {
    /// What says that a file was put. `None`: it is gone, or it is not what was put any more.
    fn put(&self, id: NodeId, origin: &Origin, stamp: Option<DataStamp>) -> Option<Vec<Change>> {
        let node = self.state.node(id).filter(|node| node.is_linked(id))?;
        let file = node.file()?;
        let is_same = match file.data {
            Data::Lower if stamp.is_none() => true,
            Data::Whole if stamp.is_some() => file.put.as_ref().is_some_and(|put| put.stamp == stamp),
            _ => return None,
        };
        let mut changes = vec![Change::Put {
            id,
            origin: origin.clone(),
            stamp,
        }];
        for (path, version) in file.known().filter(|(path, _)| *path != &*origin.path) {
            // Another name of the file; or a place that it left, or whose content is old by now.
            if is_same && self.state.find(path) == Found::Node(id) {
                changes.push(Change::Also {
                    id,
                    path: path.into(),
                    version: version.into(),
                });
            } else {
                changes.extend(self.left_behind(id, path, version));
            }
        }
        if self.state.gone.contains_key(&origin.path) {
            changes.push(Change::Gone {
                path: origin.path.clone(),
                version: None,
            });
        }
        Some(changes)
    }

    /// Of a node that loses a name: what is known of lower things that may be hidden by that.
    pub(super) fn farewell(&self, id: NodeId) -> Vec<Change> {
        let node = self.state.node(id).filter(|_| self.state.has_ledger);
        let files = node.and_then(|node| node.file()).into_iter();
        let known = files.flat_map(|file| file.known());
        let dir = node.and_then(|node| Some((node.dir()?.origin.as_deref()?, DIR_VERSION)));
        known
            .chain(dir)
            .filter_map(|(path, version)| self.left_behind(id, path, version))
            .collect()
    }

    /// What says that a node knows of something below in this version that is hidden, or about to be. Of a place where it is not any
    /// more, others may know a newer one.
    fn left_behind(&self, id: NodeId, path: &str, version: &str) -> Option<Change> {
        let listed = self.state.gone.get(path);
        let is_newer = match self.state.find(path) {
            Found::Node(here) if here == id => listed.is_some_and(|listed| **listed == *version),
            Found::Node(other) => listed.is_some() || self.knows(other, path),
            Found::Below { .. } | Found::Hidden => listed.is_some(),
        };
        (!is_newer).then(|| gone(path, version))
    }

    fn knows(&self, id: NodeId, path: &str) -> bool {
        let file = self.state.node(id).and_then(|node| node.file());
        file.is_some_and(|file| file.known().any(|(known, _)| known == path))
    }

    /// What says that the lower file of this version is hidden that has a name in a directory.
    pub(super) fn hidden(&self, dir: NodeId, name: &[u8], version: Option<&str>) -> Option<Change> {
        let version = version.filter(|_| self.state.has_ledger)?;
        let above = self.state.node(dir)?.dir()?.origin.as_deref()?;
        Some(gone(&join_lower(above, name)?, version))
    }
}

impl State {
    /// What says that it is known what is at a lower path.
    fn came_to_know(&self, path: &str) -> Option<Change> {
        self.sent.contains_key(path).then(|| Change::Sent {
            path: path.into(),
            what: None,
        })
    }

    /// Whether the path of something that was sent leads through a name.
    pub(crate) fn is_sent_through(&self, parent: NodeId, name: &[u8]) -> bool {
        self.sent.keys().any(|path| {
            let mut at = Some(NodeId::ROOT);
            path.split('/').any(|part| {
                let Some(dir) = at else {
                    return false;
                };
                let next = self
                    .node(dir)
                    .and_then(|node| node.dir()?.entries.get(part.as_bytes()));
                at = match next {
                    Some(Slot::Node(id)) => Some(*id),
                    Some(Slot::Whiteout) | None => None,
                };
                dir == parent && part.as_bytes() == name
            })
        })
    }

    /// Where a lower path leads.
    pub(crate) fn find(&self, path: &str) -> Found {
        let mut at = NodeId::ROOT;
        let mut above = "";
        for name in path.split('/') {
            let Some(dir) = self.node(at).and_then(|node| node.dir()) else {
                return Found::Hidden;
            };
            match dir.entries.get(name.as_bytes()) {
                Some(Slot::Node(id)) => at = *id,
                Some(Slot::Whiteout) => return Found::Hidden,
                None if dir.origin.as_deref() == Some(above) => {
                    return Found::Below {
                        dir: at,
                        name: name.as_bytes().into(),
                    };
                }
                None => return Found::Hidden,
            }
            let end = above.len() + usize::from(!above.is_empty()) + name.len();
            above = &path[..end];
        }
        Found::Node(at)
    }
}

pub(super) fn gone(path: &str, version: &str) -> Change {
    Change::Gone {
        path: path.into(),
        version: Some(version.into()),
    }
}

#[cfg(test)]
mod tests;
