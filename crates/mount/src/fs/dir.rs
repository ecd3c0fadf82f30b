//! Directories.

use std::sync::Arc;

use forebay_vfs::{DirSnapshot, Ino, Kind};
use rustix::io::Errno;

use super::Fs;
use super::attr::node_attr;
use crate::errno;
use crate::reply::{DT_DIR, Name, Reply, Window, listing};
use crate::wire::Out;

/// Kinds as `d_type` has them.
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

    /// Names, as many as fit.
    pub(super) fn read_dir(&self, handle: u64, window: Window, reply: Reply) {
        let Some(dir) = self.dirs.get(handle) else {
            return self.refuse(reply, Errno::BADF);
        };
        let names = |from| {
            dir.iter_from(from).map(|entry| Name {
                ino: entry.ino,
                kind: match entry.kind {
                    Kind::Dir => DT_DIR,
                    Kind::File => DT_REG,
                    Kind::Symlink => DT_LNK,
                },
                name: entry.name.as_bytes(),
            })
        };
        let refer = |index, _: &mut Name<'_>| {
            let attr = self.tree.refer(&dir, index)?;
            Some(node_attr(&attr, &self.options))
        };
        let (out, referred) = listing(window, (dir.ino(), dir.parent()), names, refer);
        if !reply.out(&out) {
            for ino in referred {
                self.tree.forget(ino, 1);
            }
        }
    }
}
