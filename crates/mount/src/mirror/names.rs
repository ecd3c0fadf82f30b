//! Names: found, made, moved and taken away.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use rustix::path::DecInt;

use super::Mirror;
use super::file::{self, Answer};
use super::nodes::{Node, stat};
use crate::device::Device;
use crate::reply::NodeAttr;
use crate::request::{Caller, Created};
use crate::wire::Out;

/// A descriptor that pins a file.
const PIN: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory whose group is that of what is created in it, and bits that a new owner takes off.
const SET_GID: u32 = 0o2000;
const PRIVILEGES: u32 = 0o6000;

impl Mirror {
    pub(super) fn lookup(&self, parent: u64, name: &OsStr) -> Result<NodeAttr, Errno> {
        let parent = self.nodes.get(parent)?;
        self.found(rustix::fs::openat(&parent, name, PIN, Mode::empty())?)
    }

    /// What is told of a file, to which the kernel gets a reference.
    pub(super) fn found(&self, fd: OwnedFd) -> Result<NodeAttr, Errno> {
        let stat = stat(&fd)?;
        Ok(self.attr(self.nodes.refer(fd, &stat), &stat))
    }

    pub(super) fn read_link(&self, number: u64) -> Result<Out, Errno> {
        let node = self.nodes.get(number)?;
        let target = rustix::fs::readlinkat(&node, c"", Vec::new())?;
        Ok(Out(target.into_bytes()))
    }

    pub(super) fn symlink(
        &self,
        parent: u64,
        name: &OsStr,
        target: &OsStr,
        caller: Caller,
    ) -> Result<NodeAttr, Errno> {
        let parent = self.nodes.get(parent)?;
        rustix::fs::symlinkat(target, &parent, name)?;
        self.made(&parent, name, 0, caller, AtFlags::empty())
    }

    pub(super) fn mknod(
        &self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        device: u32,
        caller: Caller,
    ) -> Result<NodeAttr, Errno> {
        let parent = self.nodes.get(parent)?;
        let kind = FileType::from_raw_mode(mode);
        let permissions = Mode::from_raw_mode(mode);
        rustix::fs::mknodat(&parent, name, kind, permissions, device.into())?;
        self.made(&parent, name, mode, caller, AtFlags::empty())
    }

