//! Pages of keys: pure.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::Object;

/// Which keys, in pages of how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Only keys that begin so.
    pub prefix: String,
    /// Keys that have this after the prefix are rolled up into one entry each.
    pub delimiter: Option<String>,
    /// Only keys after this one.
    pub start_after: Option<String>,
    /// Goes on where a page ended: its [`ListPage::next`].
    pub after_entry: Option<ListEntry>,
    /// Entries in a page at most.
    pub max: usize,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            delimiter: None,
            start_after: None,
            after_entry: None,
            max: 1000,
        }
    }
}

/// One line of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListEntry {
    /// A key.
    Key(String),
    /// A rolled-up prefix, delimiter included.
    Prefix(String),
}

/// Some keys in order.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// Objects with their keys.
    pub objects: Vec<(String, Arc<Object>)>,
    /// Rolled-up prefixes.
    pub prefixes: Vec<String>,
    /// The last entry, if more follow.
    pub next: Option<ListEntry>,
}

pub(super) fn page(keys: &BTreeMap<String, Arc<Object>>, query: &ListQuery) -> ListPage {
    let mut page = ListPage::default();
    let mut last = None;
    let mut from = first_bound(query);
    while let Some((key, object)) = keys.range::<String, _>((from, Bound::Unbounded)).next() {
        // Keys are in byte order, so those with the prefix stand together.
        if !key.starts_with(&query.prefix) {
            break;
        }
        if page.objects.len() + page.prefixes.len() >= query.max {
            page.next = last;
            break;
        }
        let entry = roll_up(key, query);
        from = match &entry {
            ListEntry::Key(key) => {
                page.objects.push((key.clone(), Arc::clone(object)));
                Bound::Excluded(key.clone())
            }
            ListEntry::Prefix(prefix) => {
                page.prefixes.push(prefix.clone());
                past(prefix)
            }
        };
        last = Some(entry);
    }
    page
}

/// Where the page begins: the furthest of prefix, start-after and the end of the page before.
fn first_bound(query: &ListQuery) -> Bound<String> {
    let mut from = Bound::Included(query.prefix.clone());
    let start_after = query.start_after.clone().map(Bound::Excluded);
    let after_entry = query.after_entry.as_ref().map(|entry| match entry {
        ListEntry::Key(key) => Bound::Excluded(key.clone()),
        ListEntry::Prefix(prefix) => past(prefix),
    });
    for bound in [start_after, after_entry].into_iter().flatten() {
        let further = match (&bound, &from) {
            (Bound::Excluded(a), Bound::Included(b)) => a >= b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => a > b,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        };
        if further {
            from = bound;
        }
    }
    from
}

fn roll_up(key: &str, query: &ListQuery) -> ListEntry {
    let delimiter = query
        .delimiter
        .as_deref()
        .filter(|delimiter| !delimiter.is_empty());
    let cut = delimiter.and_then(|delimiter| {
        let rest = &key[query.prefix.len()..];
        rest.find(delimiter)
            .map(|at| query.prefix.len() + at + delimiter.len())
    });
    match cut {
        Some(end) => ListEntry::Prefix(key[..end].to_owned()),
        None => ListEntry::Key(key.to_owned()),
    }
}

/// After every key that begins with the prefix. U+10FFFF sorts behind every other character in UTF-8; a key that
/// has it right there is not worth more code.
fn past(prefix: &str) -> Bound<String> {
    Bound::Excluded(format!("{prefix}\u{10FFFF}"))
}
