//! What a file is to an object store: its version, its description, and whether its name can be a key.

use std::os::fd::AsFd;

use cap_std::fs::{FileType, FileTypeExt, Metadata, MetadataExt};
use chrono::{DateTime, Utc};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::{FileStoreError, Inner};

/// Begins the names of unfinished writes. Hidden, so that other tools leave it alone too.
pub(super) const TEMPORARY: &str = ".forebay-tmp-";

/// The word for a directory; [`FileStoreError::kind`] tells it from the other things that are not files.
pub(super) const DIRECTORY: &str = "a directory";

/// Which version of a file: equal stamps mean equal bytes, as far as a file system can tell.
///
/// The device is not in it: its number changes with a reboot, and the store stays within one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    pub(crate) size: u64,
    seconds: i64,
    nanos: i64,
}

impl Stamp {
    pub(crate) fn of(file: &Metadata) -> Self {
        Self {
            inode: file.ino(),
            size: file.size(),
            seconds: file.mtime(),
            nanos: file.mtime_nsec(),
        }
    }

    /// Of an open file, now.
    pub(crate) fn of_open(file: impl AsFd) -> std::io::Result<Self> {
        let stat = rustix::fs::fstat(file)?;
        Ok(Self {
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            seconds: stat.st_mtime as i64,
            nanos: stat.st_mtime_nsec as i64,
        })
    }

    /// Fails if the open `file`, `shown` in errors, is not of this version any more.
    pub(crate) fn still_of(&self, file: impl AsFd, shown: &str) -> Result<(), FileStoreError> {
        let now = Self::of_open(file).map_err(|e| FileStoreError::read(shown, e))?;
        if now == *self {
            Ok(())
        } else {
            Err(self.changed(now, shown))
        }
    }

    /// The open `file` has fewer bytes than it said when it was of this version.
    pub(crate) fn ended_early(&self, file: impl AsFd, shown: &str) -> FileStoreError {
        let changed = self.still_of(file, shown).err();
        changed.unwrap_or_else(|| self.changed(*self, shown))
    }

    fn changed(&self, now: Self, shown: &str) -> FileStoreError {
        FileStoreError::Changed {
            path: shown.to_owned(),
            was: self.etag(),
            is: now.etag(),
        }
    }

    /// Strong and quoted, as RFC 9110 §8.8.3 writes it.
    pub(crate) fn etag(&self) -> String {
        format!(
            "\"{:x}-{:x}.{:x}-{:x}\"",
            self.inode, self.seconds, self.nanos, self.size
        )
    }

    /// As the trait describes an object. A time that chrono cannot hold becomes 1970.
    pub(crate) fn describe(&self, location: Path) -> ObjectMeta {
        let nanos = u32::try_from(self.nanos).unwrap_or(0);
        ObjectMeta {
            location,
            last_modified: DateTime::<Utc>::from_timestamp(self.seconds, nanos).unwrap_or_default(),
            size: self.size,
            e_tag: Some(self.etag()),
            version: None,
        }
    }
}

/// What a thing that is no regular file is, with its article.
pub(super) fn what(kind: &FileType) -> &'static str {
    if kind.is_dir() {
        DIRECTORY
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else {
        "of an unknown kind"
    }
}

/// Why no file of the store can have this key; `None` if one can. The store's own `Path` holds no `..` and no leading
/// slash; that is checked again, because the safety of a disk should not hang on somebody else's parser.
pub(super) fn why_not(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("it is empty");
    }
    key.split('/').find_map(|name| match name {
        "" | "." | ".." => Some("it has an empty, '.' or '..' segment"),
        name if name.contains('\0') => Some("it has a zero byte"),
        name if name.starts_with(TEMPORARY) => {
            Some("names that begin with '.forebay-tmp-' are unfinished writes")
        }
        _ => None,
    })
}

impl Inner {
    /// The path of `location` beneath the root, to read from. A key that no file can have is simply not there.
    pub(super) fn readable<'a>(&self, location: &'a Path) -> Result<&'a std::path::Path, FileStoreError> {
        let key = location.as_ref();
        match why_not(key) {
            None => Ok(std::path::Path::new(key)),
            Some(why) => {
                let source = std::io::Error::new(std::io::ErrorKind::NotFound, why);
                Err(FileStoreError::Missing {
                    path: self.shown(key),
                    source,
                })
            }
        }
    }

    /// The key of `location`, to write to.
    pub(super) fn writable<'a>(&self, location: &'a Path) -> Result<&'a str, FileStoreError> {
        let key = location.as_ref();
        match why_not(key) {
            None => Ok(key),
            Some(why) => Err(FileStoreError::Key {
                path: self.shown(key),
                why,
            }),
        }
    }

    /// The regular file behind `path`, links followed as long as they stay inside; nothing is opened for it.
    pub(super) fn stat(&self, path: &std::path::Path) -> Result<Metadata, FileStoreError> {
        let shown = || self.shown(&path.to_string_lossy());
        let found = self
            .root
            .metadata(path)
            .map_err(|e| FileStoreError::lookup("look up", shown(), e))?;
        if !found.is_file() {
            return Err(FileStoreError::NotAFile {
                path: shown(),
                what: what(&found.file_type()),
            });
        }
        Ok(found)
    }
}
