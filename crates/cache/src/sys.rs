//! System calls that differ between systems, or that want the same care everywhere.

use std::thread;
use std::time::Duration;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::{self, Errno};

/// Takes a lock if nobody is in the way.
pub(crate) fn try_lock(fd: impl AsFd, operation: FlockOperation) -> Result<bool, Errno> {
    match io::retry_on_intr(|| fs::flock(&fd, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Takes a lock that others hold for microseconds only; gives up after about `tries` × 0.2 ms. Never waits for good: its
/// holder may be a stopped process.
pub(crate) fn lock_soon(fd: impl AsFd, operation: FlockOperation, tries: u32) -> Result<bool, Errno> {
    for attempt in 0..tries {
        if try_lock(&fd, operation)? {
            return Ok(true);
        }
        if attempt < 8 {
            thread::yield_now();
        } else {
            thread::sleep(Duration::from_micros(200));
        }
    }
    Ok(false)
}

/// Gives the bytes `offset..offset + len` back to the file system; they read as zeros.
#[cfg(target_os = "linux")]
pub(crate) fn punch(fd: impl AsFd, offset: u64, len: u64) -> Result<(), Errno> {
    let flags = fs::FallocateFlags::PUNCH_HOLE | fs::FallocateFlags::KEEP_SIZE;
    io::retry_on_intr(|| fs::fallocate(&fd, flags, offset, len))
}

/// Not done elsewhere: large objects leave the cache whole.
#[cfg(not(target_os = "linux"))]
pub(crate) fn punch(_: impl AsFd, _: u64, _: u64) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

/// The first byte at or after `offset` that is not in a hole.
#[cfg(target_os = "linux")]
pub(crate) fn next_data(fd: impl AsFd, offset: u64) -> Option<u64> {
    fs::seek(fd, fs::SeekFrom::Data(offset)).ok()
}

/// Not asked elsewhere.
#[cfg(not(target_os = "linux"))]
pub(crate) fn next_data(_: impl AsFd, _: u64) -> Option<u64> {
    None
}

/// Syncs the bytes of a file.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn sync_data(fd: impl AsFd) -> Result<(), Errno> {
    io::retry_on_intr(|| fs::fdatasync(&fd))
}

/// Syncs the bytes of a file.
#[cfg(target_vendor = "apple")]
pub(crate) fn sync_data(fd: impl AsFd) -> Result<(), Errno> {
    io::retry_on_intr(|| fs::fsync(&fd))
}

/// Opens a file beneath `dir` for writes that go around the page cache.
#[cfg(target_os = "linux")]
pub(crate) fn open_direct(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(dir, name, flags, Mode::empty())
}

/// Only Linux has O_DIRECT.
#[cfg(not(target_os = "linux"))]
pub(crate) fn open_direct(_: impl AsFd, _: &str) -> Result<OwnedFd, Errno> {
    Err(Errno::INVAL)
}

/// When a file was last changed, in nanoseconds since 1970.
pub(crate) fn changed(stat: &fs::Stat) -> i64 {
    stat.st_mtime
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}
