//! What a manifest says of one file or one directory.

use crate::hash::Hash;
use crate::path::ManifestPath;

/// One file, symbolic link or deleted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry<'a> {
    /// Where it is.
    pub path: ManifestPath<'a>,
    /// What it is.
    pub kind: FileKind<'a>,
}

/// What an entry of a manifest's files is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind<'a> {
    /// A file with bytes.
    Regular {
        /// How many, at most 2⁶³ − 1.
        size: u64,
        /// When it was last changed: microseconds since 1970, negative before.
        mtime: i64,
        /// Whether it is a program. The draft alone can say so.
        runnable: bool,
        /// Where its bytes are.
        content: Content<'a>,
    },
    /// A symbolic link; in the draft alone.
    Symlink {
        /// What it leads to: a path from the manifest's root on, **not** from the link's directory; `.` is the root
        /// itself. In an absolute manifest an absolute path.
        target: ManifestPath<'a>,
    },
    /// A diff says that it is gone; in the draft alone.
    Deleted,
}

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// In one object.
    Hash(Hash),
    /// In one object for each chunk, in their order; in the draft alone. All but the last are as long as
    /// [`ChunkSize`](crate::ChunkSize) says.
    Chunks(&'a [Hash]),
    /// Nowhere yet: it was found and not hashed; in the draft alone.
    Unhashed,
}

/// One directory; in the draft alone. v2023-03-03 has those in which files lie, and does not name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// Where it is.
    pub path: ManifestPath<'a>,
    /// A diff says that it is gone, if nothing lies in it any more.
    pub deleted: bool,
}
