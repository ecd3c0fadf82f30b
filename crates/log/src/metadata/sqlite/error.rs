//! What SQLite's errors mean to a caller.

use forebay_types::{ErrorKind, printable};
use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::super::error::MetadataError;
use super::super::rules::Failure;

/// What a step answers with, before it is told to the caller.
pub(super) type Try<T> = Result<T, Failure<rusqlite::Error>>;

impl From<rusqlite::Error> for Failure<rusqlite::Error> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Driver(error)
    }
}

/// The error as the caller sees it.
pub(super) fn say(store: &str, failure: Failure<rusqlite::Error>) -> MetadataError {
    let store = store.to_owned();
    match failure {
        Failure::Said(error) => error,
        Failure::Wrong(what) => MetadataError::Corrupt { store, what },
        Failure::Driver(error) => match kind(&error) {
            ErrorKind::Corrupt => MetadataError::Corrupt {
                store,
                what: printable(&error.to_string()).into_owned(),
            },
            kind => MetadataError::Store {
                store,
                what: describe(&error, kind),
                kind,
            },
        },
    }
}

fn describe(error: &rusqlite::Error, kind: ErrorKind) -> String {
    let what = error.to_string();
    let what = printable(&what);
    match kind {
        ErrorKind::NoSpace => format!("{what}: nothing was written; make room on its disk"),
        ErrorKind::Unavailable => format!("{what}: another process has been writing to it for too long"),
        ErrorKind::Denied => format!("{what}: it must be readable and writable"),
        _ => what.into_owned(),
    }
}

fn kind(error: &rusqlite::Error) -> ErrorKind {
    use rusqlite::Error as E;
    match error {
        // A column of another type, or text that is none: only damage does that to tables that are strict.
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..) => ErrorKind::Corrupt,
        E::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => ErrorKind::Corrupt,
            ErrorCode::DiskFull => ErrorKind::NoSpace,
            // The file that processes share could not be made longer, which a full disk does.
            _ if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => ErrorKind::NoSpace,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                ErrorKind::Unavailable
            }
            ErrorCode::PermissionDenied | ErrorCode::ReadOnly => ErrorKind::Denied,
            ErrorCode::CannotOpen | ErrorCode::SystemIoFailure => ErrorKind::LocalIo,
            // A rule of the tables that the code before should have kept: the rows are not as they should be.
            ErrorCode::ConstraintViolation => ErrorKind::Corrupt,
            ErrorCode::OutOfMemory => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        },
        _ => ErrorKind::Internal,
    }
}
