//! Extended attributes: those that begin with `user.`. Of files they are on the data file, of directories in the journal.

use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;

use crate::overlay::attrs::{NodeId, NodeKind};
use crate::overlay::data::DataFile;
use crate::overlay::error::UpperError;
use crate::overlay::names::shown;
use crate::overlay::record::Change;
use crate::overlay::upper::Upper;

/// What they begin with.
const KEPT: &[u8] = b"user.";

/// What is ours to say of a file, and never shown or set here.
const OURS: &[u8] = b"user.forebay.";

/// Longest value: XATTR_SIZE_MAX of Linux.
pub(crate) const MAX_VALUE: usize = 64 * 1024;

/// Longest name: XATTR_NAME_MAX of Linux.
const MAX_NAME: usize = 255;

/// All names and values of one directory together: XATTR_LIST_MAX of Linux for both, so that a record stays small.
const MAX_TOTAL: usize = 256 * 1024;

/// What becomes of an attribute that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetXattr {
    /// It is replaced.
    Any,
    /// It must not be there.
    Create,
    /// It must be there.
    Replace,
}

/// Whether attributes with this name are kept at all.
pub(crate) fn is_kept(name: &[u8]) -> bool {
    name.starts_with(KEPT)
}

impl Upper {
    /// The value of an attribute.
    ///
    /// # Errors
    /// [`UpperError::NoAttribute`]; [`UpperError::Unsupported`] for names that are not kept; the disk.
    pub fn xattr(&self, id: NodeId, name: &[u8]) -> Result<Box<[u8]>, UpperError> {
        let missing = || UpperError::NoAttribute {
            id,
            name: shown(name),
        };
        if !name.starts_with(KEPT) {
            return Err(UpperError::Unsupported { name: shown(name) });
        }
        if name.starts_with(OURS) || name.contains(&0) {
            return Err(missing());
        }
        let has_data = {
            let inner = self.shared.read();
            let node = inner.node(id)?;
            if let Some(value) = node.xattrs.get(name) {
                return Ok(value.clone());
            }
            node.has_data()
        };
        if !has_data {
            return Err(missing());
        }
        let file = self.data(id)?;
        let mut value = vec![0; MAX_VALUE];
        match fs::fgetxattr(file.fd(), name, &mut value[..]) {
            Ok(len) => Ok(value[..len].into()),
            // A file system without them has none.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Err(missing()),
            Err(e) => Err(UpperError::io("read an attribute", id)(e)),
        }
    }

    /// The names of all attributes.
    ///
    /// # Errors
    /// [`UpperError::Stale`]; the disk.
    pub fn xattrs(&self, id: NodeId) -> Result<Vec<Box<[u8]>>, UpperError> {
        let (mut names, has_data) = {
            let inner = self.shared.read();
            let node = inner.node(id)?;
            (node.xattrs.keys().cloned().collect::<Vec<_>>(), node.has_data())
        };
        if has_data {
            let file = self.data(id)?;
            let list = list(&file).map_err(UpperError::io("list the attributes", id))?;
            let kept = list
                .split(|byte| *byte == 0)
                .filter(|name| name.starts_with(KEPT) && !name.starts_with(OURS));
            names.extend(kept.map(Into::into));
            names.sort_unstable();
        }
        Ok(names)
    }

