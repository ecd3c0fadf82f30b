//! What can go wrong with a name.

use std::sync::Arc;
use std::time::Duration;

use forebay_source::Fault;
use forebay_types::ErrorKind;

use crate::ino::Ino;
use crate::names::BadName;

/// Why there is no answer, or what the answer is if it is no. Cheap to clone: all who waited for it get it. Paths are
/// relative to the root and safe to print.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VfsError {
    /// There is no such name.
    #[error("'{path}' does not exist")]
    NotFound {
        /// Which.
        path: Box<str>,
        /// For how long that may be believed without asking again.
        valid: Duration,
    },
    /// Names below something that has none.
    #[error("'{path}' is not a directory")]
    NotADirectory {
        /// Which.
        path: Box<str>,
    },
    /// Bytes of something that has none.
    #[error("'{path}' is not a file")]
    NotAFile {
        /// Which.
        path: Box<str>,
    },
    /// The target of something that has none.
    #[error("'{path}' is not a symbolic link")]
    NotALink {
        /// Which.
        path: Box<str>,
    },
    /// What the number stood for is gone, or was never told: look the name up again.
    #[error("{ino} is no longer what it was; look its name up again")]
    Stale {
        /// Which.
        ino: Ino,
    },
    /// No file can have this name.
    #[error("'{name}' cannot be the name of a file: {why}")]
    BadName {
        /// The name, or the start of it.
        name: Box<str>,
        /// What is wrong with it.
        why: BadName,
    },
    /// The source could not tell.
    #[error("'{path}': {source}")]
    Source {
        /// What was asked about.
        path: Box<str>,
        /// What the source said.
        source: Arc<object_store::Error>,
    },
}

impl VfsError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::NotADirectory { .. }
            | Self::NotAFile { .. }
            | Self::NotALink { .. }
            | Self::BadName { .. } => ErrorKind::Invalid,
            Self::Stale { .. } => ErrorKind::Changed,
            Self::Source { source, .. } => Fault::of(source).kind,
        }
    }

    pub(crate) fn store(path: impl Into<Box<str>>, source: object_store::Error) -> Self {
        Self::Source {
            path: path.into(),
            source: Arc::new(source),
        }
    }
}
