//! The bytes of an open file, piece by piece, with a check after each that it is still the same file.
//!
//! Bytes that the kernel has in memory are copied right where the stream is polled (Linux: preadv2 with RWF_NOWAIT),
//! because a hop to the blocking pool and back costs 20-60 µs here, as much as copying a megabyte does. What it has
//! not is read on the blocking pool, in larger pieces and one ahead, so that the disk works while the caller does.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use object_store::Result;
use rustix::io::Errno;

use super::meta::Stamp;
use super::{FileStoreError, blocking};

/// Bytes copied at once on a runtime thread: about 20 µs. Of a plain pread loop of 1 MiB with one buffer (29 GB/s), a
/// stream of 128 KiB pieces reached 0.85, 256 KiB 0.91, 512 KiB 0.94, 1 MiB 0.97.
pub(super) const WARM_PIECE: u64 = 512 * 1024;

/// Bytes read at once on the blocking pool: there a hop must be paid for (256 KiB: 3.7 GB/s, 1 MiB: 10.8 GB/s).
const COLD_PIECE: u64 = 1024 * 1024;

/// After this many pieces in a row that were not in memory the stream stops asking. One alone proves nothing: the
/// kernel now and then answers short without a reason.
const GIVE_UP: u32 = 2;

/// A regular file, open for reading, and the version it had then.
pub(super) struct OpenFile {
    file: File,
    stamp: Stamp,
    /// Its path, for errors.
    shown: String,
    buffers: Arc<Buffers>,
}

impl OpenFile {
    pub(super) fn new(file: File, stamp: Stamp, shown: String, buffers: Arc<Buffers>) -> Self {
        Self {
            file,
            stamp,
            shown,
            buffers,
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Fails if the file is not the version that was opened any more.
    pub(super) fn unchanged(&self) -> Result<(), FileStoreError> {
        self.stamp.still_of(&self.file, &self.shown)
    }

    /// Reads `range`, which must lie in the file. Blocks.
    pub(super) fn read(&self, range: Range<u64>) -> Result<Bytes, FileStoreError> {
        let len = usize::try_from(range.end - range.start).map_err(|_| self.failed(too_large()))?;
        let mut bytes = Vec::new();
        // Sparse files are longer than memory; the answer to that is an error, not an abort.
        bytes
            .try_reserve_exact(len)
            .map_err(|_| self.failed(too_large()))?;
        while bytes.len() < len {
            let offset = range.start + bytes.len() as u64;
            // Fills the spare capacity: no byte is zeroed first.
            match rustix::io::pread(&self.file, rustix::buffer::spare_capacity(&mut bytes), offset) {
                Ok(0) => return Err(self.ended_early()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed(errno.into())),
            }
        }
        bytes.truncate(len);
        self.unchanged()?;
        Ok(bytes.into())
    }

    /// Reads `range`, at most [`WARM_PIECE`] long, if that needs no waiting.
    fn read_now(&self, range: Range<u64>) -> Result<Now, FileStoreError> {
        let len = range.end - range.start;
        let mut buffer = self.buffers.take(len as usize);
        match pread_in_memory(&self.file, buffer.as_mut(), range.start) {
            Ok(read) if read as u64 == len => {
                self.unchanged()?;
                Ok(Now::Bytes(Bytes::from_owner(buffer)))
            }
            // Some kernels (5.9, 5.10) answer 0 where they mean EAGAIN; whether the file ended, a real read finds out.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(Now::NotInMemory),
            Err(_) => Ok(Now::CannotTell),
        }
    }

    fn failed(&self, source: std::io::Error) -> FileStoreError {
        FileStoreError::read(&self.shown, source)
    }

    /// The file has fewer bytes than it said when it was opened.
    pub(super) fn ended_early(&self) -> FileStoreError {
        self.stamp.ended_early(&self.file, &self.shown)
    }
}

fn too_large() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::OutOfMemory,
        "the range does not fit into memory",
    )
}

