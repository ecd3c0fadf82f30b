//! What a read took.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

/// Figures of one read, or of an engine since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RangeStats {
    /// Bytes handed to the reader.
    pub bytes_downloaded: u64,
    /// Bytes that came from the source, those dropped on the way included.
    pub bytes_fetched: u64,
    /// Parts completed.
    pub ranges_processed: u64,
    /// Requests sent: parts, retries and hedges.
    pub requests: u64,
    /// Requests sent again after a failure.
    pub retries: u64,
    /// Second requests sent because the first was late.
    pub hedges: u64,
    /// Answers that asked us to send less.
    pub throttles: u64,
    /// Time from the start of the read to its last byte; of an engine, since it was made.
    pub elapsed: Duration,
}

impl RangeStats {
    /// 10^6 bytes a second.
    pub fn throughput_mbps(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            self.bytes_downloaded as f64 / 1e6 / seconds
        } else {
            0.0
        }
    }

    /// Bytes fetched for each byte served: 1.0 is perfect.
    pub fn amplification(&self) -> f64 {
        if self.bytes_downloaded > 0 {
            self.bytes_fetched as f64 / self.bytes_downloaded as f64
        } else {
            1.0
        }
    }
}

/// The counters behind [`RangeStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) downloaded: AtomicU64,
    pub(crate) fetched: AtomicU64,
    pub(crate) ranges: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) hedges: AtomicU64,
    pub(crate) throttles: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self, elapsed: Duration) -> RangeStats {
        RangeStats {
            bytes_downloaded: self.downloaded.load(Relaxed),
            bytes_fetched: self.fetched.load(Relaxed),
            ranges_processed: self.ranges.load(Relaxed),
            requests: self.requests.load(Relaxed),
            retries: self.retries.load(Relaxed),
            hedges: self.hedges.load(Relaxed),
            throttles: self.throttles.load(Relaxed),
            elapsed,
        }
    }
}
