//! What goes wrong between us and a server, with the numbers.

use std::io;
use std::time::Duration;

use forebay_types::{ByteRange, ErrorKind, printable};

use crate::rqbit::TorrentFault;

/// One failed attempt. Travels inside `object_store::Error` as its source; [`crate::Fault::of`] finds it again.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A URI that no request can be sent to.
    #[error("the request cannot be sent: {why}")]
    BadUri {
        /// What is wrong with it.
        why: &'static str,
    },
    /// No connection.
    #[error("cannot connect to {host}: {source}")]
    Connect {
        /// Host and port.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// No connection in time.
    #[error("no connection to {host} within {after:?}")]
    ConnectTimeout {
        /// Host and port.
        host: String,
        /// The deadline.
        after: Duration,
    },
    /// No trust.
    #[error("no TLS connection to {host}: {why}")]
    Tls {
        /// Host and port.
        host: String,
        /// Which certificate or setting.
        why: String,
    },
    /// A connection that ended in the middle of an exchange.
    #[error("the connection to {host} broke: {source}")]
    Broken {
        /// Host and port.
        host: String,
        /// What hyper saw.
        source: hyper::Error,
    },
    /// The server refused or failed.
    #[error("the server answered {status}{}", describe(code.as_deref(), message.as_deref()))]
    Status {
        /// HTTP status.
        status: u16,
        /// `Code` of an S3 error document.
        code: Option<String>,
        /// `Message` of it, or the start of the body.
        message: Option<String>,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// Nothing came for too long.
    #[error("no bytes for {after:?} ({what})")]
    Stalled {
        /// What was waited for.
        what: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The body is shorter or longer than the head said.
    #[error("the server sent {got} bytes where {expected} were announced")]
    Length {
        /// Announced.
        expected: u64,
        /// Received (counted up to the first chunk too much).
        got: u64,
    },
    /// The answer is for other bytes than asked.
    #[error("asked for bytes {asked}, the server answered with bytes {got}")]
    WrongRange {
        /// What was asked.
        asked: ByteRange,
        /// What came.
        got: ByteRange,
    },
    /// The server ignores ranges, and the bytes wanted are not at the start.
    #[error("the server does not serve ranges: it answered the whole object to a request for bytes {asked}")]
    NoRanges {
        /// What was asked.
        asked: ByteRange,
    },
    /// The server does not tell how long the object is.
    #[error("the server does not say how long the object is")]
    NoLength,
    /// Other version than the one being read.
    #[error("it changed while it was read: was {expected}, is now {got}")]
    Changed {
        /// The version that was begun.
        expected: String,
        /// The version that answers now.
        got: String,
    },
    /// More redirects than any honest server sends, or one that leads out of http.
    #[error("redirected {0}")]
    Redirect(&'static str),
    /// There is no object, but a directory of that name.
    #[error("it is a directory; a '/' at the end of its URL says that what is in it is meant")]
    Directory,
    /// A directory of a web server that does not tell what is in it.
    #[error("it cannot be listed: {why}")]
    NoListing {
        /// Why not, and what to do.
        why: String,
    },
    /// Something that a listing came upon.
    #[error("{url}: {why}")]
    Listing {
        /// Where, fit to show.
        url: String,
        /// What happened there.
        why: Box<Self>,
    },
    /// What a torrent client cannot give.
    #[error(transparent)]
    Torrent(TorrentFault),
    /// An answer larger than the cap on its kind.
    #[error("the answer is larger than {limit} bytes, which no honest {what} is")]
    TooLarge {
        /// What it should have been.
        what: &'static str,
        /// The cap.
        limit: usize,
    },
    /// An answer that does not parse.
    #[error("the server's {what} cannot be understood: {why}")]
    Malformed {
        /// What it should have been.
        what: &'static str,
        /// Where it breaks.
        why: String,
    },
}

fn describe(code: Option<&str>, message: Option<&str>) -> String {
    let mut text = String::new();
    for (before, part) in [(" ", code), (": ", message)] {
        if let Some(part) = part {
            text.push_str(before);
            text.push_str(&printable(part));
        }
    }
    text
}

/// The text of the first element `name` in the error document of a server, entities resolved, at most 300 characters.
pub fn xml_element(document: &str, name: &str) -> Option<String> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once("</")?;
    let value = quick_xml::escape::unescape(value).unwrap_or(std::borrow::Cow::Borrowed(value));
    Some(value.chars().take(300).collect())
}

impl Failure {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadUri { .. } => ErrorKind::Invalid,
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ErrorKind::Denied
            }
            Self::Connect { .. } | Self::Broken { .. } | Self::Length { .. } | Self::WrongRange { .. } => {
                ErrorKind::Unavailable
            }
            Self::Tls { .. } => ErrorKind::Denied,
            Self::ConnectTimeout { .. } | Self::Stalled { .. } => ErrorKind::TimedOut,
            Self::Status { status, .. } => match status {
                401 | 403 => ErrorKind::Denied,
                404 | 410 => ErrorKind::NotFound,
                304 | 409 => ErrorKind::Conflict,
                412 => ErrorKind::Changed,
                501 | 505 => ErrorKind::Unsupported,
                408 | 429 | 500..=599 => ErrorKind::Unavailable,
                _ => ErrorKind::Invalid,
            },
            Self::NoRanges { .. } | Self::NoLength | Self::NoListing { .. } => ErrorKind::Unsupported,
            Self::Directory | Self::Torrent(TorrentFault::Gone { .. }) => ErrorKind::NotFound,
            Self::Torrent(TorrentFault::Waited { .. }) => ErrorKind::TimedOut,
            Self::Torrent(TorrentFault::Failed { .. } | TorrentFault::Client { .. }) => {
                ErrorKind::Unavailable
            }
            Self::Listing { why, .. } => why.kind(),
            Self::Changed { .. } => ErrorKind::Changed,
            Self::Redirect(_) | Self::TooLarge { .. } | Self::Malformed { .. } => ErrorKind::Unavailable,
        }
    }

    /// Whether the server asks us to send less.
    pub fn is_throttle(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 429 | 503),
            Self::Listing { why, .. } => why.is_throttle(),
            _ => false,
        }
    }

    /// How long the server asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Listing { why, .. } => why.retry_after(),
            _ => None,
        }
    }

    /// Whether the connection went away before a byte of the answer: the mark of a keep-alive connection that the
    /// server closed at the same moment.
    pub(super) fn is_closed_before_answer(&self) -> bool {
        match self {
            Self::Broken { source, .. } => {
                source.is_incomplete_message() || source.is_canceled() || is_reset(source)
            }
            _ => false,
        }
    }

    /// As the error that `object_store` callers expect.
    pub fn into_store_error(self, path: &str) -> object_store::Error {
        let path = path.to_owned();
        if let Self::Status { status: 304, .. } = self {
            return object_store::Error::NotModified {
                path,
                source: Box::new(self),
            };
        }
        match self.kind() {
            ErrorKind::NotFound => object_store::Error::NotFound {
                path,
                source: Box::new(self),
            },
            ErrorKind::Denied => object_store::Error::PermissionDenied {
                path,
                source: Box::new(self),
            },
            ErrorKind::Changed => object_store::Error::Precondition {
                path,
                source: Box::new(self),
            },
            ErrorKind::Unsupported => object_store::Error::NotSupported {
                source: Box::new(self),
            },
            _ => object_store::Error::Generic {
                store: "forebay",
                source: Box::new(self),
            },
        }
    }
}

fn is_reset(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return matches!(
                io.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
            );
        }
        source = inner.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::xml_element;

    #[test]
    fn elements_are_found_and_unescaped() {
        let document = "<Error><Code>NoSuchKey</Code><Message>It isn&apos;t &lt;there&gt;</Message></Error>";
        assert_eq!(xml_element(document, "Code").unwrap(), "NoSuchKey");
        assert_eq!(xml_element(document, "Message").unwrap(), "It isn't <there>");
        assert_eq!(xml_element(document, "Key"), None);
        assert_eq!(xml_element("<Code>no end", "Code"), None);
    }
}