/// A pread that fails with EAGAIN rather than wait for a disk.
#[cfg(target_os = "linux")]
fn pread_in_memory(file: &File, buffer: &mut [u8], offset: u64) -> rustix::io::Result<usize> {
    use rustix::io::{IoSliceMut, ReadWriteFlags, preadv2};
    preadv2(
        file,
        &mut [IoSliceMut::new(buffer)],
        offset,
        ReadWriteFlags::NOWAIT,
    )
}

#[cfg(not(target_os = "linux"))]
fn pread_in_memory(_file: &File, _buffer: &mut [u8], _offset: u64) -> rustix::io::Result<usize> {
    Err(Errno::NOSYS)
}

/// What came of reading without waiting.
enum Now {
    Bytes(Bytes),
    NotInMemory,
    /// The file system has no such read (NFS, FUSE, another unix): there is no point in asking again.
    CannotTell,
}

/// Streams `first` and then `rest` of `file`. Ends after the first error.
pub(super) fn pieces(file: OpenFile, first: Bytes, rest: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let first = (!first.is_empty()).then_some(first);
    let pieces = Pieces {
        file: Arc::new(file),
        first,
        rest,
        misses: 0,
        ahead: None,
    };
    futures::stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.next().await?;
        Some((piece, pieces))
    })
    // object_store's collect_bytes polls an empty stream twice.
    .fuse()
    .boxed()
}

struct Pieces {
    file: Arc<OpenFile>,
    first: Option<Bytes>,
    /// What is neither handed out nor being read yet.
    rest: Range<u64>,
    /// Pieces in a row that were not in memory.
    misses: u32,
    /// The next piece, being read on the blocking pool.
    ahead: Option<BoxFuture<'static, Result<Bytes>>>,
}

impl Pieces {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let piece = self.read_next().await?;
        if piece.is_err() {
            self.rest = self.rest.end..self.rest.end;
            self.ahead = None;
        }
        Some(piece)
    }

    async fn read_next(&mut self) -> Option<Result<Bytes>> {
        if self.ahead.is_none() {
            if self.rest.is_empty() {
                return None;
            }
            if self.misses < GIVE_UP {
                // A stream that is always ready would keep other tasks off this thread for the whole file.
                tokio::task::consume_budget().await;
                match self.file.read_now(self.upcoming(WARM_PIECE)) {
                    Ok(Now::Bytes(bytes)) => {
                        self.rest.start += bytes.len() as u64;
                        self.misses = 0;
                        return Some(Ok(bytes));
                    }
                    Ok(Now::NotInMemory) => self.misses += 1,
                    Ok(Now::CannotTell) => {
                        tracing::debug!(
                            file = self.file.shown,
                            "no RWF_NOWAIT here; reading on the blocking pool"
                        );
                        self.misses = GIVE_UP;
                    }
                    Err(error) => return Some(Err(error.into())),
                }
            }
            self.read_ahead();
        }
        let piece = self.ahead.as_mut()?.await;
        self.ahead = None;
        if self.misses >= GIVE_UP && !self.rest.is_empty() && piece.is_ok() {
            self.read_ahead();
        }
        Some(piece)
    }

    /// The next `len` bytes, or as many as are left.
    fn upcoming(&self, len: u64) -> Range<u64> {
        self.rest.start..self.rest.end.min(self.rest.start + len)
    }

    /// Sends the next piece to the blocking pool.
    fn read_ahead(&mut self) {
        let (file, range) = (Arc::clone(&self.file), self.upcoming(COLD_PIECE));
        self.rest.start = range.end;
        self.ahead = Some(Box::pin(blocking(move || Ok(file.read(range)?))));
    }
}

/// Buffers of [`WARM_PIECE`] that come back when their bytes are dropped. They are already written to, so that they
/// need neither zeroing nor page faults (without them 0.84 of a pread loop, with them 0.94), and the last one used,
/// which is handed out first, is still in the processor's cache.
#[derive(Default)]
pub(super) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Buffers kept for later: 4 MiB at most per store.
    const KEPT: usize = 8;

    fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = kept.unwrap_or_else(|| vec![0; WARM_PIECE as usize]);
        Buffer {
            bytes,
            len: len.min(WARM_PIECE as usize),
            home: Arc::clone(self),
        }
    }
}

struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    home: Arc<Buffers>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.home.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < Buffers::KEPT {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests;
