//! What was not done because somebody else did something first.

use std::fmt;

/// A path that was left as it is in the bucket, and stays as it is in the overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The path, from the root on.
    pub path: Box<str>,
    /// Why.
    pub why: ConflictWhy,
}

/// What somebody else did meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConflictWhy {
    /// The object is another one by now.
    Changed,
    /// There is an object that was not there.
    Created,
    /// The object was removed.
    Removed,
    /// What it was moved from, or consists of in part, is another object by now, or gone.
    Source {
        /// Its path.
        path: Box<str>,
    },
    /// It was written to here again and again while it was read.
    Busy,
    /// It has to wait for one that was not done, which needs what would be replaced.
    Waits,
}

impl fmt::Display for ConflictWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("somebody else changed the object"),
            Self::Created => f.write_str("somebody else made an object of that name"),
            Self::Removed => f.write_str("somebody else removed the object"),
            Self::Source { path } => {
                let path = forebay_types::printable(path);
                write!(
                    f,
                    "somebody else changed or removed '{path}', which its content comes from"
                )
            }
            Self::Busy => f.write_str("it is being written"),
            Self::Waits => f.write_str("another one, which was not done, needs what is there now"),
        }
    }
}
