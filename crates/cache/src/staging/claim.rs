//! Who fetches a fill.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use forebay_types::ByteRange;

use super::{Hold, Staging};

/// The task to fetch one part, and nobody else has it. Dropped before all bytes came, it wakes those who wait, so that
/// one of them claims the rest.
#[derive(Debug)]
pub struct Claim<H: Hold, E: Clone> {
    staging: Staging<H, E>,
    id: u64,
    range: ByteRange,
    closed: AtomicBool,
}

impl<H: Hold, E: Clone> Claim<H, E> {
    pub(super) fn new(staging: Staging<H, E>, id: u64, range: ByteRange) -> Self {
        Self {
            staging,
            id,
            range,
            closed: AtomicBool::new(false),
        }
    }

    /// Its name in the table.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What is to be fetched.
    pub fn range(&self) -> ByteRange {
        self.range
    }

    /// The next bytes are here.
    pub fn arrived(&self, chunk: Bytes) {
        let woken = self.staging.lock().arrive(self.id, chunk);
        for waker in woken {
            waker.wake();
        }
    }

    /// The bytes up to `end`, from the last such call on, go to disk now: [`Staging::settled`] will tell what became of
    /// them. To be called before they are given away.
    pub fn landing(&self, end: u64) {
        self.staging.lock().landing(self.id, end);
    }

    /// The table it belongs to.
    pub fn staging(&self) -> &Staging<H, E> {
        &self.staging
    }

    /// All bytes came.
    pub fn complete(&self) {
        self.close(None);
    }

    /// No more will come, and that is why.
    pub fn fail(&self, error: E) {
        self.close(Some(error));
    }

    fn close(&self, error: Option<E>) {
        if self.closed.swap(true, Relaxed) {
            return;
        }
        let woken = self.staging.lock().close(self.id, error);
        for waker in woken {
            waker.wake();
        }
    }
}

impl<H: Hold, E: Clone> Drop for Claim<H, E> {
    fn drop(&mut self) {
        self.close(None);
    }
}
