//! Files: opened, read and written.

use std::fs::File;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use forebay_disk::sys::{read_at, write_some_at};
use forebay_vfs::Ino;
use rustix::fs::{FallocateFlags, OFlags, SeekFrom};
use rustix::io::Errno;

use super::Mirror;
use super::attr::kill_privileges;
use crate::abi::fopen;
use crate::device::Device;
use crate::options::IoMode;
use crate::passthrough::{Opened, Whole};
use crate::request::Write;
use crate::wire::Out;

/// A file that the kernel has open.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: Arc<File>,
    node: u64,
    /// Its backing file is held as long as the kernel may use it by itself.
    _opened: Opened,
}

/// What is said of a file that was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) handle: u64,
    flags: u32,
    backing: u32,
}

impl Answer {
    pub(super) fn put(&self, out: Out) -> Out {
        out.open(self.handle, self.flags, self.backing)
    }
}

/// How a file is opened below. O_APPEND stays above: the kernel says where bytes go, also those of mappings, which it writes
/// through any handle. So does O_DIRECT, for which our memory would not do.
pub(super) fn flags(above: u32) -> OFlags {
    let kept = OFlags::ACCMODE | OFlags::TRUNC | OFlags::DSYNC | OFlags::SYNC;
    (OFlags::from_bits_retain(above) & kept) | OFlags::CLOEXEC
}

/// A file that was there was cut to nothing, if so by somebody who may not keep its set-user-id bits.
pub(super) fn cut_by(opened: &OwnedFd, flags: u32, kill: bool) -> Result<(), Errno> {
    if kill && flags & libc::O_TRUNC as u32 != 0 {
        kill_privileges(opened)?;
    }
    Ok(())
}

impl Mirror {
    pub(super) fn open(
        &self,
        number: u64,
        flags_above: u32,
        kill: bool,
        device: &Arc<Device>,
    ) -> Result<Answer, Errno> {
        let node = self.nodes.get(number)?;
        let opened = self.reopen(&node, flags(flags_above))?;
        cut_by(&opened, flags_above, kill)?;
        Ok(self.opened(number, opened, device))
    }

    pub(super) fn opened(&self, node: u64, fd: OwnedFd, device: &Arc<Device>) -> Answer {
        let file = Arc::new(File::from(fd));
        let mut whole = Some(Whole::File(file.clone()));
        let liked = self.options.mount.io;
        let opened = self.passthrough.open(Ino(node), device, &mut whole, liked);
        let kept = if self.options.keep_pages {
            fopen::KEEP_CACHE
        } else {
            0
        };
        let (flags, backing) = match &opened {
            Opened::Backed(backing) => (fopen::PASSTHROUGH, backing.id),
            Opened::Served(IoMode::Direct) => (kept | fopen::DIRECT_IO, 0),
            Opened::Served(IoMode::Pages) => (kept, 0),
        };
        let handle = self.files.insert(Arc::new(OpenFile {
            file,
            node,
            _opened: opened,
        }));
        Answer {
            handle,
            flags,
            backing,
        }
    }

    pub(super) fn close(&self, handle: u64) {
        if let Some(file) = self.files.remove(handle) {
            self.passthrough.release(Ino(file.node));
        }
    }

    /// Reads to the end of `scratch` or of `size` or of the file.
    pub(super) fn read(
        &self,
        handle: u64,
        offset: u64,
        size: u32,
        scratch: &mut [u8],
    ) -> Result<usize, Errno> {
        let open = self.file(handle)?;
        let size = (size as usize).min(scratch.len());
        read_at(&open.file, &mut scratch[..size], offset)
    }

    pub(super) fn write(&self, write: &Write<'_>) -> Result<Out, Errno> {
        let open = self.file(write.handle)?;
        if write.kill_privileges {
            kill_privileges(&open.file)?;
        }
        let done = write_some_at(&open.file, write.data, write.offset)?;
        Ok(Out::default().written(done as u32))
    }

    /// What closing a descriptor of it would say.
    pub(super) fn flush(&self, handle: u64) -> Result<Out, Errno> {
        let open = self.file(handle)?;
        let copy = rustix::io::fcntl_dupfd_cloexec(&open.file, 0)?;
        // SAFETY: the descriptor is ours alone, and given up here.
        if unsafe { libc::close(copy.into_raw_fd()) } != 0 {
            return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
        }
        Ok(Out::default())
    }

    pub(super) fn sync(&self, handle: u64, data_only: bool) -> Result<Out, Errno> {
        let open = self.file(handle)?;
        synced(&open.file, data_only)
    }

    pub(super) fn seek(&self, handle: u64, offset: u64, whence: u32) -> Result<Out, Errno> {
        let open = self.file(handle)?;
        let to = match i32::try_from(whence) {
            Ok(libc::SEEK_DATA) => SeekFrom::Data(offset),
            Ok(libc::SEEK_HOLE) => SeekFrom::Hole(offset),
            // The kernel answers the others itself.
            _ => return Err(Errno::INVAL),
        };
        // Where it leaves the descriptor is of no account: all reads and writes say where.
        Ok(Out::default().u64(rustix::fs::seek(&open.file, to)?))
    }

    pub(super) fn allocate(&self, handle: u64, offset: u64, len: u64, mode: u32) -> Result<Out, Errno> {
        let open = self.file(handle)?;
        rustix::fs::fallocate(&open.file, FallocateFlags::from_bits_retain(mode), offset, len)?;
        Ok(Out::default())
    }

    /// Copies from one handle and place to another, as much as comes at once.
    pub(super) fn copy(
        &self,
        (from, mut from_offset): (u64, u64),
        (to, mut to_offset): (u64, u64),
        len: u64,
        wide: bool,
    ) -> Result<Out, Errno> {
        let (from, to) = (self.file(from)?, self.file(to)?);
        // As much as a narrow answer can tell.
        let most = if wide { u64::MAX } else { 1 << 31 };
        let len = usize::try_from(len.min(most)).unwrap_or(usize::MAX);
        let copied = rustix::fs::copy_file_range(
            &from.file,
            Some(&mut from_offset),
            &to.file,
            Some(&mut to_offset),
            len,
        )?;
        Ok(if wide {
            Out::default().u64(copied as u64)
        } else {
            Out::default().written(copied as u32)
        })
    }

    fn file(&self, handle: u64) -> Result<Arc<OpenFile>, Errno> {
        self.files.get(handle).ok_or(Errno::BADF)
    }
}

/// Has the disk take what was written.
pub(super) fn synced(file: impl AsFd, data_only: bool) -> Result<Out, Errno> {
    if data_only {
        rustix::fs::fdatasync(file)?;
    } else {
        rustix::fs::fsync(file)?;
    }
    Ok(Out::default())
}
