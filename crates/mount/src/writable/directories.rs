//! Directories.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_vfs::Ino;
use forebay_vfs::merged::MergedDir;
use forebay_vfs::overlay::NodeKind;
use rustix::io::Errno;

use super::attributes::{file_type, node_attr};
use super::{Refusal, Writable};
use crate::reply::{Name, Reply, Window, listing};
use crate::wire::Out;

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

    /// Names, as many as fit.
    pub(super) fn read_dir(self: &Arc<Self>, handle: u64, window: Window, reply: Reply) {
        let Some(dir) = self.dirs.get(handle) else {
            return self.refuse(Some(reply), Errno::BADF);
        };
        let listed = {
            let mut listed = dir.lock();
            let was_new = std::mem::replace(&mut listed.is_new, false);
            // Who goes back to the beginning sees what is there by now.
            (was_new || window.offset != 0).then(|| listed.names.clone())
        };
        if let Some(names) = listed {
            return self.tell(&names, window, reply);
        }
        let (merged, ino) = (self.merged.clone(), dir.ino);
        let ask = async move { Ok(merged.read_dir(ino).await?) };
        self.ask(reply, ask, move |this, reply, names| match (names, reply) {
            (Ok(names), Some(reply)) => {
                dir.lock().names = names.clone();
                this.tell(&names, window, reply);
            }
            (Ok(_), None) => {}
            (Err(refusal), reply) => this.refuse(reply, refusal),
        });
    }

    fn tell(&self, dir: &MergedDir, window: Window, reply: Reply) {
        let names = |from| {
            dir.iter_from(from).map(|entry| Name {
                ino: entry.ino,
                kind: d_type(entry.kind),
                name: entry.name,
            })
        };
        let refer = |index, name: &mut Name<'_>| {
            let attr = self.merged.refer(dir, index)?;
            // It may have come up since.
            (name.ino, name.kind) = (attr.ino, d_type(attr.kind));
            Some(node_attr(&attr))
        };
        let (out, referred) = listing(window, (dir.ino(), dir.parent()), names, refer);
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

/// As `d_type` has it: the four bits of the mode.
fn d_type(kind: NodeKind) -> u32 {
    file_type(kind).as_raw_mode() >> 12
}
