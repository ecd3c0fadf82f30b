//! Reads that were waited for in vain: the kernel asks for each of them twice.
//!
//! What it reads ahead and does not get, it asks for once more, page by page, before it tells the program. Who has waited
//! for as long as a read may take is not to wait for as long again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use forebay_types::ByteRange;
use rustix::io::Errno;

/// What fails sooner is asked for again: nobody waits for long, and it may work.
const LONG: Duration = Duration::from_secs(1);

/// The kernel asks again at once. Whoever else does so later waits anew.
const SOON: Duration = Duration::from_millis(500);

/// More than the kernel reads ahead of one reader at a time.
const KEPT: usize = 16;

/// Reads of an open file that failed just now.
#[derive(Debug, Default)]
pub(crate) struct Failed {
    /// Oldest first.
    recent: Mutex<Vec<Failure>>,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    range: ByteRange,
    errno: Errno,
    at: Duration,
}

impl Failed {
    /// A read that began at `begun` failed.
    pub(crate) fn note(&self, range: ByteRange, errno: Errno, begun: Duration, now: Duration) {
        if now.saturating_sub(begun) < LONG {
            return;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == KEPT {
            recent.remove(0);
        }
        recent.push(Failure {
            range,
            errno,
            at: now,
        });
    }

    /// What a read at `offset` ended in just now, if it did not end so a second time yet.
    pub(crate) fn again(&self, offset: u64, now: Duration) -> Option<Errno> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|failure| now.saturating_sub(failure.at) < SOON);
        let holds = |range: ByteRange| range.start() <= offset && offset < range.end();
        let place = recent.iter().position(|failure| holds(failure.range))?;
        Some(recent.remove(place).errno)
    }
}

#[cfg(test)]
mod tests;
