//! All files of all torrents by key, as they are at one time.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::layout::{Layout, Leaf};
use crate::rqbit::InfoHash;
use crate::rqbit::facts::Span;

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) hash: InfoHash,
    /// Its index in the torrent.
    pub(crate) file: usize,
    /// Bytes.
    pub(crate) length: u64,
    /// Bytes of the torrent before it.
    pub(crate) before: u64,
    pub(crate) executable: bool,
}

/// What lies in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'s> {
    File(&'s Found),
    Dir,
}

/// Which keys there are. A torrent of one file is that file, any other a directory; both also go by their info hash,
/// which no listing shows.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// By what all keys of a torrent begin with: its name, with a slash if it is a directory. In the order of the keys.
    tops: BTreeMap<Box<str>, Arc<Layout>>,
    by_hash: HashMap<InfoHash, Arc<Layout>>,
    skipped: u64,
}

impl Shelf {
    /// Of torrents with their names, no two the same and none another's info hash. `left_out` torrents are not among
    /// them.
    pub(super) fn new(torrents: impl IntoIterator<Item = (Arc<str>, Arc<Layout>)>, left_out: u64) -> Self {
        let mut shelf = Self {
            skipped: left_out,
            ..Self::default()
        };
        for (name, layout) in torrents {
            shelf.skipped += layout.skipped;
            shelf.by_hash.insert(layout.hash, layout.clone());
            // A directory with nothing in it is none, as in a bucket.
            if !layout.leaves.is_empty() {
                let slash = if layout.single { "" } else { "/" };
                shelf.tops.insert(format!("{name}{slash}").into(), layout);
            }
        }
        shelf
    }

    /// The file of a key.
    pub(crate) fn find(&self, key: &str) -> Option<&Found> {
        let (layout, rest) = self.locate(key)?;
        if layout.single == key.contains('/') {
            return None;
        }
        let place = layout.leaves.binary_search_by(|leaf| (*leaf.key).cmp(rest));
        place.ok().map(|place| &layout.leaves[place].found)
    }

    /// All files whose keys lie below `prefix/`, in the order of their keys' bytes; all files for no prefix.
    pub(crate) fn below<'s>(&'s self, prefix: &str) -> impl Iterator<Item = (String, &'s Found)> + use<'s> {
        let everything = prefix.is_empty().then_some(&self.tops);
        let tops = everything
            .into_iter()
            .flatten()
            .map(|(head, layout)| (Cow::Borrowed(&**head), &*layout.leaves));
        let part = self.part(prefix);
        tops.chain(part).flat_map(|(head, leaves)| {
            leaves
                .iter()
                .map(move |leaf| (format!("{head}{}", leaf.key), &leaf.found))
        })
    }

    /// What lies right below a key, in the order of the keys' bytes but for directories, which come as if a slash ended
    /// them: from one to the next in as many steps as a search takes, however many files are in them.
    pub(crate) fn level<'s>(&'s self, key: &str) -> Vec<(String, Entry<'s>)> {
        if key.is_empty() {
            let tops = self.tops.iter();
            return tops
                .map(|(head, layout)| match &*layout.leaves {
                    [only] if layout.single => (head.to_string(), Entry::File(&only.found)),
                    _ => (head.trim_end_matches('/').to_owned(), Entry::Dir),
                })
                .collect();
        }
        let Some((head, mut leaves)) = self.part(key) else {
            return Vec::new();
        };
        // Of the leaves' own keys, which begin at the torrent.
        let above = key.len() + 1 - head.len();
        let mut level = Vec::new();
        while let [first, rest @ ..] = leaves {
            let Some(len) = first.key[above..].find('/') else {
                level.push((format!("{head}{}", first.key), Entry::File(&first.found)));
                leaves = rest;
                continue;
            };
            let inside = &first.key[..=above + len];
            level.push((format!("{head}{}", &first.key[..above + len]), Entry::Dir));
            leaves = &leaves[leaves.partition_point(|leaf| leaf.key.starts_with(inside))..];
        }
        level
    }

    /// Whether files lie below a key.
    pub(crate) fn is_dir(&self, key: &str) -> bool {
        key.is_empty() || self.part(key).is_some()
    }

    /// Files that have no key, and torrents that have none.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Where a file lies in its torrent.
    pub(crate) fn span(&self, found: &Found) -> Span {
        let total = self.by_hash.get(&found.hash).map(|layout| layout.total);
        Span {
            before: found.before,
            length: found.length,
            total: total.unwrap_or_default(),
        }
    }

    /// Torrent and rest of a key, whether there is a file of that key or not.
    pub(super) fn locate<'a>(&self, key: &'a str) -> Option<(&Arc<Layout>, &'a str)> {
        let (top, rest) = key.split_once('/').unwrap_or((key, ""));
        if let Ok(hash) = top.parse()
            && let Some(layout) = self.by_hash.get(&hash)
        {
            return Some((layout, rest));
        }
        let layout = match self.tops.get(top) {
            Some(single) => single,
            None => self.tops.get(&*format!("{top}/"))?,
        };
        Some((layout, rest))
    }

    /// What lies below a key that is not empty, with what its keys begin with.
    fn part<'s>(&'s self, key: &str) -> Option<(Cow<'s, str>, &'s [Leaf])> {
        let (layout, rest) = self.locate(key).filter(|(layout, _)| !layout.single)?;
        let leaves = &*layout.leaves;
        let (head, leaves) = if rest.is_empty() {
            // `name/` is not how keys are written.
            if key.ends_with('/') {
                return None;
            }
            (format!("{key}/"), leaves)
        } else {
            let inside = format!("{rest}/");
            let start = leaves.partition_point(|leaf| *leaf.key < *inside);
            let count = leaves[start..].partition_point(|leaf| leaf.key.starts_with(&inside));
            let head = key[..key.len() - rest.len()].to_owned();
            (head, &leaves[start..start + count])
        };
        (!leaves.is_empty()).then_some((Cow::Owned(head), leaves))
    }
}

#[cfg(test)]
mod tests;
