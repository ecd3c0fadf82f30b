//! The door: everything that was changed.

mod adopt;
mod attributes;
mod create;
mod ledger;
mod open;
mod remove;
mod rename;
mod settle;

use std::path::Path;
use std::sync::Arc;

use forebay_types::Clock;

use crate::overlay::attrs::{Attrs, Data, NodeId, NodeKind, Origin, UpperEntry};
use crate::overlay::error::{OverlayError, UpperError};
use crate::overlay::names::{check, shown};
use crate::overlay::record::{Change, Slot};
use crate::overlay::recover;
use crate::overlay::shared::{Inner, Shared};
use crate::overlay::state::{Body, Dir, Node};

pub use create::NewNode;
pub use ledger::{DIR_VERSION, Found, KnownVersion, Recorded};
pub use remove::Removed;
pub use rename::Rename;

/// Everything that was changed on top of a lower tree. See the [module](crate::overlay).
///
/// All methods may be called by many threads. They wait for the local disk, and for nothing else.
#[derive(Debug)]
pub struct Upper {
    pub(crate) shared: Arc<Shared>,
}

/// A name and what it stands for.
pub type NamedEntry = (Box<[u8]>, UpperEntry);

/// Keeps a node though its last name goes.
#[derive(Debug)]
pub struct Hold {
    shared: Arc<Shared>,
    id: NodeId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.release(self.id);
    }
}

impl Hold {
    /// Which node.
    pub fn id(&self) -> NodeId {
        self.id
    }
}

impl Upper {
    /// Opens the overlay directory `dir`, or makes it. `base` says what the changes are made to, without secrets: it stands
    /// in a file, and another base is refused later. Nobody else can open it until this and all that came from it is
    /// dropped.
    ///
    /// # Errors
    /// It belongs to others, is in use, lies on something else, or is damaged.
    pub fn open(dir: &Path, base: &str, clock: Arc<dyn Clock>) -> Result<Self, OverlayError> {
        recover::open(dir, base, clock, false).map(|shared| Self { shared })
    }

    /// The same over a lower tree whose files others change, or a commit: it knows which versions are hidden
    /// ([`Upper::hidden_versions`]), if it was made by this.
    ///
    /// # Errors
    /// Those of [`Upper::open`].
    pub fn open_with_ledger(dir: &Path, base: &str, clock: Arc<dyn Clock>) -> Result<Self, OverlayError> {
        recover::open(dir, base, clock, true).map(|shared| Self { shared })
    }

    /// The root, which lies over the root of the lower tree.
    pub fn root(&self) -> NodeId {
        NodeId::ROOT
    }

    /// What a name stands for; `None`: nothing was changed there, so the lower directory says, if there is one
    /// ([`Upper::dir_origin`]).
    ///
    /// # Errors
    /// [`UpperError::Stale`], [`UpperError::NotADir`].
    pub fn entry(&self, dir: NodeId, name: &[u8]) -> Result<Option<UpperEntry>, UpperError> {
        let inner = self.shared.read();
        let slot = inner.dir(dir)?.entries.get(name).copied();
        Ok(slot.and_then(|slot| inner.shown(slot)))
    }

    /// All names in a directory of which something is known above, in the order of their bytes.
    ///
    /// # Errors
    /// [`UpperError::Stale`], [`UpperError::NotADir`].
    pub fn entries(&self, dir: NodeId) -> Result<Vec<NamedEntry>, UpperError> {
        let inner = self.shared.read();
        let entries = inner.dir(dir)?.entries.iter();
        Ok(entries
            .filter_map(|(name, slot)| Some((name.clone(), inner.shown(*slot)?)))
            .collect())
    }

    /// Path of the lower directory whose names are seen where nothing is known above; `None`: none are.
    ///
    /// # Errors
    /// [`UpperError::Stale`], [`UpperError::NotADir`].
    pub fn dir_origin(&self, dir: NodeId) -> Result<Option<Box<str>>, UpperError> {
        Ok(self.shared.read().dir(dir)?.origin.clone())
    }

    /// The directory that a directory lies in; of the root itself.
    ///
    /// # Errors
    /// [`UpperError::Stale`], [`UpperError::NotADir`].
    pub fn parent(&self, dir: NodeId) -> Result<NodeId, UpperError> {
        Ok(self.shared.read().dir(dir)?.parent)
    }

    /// What a node is.
    ///
    /// # Errors
    /// [`UpperError::Stale`].
    pub fn kind(&self, id: NodeId) -> Result<NodeKind, UpperError> {
        Ok(self.shared.read().node(id)?.kind())
    }

    /// Whether mode, owner, times or extended attributes were set here; `false` if they are what they were when it became
    /// known.
    ///
    /// # Errors
    /// [`UpperError::Stale`].
    pub fn has_own_attrs(&self, id: NodeId) -> Result<bool, UpperError> {
        Ok(self.shared.read().node(id)?.changed)
    }

    /// Where the content of a file came from, and how much of it is above.
    ///
    /// # Errors
    /// [`UpperError::Stale`]; [`UpperError::Invalid`] of what is no file.
    pub fn content(&self, id: NodeId) -> Result<(Option<Origin>, Data), UpperError> {
        let inner = self.shared.read();
        let file = inner.node(id)?.file().ok_or_else(|| not_a_file(id))?;
        Ok((file.origin.clone(), file.data))
    }

