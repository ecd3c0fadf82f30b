//! What a node is.

use std::sync::Arc;

use forebay_vfs::{Attr, Ino, Kind};

use super::Fs;
use crate::errno;
use crate::options::MountOptions;
use crate::reply::{NodeAttr, Reply, Room};
use crate::wire::Out;

const DIRECTORY: u32 = 0o040_555;
const FILE: u32 = 0o100_444;
const EXECUTABLE: u32 = 0o111;
const SYMLINK: u32 = 0o120_777;

/// As the kernel is told: nothing can be written, and no set-user-id bit gets past here.
pub(super) fn node_attr(attr: &Attr, options: &MountOptions) -> NodeAttr {
    let mode = match attr.kind {
        Kind::Dir => DIRECTORY,
        Kind::File if attr.executable => FILE | EXECUTABLE,
        Kind::File => FILE,
        Kind::Symlink => SYMLINK,
    };
    let modified = attr.modified.into();
    NodeAttr {
        node: attr.ino.0,
        ino: attr.ino.0,
        size: attr.size,
        blocks: attr.size.div_ceil(NodeAttr::SECTOR),
        // Access and status have the same.
        accessed: modified,
        modified,
        changed: modified,
        mode,
        nlink: attr.nlink,
        uid: options.uid,
        gid: options.gid,
        device: 0,
        block_size: NodeAttr::BLOCK_SIZE,
        valid: attr.valid,
        entry_valid: attr.valid,
    }
}

impl Fs {
    pub(super) fn get_attr(self: &Arc<Self>, ino: Ino, reply: Reply) {
        match self.tree.try_attr(ino) {
            Some(Ok(attr)) => {
                reply.out(&Out::default().attr(&node_attr(&attr, &self.options)));
            }
            Some(Err(error)) => self.refuse_name(reply, &error),
            None => {
                let tree = self.tree.clone();
                let ask = async move { tree.attr(ino).await.map_err(|e| errno::of_name(&e)) };
                self.park(reply, ask, |this, reply, attr| {
                    let Some(reply) = reply else { return };
                    match attr {
                        Ok(attr) => {
                            reply.out(&Out::default().attr(&node_attr(&attr, &this.options)));
                        }
                        Err(errno) => reply.error(errno),
                    }
                });
            }
        }
    }

    pub(super) fn read_link(&self, ino: Ino, reply: Reply) {
        match self.tree.link_target(ino) {
            Ok(target) => {
                reply.bytes(&[target.as_bytes()]);
            }
            Err(error) => self.refuse_name(reply, &error),
        }
    }

    /// A store has no end, and nothing is free for who cannot write.
    pub(super) fn stat_fs(reply: Reply) {
        let room = Room {
            block_size: 4096,
            longest_name: 255,
            fragment: 4096,
            ..Room::default()
        };
        reply.out(&Out::default().room(&room));
    }
}
