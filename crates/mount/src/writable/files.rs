//! Files: opened, created and released.

use std::ffi::OsStr;
use std::sync::Arc;

use forebay_vfs::Ino;
use forebay_vfs::merged::{MergedAttr, MergedError, MergedFile, MergedOpen, OpenHow};
use forebay_vfs::overlay::{NodeKind, UpperError};
use rustix::io::Errno;

use super::attributes::node_attr;
use super::mapped::Mapped;
use super::{ABOVE, Referred, Refusal, Writable};
use crate::abi::{self, fopen};
use crate::fs::{Failed, LowerFile};
use crate::modes::has_privileges;
use crate::options::IoMode;
use crate::passthrough::{Opened, Whole};
use crate::reply::Reply;
use crate::request::{Caller, Created};
use crate::stats::{Counters, FileCounters};
use crate::wire::Out;

/// A file above that the kernel has open.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) ino: Ino,
    /// Whether it is a program that runs.
    runs: bool,
    pub(super) file: Arc<MergedFile>,
    /// Its backing file is held as long as the kernel may use it by itself.
    pub(super) opened: Opened,
    pub(super) mapped: Mapped,
    pub(super) figures: FileCounters,
    pub(super) failed: Failed,
}

/// Removed files may take so much room until names are made durable. A disk that has less than that left may be full with
/// them: what is written by us makes room then, what the kernel writes cannot.
const LITTLE_ROOM: u64 = 64 << 20;

/// What a handle stands for.
#[derive(Clone, Debug)]
pub(super) enum Opening {
    Above(Arc<OpenFile>),
    /// It was opened for reading when nothing of it was above. By now it may be.
    Below(Arc<LowerFile>, Option<Arc<MergedFile>>),
}

impl Opening {
    /// What is above of it.
    pub(super) fn file(&self) -> Option<&Arc<MergedFile>> {
        match self {
            Self::Above(open) => Some(&open.file),
            Self::Below(_, above) => above.as_ref(),
        }
    }

    pub(super) fn figures(&self) -> &FileCounters {
        match self {
            Self::Above(open) => &open.figures,
            Self::Below(open, _) => &open.figures,
        }
    }

    pub(super) fn failed(&self) -> &Failed {
        match self {
            Self::Above(open) => &open.failed,
            Self::Below(open, _) => &open.failed,
        }
    }
}

impl Writable {
    /// What the kernel means by a handle.
    pub(super) fn opening(&self, handle: u64) -> Result<Opening, Refusal> {
        if handle & ABOVE != 0 {
            return Ok(Opening::Above(self.above(handle)?));
        }
        let open = self.fs.opened_file(handle).ok_or(Errno::BADF)?;
        let above = match open.above.get() {
            Some(above) => Some(above.clone()),
            None => {
                let above = self.merged.opened_above(open.ino)?;
                above.map(|above| open.above.get_or_init(|| above).clone())
            }
        };
        Ok(Opening::Below(open, above))
    }

    /// A file that may be changed.
    pub(super) fn above(&self, handle: u64) -> Result<Arc<OpenFile>, Refusal> {
        let open = (handle & ABOVE != 0).then(|| self.files.get(handle & !ABOVE));
        Ok(open.flatten().ok_or(Errno::BADF)?)
    }

    pub(super) fn open(self: &Arc<Self>, ino: Ino, flags: u32, kill: bool, reply: Reply) {
        let how = how(flags);
        let runs = flags & abi::open::EXEC != 0;
        // The kernel refuses to write to a program that runs, but where it is to be emptied by somebody who only reads it looks
        // when we have done that.
        if how.truncate && !how.write && self.runs(ino) {
            return self.refuse(Some(reply), Errno::TXTBSY);
        }
        let this = self.clone();
        let work = async move {
            let opened = this.merged.open(ino, how).await?;
            if let MergedOpen::Upper(file) = &opened
                && how.truncate
                && kill
            {
                this.kill_privileges(file.id())?;
            }
            Ok(opened)
        };
        let answer = move |this: &Arc<Self>, reply: Option<Reply>, opened| match (opened, reply) {
            (Ok(MergedOpen::Lower), Some(reply)) => this.fs.open(ino, flags, reply),
            (Ok(MergedOpen::Upper(file)), Some(reply)) => {
                this.opened(ino, runs, file, Out::default(), reply);
            }
            (Ok(_), None) => {}
            (Err(refusal), reply) => this.refuse(reply, refusal),
        };
        if how.write || how.truncate {
            self.change(reply, work, answer);
        } else {
            self.ask(reply, work, answer);
        }
    }

    /// Creates a file and opens it, or opens the one that is there.
    pub(super) fn create(
        self: &Arc<Self>,
        parent: Ino,
        name: &OsStr,
        created: Created,
        caller: Caller,
        reply: Reply,
    ) {
        let new = self.new_node(parent, created.mode, caller, false);
        let (this, name) = (self.clone(), name.to_owned());
        let work = async move {
            match this.merged.create(parent, &name, new).await {
                // Somebody else was quicker.
                Err(MergedError::Upper(UpperError::Exists { .. }))
                    if created.flags & libc::O_EXCL as u32 == 0 =>
                {
                    this.open_existing(parent, &name, created).await
                }
                made => Ok(made?),
            }
        };
        self.change(reply, work, |this, reply, made| match made {
            Ok((attr, file)) => {
                let out = Out::default().entry(&node_attr(&attr));
                if !reply.is_some_and(|reply| this.opened(attr.ino, false, file, out, reply)) {
                    this.forget(attr.ino, 1);
                }
            }
            Err(refusal) => this.refuse(reply, refusal),
        });
    }

