//! What PostgreSQL's errors mean to a caller, and which of them pass.

use std::error::Error as _;
use std::io;

use deadpool_postgres::PoolError;
use forebay_types::{ErrorKind, printable};
use tokio_postgres::error::SqlState;

use super::super::error::MetadataError;
use super::super::rules::Failure;

/// What a step answers with, before it is told to the caller.
pub(super) type Try<T> = Result<T, Failure<Broken>>;

/// Why the server did not answer, or not as hoped.
#[derive(Debug)]
pub(super) enum Broken {
    /// The driver says so.
    Driver(tokio_postgres::Error),
    /// No connection could be had, for another reason.
    Pool(String),
    /// Nothing happened until the deadline.
    Late,
}

impl From<tokio_postgres::Error> for Failure<Broken> {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(Broken::Driver(error))
    }
}

impl From<PoolError> for Failure<Broken> {
    fn from(error: PoolError) -> Self {
        Self::Driver(match error {
            PoolError::Backend(error) => Broken::Driver(error),
            error => Broken::Pool(error.to_string()),
        })
    }
}

/// Whether the same may succeed when it is done again: the connection broke, the server is going or coming, or two
/// transactions were in each other's way.
pub(super) fn passes(failure: &Failure<Broken>) -> bool {
    let Failure::Driver(Broken::Driver(error)) = failure else {
        return false;
    };
    match error.code() {
        Some(code) => {
            [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::LOCK_NOT_AVAILABLE,
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::TOO_MANY_CONNECTIONS,
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                // The server that was a standby when we came, and is not any more when we come again.
                SqlState::READ_ONLY_SQL_TRANSACTION,
            ]
            .contains(code)
                || code.code().starts_with("08")
        }
        None if error.is_closed() => true,
        None => io_kind(error).is_some_and(|kind| kind != io::ErrorKind::InvalidData),
    }
}

/// The kind of the I/O error below, if that is what it is. A TLS handshake that failed is `InvalidData`.
fn io_kind(error: &tokio_postgres::Error) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = cause.source();
    }
    None
}

/// The error as the caller sees it. Nothing that the driver or the server says has a password in it.
pub(super) fn say(store: &str, failure: Failure<Broken>) -> MetadataError {
    let store = store.to_owned();
    match failure {
        Failure::Said(error) => error,
        Failure::Wrong(what) => MetadataError::Corrupt { store, what },
        Failure::Driver(broken) => {
            let (what, kind) = describe(&broken);
            let what = printable(&what).into_owned();
            match kind {
                ErrorKind::Corrupt => MetadataError::Corrupt { store, what },
                ErrorKind::Invalid => MetadataError::Invalid { what },
                kind => MetadataError::Store { store, what, kind },
            }
        }
    }
}

fn describe(broken: &Broken) -> (String, ErrorKind) {
    let error = match broken {
        Broken::Driver(error) => error,
        Broken::Pool(what) => return (what.clone(), ErrorKind::Unavailable),
        Broken::Late => return ("it did not answer in time".into(), ErrorKind::TimedOut),
    };
    let Some(db) = error.as_db_error() else {
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !what.contains(&cause_text) {
                what = format!("{what}: {cause_text}");
            }
            source = cause.source();
        }
        let kind = match io_kind(error) {
            Some(io::ErrorKind::InvalidData) => ErrorKind::Denied,
            Some(_) => ErrorKind::Unavailable,
            None if error.is_closed() => ErrorKind::Unavailable,
            // A column of another type than ours.
            None if what.contains("deserializing") => ErrorKind::Corrupt,
            None => ErrorKind::Unavailable,
        };
        return (what, kind);
    };
    let code = db.code();
    let kind = match code.code() {
        "57014" => ErrorKind::TimedOut,
        "42501" => ErrorKind::Denied,
        "3D000" | "3F000" => ErrorKind::NotFound,
        "53100" => ErrorKind::NoSpace,
        "42P01" | "42703" => ErrorKind::Corrupt,
        "22003" => ErrorKind::Invalid,
        code => match &code[..2] {
            "28" => ErrorKind::Denied,
            // Rules of the tables that the code should have kept.
            "XX" | "23" => ErrorKind::Corrupt,
            "08" | "40" | "53" | "55" | "57" | "25" => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        },
    };
    (format!("{} (SQLSTATE {})", db.message(), code.code()), kind)
}
