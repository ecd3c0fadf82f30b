//! System calls with the care that they want everywhere: what was interrupted goes on, and what was asked for is done whole.
//!
//! For the crates that keep files of their own: the cache, the overlay of a writable mount, staged uploads. They know names and
//! formats; this does not.

use std::io::{IoSlice, IoSliceMut};

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::{self, Errno};

/// Files of ours: for their owner only.
pub const FILE_MODE: Mode = Mode::from_raw_mode(0o600);

/// Directories of ours: for their owner only.
pub const DIR_MODE: Mode = Mode::from_raw_mode(0o700);

/// How a file is opened to be read and written; a symlink in its place is refused.
pub const OPEN: OFlags = OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Pieces of one vectored write; the least that systems must take is 16, Linux takes 1,024.
const MAX_PIECES: usize = 256;

/// Reads until `buf` is full or the file ends; returns how much.
///
/// # Errors
/// What the disk says.
pub fn read_at(fd: impl AsFd, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
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

/// Reads what is in memory; stops where the disk would have to be asked.
///
/// # Errors
/// [`Errno::AGAIN`] if that is at once; what the disk says. Other systems than Linux cannot tell: [`Errno::OPNOTSUPP`].
#[cfg(target_os = "linux")]
pub fn read_at_nowait(fd: BorrowedFd<'_>, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
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
pub fn read_at_nowait(_: BorrowedFd<'_>, _: &mut [u8], _: u64) -> Result<usize, Errno> {
    let _: Option<IoSliceMut<'_>> = None;
    Err(Errno::OPNOTSUPP)
}

/// Writes `bytes`; returns how much, which is less only if an error came after some were written.
///
/// # Errors
/// What the disk says, if nothing was written.
pub fn write_some_at(fd: impl AsFd, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while done < bytes.len() {
        match io::pwrite(&fd, &bytes[done..], offset + done as u64) {
            Ok(0) if done == 0 => return Err(Errno::IO),
            Ok(0) => break,
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Writes all of `bytes`.
///
/// # Errors
/// What the disk says; some may be written then.
pub fn write_at(fd: impl AsFd, bytes: &[u8], offset: u64) -> Result<(), Errno> {
    let mut done = 0;
    while done < bytes.len() {
        // What stopped it is told at the next try, which begins with it.
        done += write_some_at(&fd, &bytes[done..], offset + done as u64)?;
    }
    Ok(())
}

/// Writes all of `pieces`, one after the other.
///
/// # Errors
/// What the disk says; some may be written then.
pub fn write_pieces_at(fd: impl AsFd, pieces: &[&[u8]], mut offset: u64) -> Result<(), Errno> {
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

/// Bytes that a file takes on the disk.
pub fn stored(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}
