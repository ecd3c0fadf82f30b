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
        let piece = self.piece(offset, size)?;
        let (first, len) = piece.pages();
        let mut resident = [0u8; MOST];
        let resident = resident.get_mut(..len / PAGE)?;
        // SAFETY: whole pages of the mapping; the call writes a byte for each into `resident`, which has as many.
        if unsafe { libc::mincore(first, len, resident.as_mut_ptr()) } != 0 {
            return None;
        }
        resident.iter().all(|page| page & 1 != 0).then_some(piece)
    }

    /// The same, by a look at the first and the last page alone: for a megabyte to look at all of them costs an eighth of
    /// what to answer it does. To take those between may wait for the disk; where one has never been written, and the file
    /// lies in memory, it takes room there.
    pub(crate) fn ends_here(&self, offset: u64, size: usize) -> Option<Piece> {
        let piece = self.piece(offset, size)?;
        let last = size.checked_sub(1)?;
        (self.here(offset, 1).is_some() && self.here(offset + last as u64, 1).is_some()).then_some(piece)
    }

    fn piece(&self, offset: u64, size: usize) -> Option<Piece> {
        let offset = usize::try_from(offset).ok()?;
        offset.checked_add(size).filter(|end| *end <= self.len)?;
        // SAFETY: it is inside the mapping, or just behind it if `size` is 0.
        let start = unsafe { self.start.as_ptr().byte_add(offset) };
        Some(Piece { start, len: size })
    }
}

impl Piece {
    /// Has the kernel enter these pages into the address space, before they are needed (Linux 5.14; else nothing is done). They
    /// should be in memory, or it waits for the disk.
    pub(crate) fn map_pages(self) {
        let (first, len) = self.pages();
        // SAFETY: whole pages of a mapping, which it only fills. What lies behind the end of the file is an error.
        unsafe { libc::madvise(first, len, libc::MADV_POPULATE_READ) };
    }

    /// From which page on, and how many bytes of whole pages.
    fn pages(self) -> (*mut libc::c_void, usize) {
        let before = self.start.addr() % PAGE;
        let len = (before + self.len).next_multiple_of(PAGE);
        (self.start.wrapping_byte_sub(before).cast_mut(), len)
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