    /// Where a symbolic link points.
    ///
    /// # Errors
    /// [`UpperError::Stale`]; [`UpperError::Invalid`] of what is no link.
    pub fn target(&self, id: NodeId) -> Result<Box<[u8]>, UpperError> {
        match &self.shared.read().node(id)?.body {
            Body::Symlink { target } => Ok(target.clone()),
            _ => Err(UpperError::Invalid {
                id,
                what: "not a symbolic link",
            }),
        }
    }

    /// Keeps a node for as long as the answer lives.
    ///
    /// # Errors
    /// [`UpperError::Stale`].
    pub fn hold(&self, id: NodeId) -> Result<Hold, UpperError> {
        self.shared.hold(id)?;
        Ok(Hold {
            shared: Arc::clone(&self.shared),
            id,
        })
    }

    /// Nanoseconds since 1970, by the clock that times are set from.
    pub(crate) fn now(&self) -> i64 {
        self.shared.now()
    }

    /// Makes all names and attributes that were changed so far durable, with the files that they lead to, though not
    /// what is in those: [`DataFile::sync`](crate::overlay::DataFile::sync) does that. Concurrent callers share one sync.
    /// To be called every few seconds, so that a power loss takes no more than that.
    ///
    /// # Errors
    /// What the system says: what was changed since the last time may be lost by a power loss.
    pub fn sync(&self) -> Result<(), UpperError> {
        self.shared.sync()
    }

    /// Makes everything durable: for `sync`, and before the end.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync_all(&self) -> Result<(), UpperError> {
        self.shared
            .layout
            .sync_file_system()
            .map_err(UpperError::io("sync the file system", NodeId::ROOT))?;
        let mut failure = Ok(());
        for id in self.shared.take_unsafe() {
            let done = match self.data(id) {
                Ok(file) => file.sync_content(true),
                // Removed meanwhile.
                Err(UpperError::Stale { .. }) => Ok(()),
                Err(error) => Err(error),
            };
            if done.is_err() {
                self.shared.closed_unsafe(id);
                failure = failure.and(done);
            }
        }
        failure.and(self.shared.sync())
    }
}

impl Drop for Upper {
    fn drop(&mut self) {
        if let Err(error) = self.shared.sync() {
            tracing::warn!(%error, "the last changes of the overlay may be lost by a power loss");
        }
    }
}

fn not_a_file(id: NodeId) -> UpperError {
    UpperError::Invalid {
        id,
        what: "not a file",
    }
}

impl Inner {
    /// A directory, whether or not it has a name.
    fn dir(&self, id: NodeId) -> Result<&Dir, UpperError> {
        self.node(id)?.dir().ok_or_else(|| UpperError::NotADir {
            name: id.to_string().into(),
        })
    }

    /// A directory in which names can be changed, and a name that can be.
    fn place(&self, dir: NodeId, name: &[u8]) -> Result<&Dir, UpperError> {
        let node = self.node(dir)?;
        let found = self.dir(dir)?;
        check(name)?;
        if !node.is_linked(dir) {
            // Like a name in a directory that was removed while somebody had it open.
            return Err(UpperError::NoEntry { name: shown(name) });
        }
        Ok(found)
    }

    /// A directory in which there is no `name` above.
    fn vacancy(&self, dir: NodeId, name: &[u8]) -> Result<&Dir, UpperError> {
        let place = self.place(dir, name)?;
        match place.entries.get(name) {
            Some(Slot::Node(_)) => Err(UpperError::Exists { name: shown(name) }),
            Some(Slot::Whiteout) | None => Ok(place),
        }
    }

    /// What a name stands for.
    fn named(&self, dir: NodeId, name: &[u8]) -> Result<(NodeId, &Node), UpperError> {
        match self.place(dir, name)?.entries.get(name) {
            Some(Slot::Node(id)) => Ok((*id, self.node(*id)?)),
            Some(Slot::Whiteout) | None => Err(UpperError::NoEntry { name: shown(name) }),
        }
    }

    fn shown(&self, slot: Slot) -> Option<UpperEntry> {
        Some(match slot {
            Slot::Whiteout => UpperEntry::Whiteout,
            Slot::Node(id) => UpperEntry::Node {
                id,
                kind: self.state.node(id)?.kind(),
            },
        })
    }
}

fn entry(dir: NodeId, name: &[u8], slot: Option<Slot>) -> Change {
    Change::Entry {
        dir,
        name: name.into(),
        slot,
    }
}

impl Inner {
    /// What is left where a name was: nothing shines through a directory that lies over none. `whiteout`: something below has
    /// this name too. So may what was sent and not heard of: it must not be seen when it arrives.
    fn left(&self, parent: NodeId, name: &[u8], whiteout: bool) -> Result<Option<Slot>, UpperError> {
        let shines = self.dir(parent)?.origin.is_some();
        let is_left = shines && (whiteout || self.state.is_sent_through(parent, name));
        Ok(is_left.then_some(Slot::Whiteout))
    }
}

/// Attributes of something new.
fn new_attrs(new: NewNode, now: i64) -> Attrs {
    Attrs {
        mode: new.mode & 0o7777,
        uid: new.uid,
        gid: new.gid,
        atime: now,
        mtime: now,
        ctime: now,
    }
}

#[cfg(test)]
mod tests;
