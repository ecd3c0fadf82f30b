//! Who reaps a ring: a task of the runtime that waits for its reads.

use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, Weak};

use tokio::io::unix::AsyncFd;

use super::Shared;
use super::ring::Ring;

/// The task that reaps a ring for its runtime.
pub(super) struct Driver {
    pub(super) ring: Arc<Ring>,
    pub(super) set: Weak<Shared>,
}

impl Driver {
    pub(super) async fn run(self, event: AsyncFd<OwnedFd>) {
        while !self.ring.is_over() {
            match event.readable().await {
                // The event is never read: each ring of the bell is an edge of its own.
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => return,
            }
            self.ring.reap();
            self.ring.tell();
            // What the kernel has kept for want of room in the ring it gives only when it is called, and without
            // ringing the bell.
            if self.ring.overflown() {
                // If it fails, the next round does it.
                let _ = self.ring.call();
                self.ring.nudge();
            }
        }
    }
}

impl Drop for Driver {
    /// The runtime ends, or the disk is not used any more.
    fn drop(&mut self) {
        self.ring.close();
        if let Some(set) = self.set.upgrade() {
            let mut rings = set.of_runtimes.write().unwrap_or_else(PoisonError::into_inner);
            rings.retain(|(_, ring)| ring.as_ref().is_none_or(|ring| !Arc::ptr_eq(ring, &self.ring)));
        }
        if self.ring.has_reads() {
            let ring = self.ring.clone();
            let reaper = std::thread::Builder::new()
                .name("forebay-ring".to_owned())
                .spawn(move || ring.reap_until_closed());
            if let Err(error) = reaper {
                tracing::warn!(%error, "reads are left to the kernel");
                // Its memory must outlive them.
                std::mem::forget(self.ring.clone());
            }
        }
    }
}
