//! Directories.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

use super::Mirror;
use super::file::synced;
use crate::reply::{ENTRY_OUT, dirent_len};
use crate::wire::Out;

/// A directory that the kernel has open.
#[derive(Debug)]
pub(super) struct OpenDir {
    node: u64,
    fd: OwnedFd,
    /// Where the descriptor is; `None` if it is past what was told.
    at: Mutex<Option<u64>>,
}

/// The longest name of Linux.
const LONGEST: usize = 255;

impl Mirror {
    pub(super) fn open_dir(&self, number: u64) -> Result<u64, Errno> {
        let node = self.nodes.get(number)?;
        let fd = self.reopen(&node, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(self.dirs.insert(Arc::new(OpenDir {
            node: number,
            fd,
            at: Mutex::new(Some(0)),
        })))
    }

    /// Names from the place `offset` on, as many as fit into `size` bytes, and the nodes that the kernel gets a reference to.
    pub(super) fn read_dir(
        &self,
        handle: u64,
        offset: u64,
        size: usize,
        plus: bool,
    ) -> Result<(Out, Vec<u64>), Errno> {
        let dir = self.dirs.get(handle).ok_or(Errno::BADF)?;
        let mut at = dir.at.lock().unwrap_or_else(PoisonError::into_inner);
        if *at != Some(offset) {
            rustix::fs::seek(&dir.fd, SeekFrom::Start(offset))?;
        }
        *at = None;
        let extra = if plus { ENTRY_OUT } else { 0 };
        let mut out = Out(Vec::with_capacity(size));
        let mut referred = Vec::new();
        let mut next = offset;
        // About as many as there is room for: what is asked for and not told is asked for again.
        let share = if plus { size / 4 } else { size };
        let mut buffer = Vec::<u8>::with_capacity(share.clamp(1 << 10, 32 << 10));
        let mut names = RawDir::new(&dir.fd, buffer.spare_capacity_mut());
        loop {
            if names.is_buffer_empty() && out.0.len() + extra + dirent_len(LONGEST) > size {
                *at = Some(next);
                break;
            }
            let entry = match names.next() {
                None => {
                    *at = Some(next);
                    break;
                }
                // What was found before is told first.
                Some(Err(_)) if !out.0.is_empty() => break,
                Some(entry) => entry?,
            };
            let name = entry.file_name().to_bytes();
            if out.0.len() + extra + dirent_len(name.len()) > size {
                break;
            }
            if plus {
                // Without a node: the kernel knows these two. Nor need it hear of what is gone since.
                let found = match name {
                    b"." | b".." => None,
                    name => self.lookup(dir.node, OsStr::from_bytes(name)).ok(),
                };
                out = match found {
                    Some(attr) => {
                        referred.push(attr.node);
                        out.entry(&attr)
                    }
                    None => out.zeros(ENTRY_OUT),
                };
            }
            next = entry.next_entry_cookie();
            out = out.dirent(entry.ino(), next, kind(entry.file_type()), name);
        }
        Ok((out, referred))
    }

    pub(super) fn sync_dir(&self, handle: u64, data_only: bool) -> Result<Out, Errno> {
        let dir = self.dirs.get(handle).ok_or(Errno::BADF)?;
        synced(&dir.fd, data_only)
    }
}

/// As `d_type` has it: the four bits of the mode.
fn kind(kind: FileType) -> u32 {
    match kind {
        FileType::Unknown => 0,
        kind => kind.as_raw_mode() >> 12,
    }
}
