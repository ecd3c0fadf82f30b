//! A file written past the page cache.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::io::Errno;

use crate::buffer::Buffer;
use crate::disk::Shared;
use crate::file::Wanted;
use crate::flag::{ask_direct, leave_direct};
use crate::geometry::{Geometry, Told};
use crate::op::Opened;

/// A file that is being written past the page cache: in whole units from aligned memory. Its end, which is seldom a
/// whole unit, goes through the page cache and out of it again: written as a unit it would have to be cut off, and for
/// that ext4 and xfs read the block back into the page cache and leave it there to be written once more.
#[derive(Debug)]
pub struct DirectWriter {
    disk: Arc<Shared>,
    opened: Opened,
    geometry: Geometry,
}

impl DirectWriter {
    pub(crate) fn new(disk: Arc<Shared>, file: File, wanted: Wanted) -> io::Result<Self> {
        let told = Told::of(&file)?;
        let opened = Opened::new(file, wanted.direct, told.mount);
        let refused = match told.writes {
            _ if !wanted.direct => None,
            Some((0, _) | (_, 0)) => Some("the kernel says so"),
            _ => match ask_direct(&opened.file) {
                Ok(()) => None,
                Err(Errno::INVAL) => Some("EINVAL from fcntl"),
                Err(errno) => return Err(errno.into()),
            },
        };
        if let Some(why) = refused {
            opened.refuse(&disk, why)?;
        }
        let geometry = match opened.is_direct() {
            true => Geometry::new(told.writes, wanted),
            false => Geometry::BUFFERED,
        };
        Ok(Self {
            disk,
            opened,
            geometry,
        })
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.opened.file
    }

    /// What it wants of writes; units of one byte if it is written through the page cache from the start.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Whether it is written past the page cache, as far as is known by now.
    pub fn is_direct(&self) -> bool {
        self.opened.is_direct()
    }

    /// Memory to write from.
    ///
    /// # Errors
    /// If there is none.
    pub fn buffer(&self, len: usize) -> io::Result<Buffer> {
        self.disk.pool.take(len, self.geometry.memory)
    }

    /// Writes all of `bytes`: whole units, out of a [`Self::buffer`], to a multiple of the unit. Blocks. Other threads
    /// may write to other units at the same time.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::WriteZero`] if it takes less than it must without a reason.
    pub fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        // The user's wish may be more than the file needs.
        let least = self.geometry.told.unwrap_or(self.geometry.unit).max(1) as usize;
        let mut done = 0;
        while done < bytes.len() {
            let direct = self.is_direct();
            match rustix::io::pwrite(&self.opened.file, &bytes[done..], at + done as u64) {
                Ok(written) => {
                    // What ended in between goes on from where a direct write can begin.
                    let whole = if direct { written / least * least } else { written };
                    if whole == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    self.count(direct, whole);
                    done += whole;
                }
                Err(Errno::INTR) => {}
                Err(Errno::INVAL) if direct => self.opened.refuse(&self.disk, "EINVAL from a write")?,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Writes the file's last bytes, from a multiple of the unit on and less than a unit long. Nothing may be written
    /// after it. Blocks; unless the file system refused, until the disk has them, since only then they can leave the
    /// page cache.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write_end(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let file = &self.opened.file;
        if self.is_direct() {
            leave_direct(file)?;
        }
        std::os::unix::fs::FileExt::write_all_at(file, bytes, at)?;
        self.count(false, bytes.len());
        if self.is_direct() {
            leave_cache(file, at, bytes.len())?;
        }
        Ok(())
    }

    fn count(&self, direct: bool, bytes: usize) {
        let counter = match direct {
            true => &self.disk.counters.direct_written,
            false => &self.disk.counters.buffered_written,
        };
        counter.fetch_add(bytes as u64, Relaxed);
    }
}

/// Waits until the disk has these bytes, and drops the file's pages. No flush of the disk's own cache: what is written
/// directly gets none either.
#[cfg(target_os = "linux")]
fn leave_cache(file: &File, at: u64, len: usize) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let flags =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    loop {
        // SAFETY: no memory is handed over, and the descriptor is open.
        if unsafe { libc::sync_file_range(file.as_raw_fd(), at.cast_signed(), len as i64, flags) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        match Errno::from_io_error(&error) {
            Some(Errno::INTR) => {}
            // A sandbox without it: the pages stay until the kernel wants them.
            Some(Errno::NOSYS | Errno::PERM) => return Ok(()),
            _ => return Err(error),
        }
    }
    // The pages are clean: no more than a hint has failed if they stay.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn leave_cache(_: &File, _: u64, _: usize) -> io::Result<()> {
    Ok(())
}
