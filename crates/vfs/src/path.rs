//! Where a directory is.

use std::fmt;
use std::sync::Arc;

use forebay_types::printable;

/// The names that lead from the root to a directory, joined by `/`. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DirPath(Arc<str>);

impl DirPath {
    /// The root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Names joined by `/`.
    #[cfg(target_os = "linux")]
    pub(crate) fn of(path: &str) -> Self {
        Self(path.into())
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory `name` in it.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self(self.join(name).into())
    }

    /// The whole of it; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of `name` in it.
    pub fn join(&self, name: &str) -> String {
        if self.is_root() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.0)
        }
    }

    /// The path of `name` in it, as it may be shown.
    pub(crate) fn shown(&self, name: &str) -> Box<str> {
        printable(&self.join(name)).into()
    }
}

impl fmt::Display for DirPath {
    /// Absolute, and safe to print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", printable(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_adds_no_separator() {
        let root = DirPath::root();
        assert_eq!(root.join("a"), "a");
        assert_eq!(root.child("a").child("b").as_str(), "a/b");
        assert_eq!(root.child("a\n").to_string(), "/a\\u{a}");
        assert_eq!(root.to_string(), "/");
    }
}
