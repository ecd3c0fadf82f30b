//! Paths as the bytes that Linux has for them, and what JSON has for those.
//!
//! Python turns a file name into text by UTF-8; a byte that does not fit becomes the lone surrogate U+DC00 + byte
//! (`surrogateescape`), which the manifest has as `\udcXX`. Here the bytes are kept, so the way there and back is exact.
//! What no file name of Linux turns into is refused when it is read: other lone surrogates (Windows can have them in
//! names, Linux has no bytes for them), and surrogates whose bytes are valid UTF-8 together, for that is the name of
//! another file.

use std::cmp::Ordering;
use std::fmt;

use forebay_types::printable;

use crate::order;

/// A path in a manifest: the raw bytes of its components with `/` between them, without one at the end. It begins with
/// `/` in an absolute manifest only. A backslash is a character like any other.
///
/// Its order is that of the UTF-16 code units that Python would have for it, as manifests are sorted. It is printed with
/// control characters and bytes that are not UTF-8 escaped.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ManifestPath<'a>(&'a [u8]);

impl<'a> ManifestPath<'a> {
    /// The path of these bytes. It is checked where it is used.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Its components, from the root on.
    pub fn components(self) -> impl DoubleEndedIterator<Item = &'a [u8]> + Clone {
        let relative = self.0.strip_prefix(b"/").unwrap_or(self.0);
        let empty = relative.is_empty();
        relative.split(|byte| *byte == b'/').filter(move |_| !empty)
    }

    /// The directory that it lies in; `None`: it lies in the root.
    pub fn parent(self) -> Option<Self> {
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        (slash > 0).then(|| Self(&self.0[..slash]))
    }

    /// Its last component.
    pub fn file_name(self) -> &'a [u8] {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => &self.0[slash + 1..],
            None => self.0,
        }
    }

    /// Whether `self` lies in the directory `other`, at whatever depth.
    pub fn is_below(self, other: Self) -> bool {
        self.0
            .strip_prefix(other.0)
            .is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

impl Ord for ManifestPath<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        order::utf16(self.0, other.0)
    }
}

impl PartialOrd for ManifestPath<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ManifestPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(&printable(chunk.valid()))?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ManifestPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests;
