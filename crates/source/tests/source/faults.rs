//! What errors of stores mean.

use std::io;
use std::time::Duration;

use forebay_source::{Failure, Fault};
use forebay_types::{ByteRange, ErrorKind};
use object_store::Error;

fn status(status: u16) -> Failure {
    Failure::Status {
        status,
        code: None,
        message: None,
        retry_after: Some(Duration::from_secs(3)),
    }
}

#[test]
fn each_failure_means_one_thing_however_it_is_wrapped() {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let cases: Vec<(Failure, ErrorKind)> = vec![
        (status(400), ErrorKind::Invalid),
        (status(401), ErrorKind::Denied),
        (status(403), ErrorKind::Denied),
        (status(404), ErrorKind::NotFound),
        (status(408), ErrorKind::Unavailable),
        (status(409), ErrorKind::Conflict),
        (status(410), ErrorKind::NotFound),
        (status(412), ErrorKind::Changed),
        (status(416), ErrorKind::Invalid),
        (status(429), ErrorKind::Unavailable),
        (status(500), ErrorKind::Unavailable),
        (status(501), ErrorKind::Unsupported),
        (status(503), ErrorKind::Unavailable),
        (Failure::BadUri { why: "x" }, ErrorKind::Invalid),
        (
            Failure::Connect {
                host: "h".into(),
                source: refused(),
            },
            ErrorKind::Unavailable,
        ),
        (
            Failure::ConnectTimeout {
                host: "h".into(),
                after: Duration::ZERO,
            },
            ErrorKind::TimedOut,
        ),
        (
            Failure::Tls {
                host: "h".into(),
                why: "x".into(),
            },
            ErrorKind::Denied,
        ),
        (
            Failure::Stalled {
                what: "x",
                after: Duration::ZERO,
            },
            ErrorKind::TimedOut,
        ),
        (Failure::Length { expected: 1, got: 2 }, ErrorKind::Unavailable),
        (
            Failure::WrongRange {
                asked: ByteRange::new(0, 1),
                got: ByteRange::new(1, 2),
            },
            ErrorKind::Unavailable,
        ),
        (
            Failure::NoRanges {
                asked: ByteRange::new(0, 1),
            },
            ErrorKind::Unsupported,
        ),
        (Failure::NoLength, ErrorKind::Unsupported),
        (
            Failure::Changed {
                expected: "a".into(),
                got: "b".into(),
            },
            ErrorKind::Changed,
        ),
        (Failure::Redirect("in circles"), ErrorKind::Unavailable),
        (Failure::TooLarge { what: "x", limit: 1 }, ErrorKind::Unavailable),
        (
            Failure::Malformed {
                what: "x",
                why: "y".into(),
            },
            ErrorKind::Unavailable,
        ),
    ];
    for (failure, expected) in cases {
        let shown = failure.to_string();
        assert_eq!(failure.kind(), expected, "{shown}");
        let number = match &failure {
            Failure::Status { status, .. } => Some(*status),
            _ => None,
        };
        let error = failure.into_store_error("path");
        let error = Error::Generic {
            store: "outer",
            source: Box::new(error),
        };
        let fault = Fault::of(&error);
        assert_eq!((fault.kind, fault.status), (expected, number), "{shown}");
        assert_eq!(fault.retry_after.is_some(), number.is_some(), "{shown}");
        assert_eq!(fault.throttled, matches!(number, Some(429 | 503)), "{shown}");
    }
}

#[test]
fn errors_of_other_stores_mean_what_they_are_called() {
    let why = || Box::<dyn std::error::Error + Send + Sync>::from("x");
    let path = || "p".to_owned();
    for (error, expected) in [
        (
            Error::NotFound {
                path: path(),
                source: why(),
            },
            ErrorKind::NotFound,
        ),
        (
            Error::PermissionDenied {
                path: path(),
                source: why(),
            },
            ErrorKind::Denied,
        ),
        (
            Error::Unauthenticated {
                path: path(),
                source: why(),
            },
            ErrorKind::Denied,
        ),
        (
            Error::Precondition {
                path: path(),
                source: why(),
            },
            ErrorKind::Changed,
        ),
        (
            Error::AlreadyExists {
                path: path(),
                source: why(),
            },
            ErrorKind::Conflict,
        ),
        (
            Error::NotModified {
                path: path(),
                source: why(),
            },
            ErrorKind::Conflict,
        ),
        (Error::NotSupported { source: why() }, ErrorKind::Unsupported),
        (
            Error::Generic {
                store: "x",
                source: why(),
            },
            ErrorKind::Unavailable,
        ),
        (
            Error::Generic {
                store: "InMemory",
                source: why(),
            },
            ErrorKind::Invalid,
        ),
        (
            Error::Generic {
                store: "x",
                source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
            },
            ErrorKind::NoSpace,
        ),
    ] {
        assert_eq!(Fault::of(&error).kind, expected, "{error}");
    }
}
