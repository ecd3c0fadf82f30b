//! Mode, owner, times, sizes.

use std::sync::PoisonError;

use forebay_disk::sys::stored;
use rustix::fd::BorrowedFd;
use rustix::fs::{self, Gid, Mode, Stat, Uid};
use rustix::io::Errno;

use super::Upper;
use super::create::NEEDED;
use crate::overlay::attrs::{Attrs, Data, DataStamp, NodeAttrs, NodeId, NodeKind, SetAttrs, SetTime};
use crate::overlay::error::UpperError;
use crate::overlay::layout::data_name;
use crate::overlay::record::Change;
use crate::overlay::state::{Body, Node};
use crate::overlay::sys::{nanos, timespec};

impl Upper {
    /// What is told of a node.
    ///
    /// # Errors
    /// [`UpperError::Stale`]; the disk.
    pub fn attrs(&self, id: NodeId) -> Result<NodeAttrs, UpperError> {
        let (mut told, hidden, has_data) = {
            let inner = self.shared.read();
            let node = inner.node(id)?;
            let hidden = node.file().map_or(0, |file| file.hidden);
            (tell(node, id), hidden, node.has_data())
        };
        if has_data {
            let stat = self.stat(id)?;
            told.attrs = attrs_of(&stat, hidden);
            told.size = u64::try_from(stat.st_size).unwrap_or(0);
            told.stored = stored(&stat);
        }
        Ok(told)
    }

    /// What a data file is like now. Of a file that has one.
    ///
    /// # Errors
    /// [`UpperError::Stale`]; the disk.
    pub fn stamp(&self, id: NodeId) -> Result<DataStamp, UpperError> {
        let stat = self.stat(id)?;
        Ok(DataStamp {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: nanos(stat.st_mtime, stat.st_mtime_nsec),
            ctime: nanos(stat.st_ctime, stat.st_ctime_nsec),
        })
    }

    /// Whether all of a file is here, and as it was put below.
    pub(crate) fn is_as_put(&self, id: NodeId) -> Result<bool, UpperError> {
        let put = {
            let inner = self.shared.read();
            let file = inner.node(id)?.file();
            let whole = file.filter(|file| file.data == Data::Whole);
            whole.and_then(|file| file.put.as_ref()?.stamp)
        };
        match put {
            Some(put) => Ok(self.stamp(id)? == put),
            None => Ok(false),
        }
    }

    fn stat(&self, id: NodeId) -> Result<Stat, UpperError> {
        let io = UpperError::io("look at the data", id);
        if let Some(file) = self.shared.opened(id) {
            return fs::fstat(file.fd()).map_err(io);
        }
        match self.shared.layout.stat(&data_name(id)) {
            // Removed since it was looked up.
            Err(Errno::NOENT) => Err(UpperError::Stale { id }),
            other => other.map_err(io),
        }
    }

    /// Sets attributes; returns what is told of the node then. The size is set by
    /// [`DataFile::truncate`](crate::overlay::DataFile::truncate).
    ///
    /// # Errors
    /// [`UpperError::Stale`]; the disk; EPERM for an owner that this process may not give files to.
    pub fn set_attrs(&self, id: NodeId, set: &SetAttrs) -> Result<NodeAttrs, UpperError> {
        let has_data = self.shared.read().node(id)?.has_data();
        if has_data {
            self.set_on_file(id, set)?;
        } else {
            let is_stale = self.shared.change(|inner| {
                let node = inner.node(id)?;
                if node.has_data() {
                    return Ok(true);
                }
                let attrs = merged(&node.attrs, set, self.shared.now());
                inner.commit_to(id, &[Change::Attrs { id, attrs }])?;
                Ok(false)
            })?;
            // It got data meanwhile, and its attributes are there now.
            if is_stale {
                self.set_on_file(id, set)?;
            }
        }
        self.attrs(id)
    }

