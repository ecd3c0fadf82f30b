//! Which node of the tree, and what it is.

use std::fmt;

/// The number of a node. It means one thing for the life of a tree, and is never given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// The top directory, by FUSE's rule.
    pub const ROOT: Self = Self(1);
}

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It has names below it.
    Dir,
    /// It has bytes.
    File,
    /// It says where else to look.
    Symlink,
}
