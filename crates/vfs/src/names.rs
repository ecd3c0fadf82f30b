//! Which names a file system can hold, and one listing made of what a namespace answered: pure.

use std::cmp::Ordering;
use std::fmt;

use crate::entry::{Entry, Node};

/// Longest name of a file, in bytes: NAME_MAX of Linux and of every file system that programs are written for.
pub const MAX_NAME_BYTES: usize = 255;

/// Why no file can have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// It is empty, as between the slashes of `a//b`.
    Empty,
    /// It is `.` or `..`, which mean something else to every file system.
    Dots,
    /// It has a slash or a NUL.
    Separator,
    /// It is longer than [`MAX_NAME_BYTES`].
    TooLong,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Dots => f.write_str("'.' and '..' are not names"),
            Self::Separator => f.write_str("it has a slash or a zero byte"),
            Self::TooLong => write!(f, "it is longer than {MAX_NAME_BYTES} bytes"),
        }
    }
}

/// Whether a file can have this name.
pub(crate) fn check(name: &str) -> Result<(), BadName> {
    match name {
        "" => Err(BadName::Empty),
        "." | ".." => Err(BadName::Dots),
        _ if name.len() > MAX_NAME_BYTES => Err(BadName::TooLong),
        _ if name.bytes().any(|byte| matches!(byte, b'/' | 0)) => Err(BadName::Separator),
        _ => Ok(()),
    }
}

/// What was wrong with a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tidied {
    /// Names that no file can have.
    pub(crate) skipped: u64,
    /// The first of them.
    pub(crate) first_skipped: Option<(Box<str>, BadName)>,
    /// Files whose name is a directory's too.
    pub(crate) shadowed: u64,
    /// The first of them.
    pub(crate) first_shadowed: Option<Box<str>>,
}

/// Leaves out names that no file can have, sorts by name (bytes), and keeps one entry of each name: the directory, if
/// there is one, since what lies below it could not be reached otherwise.
pub(crate) fn tidy(entries: &mut Vec<Entry>) -> Tidied {
    let mut tidied = Tidied::default();
    entries.retain(|entry| match check(&entry.name) {
        Ok(()) => true,
        Err(why) => {
            tidied.skipped += 1;
            tidied
                .first_skipped
                .get_or_insert_with(|| (entry.name.clone(), why));
            false
        }
    });
    if !entries.is_sorted_by(|a, b| order(a, b) == Ordering::Less) {
        entries.sort_unstable_by(order);
    }
    entries.dedup_by(|dropped, kept| {
        let twice = dropped.name == kept.name;
        if twice {
            tidied.shadowed += 1;
            tidied.first_shadowed.get_or_insert_with(|| dropped.name.clone());
        }
        twice
    });
    tidied
}

/// By name, a directory before others of its name.
fn order(a: &Entry, b: &Entry) -> Ordering {
    let rank = |entry: &Entry| !matches!(entry.node, Node::Dir);
    a.name.cmp(&b.name).then_with(|| rank(a).cmp(&rank(b)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_types::Version;

    use super::*;
    use crate::entry::FileMeta;

    fn file(name: &str) -> Entry {
        let meta = FileMeta {
            size: 1,
            modified: Duration::ZERO,
            version: Version::Unknown,
            executable: false,
        };
        Entry {
            name: name.into(),
            node: Node::File(meta),
        }
    }

    fn dir(name: &str) -> Entry {
        Entry {
            name: name.into(),
            node: Node::Dir,
        }
    }

    #[test]
    fn what_a_file_system_cannot_hold() {
        let long = "x".repeat(256);
        let wide = "\u{e9}".repeat(128);
        for (name, expected) in [
            ("a", Ok(())),
            ("...", Ok(())),
            (" ", Ok(())),
            ("a\\b\n", Ok(())),
            (&long[1..], Ok(())),
            (&long, Err(BadName::TooLong)),
            // 128 letters, 256 bytes.
            (&wide, Err(BadName::TooLong)),
            ("", Err(BadName::Empty)),
            (".", Err(BadName::Dots)),
            ("..", Err(BadName::Dots)),
            ("a/b", Err(BadName::Separator)),
            ("a\0", Err(BadName::Separator)),
        ] {
            assert_eq!(check(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_listing_is_sorted_and_has_each_name_once() {
        let mut entries = vec![
            file("b"),
            dir("a"),
            file(".."),
            file("a"),
            dir(""),
            file("a.txt"),
            file("\u{e9}"),
            file("Z"),
        ];
        let tidied = tidy(&mut entries);
        let names: Vec<_> = entries.iter().map(|entry| &*entry.name).collect();
        assert_eq!(names, ["Z", "a", "a.txt", "b", "\u{e9}"]);
        assert_eq!(entries[1].node, Node::Dir);
        assert_eq!((tidied.skipped, tidied.shadowed), (2, 1));
        assert_eq!(tidied.first_skipped, Some(("..".into(), BadName::Dots)));
        assert_eq!(tidied.first_shadowed.as_deref(), Some("a"));
    }

    #[test]
    fn a_tidy_listing_stays_as_it_is() {
        let mut entries = vec![file("a"), dir("b"), file("c")];
        let before = entries.clone();
        assert_eq!(tidy(&mut entries), Tidied::default());
        assert_eq!(entries, before);
    }
}
