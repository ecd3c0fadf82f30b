//! What a namespace answers with.

use std::time::Duration;

use forebay_types::Version;

use crate::ino::Kind;

/// A name in a directory and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: Box<str>,
    /// What it stands for.
    pub node: Node,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir,
    /// A file.
    File(FileMeta),
    /// A symbolic link.
    Symlink {
        /// Where it points, as it is written.
        target: Box<str>,
    },
}

/// What is known of a file without its bytes. The key of its bytes is not kept, there may be millions of these: a
/// namespace finds it again from directory and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMeta {
    /// Bytes.
    pub size: u64,
    /// Time of last change, since 1970.
    pub modified: Duration,
    /// Which version.
    pub version: Version,
    /// Whether it may be executed.
    pub executable: bool,
}

impl Node {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Dir => Kind::Dir,
            Self::File(_) => Kind::File,
            Self::Symlink { .. } => Kind::Symlink,
        }
    }
}
