//! The directory on the local disk: whose it is, what it is for, and where things are in it.

use std::path::{Path, PathBuf};

use forebay_disk::sys::{DIR_MODE, FILE_MODE, OPEN, write_at};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::{self, Errno};

use crate::overlay::attrs::NodeId;
use crate::overlay::error::OverlayError;
use crate::overlay::sys::{list, make_dir, open_dir, read_all, remove, replace, sync_all};

/// First line of the file `format`.
const FORMAT: &str = "forebay overlay 1";

/// Longest file `format` that is read.
const MAX_FORMAT: usize = 64 * 1024;

/// Where Linux tells which start of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// An open overlay directory. Everything in it is reached from its descriptor, and symlinks are refused.
#[derive(Debug)]
pub(crate) struct Layout {
    path: PathBuf,
    root: OwnedFd,
    data: OwnedFd,
    /// Locked for as long as it is open.
    _lock: OwnedFd,
}

/// A file below `data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Data(NodeId),
    Map(NodeId),
    /// What was left in the middle of something.
    Rest,
}

impl Layout {
    /// Opens the directory, or makes it, and locks it.
    pub(crate) fn open(path: &Path, base: &str) -> Result<Self, OverlayError> {
        let root = open_root(path)?;
        check_owner(&root, path)?;
        // Looked at before the lock is made, so that nothing is put into a directory that is something else.
        read_format(&root, path)?;
        let lock = lock(&root, path)?;
        // One line, whatever the caller has in it.
        let base = forebay_types::printable(base);
        match read_format(&root, path)? {
            Some(found) if found == base => {}
            Some(found) => {
                return Err(OverlayError::OtherBase {
                    dir: path.to_owned(),
                    found,
                    wanted: base.into_owned(),
                });
            }
            None => {
                let text = format!("{FORMAT}\n{base}\n");
                replace(&root, "format", text.as_bytes()).map_err(failed("write", &path.join("format")))?;
            }
        }
        make_dir(&root, "data").map_err(failed("create", &path.join("data")))?;
        let data = open_dir(&root, "data").map_err(failed("open", &path.join("data")))?;
        Ok(Self {
            path: path.to_owned(),
            root,
            data,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a file at the top; `None` if there is none.
    pub(crate) fn file(&self, name: &str) -> Result<Option<OwnedFd>, OverlayError> {
        match fs::openat(&self.root, name, OPEN, Mode::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(failed("open", &self.path(name))(e)),
        }
    }

    /// Under which start of the machine the directory was last open; `None` for a new one.
    pub(crate) fn last_boot(&self) -> Result<Option<String>, OverlayError> {
        let Some(fd) = self.file("boot")? else {
            return Ok(None);
        };
        let bytes = read_all(&fd, 256).map_err(failed("read", &self.path("boot")))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    pub(crate) fn set_boot(&self, boot: &str) -> Result<(), OverlayError> {
        replace(&self.root, "boot", boot.as_bytes()).map_err(failed("write", &self.path("boot")))?;
        Ok(())
    }

    /// Makes the data file of a new node.
    pub(crate) fn create(&self, name: &str) -> Result<OwnedFd, Errno> {
        let flags = OPEN | OFlags::CREATE | OFlags::EXCL;
        match fs::openat(&self.data, name, flags, FILE_MODE) {
            Err(Errno::NOENT) => {
                make_dir(&self.data, &name[..2])?;
                fs::openat(&self.data, name, flags, FILE_MODE)
            }
            other => other,
        }
    }

    /// Opens a file below `data`.
    pub(crate) fn open_data(&self, name: &str) -> Result<OwnedFd, Errno> {
        fs::openat(&self.data, name, OPEN, Mode::empty())
    }

    pub(crate) fn stat(&self, name: &str) -> Result<fs::Stat, Errno> {
        fs::statat(&self.data, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Errno> {
        remove(&self.data, name)
    }

    /// Sets the ctime of a file to the present and nothing else: it gets a second name for a moment.
    pub(crate) fn bump_ctime(&self, id: NodeId) -> Result<(), Errno> {
        let name = data_name(id);
        let other = format!("{name}.ctime");
        fs::linkat(&self.data, &name, &self.data, &other, AtFlags::empty())?;
        remove(&self.data, &other)
    }

    /// Makes the names below `data` durable that are in the directories of `ids`.
    pub(crate) fn sync_names(&self, ids: impl Iterator<Item = NodeId>) -> Result<(), Errno> {
        let mut wanted = [false; 256];
        for id in ids {
            wanted[usize::from(id.0 as u8)] = true;
        }
        let mut any = false;
        for shard in 0..=255u8 {
            if wanted[usize::from(shard)] {
                match open_dir(&self.data, &format!("{shard:02x}")) {
                    Ok(dir) => sync_all(&dir)?,
                    Err(Errno::NOENT) => {}
                    Err(e) => return Err(e),
                }
                any = true;
            }
        }
        if any { sync_all(&self.data) } else { Ok(()) }
    }

    /// Calls `see` for every file of ours below `data`, with its name there.
    pub(crate) fn scan(&self, mut see: impl FnMut(Found, String)) -> Result<(), OverlayError> {
        for shard in 0..=255u8 {
            let at = format!("{shard:02x}");
            let path = || self.path("data").join(&at);
            let dir = match open_dir(&self.data, &at) {
                Ok(dir) => dir,
                Err(Errno::NOENT) => continue,
                Err(e) => return Err(failed("open", &path())(e)),
            };
            for name in list(&dir).map_err(failed("list", &path()))? {
                if let Some(found) = parse(shard, &name) {
                    see(found, format!("{at}/{name}"));
                }
            }
        }
        Ok(())
    }

    /// Writes everything that is in memory to the file system that the directory is on.
    pub(crate) fn sync_file_system(&self) -> Result<(), Errno> {
        fs::syncfs(&self.data)
    }
}

/// The name of a node's data below `data`.
pub(crate) fn data_name(id: NodeId) -> String {
    format!("{:02x}/{:016x}", id.0 as u8, id.0)
}

/// The name of a node's map below `data`.
pub(crate) fn map_name(id: NodeId) -> String {
    format!("{}.map", data_name(id))
}

fn parse(shard: u8, name: &str) -> Option<Found> {
    let (number, what) = name.split_at_checked(16)?;
    let id = u64::from_str_radix(number, 16).ok()?;
    if id as u8 != shard || format!("{id:016x}") != number {
        return None;
    }
    match what {
        "" => Some(Found::Data(NodeId(id))),
        ".map" => Some(Found::Map(NodeId(id))),
        ".ctime" => Some(Found::Rest),
        _ => None,
    }
}

pub(crate) fn failed(what: &'static str, path: &Path) -> impl FnOnce(Errno) -> OverlayError {
    let path = path.to_owned();
    move |errno| OverlayError::Io {
        what,
        path,
        source: errno.into(),
    }
}

/// Which start of the machine this is.
pub(crate) fn this_boot() -> Result<String, OverlayError> {
    std::fs::read_to_string(BOOT_ID)
        .map(|id| id.trim().to_owned())
        .map_err(|source| OverlayError::Io {
            what: "read",
            path: BOOT_ID.into(),
            source,
        })
}

fn open_root(path: &Path) -> Result<OwnedFd, OverlayError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|source| OverlayError::Io {
            what: "create the directory",
            path: parent.to_owned(),
            source,
        })?;
    }
    match fs::mkdir(path, DIR_MODE) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(failed("create the directory", path)(e)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::LOOP | Errno::NOTDIR => OverlayError::NotADirectory { dir: path.to_owned() },
        errno => failed("open the directory", path)(errno),
    })
}

fn check_owner(root: &OwnedFd, path: &Path) -> Result<(), OverlayError> {
    let stat = fs::fstat(root).map_err(failed("look at", path))?;
    let user = rustix::process::geteuid().as_raw();
    if stat.st_uid != user {
        return Err(OverlayError::NotOwner {
            dir: path.to_owned(),
            owner: stat.st_uid,
            user,
        });
    }
    let mode = stat.st_mode & 0o7777;
    if mode & 0o022 != 0 {
        return Err(OverlayError::OpenToOthers {
            dir: path.to_owned(),
            mode,
        });
    }
    if mode & 0o077 != 0 {
        tracing::info!(dir = %path.display(), "others could list the overlay directory; now its owner only");
        fs::fchmod(root, DIR_MODE).map_err(failed("restrict", path))?;
    }
    Ok(())
}

/// What the directory lies on; `None` for a new one.
fn read_format(root: &OwnedFd, path: &Path) -> Result<Option<String>, OverlayError> {
    let file = path.join("format");
    let fd = match fs::openat(root, "format", OPEN, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => {
            for name in list(root).map_err(failed("list", path))? {
                // `lost+found`: the directory is a file system of its own.
                if !matches!(&*name, "lost+found" | "lock" | "format.new") {
                    return Err(OverlayError::NotAnOverlay {
                        dir: path.to_owned(),
                        found: forebay_types::printable(&name).into_owned(),
                    });
                }
            }
            return Ok(None);
        }
        Err(e) => return Err(failed("open", &file)(e)),
    };
    let bytes = read_all(&fd, MAX_FORMAT).map_err(failed("read", &file))?;
    let text = String::from_utf8_lossy(&bytes);
    match text.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix('\n')) {
        Some(base) => Ok(Some(base.trim_end_matches('\n').to_owned())),
        None => Err(OverlayError::Format {
            dir: path.to_owned(),
            found: forebay_types::printable(text.lines().next().unwrap_or_default()).into_owned(),
            expected: FORMAT,
        }),
    }
}

/// Takes the lock, and says in it who has it.
fn lock(root: &OwnedFd, path: &Path) -> Result<OwnedFd, OverlayError> {
    let file = path.join("lock");
    let fd = fs::openat(root, "lock", OPEN | OFlags::CREATE, FILE_MODE).map_err(failed("open", &file))?;
    match io::retry_on_intr(|| fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let holder = read_all(&fd, 32).ok();
            return Err(OverlayError::Busy {
                dir: path.to_owned(),
                holder: holder.and_then(|text| str::from_utf8(&text).ok()?.trim().parse().ok()),
            });
        }
        Err(e) => return Err(failed("lock", &file)(e)),
    }
    // Only a hint for others: a full disk is no reason to give up.
    let pid = format!("{}\n", std::process::id());
    let _ = fs::ftruncate(&fd, 0).and_then(|()| write_at(&fd, pid.as_bytes(), 0));
    Ok(fd)
}

#[cfg(test)]
mod tests;
