//! Reads of an open file, and what they end in.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use forebay_disk::sys::read_at;
use forebay_reader::ReadError;
use forebay_types::{ByteRange, Clock, ErrorKind};
use forebay_vfs::Ino;
use rustix::io::{Errno, ReadWriteFlags};

use super::Fs;
use super::file::{Bytes, OpenFile};
use crate::errno;
use crate::reply::Reply;
use crate::stats::Counters;

impl Fs {
    pub(crate) fn read(
        self: &Arc<Self>,
        handle: u64,
        offset: u64,
        size: u32,
        reply: Reply,
        scratch: &mut [u8],
    ) {
        let Some(file) = self.files.get(handle) else {
            return self.refuse(reply, Errno::BADF);
        };
        Counters::count(&self.counters.reads);
        Counters::count(&file.figures.reads);
        let size = (size as usize).min(scratch.len());
        if let Some(all) = file.in_one_file() {
            if let Some(piece) = file.map.as_ref().and_then(|map| map.here(offset, size)) {
                self.in_full(&file, offset, piece.len);
                reply.mapped(piece);
                return;
            }
            if let Some(len) = in_memory(all, offset, &mut scratch[..size]) {
                self.in_full(&file, offset, len);
                reply.bytes(&[&scratch[..len]]);
                return;
            }
        } else if let Bytes::Remote(handle) = &file.bytes {
            if let Some(chunks) = handle.try_chunks_at(offset, size) {
                self.at_once(&file, len_of(&chunks));
                reply.chunks(&chunks);
                return;
            }
            if let Some(len) = handle.try_read_at(offset, &mut scratch[..size]) {
                self.at_once(&file, len);
                reply.bytes(&[&scratch[..len]]);
                return;
            }
        }
        let begun = self.clock.now();
        if let Some(errno) = file.failed.again(offset, begun) {
            Counters::count(&file.figures.errors);
            return self.refuse(reply, errno);
        }
        let (this, ino, reading) = (self.clone(), file.ino, file.clone());
        let ask = async move {
            match &file.bytes {
                Bytes::Local(local) => {
                    let local = local.clone();
                    let wait = move || from_disk(&local, offset, size);
                    let read = tokio::task::spawn_blocking(wait).await;
                    let bytes = read.map_err(|_| Errno::IO)??;
                    Ok(vec![bytes::Bytes::from(bytes)])
                }
                Bytes::Remote(handle) => {
                    let read = handle.read_chunks_at(offset, size).await;
                    read.map_err(|e| this.read_failed(ino, &e))
                }
            }
        };
        self.park(reply, ask, move |this, reply, chunks| {
            let Some(reply) = reply else { return };
            match chunks {
                Ok(chunks) => {
                    this.answered(&reading, len_of(&chunks));
                    reply.chunks(&chunks);
                }
                Err(errno) => {
                    Counters::count(&reading.figures.errors);
                    let range = ByteRange::at(offset, size as u64);
                    reading.failed.note(range, errno, begun, this.clock.now());
                    reply.error(errno);
                }
            }
        });
    }

    /// Counts a read from a file that has all of an object; its handle does not see it.
    fn in_full(&self, file: &OpenFile, offset: u64, len: usize) {
        if let Bytes::Remote(handle) = &file.bytes {
            handle.count_handed_out(ByteRange::at(offset, len as u64));
        }
        self.at_once(file, len);
    }

    /// Counts a read that nobody had to wait for.
    fn at_once(&self, file: &OpenFile, len: usize) {
        Counters::count(&self.counters.at_once);
        Counters::count(&file.figures.at_once);
        self.answered(file, len);
    }

    fn answered(&self, file: &OpenFile, len: usize) {
        self.counters.bytes.fetch_add(len as u64, Relaxed);
        file.figures.served.fetch_add(len as u64, Relaxed);
    }

    /// What a program is told of a failed read; if the object changed, the kernel is to ask again what it is.
    pub(super) fn read_failed(&self, ino: Ino, error: &ReadError) -> Errno {
        tracing::warn!(%error, %ino, "a read failed");
        if matches!(error.kind(), ErrorKind::Changed | ErrorKind::NotFound) {
            self.tree.changed(ino);
        }
        errno::of_read(error)
    }
}

fn len_of(chunks: &[bytes::Bytes]) -> usize {
    chunks.iter().map(bytes::Bytes::len).sum()
}

/// Reads what the kernel has in memory; fewer bytes only at the end of the file. `None` if that would have to wait.
fn in_memory(file: BorrowedFd<'_>, offset: u64, memory: &mut [u8]) -> Option<usize> {
    let mut done = 0;
    while done < memory.len() {
        let mut rest = [rustix::io::IoSliceMut::new(&mut memory[done..])];
        match rustix::io::preadv2(file, &mut rest, offset + done as u64, ReadWriteFlags::NOWAIT) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(_) => return None,
        }
    }
    Some(done)
}

/// Reads, and waits for the disk.
fn from_disk(file: &File, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; size];
    let read = read_at(file, &mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}
