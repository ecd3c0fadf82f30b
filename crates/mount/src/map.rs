//! A file of the page cache that is answered from where it lies, without a copy of ours in between.
//!
//! The mapping is never looked at by this program: only its addresses are given to the kernel, which reads them when it
//! takes an answer. Where a file was cut short meanwhile, or its disk fails, that answer is EFAULT and not a signal.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A file in the address space.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<libc::c_void>,
    len: usize,
}

// SAFETY: it is an address range that is only given to the kernel, by which thread makes no difference.
unsafe impl Send for Map {}
// SAFETY: as above; nothing in it changes.
unsafe impl Sync for Map {}

/// A piece of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) start: *const libc::c_void,
    pub(crate) len: usize,
}

/// What the kernel keeps memory in.
const PAGE: usize = 4096;

/// Smaller files are copied: to map one costs as much as to read some.
const SMALL: usize = 1 << 20;

/// Pages of one read.
const MOST: usize = 256 + 1;

impl Map {
    /// All of a file, as long as it is now; `None` if it is too small to be worth it, or cannot be mapped.
    pub(crate) fn of(file: BorrowedFd<'_>) -> Option<Self> {
        let len = usize::try_from(rustix::fs::fstat(file).ok()?.st_size).ok()?;
        if len < SMALL {
            return None;
        }
        let (anywhere, flags) = (std::ptr::null_mut(), MapFlags::SHARED);
        // SAFETY: a new mapping of `len` bytes, read only, at an address of the kernel's choice.
        let start = unsafe { mmap(anywhere, len, ProtFlags::READ, flags, file, 0) };
        let start = NonNull::new(start.ok()?)?;
        Some(Self { start, len })
    }

    /// How long the file was.
    pub(crate) fn len(&self) -> u64 {
        self.len as u64
    }

    /// The `size` bytes from `offset` on. `None` if some are not in memory, where to take them would wait for the disk, or
    /// lie behind what was the end.
    pub(crate) fn here(&self, offset: u64, size: usize) -> Option<Piece> {
        let offset = usize::try_from(offset).ok()?;
        let end = offset.checked_add(size).filter(|end| *end <= self.len)?;
        let first = offset / PAGE * PAGE;
        let pages = end.div_ceil(PAGE) - first / PAGE;
        let mut resident = [0u8; MOST];
        let resident = resident.get_mut(..pages)?;
        // SAFETY: it is inside the mapping.
        let page = unsafe { self.start.as_ptr().byte_add(first) };
        // SAFETY: the call writes a byte for each page into `resident`, which has as many.
        if unsafe { libc::mincore(page, end - first, resident.as_mut_ptr()) } != 0 {
            return None;
        }
        if resident.iter().any(|page| page & 1 == 0) {
            return None;
        }
        // SAFETY: it is inside the mapping, or just behind it if `size` is 0.
        let start = unsafe { self.start.as_ptr().byte_add(offset) };
        Some(Piece { start, len: size })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: it was mapped in `of`, and nobody has an address in it any more: answers are sent when made.
        if let Err(error) = unsafe { munmap(self.start.as_ptr(), self.len) } {
            tracing::debug!(%error, "a mapping stays");
        }
    }
}
