//! What can go wrong with a read.

use std::io;
use std::time::Duration;

use forebay_source::Fault;
use forebay_types::{ErrorKind, RangeSpec};

/// Why a read ended.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// The store failed, and trying again did not help or would not.
    #[error("{object}: {source}{}", after_retries(*retries))]
    Store {
        /// Which object.
        object: String,
        /// What the store said last.
        source: object_store::Error,
        /// How often it was tried again before.
        retries: u32,
    },
    /// No answer, or no bytes, within the deadline.
    #[error("{object}: no bytes for {after:?}{}", after_retries(*retries))]
    Stalled {
        /// Which object.
        object: String,
        /// The deadline.
        after: Duration,
        /// How often it was tried again before.
        retries: u32,
    },
    /// The object is no longer the one that was begun.
    #[error(
        "{object} changed while it was read: it was {expected}, now it is {got}; start again to read the new version"
    )]
    Changed {
        /// Which object.
        object: String,
        /// The version and size that were begun.
        expected: String,
        /// The version and size now.
        got: String,
    },
    /// The object is the version that the target has already: no bytes came. Not a failure of anything.
    #[error("{object} has not changed")]
    NotModified {
        /// Which object.
        object: String,
    },
    /// The range starts past the end.
    #[error("{object} has {size} bytes: the range {range:?} starts past its end")]
    OutOfRange {
        /// Which object.
        object: String,
        /// What was asked.
        range: RangeSpec,
        /// The object's size.
        size: u64,
    },
    /// The bytes could not be put where they belong.
    #[error("cannot write: {source}")]
    Sink {
        /// What the system said.
        source: io::Error,
    },
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
    /// A task of ours panicked.
    #[error("a read task failed: {0}")]
    Task(String),
}

fn after_retries(retries: u32) -> String {
    match retries {
        0 => String::new(),
        1 => " (after 1 retry)".to_owned(),
        n => format!(" (after {n} retries)"),
    }
}

impl RangeError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { source, .. } => Fault::of(source).kind,
            Self::Stalled { .. } => ErrorKind::TimedOut,
            Self::Changed { .. } => ErrorKind::Changed,
            Self::NotModified { .. } => ErrorKind::Conflict,
            Self::OutOfRange { .. } => ErrorKind::Invalid,
            Self::Sink { source } => source.kind().into(),
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Task(_) => ErrorKind::Internal,
        }
    }
}
