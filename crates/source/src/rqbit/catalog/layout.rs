//! The keys of one torrent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use forebay_types::limits::{MAX_KEY_BYTES, MAX_TORRENT_DEPTH, MAX_TORRENT_FILES, MAX_TORRENT_NAME_BYTES};

use super::shelf::Found;
use crate::rqbit::names::{Sort, parted, parted_for_number, safe};
use crate::rqbit::{Details, InfoHash, TorrentFile};

/// The files of a torrent, as they are shown.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) hash: InfoHash,
    /// What the torrent would like to be called.
    name: String,
    /// It is one file, and no directory: of its only leaf, whose key is empty.
    pub(super) single: bool,
    /// In the order of their keys' bytes.
    pub(super) leaves: Box<[Leaf]>,
    /// Bytes of all its files, shown or not.
    pub(super) total: u64,
    /// Files that are not shown.
    pub(super) skipped: u64,
}

#[derive(Debug)]
pub(super) struct Leaf {
    /// From the torrent's own directory on.
    pub(super) key: Box<str>,
    pub(super) found: Found,
}

impl Layout {
    /// Of what is in the torrent; `listed` is its name if `details` have none.
    pub(super) fn new(hash: InfoHash, listed: Option<&str>, details: &Details) -> Self {
        let mut shown = details.files.iter().filter(|file| is_shown(file));
        let only = shown.next().filter(|_| shown.next().is_none());
        let name = details.name.as_deref().or(listed);
        let single = only.is_some_and(|file| matches!(&file.components[..], [one] if Some(&**one) == name));
        let sort = if single { Sort::File } else { Sort::Directory };
        let name = match name {
            Some(name) => safe(name, sort).into_owned(),
            None => hash.to_string(),
        };
        let mut leaves = Vec::new();
        let (mut total, mut skipped) = (0_u64, 0);
        let mut tree = Tree::default();
        for (index, file) in details.files.iter().enumerate() {
            let before = total;
            total = total.saturating_add(file.length);
            let key = if !is_shown(file) || leaves.len() == MAX_TORRENT_FILES {
                None
            } else if single {
                Some(String::new())
            } else {
                tree.place(&file.components)
            };
            let Some(key) = key else {
                skipped += 1;
                continue;
            };
            leaves.push(Leaf {
                key: key.into(),
                found: Found {
                    hash,
                    file: index,
                    length: file.length,
                    before,
                    executable: file.executable,
                },
            });
        }
        leaves.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Self {
            hash,
            name,
            single,
            leaves: leaves.into(),
            total,
            skipped,
        }
    }

    /// The name to show: its own if that is free, else with as much of its info hash as tells it apart.
    pub(super) fn free_name(&self, taken: &HashSet<Arc<str>>) -> String {
        // Another torrent's info hash is a name for that one alone.
        let own = |name: &str| name.parse::<InfoHash>().is_ok_and(|hash| hash != self.hash);
        if !taken.contains(&*self.name) && !own(&self.name) {
            return self.name.clone();
        }
        let sort = if self.single { Sort::File } else { Sort::Directory };
        let hash = self.hash.to_string();
        let marks = [8, 40].map(|digits| format!(" [{}]", &hash[..digits]));
        let numbers = (2_u64..).map(|n| format!(" [{hash} {n}]"));
        marks
            .into_iter()
            .chain(numbers)
            .map(|mark| {
                let (stem, extension) = parted(&self.name, sort, mark.len());
                format!("{stem}{mark}{extension}")
            })
            .find(|name| !taken.contains(&**name))
            .expect("there are more numbers than names")
    }
}

/// Padding and symbolic links have no bytes of their own, and of a link the client does not tell where it leads.
fn is_shown(file: &TorrentFile) -> bool {
    !file.padding && !file.symlink
}

/// The names given so far in one torrent.
#[derive(Default)]
struct Tree {
    files: HashSet<Box<str>>,
    directories: HashSet<Box<str>>,
    /// Directories whose names were taken by files, and what they are called instead.
    moved: HashMap<Box<str>, Box<str>>,
    /// By what stands around the number of a duplicate: the next number. It makes many duplicates of one name cost as
    /// many steps, not their square.
    next: HashMap<(String, Box<str>), u32>,
}

impl Tree {
    /// The key of a file; none if it is too deep or too long to be one.
    fn place(&mut self, components: &[String]) -> Option<String> {
        let (name, above) = match components.split_last() {
            Some((name, above)) => (name.as_str(), above),
            None => ("", components),
        };
        if above.len() >= MAX_TORRENT_DEPTH {
            return None;
        }
        // As much as the torrent's own name may need.
        let most = MAX_KEY_BYTES - MAX_TORRENT_NAME_BYTES - 1;
        let mut key = String::new();
        for directory in above {
            key = self.directory(&key, &safe(directory, Sort::Directory));
            if key.len() > most {
                return None;
            }
        }
        let name = safe(name, Sort::File);
        let wanted = join(&key, &name);
        let key = if self.is_taken(&wanted) {
            self.numbered(&key, &name, Sort::File)
        } else {
            wanted
        };
        if key.len() > most {
            return None;
        }
        self.files.insert(key.as_str().into());
        Some(key)
    }

    /// The directory of a name in another one.
    fn directory(&mut self, parent: &str, name: &str) -> String {
        let wanted = join(parent, name);
        if self.directories.contains(&*wanted) {
            return wanted;
        }
        if let Some(moved) = self.moved.get(&*wanted) {
            return moved.to_string();
        }
        if !self.files.contains(&*wanted) {
            self.directories.insert(wanted.as_str().into());
            return wanted;
        }
        let key = self.numbered(parent, name, Sort::Directory);
        self.directories.insert(key.as_str().into());
        self.moved.insert(wanted.into(), key.as_str().into());
        key
    }

    fn is_taken(&self, key: &str) -> bool {
        self.files.contains(key) || self.directories.contains(key)
    }

    /// The first of `name (2)`, `name (3)`, … that is free.
    fn numbered(&mut self, parent: &str, name: &str, sort: Sort) -> String {
        let (stem, extension) = parted_for_number(name, sort);
        let around = (join(parent, &stem), extension.into());
        let mut number = self.next.get(&around).copied().unwrap_or(2);
        let key = loop {
            let key = format!("{} ({number}){extension}", around.0);
            number = number.saturating_add(1);
            if !self.is_taken(&key) {
                break key;
            }
        };
        self.next.insert(around, number);
        key
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}/{name}")
    }
}
