//! What a user may set about read-ahead, and the arithmetic of window sizes that follows from it.

use forebay_types::{BLOCK, ByteSize};

use crate::extension::ByExtension;

/// The smallest first window. One request costs a round trip of about 30 ms, in which a connection moves 2.7 MB:
/// to ask for less than this saves nothing.
pub(crate) const FIRST_WINDOW: u64 = ByteSize::mib(1).bytes();

/// Requests that the growth of a window is cut into.
const AT_ONCE: u64 = 4;

/// Settings of one [`ReadAhead`](crate::ReadAhead). The crate's page says how they act together.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadAheadConfig {
    /// Whether anything is asked for ahead (setting `prefetch_enabled`).
    pub enabled: bool,
    /// What a window may grow to in any case, in bytes (setting `readahead_size`). 0: nothing is asked for ahead.
    pub size: u64,
    /// The first window is this many times the read; a window grows by this factor when the reader starves
    /// (setting `prefetch_multiplier`). 1.0 or less: windows never grow beyond the first.
    pub multiplier: f64,
    /// What a window may grow to while there is spare memory, and the bound for all runs of a handle together, in
    /// bytes (setting `readahead_max`). At least `size` in effect.
    pub max: u64,
    /// Bytes of one request of the source. Windows of at least two units end on multiples of it, so that a large
    /// window is not refilled by crumbs; smaller windows end on fractions of it.
    pub unit: u64,
}

impl Default for ReadAheadConfig {
    /// Eight times as large at each shortage: from 1 MiB to what a fast line needs in three steps of some 100 ms; in seven,
    /// by twice, a cold GiB takes a third longer (docs/decisions/0007). 32 MiB in any case: four requests of 8 MiB in
    /// flight. 512 MiB with spare memory: the 64 requests that the request gate allows at most.
    fn default() -> Self {
        Self {
            enabled: true,
            size: ByteSize::mib(32).bytes(),
            multiplier: 8.0,
            max: ByteSize::mib(512).bytes(),
            unit: ByteSize::mib(8).bytes(),
        }
    }
}

impl ReadAheadConfig {
    /// The same, with the `size` that the extension of `key` asks for; `max` is then at least that.
    pub fn for_key(&self, by: &ByExtension, key: &str) -> Self {
        let size = by.get(key).unwrap_or(self.size);
        Self {
            size,
            max: self.max.max(size),
            ..self.clone()
        }
    }

    /// The bound for all that a handle has asked for and not read.
    pub(crate) fn cap(&self) -> u64 {
        self.max.max(self.size)
    }

    /// The first window of a run whose reads are `len` bytes long.
    pub(crate) fn first_window(&self, len: u64) -> u64 {
        // The cast saturates, and turns what is not a number into 0.
        let wish = (len as f64 * self.multiplier) as u64;
        wish.max(FIRST_WINDOW).min(self.size)
    }

    /// The window after `window`, of a reader that starves while `spare` bytes of memory are free.
    pub(crate) fn next_window(&self, window: u64, spare: u64) -> u64 {
        if self.multiplier.is_nan() || self.multiplier <= 1.0 {
            return window;
        }
        let wish = (window as f64 * self.multiplier) as u64;
        let far = wish.min(self.cap()).max(window);
        if far - window <= spare {
            return far;
        }
        // As far as memory is to spare; less than a request more is not worth a change.
        let growth = spare / self.unit.max(1) * self.unit;
        far.min(self.size.max(window + growth)).max(window)
    }

    /// Where a window of this size may end: on multiples of what is returned. At most half the window, so that more
    /// than half of it is ahead after each refill.
    pub(crate) fn granule(&self, window: u64) -> u64 {
        let mut granule = self.unit;
        while granule > window / 2 {
            granule /= 2;
        }
        // Below a block of the cache, ends on round numbers save nothing.
        if granule < BLOCK { 1 } else { granule }
    }
}

/// How long the pieces are that `bytes` are asked for in, which a starving reader waits for: at most four and one, each worth
/// its round trip.
pub(crate) fn piece(bytes: u64) -> u64 {
    (bytes / AT_ONCE).next_multiple_of(BLOCK).max(FIRST_WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = ByteSize::mib(1).bytes();

    fn config(size: u64, multiplier: f64, max: u64) -> ReadAheadConfig {
        ReadAheadConfig {
            size: size * MIB,
            multiplier,
            max: max * MIB,
            ..ReadAheadConfig::default()
        }
    }

    #[test]
    fn the_first_window_is_a_multiple_of_the_read_within_bounds() {
        for (size, multiplier, read, window) in [
            (32, 2.0, MIB / 8, MIB),
            (32, 2.0, 4 * MIB, 8 * MIB),
            (32, 1.5, 4 * MIB, 6 * MIB),
            (32, 2.0, 20 * MIB, 32 * MIB),
            (32, 0.0, 4 * MIB, MIB),
            (32, -3.0, 4 * MIB, MIB),
            (32, f64::NAN, 4 * MIB, MIB),
            (32, f64::INFINITY, 1, 32 * MIB),
            (0, 2.0, 4 * MIB, 0),
        ] {
            assert_eq!(
                config(size, multiplier, 0).first_window(read),
                window,
                "{size} {multiplier} {read}"
            );
        }
    }

    #[test]
    fn a_window_grows_to_size_in_any_case_and_up_to_max_as_far_as_memory_is_to_spare() {
        for (multiplier, window, spare, next) in [
            (2.0, 1, 0, 2),
            (2.0, 20, 0, 32),
            (2.0, 20, 7, 32),
            (2.0, 20, 19, 36),
            (2.0, 20, 20, 40),
            (2.0, 32, 7, 32),
            (2.0, 32, 31, 56),
            (2.0, 32, 32, 64),
            (2.0, 80, 1000, 100),
            (2.0, 100, 1000, 100),
            (4.0, 4, 0, 16),
            (1.5, 4, 0, 6),
            (1.0, 4, 1000, 4),
            (0.5, 4, 1000, 4),
            (f64::NAN, 4, 1000, 4),
            (f64::INFINITY, 4, 1000, 100),
        ] {
            assert_eq!(
                config(32, multiplier, 100).next_window(window * MIB, spare * MIB),
                next * MIB,
                "{multiplier} {window} {spare}"
            );
        }
    }

    #[test]
    fn growth_is_cut_into_four_requests_worth_their_round_trip() {
        for (bytes, len) in [(1, 1), (8, 2), (24, 6), (128, 32)] {
            assert_eq!(piece(bytes * MIB), len * MIB, "{bytes}");
        }
        assert_eq!(piece(8 * MIB + 8) % BLOCK, 0);
        assert!(u64::MAX / piece(u64::MAX) <= 8);
    }

    #[test]
    fn large_windows_end_on_units_and_small_ones_on_fractions() {
        for (window, granule) in [(32, 8), (16, 8), (15, 4), (8, 4), (2, 1)] {
            assert_eq!(
                config(32, 2.0, 32).granule(window * MIB),
                granule * MIB,
                "{window}"
            );
        }
        assert_eq!(config(32, 2.0, 32).granule(MIB), MIB / 2);
        assert_eq!(config(32, 2.0, 32).granule(1000), 1);
        assert_eq!(config(32, 2.0, 32).granule(0), 1);
    }
}
