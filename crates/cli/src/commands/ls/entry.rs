//! One line of a listing.

use forebay_types::printable;
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::Serialize;

/// What names are shown relative to.
pub(super) struct Names<'a> {
    prefix: &'a str,
}

impl<'a> Names<'a> {
    /// The prefix that is listed.
    pub(super) fn below(prefix: &'a Path) -> Self {
        Self {
            prefix: prefix.as_ref(),
        }
    }

    /// The prefix that a single object is in.
    pub(super) fn of_parent(object: &'a Path) -> Self {
        Self {
            prefix: object.as_ref().rsplit_once('/').map_or("", |(parent, _)| parent),
        }
    }

    fn shorten(&self, key: &str) -> String {
        let below = key
            .strip_prefix(self.prefix)
            .map(|rest| rest.trim_start_matches('/'));
        below.filter(|rest| !rest.is_empty()).unwrap_or(key).to_owned()
    }
}

/// An object, or a directory of them.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    /// Relative to the URL listed; a directory's ends in `/`.
    name: String,
    kind: &'static str,
    size: Option<u64>,
    /// UTC, RFC 3339; null if the store does not say.
    modified: Option<String>,
    etag: Option<String>,
}

impl Entry {
    pub(super) fn object(meta: &ObjectMeta, names: &Names<'_>) -> Self {
        Self {
            name: names.shorten(meta.location.as_ref()),
            kind: "object",
            size: Some(meta.size),
            modified: modified(meta),
            etag: meta.e_tag.clone(),
        }
    }

    pub(super) fn directory(path: &Path, names: &Names<'_>) -> Self {
        let name = format!("{}/", names.shorten(path.as_ref()));
        Self {
            name,
            kind: "directory",
            size: None,
            modified: None,
            etag: None,
        }
    }

    /// Size, time, name; a dash for what there is none of.
    pub(super) fn line(&self) -> String {
        let size = self.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
        let time = self.modified.as_deref().unwrap_or("-");
        format!("{size:>14}  {time:<20}  {}", printable(&self.name))
    }
}

/// Time of last change; stores that do not know it say 1970.
pub(in crate::commands) fn modified(meta: &ObjectMeta) -> Option<String> {
    let time = meta.last_modified;
    (time.timestamp() != 0).then(|| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_what_was_listed() {
        let path = Path::parse("a/b").unwrap();
        let below = Names::below(&path);
        assert_eq!(below.shorten("a/b/c/d"), "c/d");
        assert_eq!(below.shorten("a/b"), "a/b");
        assert_eq!(Names::of_parent(&path).shorten("a/b"), "b");
        assert_eq!(Names::below(&Path::ROOT).shorten("a"), "a");
    }

    #[test]
    fn a_hostile_name_cannot_drive_the_terminal() {
        let path = Path::parse("a\u{202e}b").unwrap();
        let line = Entry::directory(&path, &Names::below(&Path::ROOT)).line();
        assert!(line.ends_with("-                     a\\u{202e}b/"), "{line:?}");
    }
}
