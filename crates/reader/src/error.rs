//! What can go wrong with a read.

use std::sync::Arc;

use forebay_range::RangeError;
use forebay_types::{ErrorKind, RangeSpec};

/// Why a read failed. Cheap to clone: all who waited for the same bytes get it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed, or the object changed.
    #[error(transparent)]
    Range(Arc<RangeError>),
    /// The range starts past the end.
    #[error("{object} has {size} bytes: the range {range:?} starts past its end")]
    OutOfRange {
        /// Which object.
        object: String,
        /// What was asked.
        range: RangeSpec,
        /// Its size.
        size: u64,
    },
    /// The bytes are not what the object's name promises.
    #[error(
        "{object}: the bytes that came are not those that its hash stands for; the store's copy is damaged, or another object lies there"
    )]
    Refuted {
        /// Which object.
        object: String,
    },
    /// The bytes may not be read before all of them were checked, and they could not be.
    #[error("{object} cannot be verified before it is read: {why}")]
    Unproven {
        /// Which object.
        object: String,
        /// Why not.
        why: &'static str,
    },
    /// The bytes could not be put where they belong.
    #[error("cannot write: {0}")]
    Sink(Arc<std::io::Error>),
    /// A task of ours panicked.
    #[error("a read task failed: {0}")]
    Task(String),
}

impl ReadError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Range(error) => error.kind(),
            Self::OutOfRange { .. } => ErrorKind::Invalid,
            Self::Refuted { .. } => ErrorKind::Corrupt,
            Self::Unproven { .. } => ErrorKind::NoSpace,
            Self::Sink(error) => error.kind().into(),
            Self::Task(_) => ErrorKind::Internal,
        }
    }
}

impl From<RangeError> for ReadError {
    fn from(error: RangeError) -> Self {
        Self::Range(Arc::new(error))
    }
}

impl From<ReadError> for std::io::Error {
    fn from(error: ReadError) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound => std::io::ErrorKind::NotFound,
            ErrorKind::Denied => std::io::ErrorKind::PermissionDenied,
            ErrorKind::Invalid => std::io::ErrorKind::InvalidInput,
            ErrorKind::Changed => std::io::ErrorKind::StaleNetworkFileHandle,
            ErrorKind::Corrupt => std::io::ErrorKind::InvalidData,
            ErrorKind::Unavailable => std::io::ErrorKind::HostUnreachable,
            ErrorKind::TimedOut => std::io::ErrorKind::TimedOut,
            ErrorKind::NoSpace => std::io::ErrorKind::StorageFull,
            ErrorKind::Unsupported => std::io::ErrorKind::Unsupported,
            ErrorKind::Conflict => std::io::ErrorKind::AlreadyExists,
            ErrorKind::Cancelled => std::io::ErrorKind::Interrupted,
            ErrorKind::LocalIo | ErrorKind::Internal => std::io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
