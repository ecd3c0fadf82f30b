//! A piece of aligned memory on loan.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;

use crate::pool::Shared;
use crate::slab::Memory;

/// Aligned memory of a [`crate::Pool`], one owner's alone; goes back when dropped. Its bytes are initialised.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u8>,
    len: usize,
    home: Home,
    pool: Arc<Shared>,
}

#[derive(Debug)]
enum Home {
    /// A piece of a slab.
    Slab { slab: u16, number: u16, piece: usize },
    /// Memory of its own.
    Apart { memory: Option<Memory> },
}

// SAFETY: it owns its bytes alone, as a `Vec<u8>` would; the pool that they go back to is `Sync`.
unsafe impl Send for Buffer {}
// SAFETY: a shared reference gives only shared access to the bytes.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(crate) fn pooled(
        start: NonNull<u8>,
        piece: usize,
        len: usize,
        slab: u16,
        number: u16,
        pool: Arc<Shared>,
    ) -> Self {
        Self {
            start,
            len,
            home: Home::Slab { slab, number, piece },
            pool,
        }
    }

    pub(crate) fn apart(memory: Memory, len: usize, pool: Arc<Shared>) -> Self {
        Self {
            start: memory.start(),
            len,
            home: Home::Apart { memory: Some(memory) },
            pool,
        }
    }

    /// The slab that it is a piece of, by number; the kernel may know that.
    #[cfg(target_os = "linux")]
    pub(crate) fn slab(&self) -> Option<u16> {
        match self.home {
            Home::Slab { slab, .. } => Some(slab),
            Home::Apart { .. } => None,
        }
    }

    /// Its bytes `range`, without a copy; they keep the whole buffer on loan.
    ///
    /// # Panics
    /// If the range is not in it.
    pub fn into_bytes(self, range: Range<usize>) -> Bytes {
        Bytes::from_owner(self).slice(range)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes that nobody else changes while this lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match &mut self.home {
            Home::Slab { slab, number, piece } => self.pool.give_back(*slab, *number, *piece),
            Home::Apart { memory } => {
                drop(memory.take());
                self.pool.freed(self.len);
            }
        }
    }
}
