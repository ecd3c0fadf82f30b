//! What can go wrong.

use std::time::Duration;

use crate::Content;

/// One way for a request to go wrong. All of them can be given to [`Rule::new`](crate::Rule::new).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// This much more latency to the first byte.
    Latency(Duration),
    /// The body comes this slowly, in bytes per second, or as the profile says if that is slower.
    Bandwidth(u64),
    /// The connection is reset: a TCP RST, not a close.
    Reset(Point),
    /// Nothing more comes, but the connection stays open; for good, or until it goes on after a while.
    Stall {
        /// Where it stops.
        at: Point,
        /// After how long it goes on; `None`: never.
        resume: Option<Duration>,
    },
    /// The body ends after so many bytes with a clean close, although Content-Length promised more.
    Truncate {
        /// Body bytes that still come.
        after: u64,
    },
    /// An error status instead of an answer (503, 429, 500, …), with an S3 error document.
    Status {
        /// The HTTP status.
        code: u16,
        /// When to come again.
        retry_after: Option<RetryAfter>,
    },
    /// This many bytes more than Content-Range says; Content-Length counts them.
    ExtraBody {
        /// How many.
        bytes: u64,
    },
    /// One byte of the body is flipped.
    Corrupt {
        /// Which: offset in the body, not in the object.
        at: u64,
    },
    /// Content-Range is not what it should be.
    ContentRange(WrongRange),
    /// Range is ignored: 200 and the whole object.
    WholeBody,
    /// Just before the request is answered, the object is replaced by a new version with a new ETag.
    Replace {
        /// The new content; `None`: another pattern of the same size.
        with: Option<Content>,
    },
    /// The answer has another ETag than the object.
    WrongETag(String),
    /// The answer has no ETag.
    MissingETag,
    /// The answer has no Last-Modified.
    MissingLastModified,
    /// The body comes in chunks, without a Content-Length.
    MissingContentLength,
    /// If-Match and If-None-Match are ignored.
    IgnoreConditions,
}

/// Where in an answer something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before any byte of it.
    BeforeHeaders,
    /// After the head and this many bytes of the body. Does not happen if the body is not longer.
    AfterBody(u64),
}

/// How Retry-After is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// In seconds.
    Seconds(u64),
    /// As a date so far from now (whole seconds).
    Date(Duration),
}

/// What is wrong with a Content-Range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongRange {
    /// Start and end are shifted by so many bytes; the body is what was asked for.
    Shifted(i64),
    /// The total size differs by so much.
    Total(i64),
    /// The total size is `*`.
    UnknownTotal,
    /// There is none, though the status is 206.
    Missing,
    /// It is not to be understood.
    Unparsable,
}

/// [`FaultKind`] without its details: what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each stands for the FaultKind of the same name")]
pub enum FaultClass {
    Latency,
    Bandwidth,
    Reset,
    Stall,
    Truncate,
    Status,
    ExtraBody,
    Corrupt,
    ContentRange,
    WholeBody,
    Replace,
    WrongETag,
    MissingETag,
    MissingLastModified,
    MissingContentLength,
    IgnoreConditions,
}

impl FaultKind {
    /// Which class it counts as.
    pub fn class(&self) -> FaultClass {
        match self {
            Self::Latency(_) => FaultClass::Latency,
            Self::Bandwidth(_) => FaultClass::Bandwidth,
            Self::Reset(_) => FaultClass::Reset,
            Self::Stall { .. } => FaultClass::Stall,
            Self::Truncate { .. } => FaultClass::Truncate,
            Self::Status { .. } => FaultClass::Status,
            Self::ExtraBody { .. } => FaultClass::ExtraBody,
            Self::Corrupt { .. } => FaultClass::Corrupt,
            Self::ContentRange(_) => FaultClass::ContentRange,
            Self::WholeBody => FaultClass::WholeBody,
            Self::Replace { .. } => FaultClass::Replace,
            Self::WrongETag(_) => FaultClass::WrongETag,
            Self::MissingETag => FaultClass::MissingETag,
            Self::MissingLastModified => FaultClass::MissingLastModified,
            Self::MissingContentLength => FaultClass::MissingContentLength,
            Self::IgnoreConditions => FaultClass::IgnoreConditions,
        }
    }
}
