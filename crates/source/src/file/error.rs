//! What can go wrong with a local file, and which of the ecosystem's errors it becomes.

use std::io;

use forebay_types::ErrorKind;

/// Why an operation of a [`FileStore`](super::FileStore) failed. It is the source of the `object_store::Error` that a
/// caller gets; `downcast_ref` finds it there. Paths are whole and safe to print.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileStoreError {
    /// There is no such file.
    #[error("{path} does not exist ({source})")]
    Missing {
        /// The file asked for.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is something of that name, but it holds no bytes to read.
    #[error("{path} is {what}, not a regular file")]
    NotAFile {
        /// The name asked for.
        path: String,
        /// What it is, with its article.
        what: &'static str,
    },
    /// The file is not the one that was opened any more: another size or time of change, or it ended too early.
    #[error("{path} changed while it was read (was {was}, is {is}); read it again from the start")]
    Changed {
        /// The file read.
        path: String,
        /// Its ETag when it was opened.
        was: String,
        /// Its ETag now; the same as `was` if it ended before its size.
        is: String,
    },
    /// No object can have this key here.
    #[error("{path} cannot be a key: {why}")]
    Key {
        /// The key, as a path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No byte of the range asked for is in the file.
    #[error("{path}: {source}")]
    Range {
        /// The file read.
        path: String,
        /// What is wrong with the range.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A create-only write found the name taken.
    #[error("{path} exists already")]
    Exists {
        /// The name that is taken.
        path: String,
    },
    /// A directory on the way of a write is a symbolic link.
    #[error(
        "{path} is behind the symbolic link '{link}', and nothing is written through links; use the real path"
    )]
    Link {
        /// The file to be written or removed.
        path: String,
        /// The name of the link.
        link: String,
    },
    /// An upload was completed before all its parts were written; nothing was published.
    #[error("{path}: {missing} of {parts} parts were not written, so the upload was dropped")]
    Incomplete {
        /// The file to be written.
        path: String,
        /// Parts that failed or were never polled to their end.
        missing: usize,
        /// Parts given.
        parts: usize,
    },
    /// An upload was used after it was completed or aborted.
    #[error("{path}: the upload is over; start a new one")]
    Over {
        /// The file to be written.
        path: String,
    },
    /// The system refused or failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl FileStoreError {
    /// Bytes of the file `shown` could not be read.
    pub(crate) fn read(shown: &str, source: io::Error) -> Self {
        Self::Io {
            action: "read",
            path: shown.to_owned(),
            source,
        }
    }

    /// The error of opening or looking up `path` in order to read: a name that cannot exist, does not.
    pub(super) fn lookup(action: &'static str, path: String, source: io::Error) -> Self {
        use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
        match source.kind() {
            NotFound | NotADirectory | InvalidFilename => Self::Missing { path, source },
            _ => Self::Io { action, path, source },
        }
    }

    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            // To an object store a directory is no object at all.
            Self::NotAFile {
                what: super::meta::DIRECTORY,
                ..
            } => ErrorKind::NotFound,
            Self::NotAFile { .. } | Self::Key { .. } | Self::Range { .. } | Self::Over { .. } => {
                ErrorKind::Invalid
            }
            Self::Changed { .. } => ErrorKind::Changed,
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::Link { .. } => ErrorKind::Denied,
            Self::Incomplete { .. } => ErrorKind::LocalIo,
            Self::Io { source, .. } => source.kind().into(),
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Missing { path, .. }
            | Self::NotAFile { path, .. }
            | Self::Changed { path, .. }
            | Self::Key { path, .. }
            | Self::Range { path, .. }
            | Self::Exists { path }
            | Self::Link { path, .. }
            | Self::Incomplete { path, .. }
            | Self::Over { path }
            | Self::Io { path, .. } => path,
        }
    }
}

impl From<FileStoreError> for object_store::Error {
    fn from(error: FileStoreError) -> Self {
        let path = error.path().to_owned();
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound {
                path,
                source: error.into(),
            },
            ErrorKind::Conflict => Self::AlreadyExists {
                path,
                source: error.into(),
            },
            ErrorKind::Denied => Self::PermissionDenied {
                path,
                source: error.into(),
            },
            _ => Self::Generic {
                store: "file",
                source: error.into(),
            },
        }
    }
}
