//! All files below a directory, in the order of their keys, as a bucket lists them.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::vec;

use forebay_types::limits::MAX_WEB_DEPTH;
use forebay_types::printable;
use futures::{Stream, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, Result};

use super::HttpStore;
use super::autoindex::Entry;
use super::list::{JoinName, Looked, Place};
use crate::transport::Failure;

/// Files that are asked about in one go, so that a walk's first files come before its last ones are known: four rounds of
/// requests.
const AHEAD: usize = 64;
/// How often a directory may appear in the line from the root down to it. A link to a directory above it makes it appear
/// without end; twice it may be chance.
const SAME_IN_LINE: usize = 2;

/// The files below `prefix`. What cannot be listed on the way ends it with an error: half a tree is none.
pub(super) fn below(store: HttpStore, prefix: Path) -> impl Stream<Item = Result<ObjectMeta>> + Send {
    let start = match store.place(&prefix) {
        Place::All => Some(store.address.root().clone()),
        Place::Below => Some(prefix),
        Place::Outside => None,
    };
    let walk = Walk {
        store,
        start,
        line: Vec::new(),
    };
    stream::try_unfold(walk, |mut walk| async move {
        let next = walk.next().await?;
        Ok(next.map(|meta| (meta, walk)))
    })
}

struct Walk {
    store: HttpStore,
    start: Option<Path>,
    /// The directories that are being read, each in the one before it.
    line: Vec<Frame>,
}

struct Frame {
    directory: Path,
    entries: vec::IntoIter<Entry>,
    /// What the next files were found to be.
    looked: VecDeque<Looked>,
    /// Names and first file, if it has any; equal for the same directory under another name.
    mark: Option<u64>,
}

impl Walk {
    /// No request is under way between two calls.
    async fn next(&mut self) -> Result<Option<ObjectMeta>> {
        if let Some(start) = self.start.take() {
            self.enter(start).await?;
        }
        while let Some(frame) = self.line.last_mut() {
            let Some(entry) = frame.entries.as_slice().first() else {
                self.line.pop();
                continue;
            };
            let key = frame.directory.clone().join_name(&entry.name);
            let is_directory = entry.directory;
            if !is_directory {
                frame.look_ahead(&self.store).await?;
            }
            frame.entries.next();
            if is_directory {
                self.enter(key).await?;
                continue;
            }
            match frame.looked.pop_front() {
                Some(Looked::File(meta)) => return Ok(Some(meta)),
                Some(Looked::Directory) => self.enter(key).await?,
                Some(Looked::Nothing) | None => {}
            }
        }
        Ok(None)
    }

    async fn enter(&mut self, directory: Path) -> Result<()> {
        if self.line.len() >= MAX_WEB_DEPTH {
            let why = format!(
                "directories lie more than {MAX_WEB_DEPTH} deep in each other at '{}': probably a link leads back to one above it",
                printable(directory.as_ref())
            );
            return Err(Failure::NoListing { why }.into_store_error(directory.as_ref()));
        }
        let Some(entries) = self.store.entries(&directory).await? else {
            return Ok(());
        };
        let mut frame = Frame {
            directory,
            entries: entries.into_iter(),
            looked: VecDeque::new(),
            mark: None,
        };
        frame.look_ahead(&self.store).await?;
        frame.mark = frame.mark();
        let same = |other: &&Frame| frame.mark.is_some() && other.mark == frame.mark;
        if self.line.iter().filter(same).count() >= SAME_IN_LINE {
            let meter = self.store.transport.meter();
            let why = "it is the same directory as two above it: a link that leads in a circle";
            meter.unreadable_key(&printable(frame.directory.as_ref()), &why);
            return Ok(());
        }
        self.line.push(frame);
        Ok(())
    }
}

impl Frame {
    /// Asks about the next files, if the answer for the very next one is not here.
    async fn look_ahead(&mut self, store: &HttpStore) -> Result<()> {
        if self.looked.is_empty() {
            let files = self.entries.as_slice().iter().filter(|entry| !entry.directory);
            let files: Vec<Entry> = files.take(AHEAD).cloned().collect();
            self.looked = store.look(&self.directory, &files).await?.into();
        }
        Ok(())
    }

    fn mark(&self) -> Option<u64> {
        let first = self.looked.iter().find_map(|looked| match looked {
            Looked::File(meta) => Some(meta),
            Looked::Directory | Looked::Nothing => None,
        })?;
        let mut hasher = DefaultHasher::new();
        for entry in self.entries.as_slice() {
            (&entry.name, entry.directory).hash(&mut hasher);
        }
        (&first.e_tag, first.size, first.last_modified).hash(&mut hasher);
        Some(hasher.finish())
    }
}
