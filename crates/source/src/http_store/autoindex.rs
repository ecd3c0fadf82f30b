//! What a page says is in a directory: pure.
//!
//! Only what links (or a JSON listing's entries) name is believed, and only names that lie right in the directory. What
//! a page prints beside a link is for people: Apache rounds sizes, nginx does if told to, Python prints none.

mod html;
mod json;

use forebay_types::limits::{MAX_WEB_ENTRIES, MAX_WEB_NAME_BYTES};
use forebay_types::printable;
use object_store::path::Path;
use url::Url;

/// A page that was understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// In the order of their keys, each name once.
    pub(super) entries: Vec<Entry>,
    /// Names that no path can hold, or behind which there is no file.
    pub(super) left_out: u64,
    /// The first of them, fit to print.
    pub(super) first_left_out: Option<String>,
}

/// A name in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) directory: bool,
    pub(super) told: Option<Told>,
}

/// Exact size, and time of last change in microseconds since 1970, as a JSON listing tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) size: u64,
    pub(super) modified: i64,
}

/// Why a page is no listing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoListing {
    /// Neither HTML nor JSON.
    #[error("its directory page is of the type '{0}', neither HTML nor JSON")]
    Type(String),
    /// An index.html, or an application.
    #[error("its page is no directory listing")]
    OtherPage,
    /// JSON of another shape.
    #[error("its JSON is no directory listing ({0})")]
    OtherJson(String),
    /// The connection may have ended too early: its end is the only sign of the page's.
    #[error("its directory page ends in the middle")]
    Torn,
    /// More than the cap.
    #[error("its directory page names more than {MAX_WEB_ENTRIES} files")]
    TooMany,
}

/// What is known of a page besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) content_type: Option<&'a str>,
    /// Whether the end of the page is certain: its length was announced, or it came in chunks.
    pub(super) whole: bool,
}

/// Reads the page that came from `base`.
pub(super) fn read(base: &Url, head: Head<'_>, page: &[u8]) -> Result<Listing, NoListing> {
    let kind = head.content_type.unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let first = page.trim_ascii_start().first();
    let mut found = Found::default();
    match kind.as_str() {
        "application/json" | "text/json" => json::read(page, &mut found)?,
        "text/html" | "application/xhtml+xml" => html::read(base, page, head.whole, &mut found)?,
        "" if first == Some(&b'[') => json::read(page, &mut found)?,
        "" if first == Some(&b'<') => html::read(base, page, head.whole, &mut found)?,
        _ => return Err(NoListing::Type(printable(&kind).into_owned())),
    }
    Ok(found.tidy())
}

/// Names as they are found.
#[derive(Debug, Default)]
struct Found {
    listing: Listing,
}

impl Found {
    fn add(&mut self, name: String, directory: bool, told: Option<Told>) -> Result<(), NoListing> {
        if self.listing.entries.len() >= MAX_WEB_ENTRIES {
            return Err(NoListing::TooMany);
        }
        self.listing.entries.push(Entry {
            name,
            directory,
            told: told.filter(|_| !directory),
        });
        Ok(())
    }

    fn leave_out(&mut self, name: &str) {
        self.listing.left_out += 1;
        self.listing
            .first_left_out
            .get_or_insert_with(|| printable(&name.chars().take(80).collect::<String>()).into_owned());
    }

    /// In the order that their keys have with all that is below them, as a bucket lists them.
    fn tidy(self) -> Listing {
        let mut listing = self.listing;
        let key = |entry: &Entry| {
            entry
                .name
                .bytes()
                .chain(entry.directory.then_some(b'/'))
                .collect::<Vec<_>>()
        };
        listing.entries.sort_by_cached_key(key);
        listing
            .entries
            .dedup_by(|a, b| a.name == b.name && a.directory == b.directory);
        listing
    }
}

/// A name as it may be in a directory: one part of a path, that leads nowhere else.
fn name_of(bytes: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(bytes).ok()?;
    let fits = !name.is_empty() && name.len() <= MAX_WEB_NAME_BYTES && !name.contains('/');
    // Refuses dots and controls; gives everything else back as it is.
    (fits && Path::parse(name).is_ok_and(|path| path.as_ref() == name)).then_some(name)
}

#[cfg(test)]
mod tests;
