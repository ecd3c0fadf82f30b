//! What an error of a store means to whoever called it.

use std::error::Error as StdError;
use std::time::Duration;

use forebay_types::ErrorKind;
use object_store::Error;

use crate::file::FileStoreError;
use crate::transport::Failure;

/// The meaning of an `object_store::Error`: what to do, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What the caller should do.
    pub kind: ErrorKind,
    /// How long the server asked us to wait before the next attempt.
    pub retry_after: Option<Duration>,
    /// Whether the server asks for fewer requests.
    pub throttled: bool,
    /// The HTTP status, where there is one.
    pub status: Option<u16>,
}

impl Fault {
    /// Reads it from an error, our own [`Failure`]s found wherever they hide in its chain.
    pub fn of(error: &Error) -> Self {
        let failure = find::<Failure>(error);
        let kind = match (error, failure) {
            (_, Some(failure)) => failure.kind(),
            (error, None) if let Some(file) = find::<FileStoreError>(error) => file.kind(),
            (Error::NotFound { .. }, _) => ErrorKind::NotFound,
            (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, _) => ErrorKind::Denied,
            (Error::Precondition { .. }, _) => ErrorKind::Changed,
            (Error::AlreadyExists { .. }, _) => ErrorKind::Conflict,
            (Error::NotSupported { .. } | Error::NotImplemented { .. }, _) => ErrorKind::Unsupported,
            (Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. }, _) => ErrorKind::Invalid,
            (Error::JoinError { .. }, _) => ErrorKind::Internal,
            // Not modified: somebody asked on condition, and the condition says that nothing is to be done.
            (Error::NotModified { .. }, _) => ErrorKind::Conflict,
            // Memory has no outages: what it cannot do, it was asked wrongly.
            (
                Error::Generic {
                    store: "InMemory", ..
                },
                None,
            ) => ErrorKind::Invalid,
            (error, None) => match find::<std::io::Error>(error) {
                Some(io) => io.kind().into(),
                // Answers that object_store could not make sense of: the next one may be better.
                None => ErrorKind::Unavailable,
            },
        };
        Self {
            kind,
            retry_after: failure.and_then(Failure::retry_after),
            throttled: failure.is_some_and(Failure::is_throttle),
            status: failure.and_then(|failure| match failure {
                Failure::Status { status, .. } => Some(*status),
                _ => None,
            }),
        }
    }
}

fn find<T: StdError + 'static>(error: &Error) -> Option<&T> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
