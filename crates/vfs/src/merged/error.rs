//! What can go wrong with a name or a file of a merged tree.

use std::time::Duration;

use forebay_reader::ReadError;
use forebay_types::ErrorKind;
use rustix::io::Errno;

use crate::error::VfsError;
use crate::ino::Ino;
use crate::overlay::UpperError;

/// Why there is no answer, or what the answer is if it is no. Names and paths are safe to print.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MergedError {
    /// The lower tree says so.
    #[error(transparent)]
    Lower(#[from] VfsError),
    /// What is above says so: names that are taken or missing, kinds that do not fit, the local disk.
    #[error(transparent)]
    Upper(#[from] UpperError),
    /// Bytes could not be brought from below.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no such name, above or below.
    #[error("'{name}' does not exist")]
    NotFound {
        /// Which.
        name: Box<str>,
        /// For how long that may be believed without asking again.
        valid: Duration,
    },
    /// What the number stood for is gone, or was never told: look the name up again.
    #[error("{ino} is no longer what it was; look its name up again")]
    Stale {
        /// Which.
        ino: Ino,
    },
    /// A lower thing has no such extended attribute: it has none.
    #[error("{ino} has no attribute '{name}'")]
    NoAttribute {
        /// Of which.
        ino: Ino,
        /// Which.
        name: Box<str>,
    },
    /// The version of a lower file, as the overlay has it, is none that this program knows.
    #[error(
        "'{path}' was changed on top of version '{version}' of it, which this program does not know; use the program that \
         made the change"
    )]
    Version {
        /// The lower path.
        path: Box<str>,
        /// What the overlay has.
        version: Box<str>,
    },
    /// A lower file ended before its size.
    #[error("'{path}' ended at byte {at}, before its size of {size} bytes")]
    Short {
        /// The lower path.
        path: Box<str>,
        /// Where.
        at: u64,
        /// What it should have.
        size: u64,
    },
    /// Others changed the same thing all the time.
    #[error("'{name}' was changed by others again and again; try again")]
    Busy {
        /// Which.
        name: Box<str>,
    },
    /// A task of ours panicked.
    #[error("a task of the overlay failed: {0}")]
    Task(Box<str>),
}

impl MergedError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Lower(error) => error.kind(),
            Self::Upper(error) => kind_of(error.errno()),
            Self::Read(error) => error.kind(),
            Self::NotFound { .. } | Self::NoAttribute { .. } => ErrorKind::NotFound,
            Self::Stale { .. } | Self::Short { .. } => ErrorKind::Changed,
            Self::Version { .. } => ErrorKind::Unsupported,
            Self::Busy { .. } => ErrorKind::Unavailable,
            Self::Task(_) => ErrorKind::Internal,
        }
    }

    pub(super) fn missing(name: &[u8], valid: Duration) -> Self {
        Self::NotFound {
            name: crate::overlay::shown(name),
            valid,
        }
    }

    pub(super) fn exists(name: &[u8]) -> Self {
        Self::Upper(UpperError::Exists {
            name: crate::overlay::shown(name),
        })
    }

    pub(super) fn busy(name: &[u8]) -> Self {
        Self::Busy {
            name: crate::overlay::shown(name),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(super) fn task(error: tokio::task::JoinError) -> Self {
        Self::Task(error.to_string().into())
    }
}

fn kind_of(errno: Errno) -> ErrorKind {
    match errno {
        Errno::NOENT | Errno::NODATA => ErrorKind::NotFound,
        Errno::EXIST => ErrorKind::Conflict,
        Errno::NOSPC | Errno::DQUOT => ErrorKind::NoSpace,
        Errno::STALE => ErrorKind::Changed,
        Errno::PERM | Errno::ACCESS => ErrorKind::Denied,
        Errno::OPNOTSUPP => ErrorKind::Unsupported,
        Errno::IO => ErrorKind::LocalIo,
        _ => ErrorKind::Invalid,
    }
}
