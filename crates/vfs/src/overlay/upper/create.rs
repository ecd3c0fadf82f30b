//! New things.

use std::sync::{Arc, PoisonError};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, Gid, Mode, Uid};
use rustix::io::Errno;

use super::{Upper, entry, new_attrs};
use crate::overlay::attrs::{Data, NodeId, SpecialKind};
use crate::overlay::data::{Content, DataFile};
use crate::overlay::error::UpperError;
use crate::overlay::layout::data_name;
use crate::overlay::names::shown;
use crate::overlay::record::{Change, NewBody, Slot};
use crate::overlay::shared::Inner;
use crate::overlay::state::MAX_LINKS;

/// Permissions that every file on disk has, so that we can open it.
pub(crate) const NEEDED: u32 = 0o600;

/// Longest target of a symbolic link: PATH_MAX of Linux, with the zero at its end.
const MAX_TARGET: usize = 4095;

/// Attributes of something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// Permission bits, 12; the umask was taken off.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Upper {
    /// Makes an empty file. Whether the name is free below is the caller's to know, here and with the others: what is
    /// below is hidden from then on.
    ///
    /// # Errors
    /// [`UpperError::Exists`]; [`UpperError::NoEntry`] in a directory that was removed; bad names; the disk.
    pub fn create(
        &self,
        parent: NodeId,
        name: &[u8],
        new: NewNode,
    ) -> Result<(NodeId, Arc<DataFile>), UpperError> {
        self.shared.read().vacancy(parent, name)?;
        let id = self.shared.new_id();
        let made = self.shared.with_room(|| self.make_file(id, new));
        let fd = made?;
        // Held until the file is known: who finds the name must find the file open.
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = self.shared.change(|inner| {
            inner.vacancy(parent, name)?;
            let body = NewBody::File {
                origin: None,
                data: Data::Whole,
                hidden: !new.mode & NEEDED,
            };
            self.add(inner, parent, name, id, new, body)?;
            // For the file; a second try comes only if this was not reached.
            inner
                .node(id)?
                .holds
                .fetch_add(1, std::sync::atomic::Ordering::AcqRel);
            Ok(())
        });
        if let Err(error) = committed {
            // What cannot be removed now, the next start removes.
            let _ = self.shared.layout.remove(&data_name(id));
            return Err(error);
        }
        let file = DataFile::new(&self.shared, id, fd, Content::whole());
        open.insert(id, Arc::downgrade(&file));
        Ok((id, file))
    }

    fn make_file(&self, id: NodeId, new: NewNode) -> Result<OwnedFd, UpperError> {
        let io = UpperError::io("create the data", id);
        let name = data_name(id);
        let fd = self.shared.layout.create(&name).map_err(&io)?;
        if let Err(error) = give(&fd, new) {
            let _ = self.shared.layout.remove(&name);
            return Err(io(error));
        }
        Ok(fd)
    }

    /// Makes an empty directory, through which nothing shines.
    ///
    /// # Errors
    /// Those of [`Upper::create`].
    pub fn mkdir(&self, parent: NodeId, name: &[u8], new: NewNode) -> Result<NodeId, UpperError> {
        self.make(parent, name, new, &NewBody::Dir { origin: None })
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// Those of [`Upper::create`]; a target that is empty or longer than 4095 bytes.
    pub fn symlink(
        &self,
        parent: NodeId,
        name: &[u8],
        target: &[u8],
        new: NewNode,
    ) -> Result<NodeId, UpperError> {
        check_target(target)?;
        let body = NewBody::Symlink {
            target: target.into(),
        };
        self.make(parent, name, new, &body)
    }

    /// Makes a pipe, a socket or a device.
    ///
    /// # Errors
    /// Those of [`Upper::create`].
    pub fn mknod(
        &self,
        parent: NodeId,
        name: &[u8],
        kind: SpecialKind,
        rdev: u64,
        new: NewNode,
    ) -> Result<NodeId, UpperError> {
        self.make(parent, name, new, &NewBody::Special { kind, rdev })
    }

    fn make(&self, parent: NodeId, name: &[u8], new: NewNode, body: &NewBody) -> Result<NodeId, UpperError> {
        let id = self.shared.new_id();
        self.shared.change(|inner| {
            inner.vacancy(parent, name)?;
            self.add(inner, parent, name, id, new, body.clone())?;
            Ok(id)
        })
    }

    fn add(
        &self,
        inner: &mut Inner,
        parent: NodeId,
        name: &[u8],
        id: NodeId,
        new: NewNode,
        body: NewBody,
    ) -> Result<(), UpperError> {
        let now = self.shared.now();
        let changes = [
            Change::Node {
                id,
                attrs: new_attrs(new, now),
                changed: true,
                body,
            },
            entry(parent, name, Some(Slot::Node(id))),
            Change::Touch { id: parent, at: now },
        ];
        inner.commit(id, &changes)
    }

    /// Gives a node that is no directory one more name.
    ///
    /// # Errors
    /// Those of [`Upper::create`]; [`UpperError::NotPermitted`] for a directory; [`UpperError::TooManyLinks`];
    /// [`UpperError::NoEntry`] if it has no name any more.
    pub fn link(&self, id: NodeId, parent: NodeId, name: &[u8]) -> Result<(), UpperError> {
        let now = self.shared.now();
        let has_data = self.shared.change(|inner| {
            let node = inner.node(id)?;
            if node.dir().is_some() {
                return Err(UpperError::NotPermitted {
                    id,
                    what: "a directory has one name only",
                });
            }
            let (links, has_data) = (node.links, node.has_data());
            inner.vacancy(parent, name)?;
            match links {
                0 => return Err(UpperError::NoEntry { name: shown(name) }),
                MAX_LINKS.. => return Err(UpperError::TooManyLinks { name: shown(name) }),
                _ => {}
            }
            let changes = [
                entry(parent, name, Some(Slot::Node(id))),
                Change::Touch { id: parent, at: now },
                Change::Ctime { id, at: now },
            ];
            inner.commit(id, &changes)?;
            Ok(has_data)
        })?;
        self.bump(id, has_data);
        Ok(())
    }

    /// A node has more or fewer names, or others: its ctime. That of a file with data is on the file.
    pub(super) fn bump(&self, id: NodeId, has_data: bool) {
        if has_data && let Err(error) = self.shared.layout.bump_ctime(id) {
            // The names are changed by now; nothing depends on the time but who looks at it.
            tracing::debug!(%error, %id, "the time of a change was not noted");
        }
    }
}

/// Sets owner and mode of a new data file.
pub(crate) fn give(fd: &OwnedFd, new: NewNode) -> Result<(), Errno> {
    let stat = fs::fstat(fd)?;
    let uid = (stat.st_uid != new.uid).then(|| Uid::from_raw(new.uid));
    let gid = (stat.st_gid != new.gid).then(|| Gid::from_raw(new.gid));
    if uid.is_some() || gid.is_some() {
        fs::fchown(fd.as_fd(), uid, gid)?;
    }
    fs::fchmod(fd, Mode::from_raw_mode((new.mode & 0o7777) | NEEDED))
}

fn check_target(target: &[u8]) -> Result<(), UpperError> {
    if target.len() > MAX_TARGET {
        return Err(UpperError::BadName {
            name: shown(&target[..64]),
            why: crate::names::BadName::TooLong,
        });
    }
    if target.is_empty() || target.contains(&0) {
        let why = if target.is_empty() {
            crate::names::BadName::Empty
        } else {
            crate::names::BadName::Separator
        };
        return Err(UpperError::BadName {
            name: shown(target),
            why,
        });
    }
    Ok(())
}
