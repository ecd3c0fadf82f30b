//! Which request is which operation.

use std::sync::Arc;

use forebay_vfs::Ino;
use rustix::io::Errno;

use super::Writable;
use crate::reply::{Reply, Window};
use crate::request::{Caller, Change, Op, Request};
use crate::session::Serve;

impl Writable {
    fn apply(self: &Arc<Self>, ino: Ino, caller: Caller, change: &Change<'_>, reply: Reply) {
        match *change {
            Change::SetAttr(set) => self.set_attr(ino, &set, reply),
            Change::Symlink { name, target } => self.symlink(ino, name, target, caller, reply),
            Change::MkNod { name, mode, device } => self.mknod(ino, name, mode, device, caller, reply),
            Change::MkDir { name, mode } => self.mkdir(ino, name, mode, caller, reply),
            Change::Unlink { name } => self.unlink(ino, name, reply),
            Change::RmDir { name } => self.rmdir(ino, name, reply),
            Change::Rename {
                name,
                new_parent,
                new_name,
                flags,
            } => self.rename((ino, name), (Ino(new_parent), new_name), flags, reply),
            Change::Link { target, name } => self.link(Ino(target), ino, name, reply),
            Change::Create { name, created } => self.create(ino, name, created, caller, reply),
            // Programs make a name up then, and take it away.
            Change::TmpFile { .. } => reply.error(Errno::NOSYS),
            Change::Write(write) => self.write(&write, reply),
            Change::Allocate {
                handle,
                offset,
                len,
                mode,
            } => self.allocate(handle, offset, len, mode, reply),
            Change::Copy {
                from,
                from_offset,
                to,
                to_offset,
                len,
                wide,
            } => self.copy((from, from_offset), (to, to_offset), len, wide, reply),
            Change::SetXattr { name, value, flags } => self.set_xattr(ino, name, value, flags, reply),
            Change::RemoveXattr { name } => self.remove_xattr(ino, name, reply),
        }
    }
}

impl Serve for Writable {
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
            Op::Open {
                flags,
                kill_privileges,
            } => self.open(ino, flags, kill_privileges, reply),
            Op::Read { handle, offset, size } => self.read(handle, offset, size, reply, scratch),
            // A write is done, or has failed, when it is answered.
            Op::Flush { .. } => reply.ok(),
            Op::Release { handle } => self.release(handle, reply),
            Op::FSync { handle, data_only } => self.sync(handle, data_only, reply),
            Op::Seek {
                handle,
                offset,
                whence,
            } => self.seek(handle, offset, whence, reply),
            Op::OpenDir => self.open_dir(ino, reply),
            Op::ReadDir {
                handle,
                offset,
                size,
                plus,
            } => self.read_dir(handle, Window { offset, size, plus }, reply),
            Op::ReleaseDir { handle } => self.release_dir(handle, reply),
            Op::FSyncDir { .. } => self.sync_dir(reply),
            Op::StatFs => self.stat_fs(reply),
            Op::SyncFs => self.sync_fs(reply),
            Op::GetXattr { name, size } => self.get_xattr(ino, name, size, reply),
            Op::ListXattr { size } => self.list_xattr(ino, size, reply),
            Op::Interrupt { unique } => self.fs.interrupt(unique, reply),
            Op::Destroy => reply.ok(),
            Op::Change(change) => self.apply(ino, request.caller, &change, reply),
            // Said once, and never asked again.
            Op::Init { .. } | Op::Unknown => reply.error(Errno::NOSYS),
        }
    }
}
