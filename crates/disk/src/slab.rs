//! The unit that memory comes in: two huge pages, cut into equal pieces or whole.

use std::alloc::Layout;
use std::ptr::NonNull;

use crate::pool::SLAB;

/// 2 MiB, on every machine that this runs fast on. Memory in pages of this size reaches the disk's ceiling
/// (3.2-3.5 GB/s here); in pages of 4 KiB a request has so many pieces that it halves (1.1-1.6).
const HUGE_PAGE: usize = 2 << 20;

/// Aligned memory, freed with the layout that it was made with. Its bytes are initialised.
#[derive(Debug)]
pub(crate) struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns its bytes alone; who gets at them is settled by whoever holds it.
unsafe impl Send for Memory {}
// SAFETY: as above; nothing in it changes through a shared reference.
unsafe impl Sync for Memory {}

impl Memory {
    /// `len` bytes whose address is a multiple of `align`, a power of two; in huge pages from 2 MiB on.
    ///
    /// # Errors
    /// If there is no memory, or sizes are beyond reason.
    pub(crate) fn new(len: usize, align: usize) -> std::io::Result<Self> {
        let align = if len >= HUGE_PAGE {
            align.max(HUGE_PAGE)
        } else {
            align
        };
        let refused = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        let layout = Layout::from_size_align(len.max(1), align).map_err(|_| refused())?;
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { std::alloc::alloc(layout) }).ok_or_else(refused)?;
        let memory = Self { start, layout };
        if len >= HUGE_PAGE {
            memory.advise_huge();
        }
        // Only now is it touched: the advice decides which pages the kernel takes.
        // SAFETY: these are `len` bytes of ours.
        unsafe { start.as_ptr().write_bytes(0, layout.size()) };
        Ok(memory)
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    #[cfg(target_os = "linux")]
    fn advise_huge(&self) {
        use rustix::mm::{Advice, madvise};
        let whole_pages = self.layout.size() / HUGE_PAGE * HUGE_PAGE;
        // SAFETY: the range is memory of ours, aligned to its pages, and this advice changes no bytes.
        let advised = unsafe { madvise(self.start.as_ptr().cast(), whole_pages, Advice::LinuxHugepage) };
        if let Err(errno) = advised {
            tracing::debug!(%errno, "no huge pages: the disk is slower");
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn advise_huge(&self) {}
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: made by `alloc` with this layout, and freed once.
        unsafe { std::alloc::dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// A slab of a pool: kept until the pool goes, since the kernel knows it by its number.
#[derive(Debug)]
pub(crate) struct Slab {
    memory: Memory,
    /// Bytes of a piece; 0 while it is whole and free.
    piece: usize,
    /// Pieces that came back.
    free: Vec<u16>,
    /// Pieces that were never handed out begin here.
    fresh: u16,
    used: u16,
}

impl Slab {
    pub(crate) fn new(memory: Memory) -> Self {
        Self {
            memory,
            piece: 0,
            free: Vec::new(),
            fresh: 0,
            used: 0,
        }
    }

    pub(crate) fn is_free(&self) -> bool {
        self.piece == 0
    }

    /// Cuts a free slab into pieces.
    pub(crate) fn cut(&mut self, piece: usize) {
        debug_assert!(self.is_free() && SLAB.is_multiple_of(piece) && piece > 0);
        self.piece = piece;
        self.fresh = 0;
        self.free.clear();
    }

    /// Takes a piece, if one is left: its number and where it is.
    pub(crate) fn take(&mut self) -> Option<(u16, NonNull<u8>)> {
        let number = match self.free.pop() {
            Some(number) => number,
            None if usize::from(self.fresh) < SLAB / self.piece => {
                self.fresh += 1;
                self.fresh - 1
            }
            None => return None,
        };
        self.used += 1;
        // SAFETY: pieces with these numbers lie in the slab.
        let start = unsafe { self.memory.start().add(usize::from(number) * self.piece) };
        Some((number, start))
    }

    /// Takes a piece back. Whether the slab is whole again.
    pub(crate) fn give_back(&mut self, number: u16) -> bool {
        self.free.push(number);
        self.used -= 1;
        if self.used == 0 {
            self.piece = 0;
        }
        self.used == 0
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() || usize::from(self.fresh) < SLAB / self.piece.max(1)
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.memory.start()
    }

    /// Pieces in use, pieces left, and how large they are.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let fresh = (SLAB / self.piece.max(1)).saturating_sub(usize::from(self.fresh));
        (usize::from(self.used), self.free.len() + fresh, self.piece)
    }
}
