//! Whether two answers about a file mean the same bytes: pure.
//!
//! A listing and a single look are different requests with different answers. S3 has milliseconds in the one and
//! seconds in the other; Azure puts quotes around the tag in one of them only.

use std::time::Duration;

use forebay_types::Version;

use crate::entry::FileMeta;

/// What a newer answer about a file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Nothing is new, the precision of its time apart.
    None,
    /// The same bytes, with other attributes.
    Attributes,
    /// Other bytes.
    Content,
}

/// What `new` tells that `old` did not.
pub(crate) fn between(old: &FileMeta, new: &FileMeta) -> Difference {
    let same_time = same_time(old.modified, new.modified);
    let same_version = match (&old.version, &new.version) {
        (Version::ETag(old), Version::ETag(new)) => bare(old) == bare(new),
        _ => same_time,
    };
    if old.size != new.size || !same_version {
        Difference::Content
    } else if !same_time || old.executable != new.executable {
        Difference::Attributes
    } else {
        Difference::None
    }
}

/// A tag without its quotes and without the mark of weakness.
fn bare(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

/// Whether two times are one, told with different precision.
fn same_time(a: Duration, b: Duration) -> bool {
    let whole = a.subsec_nanos() == 0 || b.subsec_nanos() == 0;
    a == b || (whole && a.as_secs() == b.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(size: u64, millis: u64, version: Version) -> FileMeta {
        FileMeta {
            size,
            modified: Duration::from_millis(millis),
            version,
            executable: false,
        }
    }

    fn tag(tag: &str) -> Version {
        Version::ETag(tag.into())
    }

    #[test]
    fn what_is_a_change() {
        let old = meta(5, 7_250, tag("\"a\""));
        for (new, expected) in [
            (old.clone(), Difference::None),
            (meta(5, 7_000, tag("\"a\"")), Difference::None),
            (meta(5, 7_250, tag("a")), Difference::None),
            (meta(5, 7_250, tag("W/\"a\"")), Difference::None),
            (meta(5, 7_251, tag("\"a\"")), Difference::Attributes),
            (meta(5, 9_000, tag("\"a\"")), Difference::Attributes),
            (meta(5, 7_250, tag("\"b\"")), Difference::Content),
            (meta(6, 7_250, tag("\"a\"")), Difference::Content),
            // The server no longer says its tag: the time has to do.
            (meta(5, 7_000, Version::Unknown), Difference::None),
            (meta(5, 8_000, Version::Modified(8_000_000)), Difference::Content),
        ] {
            assert_eq!(between(&old, &new), expected, "{new:?}");
        }
        let executable = FileMeta {
            executable: true,
            ..old.clone()
        };
        assert_eq!(between(&old, &executable), Difference::Attributes);
    }
}