    fn set_on_file(&self, id: NodeId, set: &SetAttrs) -> Result<(), UpperError> {
        let file = self.data(id)?;
        let _alone = self
            .shared
            .attributes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let io = UpperError::io("set the attributes", id);
        let before = fs::fstat(file.fd()).map_err(&io)?;
        apply(file.fd(), set).map_err(&io)?;
        self.note_changed(id, set.mode.map(|mode| !mode & NEEDED))
            .inspect_err(|_| {
                // The mode on disk belongs to what the journal says is hidden of it.
                let _ = fs::fchmod(file.fd(), Mode::from_raw_mode(before.st_mode & 0o7777));
            })
    }

    /// Attributes of a file with data are not the lower ones any more: said once. `hidden`: what of its mode on disk is ours.
    pub(crate) fn note_changed(&self, id: NodeId, hidden: Option<u32>) -> Result<(), UpperError> {
        self.shared.change(|inner| {
            let node = inner.node(id)?;
            let known = node.file().map_or(0, |file| file.hidden);
            let hidden = hidden.unwrap_or(known);
            if node.changed && hidden == known {
                return Ok(());
            }
            inner.commit_to(id, &[Change::Changed { id, hidden }])
        })
    }
}

fn tell(node: &Node, id: NodeId) -> NodeAttrs {
    let (size, rdev) = match &node.body {
        Body::Dir(_) => (0, 0),
        Body::File(file) => (file.origin.as_ref().map_or(0, |origin| origin.size), 0),
        Body::Symlink { target } => (target.len() as u64, 0),
        Body::Special { rdev, .. } => (0, *rdev),
    };
    let links = match node.kind() {
        NodeKind::Dir if node.is_linked(id) => 2,
        _ => node.links,
    };
    NodeAttrs {
        kind: node.kind(),
        attrs: node.attrs,
        size,
        stored: 0,
        links,
        rdev,
    }
}

fn attrs_of(stat: &Stat, hidden: u32) -> Attrs {
    Attrs {
        mode: stat.st_mode & 0o7777 & !hidden,
        uid: stat.st_uid,
        gid: stat.st_gid,
        atime: nanos(stat.st_atime, stat.st_atime_nsec),
        mtime: nanos(stat.st_mtime, stat.st_mtime_nsec),
        ctime: nanos(stat.st_ctime, stat.st_ctime_nsec),
    }
}

fn merged(attrs: &Attrs, set: &SetAttrs, now: i64) -> Attrs {
    let time = |set: Option<SetTime>, old| match set {
        None => old,
        Some(SetTime::Now) => now,
        Some(SetTime::At(at)) => at,
    };
    Attrs {
        mode: set.mode.unwrap_or(attrs.mode) & 0o7777,
        uid: set.uid.unwrap_or(attrs.uid),
        gid: set.gid.unwrap_or(attrs.gid),
        atime: time(set.atime, attrs.atime),
        mtime: time(set.mtime, attrs.mtime),
        ctime: now,
    }
}

/// Owner before mode: a new owner takes setuid away.
fn apply(fd: BorrowedFd<'_>, set: &SetAttrs) -> Result<(), Errno> {
    if set.uid.is_some() || set.gid.is_some() {
        fs::fchown(fd, set.uid.map(Uid::from_raw), set.gid.map(Gid::from_raw))?;
    }
    if let Some(mode) = set.mode {
        fs::fchmod(fd, Mode::from_raw_mode((mode & 0o7777) | NEEDED))?;
    }
    if set.atime.is_some() || set.mtime.is_some() {
        let time = |set| match set {
            None => fs::Timespec {
                tv_sec: 0,
                tv_nsec: fs::UTIME_OMIT,
            },
            Some(SetTime::Now) => fs::Timespec {
                tv_sec: 0,
                tv_nsec: fs::UTIME_NOW,
            },
            Some(SetTime::At(at)) => timespec(at),
        };
        let times = fs::Timestamps {
            last_access: time(set.atime),
            last_modification: time(set.mtime),
        };
        fs::futimens(fd, &times)?;
    }
    Ok(())
}
