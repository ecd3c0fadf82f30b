//! What a node is, and what is told of it.

use std::fmt;

/// A file, directory or other thing that was changed. Never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u64);

impl NodeId {
    /// The root.
    pub const ROOT: Self = Self(1);

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {:x}", self.0)
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A directory.
    Dir,
    /// A file.
    File,
    /// A symbolic link.
    Symlink,
    /// A pipe with a name, a socket or a device.
    Special(SpecialKind),
}

/// What a special file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpecialKind {
    /// A pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    Char,
    /// A block device.
    Block,
}

/// Attributes that can be set. Times are nanoseconds since 1970, which lasts from 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attrs {
    /// Permission bits with setuid, setgid and sticky: 12 bits, without the type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last read.
    pub atime: i64,
    /// Last change of the content.
    pub mtime: i64,
    /// Last change of anything.
    pub ctime: i64,
}

/// Everything that is told of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAttrs {
    /// What it is.
    pub kind: NodeKind,
    /// Mode, owner, times.
    pub attrs: Attrs,
    /// Bytes: of a file, or of a symbolic link's target.
    pub size: u64,
    /// Bytes that it takes on the local disk, rounded to 512.
    pub stored: u64,
    /// Names that it has; two for every directory that has one. None: it was removed and is still held.
    pub links: u32,
    /// Device of a device.
    pub rdev: u64,
}

/// What to set; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttrs {
    /// Permission bits, 12.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last read.
    pub atime: Option<SetTime>,
    /// Last change of the content.
    pub mtime: Option<SetTime>,
}

/// A time to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The present.
    Now,
    /// Nanoseconds since 1970.
    At(i64),
}

/// Where the content of a file is, as long as it is not above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Path in the lower tree, names joined by `/`.
    pub path: Box<str>,
    /// Which version; only its owner can read it.
    pub version: Box<str>,
    /// Bytes.
    pub size: u64,
    /// Last change, nanoseconds since 1970.
    pub mtime: i64,
}

/// What tells whether a data file was changed. A write that goes past us, by a descriptor of the kernel's or a mapping,
/// changes one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataStamp {
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub mtime: i64,
    /// Last change of anything, nanoseconds since 1970.
    pub ctime: i64,
}

/// How much of a file's content is above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing: it was only moved or linked, or its attributes were set.
    Lower,
    /// What its map says; bytes at and behind `limit` have nothing to do with the lower tree any more.
    Mapped {
        /// Bytes.
        limit: u64,
    },
    /// All of it.
    Whole,
}

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpperEntry {
    /// A node that is above.
    Node {
        /// Which.
        id: NodeId,
        /// What it is.
        kind: NodeKind,
    },
    /// Nothing, whatever the lower tree has there.
    Whiteout,
}
