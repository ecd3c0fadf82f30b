//! System calls on the files of an overlay, beside [`forebay_disk::sys`].

use forebay_disk::sys::{DIR_MODE, FILE_MODE, OPEN, read_at, write_at};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno};

/// All of a file, which is expected to be short.
pub(crate) fn read_all(fd: impl AsFd, max: usize) -> Result<Vec<u8>, Errno> {
    let len = usize::try_from(size_of(&fd)?).unwrap_or(usize::MAX).min(max);
    let mut bytes = vec![0; len];
    let got = read_at(&fd, &mut bytes, 0)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// Bytes of a file.
pub(crate) fn size_of(fd: impl AsFd) -> Result<u64, Errno> {
    Ok(u64::try_from(fs::fstat(fd)?.st_size).unwrap_or(0))
}

/// Syncs the bytes of a file, and what is needed to find them.
pub(crate) fn sync_data(fd: impl AsFd) -> Result<(), Errno> {
    io::retry_on_intr(|| fs::fdatasync(&fd))
}

/// Syncs a file or a directory with all that belongs to it.
pub(crate) fn sync_all(fd: impl AsFd) -> Result<(), Errno> {
    io::retry_on_intr(|| fs::fsync(&fd))
}

/// Opens a directory; a symlink in its place is refused.
pub(crate) fn open_dir(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(dir, name, flags, Mode::empty())
}

/// Makes a directory unless it is there.
pub(crate) fn make_dir(dir: impl AsFd, name: &str) -> Result<(), Errno> {
    match fs::mkdirat(dir, name, DIR_MODE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e),
    }
}

/// The names in a directory that are text; others are none of ours.
pub(crate) fn list(dir: impl AsFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        if let Ok(name) = entry?.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Takes a file away, if it is there.
pub(crate) fn remove(dir: impl AsFd, name: &str) -> Result<(), Errno> {
    match fs::unlinkat(dir, name, fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Puts `bytes` in place of the file `name`, whole or not at all, and for good.
pub(crate) fn replace(dir: impl AsFd, name: &str, bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let temporary = format!("{name}.new");
    let written = (|| {
        let fd = fs::openat(&dir, &temporary, OPEN | OFlags::CREATE | OFlags::TRUNC, FILE_MODE)?;
        write_at(&fd, bytes, 0)?;
        sync_all(&fd)?;
        fs::renameat(&dir, &temporary, &dir, name)?;
        Ok(fd)
    })();
    match written {
        Ok(fd) => sync_all(&dir).map(|()| fd),
        Err(e) => {
            // What is left of it would be in nobody's way, but may fill the disk.
            let _ = remove(&dir, &temporary);
            Err(e)
        }
    }
}

/// Nanoseconds since 1970 of two numbers in a stat.
pub(crate) fn nanos(seconds: i64, nanos: impl TryInto<i64>) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanos.try_into().unwrap_or(0))
}

/// Nanoseconds since 1970 as the system takes them.
pub(crate) fn timespec(nanos: i64) -> fs::Timespec {
    fs::Timespec {
        tv_sec: nanos.div_euclid(1_000_000_000),
        tv_nsec: nanos.rem_euclid(1_000_000_000),
    }
}
