//! Which request is which operation, and its answer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::Mirror;
use super::file::Answer;
use crate::reply::{NodeAttr, Reply};
use crate::request::{Caller, Change, Op, Request};
use crate::session::Serve;
use crate::wire::Out;

impl Mirror {
    fn change(&self, node: u64, caller: Caller, change: &Change<'_>, reply: Reply) {
        match *change {
            Change::SetAttr(set) => answer(reply, self.set_attr(node, &set)),
            Change::Symlink { name, target } => {
                self.named(reply, self.symlink(node, name, target, caller));
            }
            Change::MkNod { name, mode, device } => {
                self.named(reply, self.mknod(node, name, mode, device, caller));
            }
            Change::MkDir { name, mode } => self.named(reply, self.mkdir(node, name, mode, caller)),
            Change::Unlink { name } => answer(reply, self.unlink(node, name)),
            Change::RmDir { name } => answer(reply, self.rmdir(node, name)),
            Change::Rename {
                name,
                new_parent,
                new_name,
                flags,
            } => answer(reply, self.rename(node, name, new_parent, new_name, flags)),
            Change::Link { target, name } => self.named(reply, self.link(target, node, name)),
            Change::Create { name, created } => {
                let device = reply.device().clone();
                self.created(reply, self.create(node, name, created, caller, &device));
            }
            Change::TmpFile { created } => {
                let device = reply.device().clone();
                self.created(reply, self.tmp_file(node, created, caller, &device));
            }
            Change::Write(write) => {
                self.counters.writes.fetch_add(1, Relaxed);
                answer(reply, self.write(&write));
            }
            Change::Allocate {
                handle,
                offset,
                len,
                mode,
            } => answer(reply, self.allocate(handle, offset, len, mode)),
            Change::Copy {
                from,
                from_offset,
                to,
                to_offset,
                len,
                wide,
            } => answer(reply, self.copy((from, from_offset), (to, to_offset), len, wide)),
            Change::SetXattr { name, value, flags } => {
                answer(reply, self.set_xattr(node, name, value, flags));
            }
            Change::RemoveXattr { name } => answer(reply, self.remove_xattr(node, name)),
        }
    }

    /// Answers with a name; the kernel has the reference only if it has the answer.
    fn named(&self, reply: Reply, attr: Result<NodeAttr, Errno>) {
        match attr {
            Ok(attr) => {
                if !reply.out(&Out::default().entry(&attr)) {
                    self.nodes.forget(attr.node, 1);
                }
            }
            Err(errno) => reply.error(errno),
        }
    }

    /// Answers with a name and a file that is open.
    fn created(&self, reply: Reply, created: Result<(NodeAttr, Answer), Errno>) {
        match created {
            Ok((attr, opened)) => {
                if !reply.out(&opened.put(Out::default().entry(&attr))) {
                    self.close(opened.handle);
                    self.nodes.forget(attr.node, 1);
                }
            }
            Err(errno) => reply.error(errno),
        }
    }
}

/// Answers with what was put together, be it nothing.
fn answer(reply: Reply, outcome: Result<Out, Errno>) {
    match outcome {
        Ok(out) => {
            reply.out(&out);
        }
        Err(errno) => reply.error(errno),
    }
}

impl Serve for Mirror {
    fn begin(&self) -> io::Result<()> {
        // SAFETY: the thread gets its own mask of modes, working directory and root; descriptors stay everybody's.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?;
        // The mask is the program's, and taken off already.
        rustix::process::umask(Mode::empty());
        Ok(())
    }

    fn serve(self: &Arc<Self>, request: Request<'_>, reply: Reply, scratch: &mut [u8]) {
        self.counters.requests.fetch_add(1, Relaxed);
        let node = request.node;
        match request.op {
            Op::Lookup { name } => self.named(reply, self.lookup(node, name)),
            Op::Forget { references } => {
                self.nodes.forget(node, references);
                reply.none();
            }
            Op::BatchForget { nodes } => {
                for (node, references) in nodes {
                    self.nodes.forget(node, references);
                }
                reply.none();
            }
            Op::GetAttr => answer(reply, self.get_attr(node)),
            Op::ReadLink => answer(reply, self.read_link(node)),
            Op::Open {
                flags,
                kill_privileges,
            } => match self.open(node, flags, kill_privileges, reply.device()) {
                Ok(opened) => {
                    if !reply.out(&opened.put(Out::default())) {
                        self.close(opened.handle);
                    }
                }
                Err(errno) => reply.error(errno),
            },
            Op::Read { handle, offset, size } => {
                self.counters.reads.fetch_add(1, Relaxed);
                match self.read(handle, offset, size, scratch) {
                    Ok(len) => {
                        reply.bytes(&[&scratch[..len]]);
                    }
                    Err(errno) => reply.error(errno),
                }
            }
            Op::Flush { handle } => answer(reply, self.flush(handle)),
            Op::Release { handle } => {
                self.close(handle);
                reply.ok();
            }
            Op::FSync { handle, data_only } => answer(reply, self.sync(handle, data_only)),
            Op::Seek {
                handle,
                offset,
                whence,
            } => answer(reply, self.seek(handle, offset, whence)),
            Op::OpenDir => match self.open_dir(node) {
                Ok(handle) => {
                    if !reply.out(&Out::default().open(handle, 0, 0)) {
                        self.dirs.remove(handle);
                    }
                }
                Err(errno) => reply.error(errno),
            },
            Op::ReadDir {
                handle,
                offset,
                size,
                plus,
            } => match self.read_dir(handle, offset, size as usize, plus) {
                Ok((out, referred)) => {
                    if !reply.out(&out) {
                        referred.into_iter().for_each(|node| self.nodes.forget(node, 1));
                    }
                }
                Err(errno) => reply.error(errno),
            },
            Op::ReleaseDir { handle } => {
                self.dirs.remove(handle);
                reply.ok();
            }
            Op::FSyncDir { handle, data_only } => answer(reply, self.sync_dir(handle, data_only)),
            Op::StatFs => answer(reply, self.stat_fs(node)),
            Op::SyncFs => answer(reply, self.sync_fs(node)),
            Op::GetXattr { name, size } => self.get_xattr(node, name, size as usize, reply, scratch),
            Op::ListXattr { size } => self.list_xattr(node, size as usize, reply, scratch),
            // Each request is answered by the thread that took it, as soon as its system call returns.
            Op::Interrupt { .. } => reply.none(),
            Op::Destroy => reply.ok(),
            Op::Change(change) => self.change(node, request.caller, &change, reply),
            // Said once, and never asked again.
            Op::Init { .. } | Op::Unknown => reply.error(Errno::NOSYS),
        }
    }
}
