//! Names of bytes: whatever Linux takes as the name of a file.

use crate::names::{BadName, MAX_NAME_BYTES};
use crate::overlay::error::UpperError;

/// The name, if a file can have it.
pub(crate) fn check(name: &[u8]) -> Result<&[u8], UpperError> {
    match why_not(name) {
        None => Ok(name),
        Some(why) => Err(UpperError::BadName {
            name: shown(&name[..name.len().min(MAX_NAME_BYTES)]),
            why,
        }),
    }
}

/// What is wrong with it.
pub(crate) fn why_not(name: &[u8]) -> Option<BadName> {
    match name {
        b"" => Some(BadName::Empty),
        b"." | b".." => Some(BadName::Dots),
        _ if name.len() > MAX_NAME_BYTES => Some(BadName::TooLong),
        _ if name.iter().any(|byte| matches!(byte, b'/' | 0)) => Some(BadName::Separator),
        _ => None,
    }
}

/// A name or a path, safe to print.
pub(crate) fn shown(name: &[u8]) -> Box<str> {
    forebay_types::printable(&String::from_utf8_lossy(name)).into()
}

/// The path of `name` in the lower directory `dir`; `None` for a name that is no UTF-8: none in a lower tree is.
pub(crate) fn join_lower(dir: &str, name: &[u8]) -> Option<String> {
    let name = str::from_utf8(name).ok()?;
    Some(if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_system_cannot_hold() {
        let long = [b'x'; 256];
        for (name, expected) in [
            (&b"a"[..], None),
            (b"...", None),
            (b"\xff\xfe\n", None),
            (&long[1..], None),
            (&long, Some(BadName::TooLong)),
            (b"", Some(BadName::Empty)),
            (b".", Some(BadName::Dots)),
            (b"..", Some(BadName::Dots)),
            (b"a/b", Some(BadName::Separator)),
            (b"a\0", Some(BadName::Separator)),
        ] {
            assert_eq!(why_not(name), expected, "{name:?}");
        }
        assert_eq!(&*shown(b"a\x1b\xff"), "a\\u{1b}\u{fffd}");
        assert_eq!(join_lower("", b"a").as_deref(), Some("a"));
        assert_eq!(join_lower("a/b", b"c").as_deref(), Some("a/b/c"));
        assert_eq!(join_lower("a", b"\xff"), None);
    }
}