    async fn open_existing(
        &self,
        parent: Ino,
        name: &OsStr,
        created: Created,
    ) -> Result<(MergedAttr, Arc<MergedFile>), Refusal> {
        let found = match self.merged.lookup(parent, name).await {
            Ok(attr) => Referred::new(&self.merged, attr),
            // It is gone again: the kernel looks once more.
            Err(MergedError::NotFound { .. }) => return Err(Errno::STALE.into()),
            Err(error) => return Err(error.into()),
        };
        if !matches!(found.attr.kind, NodeKind::File | NodeKind::Dir) {
            // By now it leads elsewhere.
            return Err(Errno::STALE.into());
        }
        let how = OpenHow {
            // So that it is above: an answer to this question has no place for a file that is below.
            write: true,
            ..how(created.flags)
        };
        let MergedOpen::Upper(file) = self.merged.open(found.attr.ino, how).await? else {
            return Err(Errno::STALE.into());
        };
        if how.truncate && created.kill_privileges {
            self.kill_privileges(file.id())?;
        }
        let attr = self.merged.attr(found.attr.ino).await?;
        found.keep();
        Ok((attr, file))
    }

    /// Answers with a file that was opened, behind what is in `out`. Whether the kernel took it.
    fn opened(&self, ino: Ino, runs: bool, file: Arc<MergedFile>, out: Out, reply: Reply) -> bool {
        Counters::count(&self.fs.counters.opens);
        let mut whole = self.whole(&file);
        let liked = self.fs.options.io;
        let opened = self.fs.passthrough.open(ino, reply.device(), &mut whole, liked);
        let (flags, backing) = match &opened {
            Opened::Backed(backing) => {
                Counters::count(&self.fs.counters.passthrough_opens);
                // What is written now does not go through the pages that the kernel may have of it from before.
                self.kept().remove(&ino);
                (fopen::PASSTHROUGH, backing.id)
            }
            Opened::Served(mode) => {
                let kept = if self.kept().insert(ino) {
                    0
                } else {
                    fopen::KEEP_CACHE
                };
                let direct = match mode {
                    IoMode::Direct => fopen::DIRECT_IO,
                    IoMode::Pages => 0,
                };
                (kept | direct, 0)
            }
        };
        let handle = self.files.insert(Arc::new(OpenFile {
            ino,
            runs,
            file,
            mapped: Mapped::new(matches!(opened, Opened::Served(IoMode::Direct))),
            opened,
            figures: FileCounters::new(&self.fs.clock),
            failed: Failed::default(),
        }));
        // A write is done, or has failed, when it is answered: a close has nothing to ask.
        let out = out.open(handle | ABOVE, flags | fopen::NOFLUSH, backing);
        let is_taken = reply.out(&out);
        if !is_taken {
            self.close(handle);
        }
        is_taken
    }

    /// The file on disk, if the kernel may have it.
    fn whole(&self, file: &MergedFile) -> Option<Whole> {
        let whole = file.whole()?;
        let room = rustix::fs::fstatvfs(&self.overlay).ok()?;
        if room.f_bavail.saturating_mul(room.f_frsize) < LITTLE_ROOM {
            return None;
        }
        let attrs = self.merged.upper().attrs(file.id()).ok()?.attrs;
        // Whoever writes to such a file takes these bits off; the kernel would write in our name, who may keep them.
        (!has_privileges(attrs.mode)).then_some(Whole::Above(whole))
    }

    pub(super) fn release(self: &Arc<Self>, handle: u64, reply: Reply) {
        if handle & ABOVE == 0 {
            return self.fs.release(handle, reply);
        }
        self.close(handle & !ABOVE);
        reply.ok();
    }

    fn runs(&self, ino: Ino) -> bool {
        self.fs.runs(ino) || self.files.any(|open| open.ino == ino && open.runs)
    }

    fn close(&self, handle: u64) {
        if let Some(open) = self.files.remove(handle) {
            self.fs.passthrough.release(open.ino);
        }
    }

    /// How many files above are open, and what they are.
    pub(super) fn all_open(&self) -> Vec<(u64, Arc<OpenFile>)> {
        let files = self.files.lock();
        files.iter().map(|(id, open)| (*id, open.clone())).collect()
    }
}

/// What a file is opened for, as of the flags of `open`.
fn how(flags: u32) -> OpenHow {
    let access = flags & libc::O_ACCMODE as u32;
    OpenHow {
        read: access != libc::O_WRONLY as u32,
        write: access != libc::O_RDONLY as u32,
        truncate: flags & libc::O_TRUNC as u32 != 0,
    }
}
