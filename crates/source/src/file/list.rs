//! Listings: a depth-first walk that holds one open directory per level and is taken a few hundred names at a time.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cap_std::fs::{DirEntry, ReadDir};
use forebay_types::{limits, printable};
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{Extensions, ListResult, ObjectMeta, Result};

use super::meta::{Stamp, TEMPORARY};
use super::{FileStoreError, Inner, blocking};

/// Objects found in the first visit to the blocking pool; each visit doubles it up to [`LAST_STEP`]. Small first,
/// because somebody waits for the first name, and on a network file system each costs a round trip.
const FIRST_STEP: usize = 32;

/// Objects per visit in a long listing: a visit costs 20-60 µs, a name about 2 µs.
const LAST_STEP: usize = 1024;

/// Names looked at per visit, found or not: a walk that finds little (an offset near the end) stays interruptible.
const LOOKS: usize = 8 * LAST_STEP;

/// Directories kept open at once (two descriptors each). Below that depth the names of subdirectories are noted and
/// walked after their parent is closed.
const OPEN_DIRECTORIES: usize = 32;

/// Why a name is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// No key can hold the name.
    Name,
    /// A symbolic link that dangles, leaves the tree or goes in circles.
    Link,
    /// A symbolic link to a directory.
    DirectoryLink,
    /// A FIFO, socket or device.
    Special,
}

impl Skip {
    pub(super) const COUNT: usize = 4;

    fn why(self) -> &'static str {
        match self {
            Self::Name => "no object key can hold its name (not UTF-8, a control character, or too long)",
            Self::Link => "it is a symbolic link that leads nowhere or out of the directory",
            Self::DirectoryLink => "it is a symbolic link to a directory, and those are not walked",
            Self::Special => "it is neither a file nor a directory",
        }
    }
}

/// What an entry of a directory is to a listing.
enum Found {
    Object(ObjectMeta),
    /// A directory, by its key.
    Directory(Path),
    Nothing,
}

impl Inner {
    /// Counts a name that is left out; says it the first time for each reason.
    fn skip(&self, reason: Skip, directory: &str, name: &OsStr) -> Found {
        if self.skipped[reason as usize].fetch_add(1, Ordering::Relaxed) == 0 {
            let name = name.to_string_lossy();
            tracing::warn!(
                directory = self.shown(directory),
                name = %printable(&name),
                "not listed: {} (said once, counted always)",
                reason.why()
            );
        }
        Found::Nothing
    }

