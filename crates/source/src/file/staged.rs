//! A write in the making: a temporary file beside its goal, published whole or gone. Its bytes go through the page
//! cache or past it ([`writer`], [`gather`]).

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cap_std::fs::{Dir, Metadata, OpenOptions};
use object_store::PutPayload;
use object_store::path::Path;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::meta::{Stamp, TEMPORARY};
use super::{FileStoreError, Inner};

mod gather;
mod writer;

pub(crate) use writer::Way;
use writer::Writer;

/// Where a file is or will be: an open directory that was reached through no symbolic link, and a plain name in it.
/// Whatever happens to the tree afterwards, the write lands in that directory.
pub(super) struct Place {
    pub(super) dir: Dir,
    pub(super) name: String,
    /// Its path, for errors.
    pub(super) shown: String,
}

/// Whether a walk makes the directories that are missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parents {
    Make,
    MustExist,
}

impl Inner {
    /// Walks down to the directory of `location`, one name at a time.
    pub(super) fn place(&self, location: &Path, parents: Parents) -> Result<Place, FileStoreError> {
        let key = self.writable(location)?;
        let shown = self.shown(key);
        let (above, name) = key.rsplit_once('/').unwrap_or(("", key));
        let mut dir: Option<OwnedFd> = None;
        for segment in above.split('/').filter(|segment| !segment.is_empty()) {
            let next = match &dir {
                Some(parent) => self.step(parent, segment, &shown, parents)?,
                None => self.step(&self.root, segment, &shown, parents)?,
            };
            dir = Some(next);
        }
        let dir = match dir {
            Some(dir) => Dir::from_std_file(dir.into()),
            None => self
                .root
                .try_clone()
                .map_err(|e| io("open the directory of", &shown, e))?,
        };
        Ok(Place {
            dir,
            name: name.to_owned(),
            shown,
        })
    }

    /// Opens the directory `segment` in `parent`; a symbolic link there is refused.
    fn step(
        &self,
        parent: impl AsFd,
        segment: &str,
        shown: &str,
        parents: Parents,
    ) -> Result<OwnedFd, FileStoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&parent, segment, flags, Mode::empty());
        let opened = match open() {
            Err(Errno::NOENT) if parents == Parents::Make => {
                match rustix::fs::mkdirat(&parent, segment, Mode::from_raw_mode(0o777)) {
                    Ok(()) => self.sync_dir(&parent, shown)?,
                    // Somebody else was faster.
                    Err(Errno::EXIST) => {}
                    Err(errno) => return Err(io("make the directory of", shown, errno.into())),
                }
                open()
            }
            opened => opened,
        };
        opened.map_err(|errno| {
            let is_link = rustix::fs::statat(&parent, segment, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_symlink());
            match (is_link, parents) {
                (true, _) => FileStoreError::Link {
                    path: shown.to_owned(),
                    link: segment.to_owned(),
                },
                (false, Parents::Make) => io("open the directory of", shown, errno.into()),
                (false, Parents::MustExist) => {
                    FileStoreError::lookup("open the directory of", shown.to_owned(), errno.into())
                }
            }
        })
    }
}

impl Place {
    /// Whether something has the name already, a dangling link included.
    pub(super) fn is_taken(&self) -> bool {
        self.dir.symlink_metadata(&self.name).is_ok()
    }

    pub(super) fn taken(&self) -> FileStoreError {
        FileStoreError::Exists {
            path: self.shown.clone(),
        }
    }

    pub(super) fn failed(&self, action: &'static str, source: std::io::Error) -> FileStoreError {
        io(action, &self.shown, source)
    }
}

/// A temporary file in the directory of its goal. Dropped unpublished, it is removed.
pub(super) struct Staged {
    inner: Arc<Inner>,
    place: Place,
    name: String,
    writer: Writer,
    /// Whether the temporary name is gone: renamed or removed.
    gone: AtomicBool,
}

impl Staged {
    pub(super) fn create(inner: &Arc<Inner>, place: Place, way: &Way) -> Result<Self, FileStoreError> {
        loop {
            let name = format!("{TEMPORARY}{:016x}", fastrand::u64(..));
            match place
                .dir
                .open_with(&name, OpenOptions::new().write(true).create_new(true))
            {
                Ok(file) => {
                    let writer = Writer::new(file.into_std(), way).map_err(|e| {
                        // What failed before is what the caller is told.
                        let _ = place.dir.remove_file(&name);
                        place.failed("write beside", e)
                    })?;
                    return Ok(Self {
                        inner: Arc::clone(inner),
                        place,
                        name,
                        writer,
                        gone: AtomicBool::new(false),
                    });
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(place.failed("write beside", e)),
            }
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn file(&self) -> &File {
        self.writer.file()
    }

    /// Writes all of `payload` from `offset` on. Several threads may write at different offsets.
    pub(super) fn write_at(&self, payload: &PutPayload, offset: u64) -> Result<(), FileStoreError> {
        let written = self.writer.write_at(payload, offset);
        written.map_err(|e| self.place.failed("write", e))
    }

    /// Gives the file its name, replacing what has it unless `create_only`. Answers its ETag.
    pub(super) fn publish(&self, create_only: bool) -> Result<String, FileStoreError> {
        let Place { dir, name, shown } = &self.place;
        self.writer.finish().map_err(|e| self.place.failed("write", e))?;
        if self.inner.options.sync_writes {
            self.inner.syncs.fetch_add(1, Ordering::Relaxed);
            self.file().sync_all().map_err(|e| self.place.failed("sync", e))?;
        }
        let written = Metadata::from_file(self.file()).map_err(|e| self.place.failed("look up", e))?;
        if create_only {
            link(dir, &self.name, &self.place)?;
            self.clean();
        } else {
            dir.rename(&self.name, dir, name)
                .map_err(|e| self.place.failed("replace", e))?;
            self.gone.store(true, Ordering::Release);
        }
        self.inner.sync_dir(dir, shown)?;
        Ok(Stamp::of(&written).etag())
    }

    /// Removes the temporary name, once.
    pub(super) fn discard(&self) -> Result<(), FileStoreError> {
        if self.gone.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let removed = self.place.dir.remove_file(&self.name);
        removed.map_err(|e| self.place.failed("remove the temporary file of", e))
    }

    /// [`Self::discard`] where its failure is not what the caller asked about.
    fn clean(&self) {
        if let Err(error) = self.discard() {
            tracing::warn!(%error, name = self.name, "a temporary file stays behind");
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.clean();
    }
}

/// Gives the file `name` of `dir` the name of `goal` as well, if that is free. The one atomic way that all unix file
/// systems with hard links have.
pub(super) fn link(dir: &Dir, name: &str, goal: &Place) -> Result<(), FileStoreError> {
    dir.hard_link(name, &goal.dir, &goal.name)
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => goal.taken(),
            _ => goal.failed("create (by hard link, so that nothing is replaced)", e),
        })
}

fn io(action: &'static str, shown: &str, source: std::io::Error) -> FileStoreError {
    FileStoreError::Io {
        action,
        path: shown.to_owned(),
        source,
    }
}