    /// Sets an attribute. A lower file is taken up for that, without its content.
    ///
    /// # Errors
    /// [`UpperError::AttributeExists`], [`UpperError::NoAttribute`] as `how` wants it; [`UpperError::Unsupported`],
    /// [`UpperError::NotPermitted`], [`UpperError::TooLong`]; the disk.
    pub fn set_xattr(&self, id: NodeId, name: &[u8], value: &[u8], how: SetXattr) -> Result<(), UpperError> {
        if self.check_xattr(id, name)? == NodeKind::File {
            let flags = match how {
                SetXattr::Any => XattrFlags::empty(),
                SetXattr::Create => XattrFlags::CREATE,
                SetXattr::Replace => XattrFlags::REPLACE,
            };
            check_value(value)?;
            let file = self.data(id)?;
            fs::fsetxattr(file.fd(), name, value, flags).map_err(|errno| match errno {
                Errno::EXIST => exists(id, name),
                Errno::NODATA => missing(id, name),
                errno => UpperError::io("set an attribute", id)(errno),
            })?;
            return self.note_changed(id, None);
        }
        check_value(value)?;
        let now = self.shared.now();
        self.shared.change(|inner| {
            let node = inner.node(id)?;
            match (node.xattrs.contains_key(name), how) {
                (true, SetXattr::Create) => return Err(exists(id, name)),
                (false, SetXattr::Replace) => return Err(missing(id, name)),
                _ => {}
            }
            let others = node.xattrs.iter().filter(|(other, _)| ***other != *name);
            let total: usize = others.map(|(name, value)| name.len() + value.len()).sum();
            if total + name.len() + value.len() > MAX_TOTAL {
                return Err(UpperError::io("set an attribute", id)(Errno::NOSPC));
            }
            inner.commit_to(
                id,
                &[
                    Change::Xattr {
                        id,
                        name: name.into(),
                        value: Some(value.into()),
                    },
                    Change::Ctime { id, at: now },
                ],
            )
        })
    }

    /// Takes an attribute away.
    ///
    /// # Errors
    /// [`UpperError::NoAttribute`]; [`UpperError::Unsupported`], [`UpperError::NotPermitted`]; the disk.
    pub fn remove_xattr(&self, id: NodeId, name: &[u8]) -> Result<(), UpperError> {
        if self.check_xattr(id, name)? == NodeKind::File {
            if !self.shared.read().node(id)?.has_data() {
                return Err(missing(id, name));
            }
            let file = self.data(id)?;
            fs::fremovexattr(file.fd(), name).map_err(|errno| match errno {
                Errno::NODATA | Errno::OPNOTSUPP => missing(id, name),
                errno => UpperError::io("remove an attribute", id)(errno),
            })?;
            return self.note_changed(id, None);
        }
        let now = self.shared.now();
        self.shared.change(|inner| {
            if !inner.node(id)?.xattrs.contains_key(name) {
                return Err(missing(id, name));
            }
            inner.commit_to(
                id,
                &[
                    Change::Xattr {
                        id,
                        name: name.into(),
                        value: None,
                    },
                    Change::Ctime { id, at: now },
                ],
            )
        })
    }

    /// Whether a node can have the attribute; returns what it is.
    fn check_xattr(&self, id: NodeId, name: &[u8]) -> Result<NodeKind, UpperError> {
        let kind = self.shared.read().node(id)?.kind();
        if !name.starts_with(KEPT) || name.len() == KEPT.len() || name.contains(&0) {
            return Err(UpperError::Unsupported { name: shown(name) });
        }
        if name.len() > MAX_NAME {
            return Err(UpperError::BadName {
                name: shown(&name[..64]),
                why: crate::names::BadName::TooLong,
            });
        }
        let what = match kind {
            NodeKind::File | NodeKind::Dir => {
                if !name.starts_with(OURS) {
                    return Ok(kind);
                }
                "attributes that begin with 'user.forebay.' are read only"
            }
            NodeKind::Symlink | NodeKind::Special(_) => "only files and directories have attributes",
        };
        Err(UpperError::NotPermitted { id, what })
    }
}

fn check_value(value: &[u8]) -> Result<(), UpperError> {
    if value.len() > MAX_VALUE {
        return Err(UpperError::TooLong {
            what: "the value of an attribute",
            max: MAX_VALUE,
        });
    }
    Ok(())
}

fn exists(id: NodeId, name: &[u8]) -> UpperError {
    UpperError::AttributeExists {
        id,
        name: shown(name),
    }
}

fn missing(id: NodeId, name: &[u8]) -> UpperError {
    UpperError::NoAttribute {
        id,
        name: shown(name),
    }
}

/// The names of all attributes on a file, a zero byte behind each.
fn list(file: &DataFile) -> Result<Vec<u8>, Errno> {
    // XATTR_LIST_MAX of Linux: no list is longer.
    let mut names = vec![0; 64 * 1024];
    match fs::flistxattr(file.fd(), &mut names[..]) {
        Ok(len) => {
            names.truncate(len);
            Ok(names)
        }
        Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}
