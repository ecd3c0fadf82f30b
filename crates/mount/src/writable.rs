//! A tree with changes on top, which programs change.
//!
//! What is above is served here, one function for each operation, by topic: what is known is answered on the thread that
//! asked, and what has to be brought from below is parked. A file that is only read, and of which nothing is above, is
//! opened and read as in a tree without changes ([`Fs`]). When somebody writes to it, whoever has it open reads what is
//! above from then on. So nothing of what is below is ever handed to the kernel; new files are, from their first byte on.

mod attributes;
mod directories;
mod files;
mod mapped;
mod names;
mod open_files;
mod reads;
mod serve;
mod space;
mod writes;
mod xattrs;

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_vfs::Ino;
use forebay_vfs::merged::{Merged, MergedAttr, MergedError};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use tokio::runtime::Handle as Runtime;
use tokio::task::AbortHandle;

use crate::errno;
use crate::fs::Fs;
use crate::handles::Handles;
use crate::reply::Reply;
use crate::stats::Counters;

use directories::OpenDir;
use files::OpenFile;

/// Set in the handles of files that are above.
const ABOVE: u64 = 1 << 63;

/// Nobody gains from a sync more often than this.
const SHORTEST: Duration = Duration::from_millis(10);

/// A mounted tree with changes on top.
#[derive(Debug)]
pub(crate) struct Writable {
    /// Files that are below, and what both share: options, figures, which file the kernel was handed.
    pub(crate) fs: Arc<Fs>,
    pub(crate) merged: Merged,
    files: Handles<OpenFile>,
    dirs: Handles<OpenDir>,
    /// Files above whose pages in the kernel are theirs: served by us at their last open, so that every write went through
    /// those pages. Not of lower ones, of which [`Fs`] knows the version.
    kept: Mutex<HashSet<Ino>>,
    /// The directory where the changes are.
    overlay: OwnedFd,
    /// Since names and attributes were made durable last.
    changed: AtomicBool,
}

/// Opens the directory where changes are.
pub(crate) fn open_overlay(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| {
        let (error, path) = (io::Error::from(errno), path.to_string_lossy());
        let path = forebay_types::printable(&path);
        let why = format!(
            "the overlay directory {path} cannot be opened: {error}; name the one that holds the changes"
        );
        io::Error::new(error.kind(), why)
    })
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    errno: Errno,
    /// For how long it may be believed that a name is not there.
    valid: Duration,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self {
            errno,
            valid: Duration::ZERO,
        }
    }
}

impl From<MergedError> for Refusal {
    fn from(error: MergedError) -> Self {
        let errno = errno::of_merged(&error);
        match error {
            MergedError::NotFound { valid, .. } => Self { errno, valid },
            error => {
                match errno {
                    // What somebody should look after.
                    Errno::IO | Errno::NOSPC | Errno::DQUOT => tracing::warn!(%error, "refused"),
                    _ => tracing::debug!(%error, "refused"),
                }
                errno.into()
            }
        }
    }
}

impl Writable {
    /// `overlay` is where the changes are, opened by [`open_overlay`].
    pub(crate) fn new(fs: Arc<Fs>, merged: Merged, overlay: OwnedFd) -> Self {
        Self {
            files: fs.handles_beside(),
            fs,
            merged,
            dirs: Handles::default(),
            kept: Mutex::default(),
            overlay,
            changed: AtomicBool::new(false),
        }
    }

    /// Makes names and attributes durable every so often, if any were changed, until nobody has `self` or it is ended.
    pub(crate) fn keep_durable(self: &Arc<Self>, every: Duration, runtime: &Runtime) -> AbortHandle {
        let (this, every) = (Arc::downgrade(self), every.max(SHORTEST));
        let work = async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(this) = this.upgrade() else { return };
                if !this.changed.swap(false, Relaxed) {
                    continue;
                }
                if let Err(error) = this.merged.sync().await {
                    tracing::warn!(%error, "the last changes are not safe from a power loss yet");
                    this.changed.store(true, Relaxed);
                }
            }
        };
        runtime.spawn(work).abort_handle()
    }

    /// Makes everything durable, and waits for it.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        self.merged.upper().sync_all().map_err(io::Error::other)
    }

    /// Does `work` at once if it waits for nothing but the local disk; else off this thread, for as long as a program
    /// waits for bytes or names.
    fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        reply: Reply,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
        answer: impl FnOnce(&Arc<Self>, Option<Reply>, Result<T, Refusal>) + Send + 'static,
    ) {
        self.ask_within(self.fs.options.read_timeout, reply, work, answer);
    }

    fn ask_within<T: Send + 'static>(
        self: &Arc<Self>,
        within: Duration,
        reply: Reply,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
        answer: impl FnOnce(&Arc<Self>, Option<Reply>, Result<T, Refusal>) + Send + 'static,
    ) {
        let (this, late) = (self.clone(), Err(Errno::TIMEDOUT.into()));
        let answer = move |reply, outcome| answer(&this, reply, outcome);
        self.fs.parked.at_once_or_park(reply, within, late, work, answer);
    }

    /// The same for what changes names or attributes.
    fn change<T: Send + 'static>(
        self: &Arc<Self>,
        reply: Reply,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
        answer: impl FnOnce(&Arc<Self>, Option<Reply>, Result<T, Refusal>) + Send + 'static,
    ) {
        // Before, because it may be done though nobody waits for the answer any more; and after, because what was made
        // durable meanwhile may have been without it.
        self.is_changed();
        self.ask(reply, work, |this, reply, outcome| {
            this.is_changed();
            answer(this, reply, outcome);
        });
    }

    fn is_changed(&self) {
        if !self.changed.load(Relaxed) {
            self.changed.store(true, Relaxed);
        }
    }

    /// The same for what is answered with nothing but that it is done.
    fn change_only(
        self: &Arc<Self>,
        reply: Reply,
        work: impl Future<Output = Result<(), MergedError>> + Send + 'static,
    ) {
        let work = async move { Ok(work.await?) };
        self.change(reply, work, Self::done);
    }

    fn done(self: &Arc<Self>, reply: Option<Reply>, outcome: Result<(), Refusal>) {
        match (outcome, reply) {
            (Ok(()), Some(reply)) => reply.ok(),
            (Ok(()), None) => {}
            (Err(refusal), reply) => self.refuse(reply, refusal),
        }
    }

    fn refuse(&self, reply: Option<Reply>, refusal: impl Into<Refusal>) {
        let Refusal { errno, .. } = refusal.into();
        // Programs look for what is not there all the time.
        if errno != Errno::NOENT {
            Counters::count(&self.fs.counters.errors);
        }
        if let Some(reply) = reply {
            reply.error(errno);
        }
    }

    fn forget(&self, ino: Ino, references: u64) {
        if !self.merged.forget(ino, references) {
            // Without a reference the kernel has no pages either.
            self.fs.forget_pages(ino);
            self.kept().remove(&ino);
        }
    }

    fn kept(&self) -> MutexGuard<'_, HashSet<Ino>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reference of the kernel's that it has only once it is answered; given back if that does not come to pass.
struct Referred {
    merged: Merged,
    attr: MergedAttr,
    is_kept: bool,
}

impl Referred {
    fn new(merged: &Merged, attr: MergedAttr) -> Self {
        Self {
            merged: merged.clone(),
            attr,
            is_kept: false,
        }
    }

    fn keep(mut self) -> MergedAttr {
        self.is_kept = true;
        self.attr
    }
}

impl Drop for Referred {
    fn drop(&mut self) {
        if !self.is_kept {
            self.merged.forget(self.attr.ino, 1);
        }
    }
}
