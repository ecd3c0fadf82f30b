//! What is told of a number, and what can be set.

use std::time::Duration;

use super::numbers::Side;
use super::{Merged, MergedError, MergedOptions, TRIES};
use crate::attr::Attr;
use crate::ino::{Ino, Kind};
use crate::overlay::{Data, NodeId, NodeKind, SetAttrs, SetTime, UpperError};

/// For how long attributes of things above are believed: who writes to a file by a descriptor that the kernel was handed
/// changes its size and times without our hearing of it.
const VALID: Duration = Duration::from_secs(1);

/// The attributes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedAttr {
    /// The number.
    pub ino: Ino,
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits with setuid, setgid and sticky: 12 bits, without the type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes: of a file, or of a symbolic link's target.
    pub size: u64,
    /// Units of 512 bytes that it takes, wherever they are: a file that is partly below is not sparse.
    pub blocks: u64,
    /// Last read, nanoseconds since 1970.
    pub atime: i64,
    /// Last change of the content.
    pub mtime: i64,
    /// Last change of anything.
    pub ctime: i64,
    /// Names that it has; of a directory two. None: it was removed.
    pub nlink: u32,
    /// Device of a device.
    pub rdev: u64,
    /// For how long all this may be believed without asking again; [`Duration::MAX`] for ever.
    pub valid: Duration,
    /// For how long the name that it was found by may be.
    pub entry_valid: Duration,
}

/// What to set; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergedSet {
    /// Mode, owner, times.
    pub attrs: SetAttrs,
    /// Bytes of a file. Set before the times are.
    pub size: Option<u64>,
}

impl Merged {
    /// What is told of a number.
    ///
    /// # Errors
    /// [`MergedError::Stale`]; what the lower tree or the disk says.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn attr(&self, ino: Ino) -> Result<MergedAttr, MergedError> {
        for _ in 0..TRIES {
            match self.shared.numbers.side(ino)? {
                Side::Node(id) => return self.node_attr(id, ino),
                Side::Gone(attr) => return Ok(*attr),
                Side::Lower => {}
            }
            let attr = self.tree().attr(ino).await;
            // It may have come up while the tree was asked.
            if self.still_lower(ino) {
                return Ok(self.lower_attr(&attr?));
            }
        }
        Err(MergedError::busy(ino.to_string().as_bytes()))
    }

    /// Sets attributes, which makes the thing known above; returns what is told then. A size that is smaller brings nothing
    /// from below.
    ///
    /// # Errors
    /// [`MergedError::Stale`]; [`UpperError::IsADir`] and [`UpperError::Invalid`] for a size of what has none; the disk.
    ///
    /// # Cancel safety
    /// The size may be set and the rest not.
    pub async fn set_attrs(&self, ino: Ino, set: MergedSet) -> Result<MergedAttr, MergedError> {
        if let Side::Gone(attr) = self.shared.numbers.side(ino)? {
            if set.size.is_some() {
                return Err(MergedError::Stale { ino });
            }
            let now = self.shared.upper.now();
            let set_now = |attr: &mut MergedAttr| set_gone(attr, &set.attrs, now);
            return Ok(self.shared.numbers.change_gone(ino, set_now).unwrap_or(*attr));
        }
        let id = self.raise(ino).await?;
        if let Some(size) = set.size {
            if self.shared.upper.kind(id)? == NodeKind::Dir {
                return Err(MergedError::Upper(UpperError::IsADir {
                    name: id.to_string().into(),
                }));
            }
            self.shared.file(id)?.truncate(size).await?;
        }
        if set.attrs != SetAttrs::default() {
            self.shared.upper.set_attrs(id, &set.attrs)?;
        }
        self.node_attr(id, ino)
    }

    /// What is told of a node, as the kernel knows it by `ino`.
    pub(super) fn node_attr(&self, id: NodeId, ino: Ino) -> Result<MergedAttr, MergedError> {
        let upper = &self.shared.upper;
        let told = upper.attrs(id)?;
        let mut attrs = told.attrs;
        let options = &self.shared.options;
        if id == NodeId::ROOT && !upper.has_own_attrs(id)? {
            (attrs.mode, attrs.uid, attrs.gid) = (options.dir_mode, options.uid, options.gid);
        }
        // Holes of what is below are none.
        let is_partly_below = told.kind == NodeKind::File && upper.content(id)?.1 != Data::Whole;
        let blocks = if is_partly_below {
            told.size.div_ceil(512).max(told.stored / 512)
        } else {
            told.stored / 512
        };
        Ok(MergedAttr {
            ino,
            kind: told.kind,
            mode: attrs.mode,
            uid: attrs.uid,
            gid: attrs.gid,
            size: told.size,
            blocks,
            atime: attrs.atime,
            mtime: attrs.mtime,
            ctime: attrs.ctime,
            nlink: told.links,
            rdev: told.rdev,
            valid: VALID,
            entry_valid: Duration::MAX,
        })
    }

    pub(super) fn lower_attr(&self, attr: &Attr) -> MergedAttr {
        let options = &self.shared.options;
        let modified = nanos(attr.modified);
        MergedAttr {
            ino: attr.ino,
            kind: attr.kind.into(),
            mode: mode(options, attr),
            uid: options.uid,
            gid: options.gid,
            size: attr.size,
            blocks: attr.size.div_ceil(512),
            atime: modified,
            mtime: modified,
            ctime: modified,
            nlink: attr.nlink,
            rdev: 0,
            valid: attr.valid,
            entry_valid: attr.valid,
        }
    }
}

impl From<Kind> for NodeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Dir => Self::Dir,
            Kind::File => Self::File,
            Kind::Symlink => Self::Symlink,
        }
    }
}

/// Permission bits of a lower thing.
pub(super) fn mode(options: &MergedOptions, attr: &Attr) -> u32 {
    match attr.kind {
        Kind::Dir => options.dir_mode,
        Kind::File => file_mode(options, attr.executable),
        Kind::Symlink => 0o777,
    }
}

/// Permission bits of a lower file.
pub(super) fn file_mode(options: &MergedOptions, executable: bool) -> u32 {
    match executable {
        true => options.file_mode | ((options.file_mode & 0o444) >> 2),
        false => options.file_mode,
    }
}

/// Nanoseconds since 1970.
pub(super) fn nanos(since: Duration) -> i64 {
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn set_gone(attr: &mut MergedAttr, set: &SetAttrs, now: i64) {
    let time = |set, old| match set {
        None => old,
        Some(SetTime::Now) => now,
        Some(SetTime::At(at)) => at,
    };
    attr.mode = set.mode.unwrap_or(attr.mode) & 0o7777;
    attr.uid = set.uid.unwrap_or(attr.uid);
    attr.gid = set.gid.unwrap_or(attr.gid);
    attr.atime = time(set.atime, attr.atime);
    attr.mtime = time(set.mtime, attr.mtime);
    attr.ctime = now;
}