    pub(super) fn mkdir(
        &self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        caller: Caller,
    ) -> Result<NodeAttr, Errno> {
        let parent = self.nodes.get(parent)?;
        rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode))?;
        self.made(&parent, name, 0, caller, AtFlags::REMOVEDIR)
    }

    /// What was made just now becomes its creator's; if it cannot, it is taken away again, as `removed` says.
    fn made(
        &self,
        parent: &Node,
        name: &OsStr,
        mode: u32,
        caller: Caller,
        removed: AtFlags,
    ) -> Result<NodeAttr, Errno> {
        let fd = rustix::fs::openat(parent, name, PIN, Mode::empty())?;
        let given = self.give(parent, &fd, mode, caller);
        given
            .and_then(|()| self.found(fd))
            .inspect_err(|_| remove(parent, name, removed))
    }

    /// Makes what this process created in `parent` the caller's.
    fn give(&self, parent: &Node, made: impl AsFd, mode: u32, caller: Caller) -> Result<(), Errno> {
        if caller == self.own {
            return Ok(());
        }
        let group = if u32::from(stat(parent)?.stx_mode) & SET_GID == 0 {
            Some(Gid::from_raw(caller.gid))
        } else {
            None
        };
        let made = made.as_fd();
        let owner = Some(Uid::from_raw(caller.uid));
        rustix::fs::chownat(made, c"", owner, group, AtFlags::EMPTY_PATH)?;
        if mode & PRIVILEGES == 0 {
            return Ok(());
        }
        self.set_mode(made, mode)
    }

    /// Creates a file and opens it, or opens the one that is there.
    pub(super) fn create(
        &self,
        parent: u64,
        name: &OsStr,
        created: Created,
        caller: Caller,
        device: &Arc<Device>,
    ) -> Result<(NodeAttr, Answer), Errno> {
        let parent = self.nodes.get(parent)?;
        let flags = file::flags(created.flags) | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(created.mode);
        let new = flags | OFlags::CREATE | OFlags::EXCL;
        let opened = match rustix::fs::openat(&parent, name, new, mode) {
            Ok(opened) => {
                let given = self.give(&parent, &opened, created.mode, caller);
                given.inspect_err(|_| remove(&parent, name, AtFlags::empty()))?;
                opened
            }
            // Somebody else was quicker.
            Err(Errno::EXIST) if created.flags & libc::O_EXCL as u32 == 0 => {
                let opened = match rustix::fs::openat(&parent, name, flags, Mode::empty()) {
                    // It is gone again, or is a link by now: the kernel looks once more.
                    Err(Errno::NOENT | Errno::LOOP) => return Err(Errno::STALE),
                    opened => opened?,
                };
                file::cut_by(&opened, created.flags, created.kill_privileges)?;
                opened
            }
            Err(errno) => return Err(errno),
        };
        self.opened_anew(opened, device)
    }

    /// A file without a name.
    pub(super) fn tmp_file(
        &self,
        parent: u64,
        created: Created,
        caller: Caller,
        device: &Arc<Device>,
    ) -> Result<(NodeAttr, Answer), Errno> {
        let parent = self.nodes.get(parent)?;
        // With O_EXCL it could not be given a name later.
        let excl = OFlags::from_bits_retain(created.flags) & OFlags::EXCL;
        let flags = file::flags(created.flags) | OFlags::TMPFILE | excl;
        let mode = Mode::from_raw_mode(created.mode);
        let opened = rustix::fs::openat(&parent, c".", flags, mode)?;
        self.give(&parent, &opened, created.mode, caller)?;
        self.opened_anew(opened, device)
    }

    /// A file that was opened before it was a node.
    fn opened_anew(&self, opened: OwnedFd, device: &Arc<Device>) -> Result<(NodeAttr, Answer), Errno> {
        let attr = self.found(self.reopen(&opened, OFlags::PATH)?)?;
        Ok((attr, self.opened(attr.node, opened, device)))
    }

    pub(super) fn unlink(&self, parent: u64, name: &OsStr) -> Result<Out, Errno> {
        let parent = self.nodes.get(parent)?;
        rustix::fs::unlinkat(&parent, name, AtFlags::empty())?;
        Ok(Out::default())
    }

    pub(super) fn rmdir(&self, parent: u64, name: &OsStr) -> Result<Out, Errno> {
        let parent = self.nodes.get(parent)?;
        rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?;
        Ok(Out::default())
    }

    pub(super) fn rename(
        &self,
        parent: u64,
        name: &OsStr,
        new_parent: u64,
        new_name: &OsStr,
        flags: u32,
    ) -> Result<Out, Errno> {
        let (from, to) = (self.nodes.get(parent)?, self.nodes.get(new_parent)?);
        let flags = RenameFlags::from_bits_retain(flags);
        rustix::fs::renameat_with(&from, name, &to, new_name, flags)?;
        Ok(Out::default())
    }

    pub(super) fn link(&self, target: u64, parent: u64, name: &OsStr) -> Result<NodeAttr, Errno> {
        let (target, parent) = (self.nodes.get(target)?, self.nodes.get(parent)?);
        let number = DecInt::from_fd(&target);
        rustix::fs::linkat(&self.proc, number, &parent, name, AtFlags::SYMLINK_FOLLOW)?;
        self.found(rustix::fs::openat(&parent, name, PIN, Mode::empty())?)
    }
}

/// Takes away what could not be finished.
fn remove(parent: &Node, name: &OsStr, how: AtFlags) {
    if let Err(error) = rustix::fs::unlinkat(parent, name, how) {
        let name = String::from_utf8_lossy(name.as_bytes());
        tracing::warn!(%error, name = %forebay_types::printable(&name), "what was half created stays");
    }
}