    /// The directory `key`, to be listed; `None` if there is none.
    fn entries(&self, key: &str) -> Result<Option<ReadDir>, FileStoreError> {
        let opened = if key.is_empty() {
            self.root.entries()
        } else {
            self.root.read_dir(key)
        };
        match opened {
            Ok(entries) => Ok(Some(entries)),
            Err(source) => match FileStoreError::lookup("list", self.shown(key), source) {
                // It went while we walked, or it is a file: there is nothing beneath it.
                FileStoreError::Missing { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// What `entry` of the directory `key` is. Nothing at or before `offset` is looked at any closer: on a network file
    /// system each look is a round trip.
    fn classify(&self, key: &str, entry: &DirEntry, offset: Option<&Path>) -> Result<Found, FileStoreError> {
        let name = entry.file_name();
        let Some(text) = name.to_str() else {
            return Ok(self.skip(Skip::Name, key, &name));
        };
        if text.starts_with(TEMPORARY) {
            return Ok(Found::Nothing);
        }
        let path = if key.is_empty() {
            text.to_owned()
        } else {
            format!("{key}/{text}")
        };
        let location = match Path::parse(&path) {
            Ok(location) if path.len() <= limits::MAX_KEY_BYTES => location,
            _ => return Ok(self.skip(Skip::Name, key, &name)),
        };
        let failed = |source| FileStoreError::Io {
            action: "look up",
            path: self.shown(&path),
            source,
        };
        let mut kind = entry.file_type().map_err(failed)?;
        if !kind.is_dir() && offset.is_some_and(|offset| location <= *offset) {
            // A directory of this name may hold later keys, and not every file system says here that it is one.
            if kind.is_file() || kind.is_symlink() || entry.metadata().is_ok_and(|found| !found.is_dir()) {
                return Ok(Found::Nothing);
            }
        }
        // A directory entry of some file systems does not say what it is.
        let known = kind.is_dir() || kind.is_file() || kind.is_symlink();
        let found = if kind.is_file() || !known {
            Some(entry.metadata())
        } else {
            None
        };
        let found = match found.transpose() {
            Ok(found) => found,
            // Deleted since its name was read.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(e) => return Err(failed(e)),
        };
        if let Some(found) = &found {
            kind = found.file_type();
        }
        match found {
            _ if kind.is_dir() => Ok(Found::Directory(location)),
            Some(found) if kind.is_file() => Ok(Found::Object(Stamp::of(&found).describe(location))),
            _ if kind.is_symlink() => Ok(match self.root.metadata(&path) {
                Ok(target) if target.is_file() => Found::Object(Stamp::of(&target).describe(location)),
                Ok(target) if target.is_dir() => self.skip(Skip::DirectoryLink, key, &name),
                Ok(_) => self.skip(Skip::Special, key, &name),
                Err(_) => self.skip(Skip::Link, key, &name),
            }),
            _ => Ok(self.skip(Skip::Special, key, &name)),
        }
    }
}

/// What one step of a walk came to.
enum Step {
    Object(ObjectMeta),
    /// Nothing to list; the walk goes on.
    On,
    End,
}

/// One directory on the way from the prefix down to where the walk is.
struct Level {
    key: String,
    /// `None` once all its names were read.
    entries: Option<ReadDir>,
    /// Subdirectories still to be walked, met when too many directories were open.
    later: Vec<Path>,
}

/// A walk under way. Its iterator blocks.
struct Walk {
    inner: Arc<Inner>,
    offset: Option<Path>,
    levels: Vec<Level>,
    open: usize,
}

impl Walk {
    /// Adds the directory `key` to walk next. A key of an unfinished write, or of no file at all, holds nothing.
    fn enter(&mut self, key: &Path) -> Result<(), FileStoreError> {
        if !key.is_root() && self.inner.readable(key).is_err() {
            return Ok(());
        }
        let key = key.as_ref();
        if let Some(entries) = self.inner.entries(key)? {
            self.open += 1;
            self.levels.push(Level {
                key: key.to_owned(),
                entries: Some(entries),
                later: Vec::new(),
            });
        }
        Ok(())
    }

    /// Looks at one name, or goes one directory up or down.
    fn step(&mut self) -> Result<Step, FileStoreError> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(Step::End);
        };
        let Some(entries) = &mut level.entries else {
            match level.later.pop() {
                Some(directory) => self.enter(&directory)?,
                None => drop(self.levels.pop()),
            }
            return Ok(Step::On);
        };
        let entry = match entries.next() {
            Some(Ok(entry)) => entry,
            end => {
                level.entries = None;
                self.open -= 1;
                return match end {
                    Some(Err(source)) => {
                        let path = self.inner.shown(&level.key);
                        Err(FileStoreError::Io {
                            action: "list",
                            path,
                            source,
                        })
                    }
                    _ => Ok(Step::On),
                };
            }
        };
        match self.inner.classify(&level.key, &entry, self.offset.as_ref())? {
            Found::Object(meta) => return Ok(Step::Object(meta)),
            Found::Directory(key) if is_before(&key, self.offset.as_ref()) => {}
            Found::Directory(key) if self.open >= OPEN_DIRECTORIES => level.later.push(key),
            Found::Directory(key) => self.enter(&key)?,
            Found::Nothing => {}
        }
        Ok(Step::On)
    }

    /// Takes steps until `many` objects or errors were found, or enough was looked at. The flag is false at the end.
    fn visit(&mut self, many: usize) -> (VecDeque<Result<ObjectMeta>>, bool) {
        let mut found = VecDeque::new();
        for _ in 0..LOOKS {
            match self.step() {
                Ok(Step::Object(meta)) => found.push_back(Ok(meta)),
                Ok(Step::On) => {}
                Ok(Step::End) => return (found, false),
                Err(error) => found.push_back(Err(error.into())),
            }
            if found.len() >= many {
                break;
            }
        }
        (found, true)
    }
}

/// Whether every key beneath the directory `key` is at or before `offset`.
fn is_before(key: &Path, offset: Option<&Path>) -> bool {
    let Some(offset) = offset.map(AsRef::<str>::as_ref) else {
        return false;
    };
    let beneath = format!("{key}/");
    beneath.as_str() <= offset && !offset.starts_with(&beneath)
}

/// Everything beneath `prefix` that comes after `offset`, in the order of the directories. A directory that cannot be
/// read is an error in the stream, which then goes on: a listing that lacks something does not look complete.
pub(super) fn stream(
    inner: Arc<Inner>,
    prefix: Path,
    offset: Option<Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let walk = Walk {
        inner,
        offset,
        levels: Vec::new(),
        open: 0,
    };
    let start = (Some(walk), Some(prefix), FIRST_STEP);
    futures::stream::unfold(start, |(walk, prefix, many)| async move {
        let mut walk = walk?;
        let visit = blocking(move || {
            let entered = prefix.map_or(Ok(()), |prefix| walk.enter(&prefix));
            let (mut found, more) = walk.visit(many);
            if let Err(error) = entered {
                found.push_front(Err(error.into()));
            }
            Ok((found, more.then_some(walk)))
        });
        let (found, walk) = match visit.await {
            Ok(visited) => visited,
            Err(error) => (VecDeque::from([Err(error)]), None),
        };
        Some((
            futures::stream::iter(found),
            (walk, None, LAST_STEP.min(many * 2)),
        ))
    })
    .fuse()
    .flatten()
    .boxed()
}

/// What is right beneath `prefix`, sorted.
pub(super) fn one_level(inner: &Inner, prefix: &Path) -> Result<ListResult, FileStoreError> {
    let mut listing = ListResult {
        common_prefixes: Vec::new(),
        objects: Vec::new(),
        extensions: Extensions::new(),
    };
    if !prefix.is_root() && inner.readable(prefix).is_err() {
        return Ok(listing);
    }
    let key = prefix.as_ref();
    for entry in inner.entries(key)?.into_iter().flatten() {
        let entry = entry.map_err(|source| FileStoreError::Io {
            action: "list",
            path: inner.shown(key),
            source,
        })?;
        match inner.classify(key, &entry, None)? {
            Found::Object(meta) => listing.objects.push(meta),
            Found::Directory(key) => listing.common_prefixes.push(key),
            Found::Nothing => {}
        }
    }
    listing
        .objects
        .sort_unstable_by(|a, b| a.location.cmp(&b.location));
    listing.common_prefixes.sort_unstable();
    Ok(listing)
}

#[cfg(test)]
mod tests;
