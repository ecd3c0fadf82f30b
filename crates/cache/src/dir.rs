//! The directory: whose it is, what is in it, and how files beneath it are reached.

use std::io;
use std::path::{Path, PathBuf};

use forebay_disk::sys::{DIR_MODE, FILE_MODE, OPEN, read_at, write_at};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::CacheError;
use crate::name::{Name, shard_dir};
use crate::sys::{lock_soon, try_lock};

/// What the FORMAT file of this version says.
const FORMAT: &str = "forebay cache 1\n";

/// Longest FORMAT file that is looked at.
const MAX_FORMAT: usize = 64;

/// Tries for the lock on the FORMAT file.
const LOCK_TRIES: u32 = 1000;

/// An open cache directory. Everything beneath it is reached from its descriptor, one name at a time, and symlinks are
/// refused, so that nothing planted in it leads out.
#[derive(Debug)]
pub(crate) struct Dir {
    path: PathBuf,
    root: OwnedFd,
    objects: OwnedFd,
    /// The FORMAT file, locked: who uses the directory has it so.
    users: OwnedFd,
}

impl Dir {
    /// Opens the directory, or makes it.
    pub(crate) fn open(path: &Path) -> Result<Self, CacheError> {
        make(path).map_err(failed("create the directory", path))?;
        // The directory itself may be a symlink: to a larger disk, by its owner's wish.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(path, flags, Mode::empty()).map_err(failed("open the directory", path))?;
        check_owner(&root, path)?;
        let users = check_format(&root, path)?;
        // Only a process that looks whether it is alone is in the way, and only for a moment.
        let _ = lock_soon(&users, FlockOperation::NonBlockingLockShared, LOCK_TRIES);
        make_dir(&root, "objects").map_err(failed("create", &path.join("objects")))?;
        let objects = open_dir(&root, "objects").map_err(failed("open", &path.join("objects")))?;
        Ok(Self {
            path: path.to_owned(),
            root,
            objects,
            users,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens, or makes, a file at the top.
    pub(crate) fn file(&self, name: &str) -> Result<OwnedFd, CacheError> {
        fs::openat(&self.root, name, OPEN | OFlags::CREATE, FILE_MODE)
            .map_err(failed("open", &self.path.join(name)))
    }

    /// Whether no other process has the directory open, as far as can be told.
    pub(crate) fn is_alone(&self) -> bool {
        let alone = try_lock(&self.users, FlockOperation::NonBlockingLockExclusive).unwrap_or(false);
        // Raised or refused, it must be had again.
        let held = lock_soon(&self.users, FlockOperation::NonBlockingLockShared, LOCK_TRIES);
        alone && held.unwrap_or(false)
    }

    /// The directory of a name's files; [`Errno::NOENT`] if there is none yet.
    pub(crate) fn shard(&self, shard: u8) -> Result<Shard, Errno> {
        open_dir(&self.objects, &shard_dir(shard)).map(Shard)
    }

    /// The directory of a name's files, made if need be.
    pub(crate) fn shard_or_make(&self, shard: u8) -> Result<Shard, Errno> {
        match self.shard(shard) {
            Err(Errno::NOENT) => {
                make_dir(&self.objects, &shard_dir(shard))?;
                self.shard(shard)
            }
            other => other,
        }
    }

    /// Bytes of the file system that this user may still fill.
    pub(crate) fn free(&self) -> Option<u64> {
        let stat = fs::fstatvfs(&self.objects).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// One of the 256 directories below `objects`.
#[derive(Debug)]
pub(crate) struct Shard(OwnedFd);

impl Shard {
    pub(crate) fn open(&self, name: &str) -> Result<OwnedFd, Errno> {
        fs::openat(&self.0, name, OPEN, Mode::empty())
    }

    pub(crate) fn open_to_read(&self, name: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&self.0, name, flags, Mode::empty())
    }

    /// Makes a file that is not there yet.
    pub(crate) fn create(&self, name: &str) -> Result<OwnedFd, Errno> {
        fs::openat(&self.0, name, OPEN | OFlags::CREATE | OFlags::EXCL, FILE_MODE)
    }

    /// Gives a file a second name; [`Errno::EXIST`] if that is taken.
    pub(crate) fn link(&self, from: &str, to: &str) -> Result<(), Errno> {
        fs::linkat(&self.0, from, &self.0, to, AtFlags::empty())
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        fs::renameat(&self.0, from, &self.0, to)
    }

    pub(crate) fn unlink(&self, name: &str) -> Result<(), Errno> {
        fs::unlinkat(&self.0, name, AtFlags::empty())
    }

    pub(crate) fn stat(&self, name: &str) -> Result<fs::Stat, Errno> {
        fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// The names in it.
    pub(crate) fn list(&self) -> Result<Vec<String>, Errno> {
        list(&self.0)
    }
}

impl AsFd for Shard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether `stat` is of a plain file of ours: what others put there is never used.
pub(crate) fn is_ours(stat: &fs::Stat) -> bool {
    fs::FileType::from_raw_mode(stat.st_mode) == fs::FileType::RegularFile
        && stat.st_uid == rustix::process::geteuid().as_raw()
}

pub(crate) fn failed(what: &'static str, path: &Path) -> impl FnOnce(Errno) -> CacheError {
    let path = path.to_owned();
    move |errno| CacheError::Io {
        what,
        path,
        source: errno.into(),
    }
}

/// Makes the directory and what is missing above it; the directory itself for its owner only.
fn make(path: &Path) -> Result<(), Errno> {
    let errno = |e: io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(errno)?;
    }
    match fs::mkdir(path, DIR_MODE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e),
    }
}

fn make_dir(dir: impl AsFd, name: &str) -> Result<(), Errno> {
    match fs::mkdirat(dir, name, DIR_MODE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e),
    }
}

fn open_dir(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(dir, name, flags, Mode::empty())
}

fn list(dir: impl AsFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        // A name that is no text is none of ours.
        if let Ok(name) = entry?.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn check_owner(root: &OwnedFd, path: &Path) -> Result<(), CacheError> {
    let stat = fs::fstat(root).map_err(failed("look at", path))?;
    let user = rustix::process::geteuid().as_raw();
    if stat.st_uid != user {
        return Err(CacheError::NotOwner {
            dir: path.to_owned(),
            owner: stat.st_uid,
            user,
        });
    }
    let mode = stat.st_mode & 0o7777;
    if mode & 0o022 != 0 {
        return Err(CacheError::OpenToOthers {
            dir: path.to_owned(),
            mode,
        });
    }
    if mode & 0o077 != 0 {
        tracing::info!(dir = %path.display(), "others could list the cache directory; now its owner only");
        fs::fchmod(root, DIR_MODE).map_err(failed("restrict", path))?;
    }
    Ok(())
}

/// Reads the FORMAT file; writes it into a directory that is empty. Returns it open.
fn check_format(root: &OwnedFd, path: &Path) -> Result<OwnedFd, CacheError> {
    let file = path.join("FORMAT");
    for _ in 0..2 {
        match fs::openat(root, "FORMAT", OPEN, Mode::empty()) {
            Ok(fd) => {
                let mut found = [0; MAX_FORMAT];
                let len = read_at(&fd, &mut found, 0).map_err(failed("read", &file))?;
                if &found[..len] == FORMAT.as_bytes() {
                    return Ok(fd);
                }
                let found = String::from_utf8_lossy(&found[..len]);
                return Err(CacheError::Format {
                    dir: path.to_owned(),
                    found: forebay_types::printable(found.trim_end()).into_owned(),
                    expected: FORMAT.trim_end(),
                });
            }
            Err(Errno::NOENT) => {}
            Err(e) => return Err(failed("open", &file)(e)),
        }
        for name in list(root).map_err(failed("list", path))? {
            // `lost+found`: the directory is a file system of its own. `FORMAT.…`: another process is just here too.
            if name != "lost+found" && !name.starts_with("FORMAT") {
                return Err(CacheError::NotACache {
                    dir: path.to_owned(),
                    found: forebay_types::printable(&name).into_owned(),
                });
            }
        }
        write_format(root).map_err(failed("write", &file))?;
    }
    Err(failed("read", &file)(Errno::NOENT))
}

/// Puts the FORMAT file in place whole, whoever does so first.
fn write_format(root: &OwnedFd) -> Result<(), Errno> {
    let temporary = format!("FORMAT.{:016x}", fastrand::u64(..));
    let fd = fs::openat(root, &temporary, OPEN | OFlags::CREATE | OFlags::EXCL, FILE_MODE)?;
    let written = write_at(&fd, FORMAT.as_bytes(), 0).and_then(|()| {
        match fs::linkat(root, &temporary, root, "FORMAT", AtFlags::empty()) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    });
    let removed = fs::unlinkat(root, &temporary, AtFlags::empty());
    written.and(removed)
}

impl Name {
    /// The directory of its files.
    pub(crate) fn shard_in(self, dir: &Dir) -> Result<Shard, Errno> {
        dir.shard(self.shard())
    }
}
