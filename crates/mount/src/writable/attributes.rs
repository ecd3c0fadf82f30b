//! What a node is.

use std::sync::Arc;

use forebay_vfs::Ino;
use forebay_vfs::merged::{MergedAttr, MergedSet};
use forebay_vfs::overlay::{self, NodeId, NodeKind, SetAttrs, SpecialKind};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::{Refusal, Writable};
use crate::modes::{PERMISSIONS, without_privileges};
use crate::reply::{NodeAttr, Reply, Room};
use crate::request::{SetAttr, SetTime};
use crate::wire::{Out, Time};

const NANOS: i64 = 1_000_000_000;

impl Writable {
    pub(super) fn get_attr(self: &Arc<Self>, ino: Ino, reply: Reply) {
        let merged = self.merged.clone();
        let ask = async move { Ok(merged.attr(ino).await?) };
        self.ask(reply, ask, Self::attributes);
    }

    pub(super) fn set_attr(self: &Arc<Self>, ino: Ino, set: &SetAttr, reply: Reply) {
        let mut wanted = MergedSet {
            attrs: SetAttrs {
                mode: set.mode.map(|mode| mode & PERMISSIONS),
                uid: set.uid,
                gid: set.gid,
                atime: set.accessed.map(time_to_set),
                mtime: set.modified.map(time_to_set),
            },
            size: set.size,
        };
        // Whoever is the owner then has not chosen what others may do in their name.
        let is_given = set.uid.is_some() || set.gid.is_some();
        let kills = is_given || (set.size.is_some() && set.kill_privileges);
        let merged = self.merged.clone();
        let work = async move {
            if kills && wanted.attrs.mode.is_none() {
                let now = merged.attr(ino).await?;
                if now.kind == NodeKind::File {
                    wanted.attrs.mode = without_privileges(now.mode);
                }
            }
            Ok(merged.set_attrs(ino, wanted).await?)
        };
        self.change(reply, work, Self::attributes);
    }

    fn attributes(self: &Arc<Self>, reply: Option<Reply>, attr: Result<MergedAttr, Refusal>) {
        match (attr, reply) {
            (Ok(attr), Some(reply)) => {
                reply.out(&Out::default().attr(&node_attr(&attr)));
            }
            (Ok(_), None) => {}
            (Err(refusal), reply) => self.refuse(reply, refusal),
        }
    }

    pub(super) fn read_link(self: &Arc<Self>, ino: Ino, reply: Reply) {
        let merged = self.merged.clone();
        let ask = async move { Ok(merged.read_link(ino).await?) };
        self.ask(reply, ask, |this, reply, target| match (target, reply) {
            (Ok(target), Some(reply)) => {
                reply.bytes(&[&target]);
            }
            (Ok(_), None) => {}
            (Err(refusal), reply) => this.refuse(reply, refusal),
        });
    }

    /// As much as there is room for changes.
    pub(super) fn stat_fs(&self, reply: Reply) {
        let room = match rustix::fs::fstatvfs(&self.overlay) {
            Ok(room) => room,
            Err(errno) => return self.refuse(Some(reply), errno),
        };
        reply.out(&Out::default().room(&Room::of(&room)));
    }

    /// Takes off what a file may not keep when somebody writes to it who has no say in that.
    pub(super) fn kill_privileges(&self, id: NodeId) -> Result<(), Refusal> {
        let upper = self.merged.upper();
        let refused = |error: overlay::UpperError| Refusal::from(error.errno());
        let mode = upper.attrs(id).map_err(refused)?.attrs.mode;
        if let Some(mode) = without_privileges(mode) {
            let set = SetAttrs {
                mode: Some(mode),
                ..SetAttrs::default()
            };
            upper.set_attrs(id, &set).map_err(refused)?;
        }
        Ok(())
    }
}

/// As the kernel is told.
pub(super) fn node_attr(attr: &MergedAttr) -> NodeAttr {
    NodeAttr {
        node: attr.ino.0,
        ino: attr.ino.0,
        size: attr.size,
        blocks: attr.blocks,
        accessed: time(attr.atime),
        modified: time(attr.mtime),
        changed: time(attr.ctime),
        mode: file_type(attr.kind).as_raw_mode() | (attr.mode & PERMISSIONS),
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        // As it came: the kernel packs it into 32 bits.
        device: attr.rdev as u32,
        block_size: NodeAttr::BLOCK_SIZE,
        valid: attr.valid,
        entry_valid: attr.entry_valid,
    }
}

pub(super) fn file_type(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::Dir => FileType::Directory,
        NodeKind::File => FileType::RegularFile,
        NodeKind::Symlink => FileType::Symlink,
        NodeKind::Special(SpecialKind::Fifo) => FileType::Fifo,
        NodeKind::Special(SpecialKind::Socket) => FileType::Socket,
        NodeKind::Special(SpecialKind::Char) => FileType::CharacterDevice,
        NodeKind::Special(SpecialKind::Block) => FileType::BlockDevice,
    }
}

/// What a special file is; `None`: it is none.
pub(super) fn special_kind(mode: u32) -> Result<Option<SpecialKind>, Errno> {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Ok(None),
        FileType::Fifo => Ok(Some(SpecialKind::Fifo)),
        FileType::Socket => Ok(Some(SpecialKind::Socket)),
        FileType::CharacterDevice => Ok(Some(SpecialKind::Char)),
        FileType::BlockDevice => Ok(Some(SpecialKind::Block)),
        FileType::Directory | FileType::Symlink | FileType::Unknown => Err(Errno::INVAL),
    }
}

/// Of nanoseconds since 1970, or before.
fn time(at: i64) -> Time {
    Time {
        seconds: at.div_euclid(NANOS),
        nanos: at.rem_euclid(NANOS) as u32,
    }
}

fn time_to_set(set: SetTime) -> overlay::SetTime {
    match set {
        SetTime::Now => overlay::SetTime::Now,
        // What lies before 1677 or after 2262 is moved there.
        SetTime::At(at) => {
            let nanos = at.seconds.saturating_mul(NANOS);
            overlay::SetTime::At(nanos.saturating_add(at.nanos.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_go_forward_from_their_second() {
        for (nanos, seconds, rest) in [
            (0, 0, 0),
            (1_500_000_000, 1, 500_000_000),
            (-1, -1, 999_999_999),
            (-1_000_000_000, -1, 0),
        ] {
            let told = time(nanos);
            assert_eq!((told.seconds, told.nanos), (seconds, rest));
            assert_eq!(time_to_set(SetTime::At(told)), overlay::SetTime::At(nanos));
        }
        let far = Time {
            seconds: i64::MAX,
            nanos: 5,
        };
        assert_eq!(time_to_set(SetTime::At(far)), overlay::SetTime::At(i64::MAX));
    }
}
