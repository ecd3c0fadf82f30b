//! Directories.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_vfs::Ino;
use forebay_vfs::merged::MergedDir;
use rustix::io::Errno;

use super::attributes::{file_type, node_attr};
use super::{Refusal, Writable};
use crate::reply::{ENTRY_OUT, Reply, dirent_len};
use crate::wire::Out;

/// `.` and `..` come first.
const DOTS: u64 = 2;

/// `d_type` of a directory.
const DT_DIR: u32 = 4;

/// A directory that the kernel has open.
#[derive(Debug)]
pub(super) struct OpenDir {
    ino: Ino,
    listed: Mutex<Listed>,
}

/// Its names, as they were when it was opened, or began to be read anew.
#[derive(Clone, Debug)]
struct Listed {
    names: Arc<MergedDir>,
    /// Nobody has read them yet.
    is_new: bool,
}

impl OpenDir {
    fn lock(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writable {
    pub(super) fn open_dir(self: &Arc<Self>, ino: Ino, reply: Reply) {
        let merged = self.merged.clone();
        let ask = async move { Ok(merged.read_dir(ino).await?) };
        self.ask(reply, ask, move |this, reply, names| match (names, reply) {
            (Ok(names), Some(reply)) => {
                let listed = Mutex::new(Listed { names, is_new: true });
                let handle = this.dirs.insert(Arc::new(OpenDir { ino, listed }));
                if !reply.out(&Out::default().open(handle, 0, 0)) {
                    this.dirs.remove(handle);
                }
            }
            (Ok(_), None) => {}
            (Err(refusal), reply) => this.refuse(reply, refusal),
        });
    }

    /// Names from `offset` on, as many as fit into `size` bytes.
    pub(super) fn read_dir(self: &Arc<Self>, handle: u64, offset: u64, size: u32, plus: bool, reply: Reply) {
        let Some(dir) = self.dirs.get(handle) else {
            return self.refuse(Some(reply), Errno::BADF);
        };
        let listed = {
            let mut listed = dir.lock();
            let was_new = std::mem::replace(&mut listed.is_new, false);
            // Who goes back to the beginning sees what is there by now.
            (was_new || offset != 0).then(|| listed.names.clone())
        };
        if let Some(names) = listed {
            return self.tell(&names, offset, size, plus, reply);
        }
        let (merged, ino) = (self.merged.clone(), dir.ino);
        let ask = async move { Ok(merged.read_dir(ino).await?) };
        self.ask(reply, ask, move |this, reply, names| match (names, reply) {
            (Ok(names), Some(reply)) => {
                dir.lock().names = names.clone();
                this.tell(&names, offset, size, plus, reply);
            }
            (Ok(_), None) => {}
            (Err(refusal), reply) => this.refuse(reply, refusal),
        });
    }

    fn tell(&self, dir: &MergedDir, offset: u64, size: u32, plus: bool, reply: Reply) {
        let size = size as usize;
        let mut out = Out(Vec::with_capacity(size));
        let mut referred = Vec::new();
        let extra = if plus { ENTRY_OUT } else { 0 };
        for (index, (ino, name)) in [(dir.ino(), "."), (dir.parent(), "..")].into_iter().enumerate() {
            let index = index as u64;
            if index < offset || out.0.len() + extra + dirent_len(name.len()) > size {
                continue;
            }
            // Without a node: the kernel knows these two.
            out = out.zeros(extra).dirent(ino.0, index + 1, DT_DIR, name.as_bytes());
        }
        let from = usize::try_from(offset.saturating_sub(DOTS)).unwrap_or(usize::MAX);
        for (index, entry) in dir.iter_from(from).enumerate() {
            if out.0.len() + extra + dirent_len(entry.name.len()) > size {
                break;
            }
            let index = from + index;
            let (mut ino, mut kind) = (entry.ino, entry.kind);
            if plus {
                // It is gone since: the kernel need not hear of it.
                let Some(attr) = self.merged.refer(dir, index) else {
                    continue;
                };
                referred.push(attr.ino);
                // It may have come up since, too.
                (ino, kind) = (attr.ino, attr.kind);
                out = out.entry(&node_attr(&attr));
            }
            // As `d_type` has it: the four bits of the mode.
            let kind = file_type(kind).as_raw_mode() >> 12;
            out = out.dirent(ino.0, index as u64 + 1 + DOTS, kind, entry.name);
        }
        if !reply.out(&out) {
            for ino in referred {
                self.forget(ino, 1);
            }
        }
    }

    pub(super) fn release_dir(&self, handle: u64, reply: Reply) {
        self.dirs.remove(handle);
        reply.ok();
    }

    /// Names and attributes of all directories: they are in one journal.
    pub(super) fn sync_dir(self: &Arc<Self>, reply: Reply) {
        let merged = self.merged.clone();
        let work = async move { merged.sync().await.map_err(Refusal::from) };
        self.ask_within(Duration::MAX, reply, work, Self::done);
    }
}
