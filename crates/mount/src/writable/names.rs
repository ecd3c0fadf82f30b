//! Names: found, made, moved and taken away.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use forebay_vfs::Ino;
use forebay_vfs::merged::MergedAttr;
use forebay_vfs::overlay::{NewNode, Rename};
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::attributes::{node_attr, special_kind};
use super::{Refusal, Writable};
use crate::modes::{PERMISSIONS, SET_GID};
use crate::reply::Reply;
use crate::request::Caller;
use crate::wire::Out;

impl Writable {
    pub(super) fn lookup(self: &Arc<Self>, parent: Ino, name: &OsStr, reply: Reply) {
        let (merged, name) = (self.merged.clone(), name.to_owned());
        let ask = async move { Ok(merged.lookup(parent, &name).await?) };
        self.ask(reply, ask, |this, reply, found| match (found, reply) {
            (Err(Refusal { errno, valid }), Some(reply)) if errno == Errno::NOENT && !valid.is_zero() => {
                reply.out(&Out::default().no_entry(valid));
            }
            (found, reply) => this.named(reply, found),
        });
    }

    /// Answers with a name; the kernel has the reference only if it has the answer.
    fn named(self: &Arc<Self>, reply: Option<Reply>, found: Result<MergedAttr, Refusal>) {
        match found {
            Ok(attr) => {
                let out = Out::default().entry(&node_attr(&attr));
                if !reply.is_some_and(|reply| reply.out(&out)) {
                    self.forget(attr.ino, 1);
                }
            }
            Err(refusal) => self.refuse(reply, refusal),
        }
    }

    /// What something new gets in a directory. One that hands its group on does so, and a directory in it does it, too.
    pub(super) fn new_node(&self, parent: Ino, mode: u32, caller: Caller, is_dir: bool) -> NewNode {
        let mut new = NewNode {
            mode: mode & PERMISSIONS,
            uid: caller.uid,
            gid: caller.gid,
        };
        let above = self.merged.node(parent);
        let above = above.and_then(|id| self.merged.upper().attrs(id).ok());
        if let Some(above) = above
            && above.attrs.mode & SET_GID != 0
        {
            new.gid = above.attrs.gid;
            if is_dir {
                new.mode |= SET_GID;
            }
        }
        new
    }

    pub(super) fn mkdir(
        self: &Arc<Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        caller: Caller,
        reply: Reply,
    ) {
        let new = self.new_node(parent, mode, caller, true);
        let (merged, name) = (self.merged.clone(), name.to_owned());
        let work = async move { Ok(merged.mkdir(parent, &name, new).await?) };
        self.change(reply, work, Self::named);
    }

    pub(super) fn symlink(
        self: &Arc<Self>,
        parent: Ino,
        name: &OsStr,
        target: &OsStr,
        caller: Caller,
        reply: Reply,
    ) {
        let new = self.new_node(parent, 0o777, caller, false);
        let (merged, name, target) = (self.merged.clone(), name.to_owned(), target.to_owned());
        let work = async move { Ok(merged.symlink(parent, &name, target.as_bytes(), new).await?) };
        self.change(reply, work, Self::named);
    }

    pub(super) fn mknod(
        self: &Arc<Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        device: u32,
        caller: Caller,
        reply: Reply,
    ) {
        let kind = match special_kind(mode) {
            Ok(kind) => kind,
            Err(errno) => return self.refuse(Some(reply), errno),
        };
        let new = self.new_node(parent, mode, caller, false);
        let (merged, name) = (self.merged.clone(), name.to_owned());
        let work = async move {
            Ok(match kind {
                Some(kind) => merged.mknod(parent, &name, kind, device.into(), new).await?,
                None => merged.create(parent, &name, new).await?.0,
            })
        };
        self.change(reply, work, Self::named);
    }

    pub(super) fn link(self: &Arc<Self>, target: Ino, parent: Ino, name: &OsStr, reply: Reply) {
        let (merged, name) = (self.merged.clone(), name.to_owned());
        let work = async move { Ok(merged.link(target, parent, &name).await?) };
        self.change(reply, work, Self::named);
    }

    pub(super) fn unlink(self: &Arc<Self>, parent: Ino, name: &OsStr, reply: Reply) {
        let (merged, name) = (self.merged.clone(), name.to_owned());
        self.change_only(reply, async move { merged.unlink(parent, &name).await });
    }

    pub(super) fn rmdir(self: &Arc<Self>, parent: Ino, name: &OsStr, reply: Reply) {
        let (merged, name) = (self.merged.clone(), name.to_owned());
        self.change_only(reply, async move { merged.rmdir(parent, &name).await });
    }

    /// `flags` as of `renameat2`.
    pub(super) fn rename(self: &Arc<Self>, from: (Ino, &OsStr), to: (Ino, &OsStr), flags: u32, reply: Reply) {
        let how = match RenameFlags::from_bits_retain(flags) {
            flags if flags.is_empty() => Rename::Replace,
            RenameFlags::NOREPLACE => Rename::NoReplace,
            RenameFlags::EXCHANGE => Rename::Exchange,
            // A whiteout is what an overlayfs would leave; both of the others are a contradiction.
            _ => return self.refuse(Some(reply), Errno::INVAL),
        };
        let merged = self.merged.clone();
        let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
        self.change_only(reply, async move {
            merged.rename((from.0, &from.1), (to.0, &to.1), how).await
        });
    }
}
