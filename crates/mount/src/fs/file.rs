//! Files: opened and released.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use forebay_range::Target;
use forebay_reader::{Handle, OpenOptions};
use forebay_source::FileFacts;
use forebay_types::Version;
use forebay_vfs::merged::MergedFile;
use forebay_vfs::{Ino, OpenTarget};
use rustix::io::Errno;

use super::Fs;
use super::failed::Failed;
use crate::abi::{self, fopen};
use crate::errno;
use crate::map::Map;
use crate::options::IoMode;
use crate::passthrough::{Opened, Whole};
use crate::reply::Reply;
use crate::stats::{Counters, FileCounters};
use crate::wire::Out;

/// A file that the kernel has open.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) ino: Ino,
    /// Whether it is a program that runs.
    pub(crate) runs: bool,
    pub(super) bytes: Bytes,
    /// A file that has all of them and that the kernel was not given: read without a detour, and sent without a copy of ours.
    pub(super) whole: Option<Whole>,
    pub(super) map: Option<Map>,
    /// Its backing file is held as long as the kernel may read it by itself.
    pub(super) opened: Opened,
    pub(crate) figures: FileCounters,
    /// What it is in the source. Its name may be gone from the tree.
    pub(super) target: Target,
    /// How it was doing when the source was asked last, if that knows.
    facts: Mutex<Option<FileFacts>>,
    pub(crate) failed: Failed,
    /// Somebody wrote to it since: then it is read there.
    pub(crate) above: OnceLock<Arc<MergedFile>>,
}

/// Where its bytes come from.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// A file of this machine, through its page cache.
    Local(Arc<File>),
    /// The read path.
    Remote(Handle),
}

impl OpenFile {
    /// To look at or to put in; held for a moment only.
    pub(super) fn facts(&self) -> MutexGuard<'_, Option<FileFacts>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the file, as it is below.
    pub(crate) fn size(&self) -> u64 {
        match &self.bytes {
            Bytes::Local(file) => file.metadata().map_or(0, |metadata| metadata.len()),
            Bytes::Remote(handle) => handle.size(),
        }
    }

    /// A local file that has all of its bytes.
    pub(super) fn in_one_file(&self) -> Option<BorrowedFd<'_>> {
        match (&self.whole, &self.bytes) {
            (Some(whole), _) => Some(whole.as_fd()),
            (None, Bytes::Local(file)) => Some(file.as_fd()),
            (None, Bytes::Remote(_)) => None,
        }
    }
}

impl Fs {
    pub(crate) fn open(self: &Arc<Self>, ino: Ino, flags: u32, reply: Reply) {
        if flags & libc::O_ACCMODE as u32 != libc::O_RDONLY as u32 {
            return reply.error(Errno::ROFS);
        }
        let runs = flags & abi::open::EXEC != 0;
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
                    let opened = this.reader.open(target.clone(), OpenOptions::default()).await;
                    let handle = opened.map_err(|e| this.read_failed(ino, &e))?;
                    Bytes::Remote(handle)
                }
            };
            Ok((bytes, target, attr.version))
        };
        self.park(reply, ask, move |this, reply, opened| {
            let Some(reply) = reply else { return };
            match opened {
                Ok((bytes, target, version)) => this.opened(ino, runs, (bytes, target, &version), reply),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn opened(
        &self,
        ino: Ino,
        runs: bool,
        (bytes, target, version): (Bytes, Target, &Version),
        reply: Reply,
    ) {
        if !self.tree.opened(ino, version) {
            // The kernel looks the name up again, and finds the newer version there.
            return reply.error(Errno::STALE);
        }
        let mut whole = match &bytes {
            Bytes::Local(file) => Some(Whole::File(file.clone())),
            Bytes::Remote(handle) => handle.hand_out().map(Whole::Cached),
        };
        let (device, liked) = (reply.device(), self.options.io);
        let mut nothing = None;
        let offered = if self.above.is_some() {
            &mut nothing
        } else {
            &mut whole
        };
        let opened = self.passthrough.open(ino, device, offered, liked);
        if let Opened::Backed(_) = &opened {
            // Somebody opened it before, and the kernel has his: a second one would be mapped for nothing.
            whole = None;
        }
        let (flags, id) = match &opened {
            Opened::Backed(backing) => {
                Counters::count(&self.counters.passthrough_opens);
                (fopen::PASSTHROUGH, backing.id)
            }
            // A mapping of it has pages, too.
            Opened::Served(IoMode::Direct) => (self.keep(ino, version) | fopen::DIRECT_IO, 0),
            Opened::Served(IoMode::Pages) => (self.keep(ino, version), 0),
        };
        let handle = self.files.insert(Arc::new(OpenFile {
            ino,
            runs,
            bytes,
            map: whole.as_ref().and_then(|whole| Map::of(whole.as_fd())),
            whole,
            opened,
            figures: FileCounters::new(&self.clock),
            target,
            facts: Mutex::default(),
            failed: Failed::default(),
            above: OnceLock::new(),
        }));
        // Nothing is written, so a close has nothing to ask: who is killed need not wait for a daemon that is stopped.
        let flags = flags | fopen::NOFLUSH;
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

    pub(crate) fn release(&self, handle: u64, reply: Reply) {
        self.close(handle);
        reply.ok();
    }

    fn close(&self, handle: u64) {
        if let Some(file) = self.files.remove(handle) {
            self.passthrough.release(file.ino);
            self.tree.closed(file.ino);
        }
    }
}
