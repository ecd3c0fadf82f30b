//! One read on its way to the disk and back.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::io::Errno;
use tokio::sync::oneshot;

use crate::buffer::Buffer;
use crate::disk::Shared;
use crate::edges::Edges;
use crate::flag::leave_direct;
use crate::refusal;

/// How often a read is begun again that ended without a reason of the disk's: interrupted, cut short, or cancelled
/// because the thread that had submitted it ended.
pub(crate) const AGAIN: u32 = 16;

/// The most that one request asks for, in bytes: a multiple of every unit. The kernel stops at 2 GiB less a page, which
/// would look like the end of the file.
pub(crate) const AT_ONCE: usize = 1 << 30;

/// An open file, and whether it is still read directly.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    direct: AtomicBool,
    /// Its mount point, by number.
    mount: u64,
}

impl Opened {
    pub(crate) fn new(file: File, direct: bool, mount: u64) -> Self {
        Self {
            file,
            direct: AtomicBool::new(direct),
            mount,
        }
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.direct.load(Relaxed)
    }

    /// Whether a direct read that stopped at `at`, within a unit, did so because the file ends.
    pub(crate) fn ends_by(&self, at: u64) -> bool {
        rustix::fs::fstat(&self.file).map_or(true, |stat| u64::try_from(stat.st_size).unwrap_or(0) <= at)
    }

    /// Goes on through the page cache.
    pub(crate) fn refuse(&self, disk: &Shared, why: &str) -> io::Result<()> {
        leave_direct(&self.file)?;
        if self.direct.swap(false, Relaxed) {
            disk.counters.refused_files.fetch_add(1, Relaxed);
            refusal::say(self.mount, why);
        }
        Ok(())
    }
}

/// Edge units that a read must deliver: where each begins in the file and in the buffer.
pub(crate) type Owned = [Option<(u64, usize)>; 2];

/// A read into one buffer. Dropped unfinished it fails whoever waits.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) disk: Arc<Shared>,
    pub(crate) file: Arc<Opened>,
    pub(crate) buffer: Option<Buffer>,
    /// Where the buffer begins in the file.
    pub(crate) base: u64,
    /// The bytes of the buffer that are here, from where this read begins to here.
    pub(crate) filled: usize,
    /// Where this read ends in the buffer.
    pub(crate) end: usize,
    /// Without the bytes up to here the file ended early.
    pub(crate) needed: usize,
    pub(crate) unit: usize,
    pub(crate) edges: Arc<Edges>,
    pub(crate) owned: Owned,
    pub(crate) done: Option<oneshot::Sender<io::Result<(Buffer, usize)>>>,
    /// Whether the file was read directly when this was begun.
    pub(crate) direct: bool,
    pub(crate) again: u32,
}

impl Op {
    /// Where in the file, and into which memory.
    pub(crate) fn target(&mut self) -> (u64, &mut [u8]) {
        let at = self.base + self.filled as u64;
        let buffer = self.buffer.as_mut().map_or(&mut [][..], AsMut::as_mut);
        let end = self.end.min(self.filled + AT_ONCE);
        (at, &mut buffer[self.filled..end])
    }

    /// The slab that its memory is a piece of.
    #[cfg(target_os = "linux")]
    pub(crate) fn slab(&self) -> Option<u16> {
        self.buffer.as_ref()?.slab()
    }

    /// Begins it, or what is left of it.
    pub(crate) fn start(mut self: Box<Self>) {
        self.direct = self.file.is_direct();
        let disk = self.disk.clone();
        disk.counters.reads.fetch_add(1, Relaxed);
        disk.engine.start(self);
    }

    /// Told what the kernel says.
    pub(crate) fn finish(mut self: Box<Self>, outcome: Result<usize, Errno>) {
        match outcome {
            Ok(0) => self.succeed(),
            Ok(got) => {
                let counter = match self.direct {
                    true => &self.disk.counters.direct_bytes,
                    false => &self.disk.counters.buffered_bytes,
                };
                counter.fetch_add(got as u64, Relaxed);
                self.filled += got;
                if self.filled >= self.needed {
                    return self.succeed();
                }
                if self.direct && !got.is_multiple_of(self.unit) {
                    if self.again >= AGAIN || self.file.ends_by(self.base + self.filled as u64) {
                        return self.succeed();
                    }
                    // It was cut short, or the file has grown: once more from where a direct read can begin.
                    self.again += 1;
                    self.filled -= self.filled % self.unit;
                }
                self.start();
            }
            Err(Errno::INTR | Errno::AGAIN | Errno::CANCELED) if self.again < AGAIN => {
                self.again += 1;
                self.start();
            }
            // Some file systems open with O_DIRECT and refuse it later, or for some files.
            Err(Errno::INVAL) if self.direct => match self.file.refuse(&self.disk, "EINVAL from a read") {
                Ok(()) => self.start(),
                Err(error) => self.fail(error),
            },
            Err(errno) => self.fail(errno.into()),
        }
    }

    fn succeed(mut self) {
        self.deliver(true);
        if let (Some(done), Some(buffer)) = (self.done.take(), self.buffer.take()) {
            // Who has gone away needs nothing: the buffer goes back to its pool.
            let _ = done.send(Ok((buffer, self.filled)));
        }
    }

    fn fail(mut self, error: io::Error) {
        self.deliver(false);
        if let Some(done) = self.done.take() {
            let _ = done.send(Err(error));
        }
    }

    /// Ends the claims on edge units.
    fn deliver(&mut self, good: bool) {
        for (at, position) in std::mem::take(&mut self.owned).into_iter().flatten() {
            let bytes = self.buffer.as_ref().filter(|_| good).map(|buffer| {
                let end = (position + self.unit).min(self.filled.max(position));
                &buffer.as_ref()[position..end]
            });
            self.edges.deliver(at, bytes);
        }
    }
}

impl Drop for Op {
    fn drop(&mut self) {
        self.deliver(false);
    }
}
