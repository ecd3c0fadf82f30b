//! System calls that differ between systems, or that want the same care everywhere.

use std::io::{IoSlice, IoSliceMut};
use std::thread;
use std::time::Duration;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::{self, Errno};

/// Files of the cache: for their owner only.
pub(crate) const FILE_MODE: Mode = Mode::from_raw_mode(0o600);

/// Directories of the cache: for their owner only.
pub(crate) const DIR_MODE: Mode = Mode::from_raw_mode(0o700);

/// How a file is opened to be read and written; a symlink in its place is refused.
pub(crate) const OPEN: OFlags = OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Pieces of one vectored write; the least that systems must take is 16, Linux takes 1,024.
const MAX_PIECES: usize = 256;

/// Reads until `buf` is full or the file ends; returns how much.
pub(crate) fn read_at(fd: impl AsFd, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buf.len() {
        match io::pread(&fd, &mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Reads what is in memory; stops where the disk would have to be asked ([`Errno::AGAIN`] if at once).
#[cfg(target_os = "linux")]
pub(crate) fn read_at_nowait(fd: BorrowedFd<'_>, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buf.len() {
        let mut rest = [IoSliceMut::new(&mut buf[done..])];
        match io::preadv2(fd, &mut rest, offset + done as u64, io::ReadWriteFlags::NOWAIT) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if done > 0 => break,
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Other systems cannot tell what is in memory.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_at_nowait(_: BorrowedFd<'_>, _: &mut [u8], _: u64) -> Result<usize, Errno> {
    let _: Option<IoSliceMut<'_>> = None;
    Err(Errno::OPNOTSUPP)
}

/// Writes all of `bytes`.
pub(crate) fn write_at(fd: impl AsFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match io::pwrite(&fd, bytes, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes all of `pieces`, one after the other.
pub(crate) fn write_pieces_at(fd: impl AsFd, pieces: &[&[u8]], mut offset: u64) -> Result<(), Errno> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match io::pwritev(&fd, &rest[..rest.len().min(MAX_PIECES)], offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => {
                offset += n as u64;
                IoSlice::advance_slices(&mut rest, n);
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

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

/// Bytes that a file takes on disk.
pub(crate) fn charged(stat: &fs::Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}

/// When a file was last changed, in nanoseconds since 1970.
pub(crate) fn changed(stat: &fs::Stat) -> i64 {
    stat.st_mtime
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}
