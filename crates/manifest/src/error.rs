//! What can be wrong with a manifest, and which of its entries it is.

use std::borrow::Cow;
use std::fmt;

use forebay_types::ErrorKind;

use crate::path::ManifestPath;

/// Why a manifest is refused, or cannot be made. Nothing of it is used in either case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are not JSON, or not JSON of this shape.
    #[error(
        "the manifest cannot be read: {}at byte {at}: {why}; it is damaged, or is no manifest",
        InEntry(entry.as_deref())
    )]
    Syntax {
        /// How many bytes come before what is wrong.
        at: usize,
        /// What is wrong there.
        why: Cow<'static, str>,
        /// The entry that it is in.
        entry: Option<Box<EntryName>>,
    },
    /// It is of a format that is not read.
    #[error("the manifest's {key} is {value}: {advice}")]
    Unknown {
        /// The key that says so.
        key: &'static str,
        /// What stands there, printable.
        value: String,
        /// What is read instead.
        advice: &'static str,
    },
    /// It asks for more than it may.
    #[error(
        "the manifest is refused: it has {what} than the {most} that are allowed; split it, or raise the limit"
    )]
    TooLarge {
        /// What there is too much of, such as "more bytes".
        what: &'static str,
        /// How much is allowed.
        most: u64,
    },
    /// It breaks a rule as a whole.
    #[error("the manifest is refused: {why}")]
    Document {
        /// Which rule, and what to do.
        why: Cow<'static, str>,
    },
    /// One of its entries breaks a rule.
    #[error("the manifest is refused: {entry}: {why}")]
    Entry {
        /// Which.
        entry: Box<EntryName>,
        /// Which rule, and what to do.
        why: Cow<'static, str>,
    },
    /// Version v2023-03-03 has no words for an entry, or for the whole.
    #[error("{}a v2023-03-03 manifest cannot hold {what}: write the draft format instead", InEntry(entry.as_deref()))]
    Inexpressible {
        /// Which entry; `None`: it is the manifest as a whole.
        entry: Option<Box<EntryName>>,
        /// What cannot be said.
        what: &'static str,
    },
    /// Manifests that do not go together.
    #[error("these manifests cannot be put together: {why}")]
    Apart {
        /// What keeps them apart, and what to do.
        why: Cow<'static, str>,
    },
}

impl ManifestError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Syntax { .. } | Self::Document { .. } | Self::Entry { .. } => ErrorKind::Corrupt,
            Self::Unknown { .. } | Self::TooLarge { .. } | Self::Inexpressible { .. } => {
                ErrorKind::Unsupported
            }
            Self::Apart { .. } => ErrorKind::Invalid,
        }
    }

    /// The entry that is to blame, if it is one.
    pub fn entry(&self) -> Option<&EntryName> {
        match self {
            Self::Syntax { entry, .. } | Self::Inexpressible { entry, .. } => entry.as_deref(),
            Self::Entry { entry, .. } => Some(entry),
            Self::Unknown { .. } | Self::TooLarge { .. } | Self::Document { .. } | Self::Apart { .. } => None,
        }
    }

    pub(crate) fn document(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Document { why: why.into() }
    }
}

/// Which of a manifest's lists of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `paths`: the files of v2023-03-03.
    Paths,
    /// `files` of the draft.
    Files,
    /// `dirs` of the draft.
    Dirs,
}

impl List {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Paths => "paths",
            Self::Files => "files",
            Self::Dirs => "dirs",
        }
    }
}

/// Names an entry of a manifest, as `paths[3] "a/b.txt"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryName {
    /// The list that it is in.
    pub list: List,
    /// Its place in the list, from 0 on; `None` where the list has another order than what was read.
    pub index: Option<usize>,
    /// Its path, printable: control characters are escaped, and what is very long is cut. A draft's name is as it is
    /// written (`$3/b.txt`) if it was refused while it was read. `None`: it has none.
    pub path: Option<String>,
}

/// Characters of a path in an error.
const SHOWN: usize = 240;

impl EntryName {
    pub(crate) fn new(list: List, index: Option<usize>, path: Option<&[u8]>) -> Self {
        let path = path.map(|path| {
            let mut text = ManifestPath::new(path).to_string();
            if let Some((end, _)) = text.char_indices().nth(SHOWN) {
                text.truncate(end);
                text.push('…');
            }
            text
        });
        Self { list, index, path }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.list.as_str())?;
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        match &self.path {
            Some(path) => write!(f, " \"{path}\""),
            None => Ok(()),
        }
    }
}

/// `paths[3] "a": ` or nothing.
struct InEntry<'a>(Option<&'a EntryName>);

impl fmt::Display for InEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(entry) => write!(f, "{entry}: "),
            None => Ok(()),
        }
    }
}

/// What is wrong with an entry, before it is known which it is.
#[derive(Debug)]
pub(crate) enum Fault {
    Syntax { at: usize, why: Cow<'static, str> },
    Refused(Cow<'static, str>),
    Inexpressible(&'static str),
    TooLarge { what: &'static str, most: u64 },
}

impl Fault {
    pub(crate) fn syntax(at: usize, why: &'static str) -> Self {
        Self::Syntax { at, why: why.into() }
    }

    pub(crate) fn refused(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(why.into())
    }

    /// The fault of the entry that `entry` names; of the manifest as a whole if that is `None`.
    pub(crate) fn of(self, entry: impl FnOnce() -> Option<EntryName>) -> ManifestError {
        match self {
            Self::Syntax { at, why } => ManifestError::Syntax {
                at,
                why,
                entry: entry().map(Box::new),
            },
            Self::Refused(why) => match entry().map(Box::new) {
                Some(entry) => ManifestError::Entry { entry, why },
                None => ManifestError::Document { why },
            },
            Self::Inexpressible(what) => ManifestError::Inexpressible {
                entry: entry().map(Box::new),
                what,
            },
            Self::TooLarge { what, most } => ManifestError::TooLarge { what, most },
        }
    }

    /// The fault of no entry.
    pub(crate) fn of_document(self) -> ManifestError {
        self.of(|| None)
    }
}
