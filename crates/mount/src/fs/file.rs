//! Files: open, read, release.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use forebay_reader::{Handle, OpenOptions, ReadError};
use forebay_types::{ErrorKind, Version};
use forebay_vfs::{Ino, OpenTarget};
use rustix::io::{Errno, ReadWriteFlags};

use super::Fs;
use crate::abi::fopen;
use crate::errno;
use crate::passthrough::{Backing, Whole};
use crate::reply::Reply;
use crate::stats::Counters;
use crate::wire::Out;

/// A file that the kernel has open.
#[derive(Debug)]
pub(super) struct OpenFile {
    ino: Ino,
    version: Version,
    bytes: Bytes,
    /// Held as long as the kernel may read it by itself.
    _backing: Option<Arc<Backing>>,
}

/// Where its bytes come from.
#[derive(Debug)]
enum Bytes {
    /// A file of this machine, through its page cache.
    Local(Arc<File>),
    /// The read path.
    Remote(Handle),
}

impl Fs {
    pub(super) fn open(self: &Arc<Self>, ino: Ino, flags: u32, reply: Reply) {
        if flags & libc::O_ACCMODE as u32 != libc::O_RDONLY as u32 {
            return reply.error(Errno::ROFS);
        }
        Counters::count(&self.counters.opens);
        let this = self.clone();
        // What the kernel believes may be old: close-to-open needs the present version.
        let ask = async move {
            let known = match this.tree.try_attr(ino) {
                Some(known) => known,
                None => this.tree.attr(ino).await,
            };
            known.map_err(|e| errno::of_name(&e))?;
            let OpenTarget { target, attr } = this.tree.file(ino).map_err(|e| errno::of_name(&e))?;
            let bytes = match this.source.open_local(&target.path) {
                Some(found) => {
                    let found = found.map_err(|e| errno::of_kind(e.kind()))?;
                    if found.version != attr.version {
                        this.tree.changed(ino);
                        return Err(Errno::STALE);
                    }
                    Bytes::Local(Arc::new(found.file))
                }
                None => {
                    let opened = this.reader.open(target, OpenOptions::default()).await;
                    let handle = opened.map_err(|e| this.read_failed(ino, &e))?;
                    Bytes::Remote(handle)
                }
            };
            Ok((bytes, attr.version))
        };
        self.park(reply, ask, move |this, reply, opened| {
            let Some(reply) = reply else { return };
            match opened {
                Ok((bytes, version)) => this.opened(ino, bytes, version, reply),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn opened(&self, ino: Ino, bytes: Bytes, version: Version, reply: Reply) {
        let whole = match &bytes {
            _ if !self.passthrough.is_possible() => None,
            Bytes::Local(file) => Some(Whole::File(file.clone())),
            Bytes::Remote(handle) => handle.hand_out().map(Whole::Cached),
        };
        let Ok(backing) = self.passthrough.open(ino, &version, reply.device(), whole) else {
            // The kernel looks the name up again, finds another number there, and opens that.
            self.tree.renew(ino);
            return reply.error(Errno::STALE);
        };
        let (flags, id) = match &backing {
            Some(backing) => (fopen::PASSTHROUGH, backing.id),
            None => (self.keep(ino, &version), 0),
        };
        let handle = self.files.insert(Arc::new(OpenFile {
            ino,
            version,
            bytes,
            _backing: backing,
        }));
        if !reply.out(&Out::default().open(handle, flags, id)) {
            self.close(handle);
        }
    }

    /// Whether the pages that the kernel has of a node are of this version. From now on they are.
    fn keep(&self, ino: Ino, version: &Version) -> u32 {
        let before = self.kept().insert(ino, version.clone());
        if *version != Version::Unknown && before.as_ref() == Some(version) {
            fopen::KEEP_CACHE
        } else {
            0
        }
    }

    /// Whether a newer version was opened since: the kernel keeps one set of pages for a node, and bytes of two versions
    /// must not meet in it.
    fn is_overtaken(&self, file: &OpenFile) -> bool {
        self.kept()
            .get(&file.ino)
            .is_some_and(|version| *version != file.version)
    }

    pub(super) fn read(
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
        if self.is_overtaken(&file) {
            return self.refuse(reply, Errno::STALE);
        }
        let size = (size as usize).min(scratch.len());
        let at_once = match &file.bytes {
            Bytes::Local(local) => in_memory(local, offset, &mut scratch[..size]),
            Bytes::Remote(handle) => handle.try_read_at(offset, &mut scratch[..size]),
        };
        if let Some(len) = at_once {
            Counters::count(&self.counters.at_once);
            self.counters.bytes.fetch_add(len as u64, Relaxed);
            reply.bytes(&[&scratch[..len]]);
            return;
        }
        let (this, ino, reading) = (self.clone(), file.ino, file.clone());
        let ask = async move {
            match &file.bytes {
                Bytes::Local(local) => {
                    let local = local.clone();
                    let wait = move || from_disk(&local, offset, size);
                    let read = tokio::task::spawn_blocking(wait).await;
                    read.map_err(|_| Errno::IO)?.map(bytes::Bytes::from)
                }
                Bytes::Remote(handle) => {
                    let read = handle.read_at(offset, size).await;
                    read.map_err(|e| this.read_failed(ino, &e))
                }
            }
        };
        self.park(reply, ask, move |this, reply, bytes| {
            let Some(reply) = reply else { return };
            match bytes {
                Ok(_) if this.is_overtaken(&reading) => this.refuse(reply, Errno::STALE),
                Ok(bytes) => {
                    this.counters.bytes.fetch_add(bytes.len() as u64, Relaxed);
                    reply.bytes(&[&bytes]);
                }
                Err(errno) => reply.error(errno),
            }
        });
    }

    /// What a program is told of a failed read; if the object changed, the kernel is to ask again what it is.
    fn read_failed(&self, ino: Ino, error: &ReadError) -> Errno {
        tracing::warn!(%error, %ino, "a read failed");
        if matches!(error.kind(), ErrorKind::Changed | ErrorKind::NotFound) {
            self.tree.changed(ino);
        }
        errno::of_read(error)
    }

    pub(super) fn release(&self, handle: u64, reply: Reply) {
        self.close(handle);
        reply.ok();
    }

    fn close(&self, handle: u64) {
        if let Some(file) = self.files.remove(handle) {
            self.passthrough.release(file.ino);
        }
    }
}

/// Reads what the kernel has in memory; fewer bytes only at the end of the file. `None` if that would have to wait.
fn in_memory(file: &File, offset: u64, memory: &mut [u8]) -> Option<usize> {
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
    let mut done = 0;
    while done < size {
        match rustix::io::pread(file, &mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}
