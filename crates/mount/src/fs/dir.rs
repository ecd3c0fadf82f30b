//! Directories.

use std::sync::Arc;

use forebay_vfs::{DirSnapshot, Ino, Kind};
use rustix::io::Errno;

use super::Fs;
use super::attr::node_attr;
use crate::errno;
use crate::reply::{ENTRY_OUT, Reply, dirent_len};
use crate::wire::Out;

/// `.` and `..` come first.
const DOTS: u64 = 2;

/// Kinds as `d_type` has them.
const DT_DIR: u32 = 4;
const DT_REG: u32 = 8;
const DT_LNK: u32 = 10;

impl Fs {
    pub(super) fn open_dir(self: &Arc<Self>, ino: Ino, reply: Reply) {
        match self.tree.try_read_dir(ino) {
            Some(Ok(snapshot)) => self.opened_dir(reply, snapshot),
            Some(Err(error)) => self.refuse_name(reply, &error),
            None => {
                let tree = self.tree.clone();
                let ask = async move { tree.read_dir(ino).await.map_err(|e| errno::of_name(&e)) };
                self.park(reply, ask, |this, reply, snapshot| {
                    let Some(reply) = reply else { return };
                    match snapshot {
                        Ok(snapshot) => this.opened_dir(reply, snapshot),
                        Err(errno) => reply.error(errno),
                    }
                });
            }
        }
    }

    fn opened_dir(&self, reply: Reply, snapshot: Arc<DirSnapshot>) {
        let handle = self.dirs.insert(snapshot);
        if !reply.out(&Out::default().open(handle, 0, 0)) {
            self.dirs.remove(handle);
        }
    }

    /// Names from `offset` on, as many as fit into `size` bytes.
    pub(super) fn read_dir(&self, handle: u64, offset: u64, size: u32, plus: bool, reply: Reply) {
        let Some(dir) = self.dirs.get(handle) else {
            return self.refuse(reply, Errno::BADF);
        };
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
            if plus {
                // It is gone since: the kernel need not hear of it.
                let Some(attr) = self.tree.refer(&dir, index) else {
                    continue;
                };
                referred.push(attr.ino);
                out = out.entry(&node_attr(&attr, &self.options));
            }
            let kind = match entry.kind {
                Kind::Dir => DT_DIR,
                Kind::File => DT_REG,
                Kind::Symlink => DT_LNK,
            };
            out = out.dirent(entry.ino.0, index as u64 + 1 + DOTS, kind, entry.name.as_bytes());
        }
        if !reply.out(&out) {
            for ino in referred {
                self.tree.forget(ino, 1);
            }
        }
    }
}
