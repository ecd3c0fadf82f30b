//! Buffers that are used again: fresh memory costs a page fault for each 4 KiB, and zeroing.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of one buffer: what is read from disk at a time.
pub(crate) const BUFFER: usize = 1024 * 1024;
/// Buffers kept.
const KEPT: usize = 16;

/// Buffers of [`BUFFER`] bytes each. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// One of them; goes back when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    home: Buffers,
}

impl Buffers {
    /// A buffer with `len` bytes of any content.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        let len = len.min(BUFFER);
        // Small reads by the thousand must not pin a megabyte each.
        let bytes = if len < BUFFER / 4 {
            vec![0; len]
        } else {
            self.lock().pop().unwrap_or_else(|| vec![0; BUFFER])
        };
        Buffer {
            bytes,
            used: len,
            home: self.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.used]
    }

    /// The first `len` bytes, without a copy.
    pub(crate) fn into_bytes(mut self, len: usize) -> Bytes {
        self.used = len;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() == BUFFER {
            let mut free = self.home.lock();
            if free.len() < KEPT {
                free.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}
