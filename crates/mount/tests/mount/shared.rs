//! What programs do to a file system that can be written to, whichever way it is mounted.

pub(crate) mod data;
pub(crate) mod names;
pub(crate) mod owners;
pub(crate) mod threads;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where it is done.
pub(crate) trait Place: Sync {
    /// A name in the mount.
    fn at(&self, name: &str) -> PathBuf;

    /// Where that is without the mount, if there is such a place; else in the mount.
    fn real(&self, name: &str) -> PathBuf {
        self.at(name)
    }

    /// The mount shows what is there, if it can be seen elsewhere.
    fn is_the_same(&self) {}

    /// All of it is there when it is mounted anew, if it can be.
    fn stays(self)
    where
        Self: Sized,
    {
    }
}

/// Tests from here, each in a place of its own.
macro_rules! on {
    ($place:expr; $($topic:ident::$name:ident),*) => {
        $(
            #[test]
            fn $name() {
                if let Some(place) = $place {
                    crate::shared::$topic::$name(&place);
                    crate::shared::Place::stays(place);
                }
            }
        )*
    };
}
pub(crate) use on;

/// What there is to see of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) nlink: u64,
    pub(crate) size: u64,
    pub(crate) device: u64,
    pub(crate) modified: (i64, i64),
    pub(crate) changed: (i64, i64),
    /// Of a file, or where a link leads.
    pub(crate) content: Vec<u8>,
}

pub(crate) fn see(root: &Path, path: &Path, all: &mut BTreeMap<PathBuf, Thing>) {
    let full = root.join(path);
    let meta = fs::symlink_metadata(&full).unwrap();
    let content = if meta.is_file() {
        fs::read(&full).unwrap()
    } else if meta.is_symlink() {
        fs::read_link(&full).unwrap().as_os_str().as_bytes().to_vec()
    } else {
        Vec::new()
    };
    if meta.is_dir() {
        for entry in fs::read_dir(&full).unwrap() {
            see(root, &path.join(entry.unwrap().file_name()), all);
        }
    }
    let thing = Thing {
        ino: meta.ino(),
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        nlink: meta.nlink(),
        size: meta.size(),
        device: meta.rdev(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
        content,
    };
    all.insert(path.to_owned(), thing);
}

pub(crate) fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}
