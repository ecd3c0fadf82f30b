//! The operations, one function each.
//!
//! What is known is answered on the thread that asked; what has to be asked for is parked ([`crate::parked`]).

mod attr;
mod dir;
mod failed;
mod file;
mod name;
mod open_files;
mod read;
mod xattr;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use forebay_reader::Reader;
use forebay_source::Source;
use forebay_types::{SystemClock, Version};
use forebay_vfs::merged::Merged;
use forebay_vfs::{DirSnapshot, Ino, Tree, VfsError};
use rustix::io::Errno;
use tokio::runtime::Handle as Runtime;

use crate::errno;
use crate::handles::Handles;
use crate::options::MountOptions;
use crate::parked::Parked;
use crate::passthrough::Passthrough;
use crate::reply::{Reply, Window};
use crate::request::{Op, Request};
use crate::session::Serve;
use crate::stats::Counters;

pub(crate) use failed::Failed;
pub(crate) use file::OpenFile as LowerFile;
pub(crate) use xattr::answer as answer_xattr;

use file::OpenFile;

/// A mounted tree.
#[derive(Debug)]
pub(crate) struct Fs {
    pub(crate) tree: Tree,
    pub(crate) reader: Reader,
    /// Where the bytes come from: what lies on this machine is opened there, and torrents tell how they are doing.
    pub(crate) source: Source,
    pub(crate) options: MountOptions,
    pub(crate) parked: Parked,
    pub(crate) passthrough: Passthrough,
    /// What lies on top, if this is the lower part of a tree that can be changed.
    above: Option<Merged>,
    files: Handles<OpenFile>,
    dirs: Handles<DirSnapshot>,
    /// The version whose pages the kernel may have, by node.
    kept: Mutex<HashMap<Ino, Version>>,
    pub(crate) counters: Counters,
    /// Since the mount began.
    pub(crate) clock: SystemClock,
}

impl Fs {
    pub(crate) fn new(
        tree: Tree,
        reader: Reader,
        source: Source,
        options: MountOptions,
        passthrough: bool,
        runtime: Runtime,
    ) -> Self {
        Self {
            above: None,
            tree,
            reader,
            source,
            options,
            parked: Parked::new(runtime),
            passthrough: Passthrough::new(passthrough),
            files: Handles::default(),
            dirs: Handles::default(),
            kept: Mutex::default(),
            counters: Counters::default(),
            clock: SystemClock::new(),
        }
    }

    /// The same below `above`: what it opens is never handed to the kernel, which would not see what is written to it.
    pub(crate) fn below(self, above: Merged) -> Self {
        Self {
            above: Some(above),
            ..self
        }
    }

    /// A file by its handle.
    pub(crate) fn opened_file(&self, handle: u64) -> Option<Arc<OpenFile>> {
        self.files.get(handle)
    }

    /// Whether somebody runs a file.
    pub(crate) fn runs(&self, ino: Ino) -> bool {
        self.files.any(|open| open.ino == ino && open.runs)
    }

    /// A table of handles that are none of files here.
    pub(crate) fn handles_beside<T>(&self) -> Handles<T> {
        self.files.beside()
    }

    /// The kernel has no pages of a node any more.
    pub(crate) fn forget_pages(&self, ino: Ino) {
        self.kept().remove(&ino);
    }

    /// The program behind a request does not want its answer any more.
    pub(crate) fn interrupt(&self, unique: u64, reply: Reply) {
        if self.parked.interrupt(unique) {
            Counters::count(&self.counters.interrupted);
            reply.none();
        } else {
            // Another thread has it in hand: it is answered soon, or parked, and then the kernel says this again.
            reply.error(Errno::AGAIN);
        }
    }

    fn forget(&self, ino: Ino, references: u64) {
        self.tree.forget(ino, references);
        // Without a reference the kernel has no pages either.
        if self.tree.file(ino).is_err() {
            self.kept().remove(&ino);
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<Ino, Version>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what has to be asked for, within the deadline, and then answers.
    fn park<T: Send + 'static>(
        self: &Arc<Self>,
        reply: Reply,
        work: impl Future<Output = Result<T, Errno>> + Send + 'static,
        answer: impl FnOnce(&Arc<Self>, Option<Reply>, Result<T, Errno>) + Send + 'static,
    ) {
        let (this, after) = (self.clone(), self.options.read_timeout);
        let in_time = async move {
            match tokio::time::timeout(after, work).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Errno::TIMEDOUT),
            }
        };
        self.parked.park(reply, in_time, move |reply, outcome| {
            if outcome.is_err() {
                Counters::count(&this.counters.errors);
            }
            answer(&this, reply, outcome);
        });
    }

    fn refuse(&self, reply: Reply, errno: Errno) {
        Counters::count(&self.counters.errors);
        reply.error(errno);
    }

    /// Says what is wrong with a name or a node.
    fn refuse_name(&self, reply: Reply, error: &VfsError) {
        match errno::of_name(error) {
            // Programs look for what is not there all the time.
            Errno::NOENT => reply.error(Errno::NOENT),
            errno => {
                tracing::debug!(%error, "refused");
                self.refuse(reply, errno);
            }
        }
    }
}

impl Serve for Fs {
    fn serve(self: &Arc<Self>, request: Request<'_>, reply: Reply, scratch: &mut [u8]) {
        let ino = Ino(request.node);
        match request.op {
            Op::Lookup { name } => self.lookup(ino, name, reply),
            Op::Forget { references } => {
                self.forget(ino, references);
                reply.none();
            }
            Op::BatchForget { nodes } => {
                for (node, references) in nodes {
                    self.forget(Ino(node), references);
                }
                reply.none();
            }
            Op::GetAttr => self.get_attr(ino, reply),
            Op::ReadLink => self.read_link(ino, reply),
            Op::Open { flags, .. } => self.open(ino, flags, reply),
            Op::Read { handle, offset, size } => self.read(handle, offset, size, reply, scratch),
            Op::Release { handle } => self.release(handle, reply),
            Op::OpenDir => self.open_dir(ino, reply),
            Op::ReadDir {
                handle,
                offset,
                size,
                plus,
            } => self.read_dir(handle, Window { offset, size, plus }, reply),
            Op::ReleaseDir { handle } => {
                self.dirs.remove(handle);
                reply.ok();
            }
            Op::StatFs => Self::stat_fs(reply),
            Op::GetXattr { name, size } => self.get_xattr(ino, name, size, reply),
            Op::ListXattr { size } => self.list_xattr(ino, size, reply),
            Op::Interrupt { unique } => self.interrupt(unique, reply),
            Op::Destroy => reply.ok(),
            Op::Change(_) => reply.error(Errno::ROFS),
            // Said once, and never asked again.
            Op::Init { .. }
            | Op::Flush { .. }
            | Op::FSync { .. }
            | Op::FSyncDir { .. }
            | Op::Seek { .. }
            | Op::SyncFs
            | Op::Unknown => reply.error(Errno::NOSYS),
        }
    }
}
