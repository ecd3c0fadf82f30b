//! What a node is.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Statx, StatxTimestamp, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use rustix::path::DecInt;

use super::Mirror;
use super::nodes::{Node, stat};
use crate::modes::without_privileges;
use crate::reply::{NodeAttr, Room};
use crate::request::{SetAttr, SetTime};
use crate::wire::{Out, Time};

impl Mirror {
    pub(super) fn get_attr(&self, number: u64) -> Result<Out, Errno> {
        let node = self.nodes.get(number)?;
        let attr = self.attr(number, &stat(&node)?);
        Ok(Out::default().attr(&attr))
    }

    pub(super) fn set_attr(&self, number: u64, set: &SetAttr) -> Result<Out, Errno> {
        let node = self.nodes.get(number)?;
        if set.uid.is_some() || set.gid.is_some() {
            // Before the mode: it takes set-user-id bits off.
            let owner = (set.uid.map(Uid::from_raw), set.gid.map(Gid::from_raw));
            rustix::fs::chownat(&node, c"", owner.0, owner.1, AtFlags::EMPTY_PATH)?;
        }
        if let Some(mode) = set.mode {
            self.set_mode(&node, mode)?;
        }
        if let Some(size) = set.size {
            if set.kill_privileges {
                self.kill_privileges(&node)?;
            }
            match set.handle.and_then(|handle| self.files.get(handle)) {
                Some(open) => rustix::fs::ftruncate(&open.file, size)?,
                None => rustix::fs::ftruncate(&self.reopen(&node, OFlags::WRONLY)?, size)?,
            }
        }
        if set.accessed.is_some() || set.modified.is_some() {
            let times = Timestamps {
                last_access: time_to_set(set.accessed),
                last_modification: time_to_set(set.modified),
            };
            rustix::fs::utimensat(&node, c"", &times, AtFlags::EMPTY_PATH)?;
        }
        Ok(Out::default().attr(&self.attr(number, &stat(&node)?)))
    }

    pub(super) fn stat_fs(&self, number: u64) -> Result<Out, Errno> {
        let node = self.nodes.get(number)?;
        let room = rustix::fs::fstatvfs(&node)?;
        Ok(Out::default().room(&Room::of(&room)))
    }

    pub(super) fn sync_fs(&self, number: u64) -> Result<Out, Errno> {
        let node = self.nodes.get(number)?;
        rustix::fs::syncfs(self.reopen(&node, OFlags::RDONLY)?)?;
        Ok(Out::default())
    }

    /// As the kernel is told.
    pub(super) fn attr(&self, number: u64, stat: &Statx) -> NodeAttr {
        let time = |at: StatxTimestamp| Time {
            seconds: at.tv_sec,
            nanos: at.tv_nsec,
        };
        NodeAttr {
            node: number,
            ino: stat.stx_ino,
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            accessed: time(stat.stx_atime),
            modified: time(stat.stx_mtime),
            changed: time(stat.stx_ctime),
            mode: stat.stx_mode.into(),
            nlink: stat.stx_nlink,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            // The lower half is how the kernel packs it into 32 bits.
            device: rustix::fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor) as u32,
            block_size: stat.stx_blksize,
            valid: self.options.valid,
            entry_valid: self.options.valid,
        }
    }

    /// Opens what a node is once more.
    pub(super) fn reopen(&self, node: impl AsFd, flags: OFlags) -> Result<OwnedFd, Errno> {
        let number = DecInt::from_fd(node);
        rustix::fs::openat(&self.proc, number, flags | OFlags::CLOEXEC, Mode::empty())
    }

    pub(super) fn set_mode(&self, node: impl AsFd, mode: u32) -> Result<(), Errno> {
        let number = DecInt::from_fd(node);
        let mode = Mode::from_raw_mode(mode);
        rustix::fs::chmodat(&self.proc, number, mode, AtFlags::empty())
    }

    /// Takes off what a file may not keep when somebody writes to it who has no say in that.
    pub(super) fn kill_privileges(&self, node: &Node) -> Result<(), Errno> {
        match without_privileges(stat(node)?.stx_mode.into()) {
            Some(mode) => self.set_mode(node, mode),
            None => Ok(()),
        }
    }
}

/// The same for a file that is open.
pub(super) fn kill_privileges(file: impl AsFd) -> Result<(), Errno> {
    let file = file.as_fd();
    match without_privileges(stat(file)?.stx_mode.into()) {
        Some(mode) => rustix::fs::fchmod(file, Mode::from_raw_mode(mode)),
        None => Ok(()),
    }
}

fn time_to_set(time: Option<SetTime>) -> Timespec {
    let (tv_sec, tv_nsec) = match time {
        None => (0, rustix::fs::UTIME_OMIT),
        Some(SetTime::Now) => (0, rustix::fs::UTIME_NOW),
        Some(SetTime::At(at)) => (at.seconds, at.nanos.into()),
    };
    Timespec { tv_sec, tv_nsec }
}
