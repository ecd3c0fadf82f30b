//! What a caller should do about an error.

use std::fmt;

/// One word for every error of every stage: what the caller should do about it.
///
/// Stages keep their own error enums with the details; each of them answers `kind()` with one of these, and each
/// edge (exit code, errno, HTTP status) has one exhaustive table over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such object, bucket or file. Check the name.
    NotFound,
    /// The server knows who asks, or does not, and refuses. Check credentials and permissions.
    Denied,
    /// The request makes no sense: bad URL, bad range, bad setting. Correct it; trying again is of no use.
    Invalid,
    /// The object changed while it was read. Start again to read the new version.
    Changed,
    /// Bytes are not what they should be. Do not use them.
    Corrupt,
    /// The other side is not reachable, overloaded, or answers nonsense. Try again later.
    Unavailable,
    /// No progress until the deadline. Try again later, or raise the deadline.
    TimedOut,
    /// The local disk is full. Make room.
    NoSpace,
    /// A local file could not be read or written for another reason.
    LocalIo,
    /// This source cannot do that.
    Unsupported,
    /// Somebody with a newer claim took over, or the thing exists already. Look at the present state.
    Conflict,
    /// The operation was given up by its caller.
    Cancelled,
    /// A fault of this program. Report it.
    Internal,
}

impl ErrorKind {
    /// Whether the same request may succeed when it is simply sent again.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable | Self::TimedOut)
    }
}

/// Each kind and its word, once: there is none without a word, and no word is of two.
macro_rules! words {
    ($($kind:ident = $word:literal,)+) => {
        impl ErrorKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// A word for logs and JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)+
                }
            }

            /// The kind of this word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$kind),)+
                    _ => None,
                }
            }
        }
    };
}

words! {
    NotFound = "not_found",
    Denied = "denied",
    Invalid = "invalid",
    Changed = "changed",
    Corrupt = "corrupt",
    Unavailable = "unavailable",
    TimedOut = "timed_out",
    NoSpace = "no_space",
    LocalIo = "local_io",
    Unsupported = "unsupported",
    Conflict = "conflict",
    Cancelled = "cancelled",
    Internal = "internal",
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<std::io::ErrorKind> for ErrorKind {
    /// What a failed call on a **local** file means to its caller.
    fn from(kind: std::io::ErrorKind) -> Self {
        use std::io::ErrorKind as Io;
        match kind {
            Io::NotFound => Self::NotFound,
            Io::PermissionDenied => Self::Denied,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Self::NoSpace,
            Io::TimedOut => Self::TimedOut,
            Io::AlreadyExists => Self::Conflict,
            Io::InvalidInput | Io::InvalidFilename | Io::IsADirectory | Io::NotADirectory => Self::Invalid,
            _ => Self::LocalIo,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_known_by_its_word() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_word(kind.as_str()), Some(*kind));
        }
        assert_eq!(ErrorKind::ALL.len(), 13);
        assert_eq!(ErrorKind::from_word("NotFound"), None);
    }
}
