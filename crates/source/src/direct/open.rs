//! From a key to an open file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use forebay_disk::{DirectFile, Disk, Wanted, ask_direct};
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, Result};

use crate::file::meta::Stamp;
use crate::file::read::Found;
use crate::file::{FileStore, FileStoreError, blocking};
use crate::kept::Kept;

/// The files of a store that are being read.
#[derive(Debug)]
pub(super) struct Files {
    disk: Disk,
    wanted: Wanted,
    /// By path, so that reads of one version share their edges. Only as long as somebody reads them.
    open: Mutex<HashMap<Path, Weak<Open>>>,
}

/// An open file, and the version it had then.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: DirectFile,
    stamp: Stamp,
    /// What that is to an object store.
    pub(super) meta: ObjectMeta,
    /// Its path, for errors.
    pub(super) shown: String,
}

impl Files {
    pub(super) fn new(disk: Disk, wanted: Wanted) -> Self {
        Self {
            disk,
            wanted,
            open: Mutex::default(),
        }
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The file at `location`: the one that this read has already, if it is of the version that is asked for.
    pub(super) async fn find(
        self: &Arc<Self>,
        names: &FileStore,
        location: &Path,
        options: &GetOptions,
    ) -> Result<Arc<Open>> {
        let kept = options.extensions.get::<Kept>();
        if let Some(tag) = &options.if_match
            && let Some(open) = kept.and_then(Kept::get::<Open>)
            && open.meta.e_tag.as_ref() == Some(tag)
        {
            return Ok(open);
        }
        let open = match names.inner.find_now(location) {
            Some(found) => self.open(location, found)?,
            None => {
                let (files, inner, location) = (self.clone(), names.inner.clone(), location.clone());
                blocking(move || Ok(files.open(&location, inner.find(&location)?)?)).await?
            }
        };
        if let Some(kept) = kept {
            kept.leave(open.clone());
        }
        Ok(open)
    }

    /// Makes a found file ready, or takes the one that others read if it is the same.
    fn open(&self, location: &Path, found: Found) -> Result<Arc<Open>, FileStoreError> {
        let known = |open: &HashMap<Path, Weak<Open>>| {
            let open = open.get(location)?.upgrade()?;
            (open.stamp == found.stamp).then_some(open)
        };
        let lock = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = known(&lock()) {
            return Ok(open);
        }
        let Found { file, stamp, shown } = found;
        if self.wanted.direct {
            // Who refuses is told of by the disk, and read through the page cache.
            let _ = ask_direct(&file);
        }
        let file = self
            .disk
            .open(file, self.wanted)
            .map_err(|source| FileStoreError::Io {
                action: "look up",
                path: shown.clone(),
                source,
            })?;
        let meta = stamp.describe(location.clone());
        let opened = Arc::new(Open {
            file,
            stamp,
            meta,
            shown,
        });
        let mut open = lock();
        if open.len() == open.capacity() {
            open.retain(|_, file| file.strong_count() > 0);
        }
        open.insert(location.clone(), Arc::downgrade(&opened));
        Ok(opened)
    }
}

impl Open {
    /// Fails if the file was written to since it was opened.
    pub(super) fn unchanged(&self) -> Result<(), FileStoreError> {
        self.stamp.still_of(self.file.file(), &self.shown)
    }

    /// The file has fewer bytes than it said when it was opened.
    pub(super) fn ended_early(&self) -> FileStoreError {
        self.stamp.ended_early(self.file.file(), &self.shown)
    }

    pub(super) fn failed(&self, source: std::io::Error) -> FileStoreError {
        FileStoreError::read(&self.shown, source)
    }
}
