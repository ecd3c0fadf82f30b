//! What is known of a node.

use std::time::Duration;

use forebay_types::Version;

use crate::ino::{Ino, Kind};

/// The attributes of a node. Owners and modes are the mount's to say; all else is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Its number.
    pub ino: Ino,
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file, or of a symbolic link's target; 0 for a directory.
    pub size: u64,
    /// Time of its last change since 1970. Of a directory: the newest of what a listing showed in it, else the moment
    /// the tree was made.
    pub modified: Duration,
    /// Whether a file may be executed.
    pub executable: bool,
    /// 1; of a directory 2, whatever is in it, since its subdirectories are not counted without listing it.
    pub nlink: u32,
    /// Which version of a file's content.
    pub version: Version,
    /// For how long this may still be believed without asking again; [`Duration::MAX`] for ever.
    pub valid: Duration,
}
