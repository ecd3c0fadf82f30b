//! How much one run may have ahead: small at first, grown by starvation, halved by lack of memory.

use crate::config::{FIRST_WINDOW, ReadAheadConfig};

/// The window of one run.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    size: u64,
    /// It is never halved below this.
    floor: u64,
    /// Bytes that the reader must use before the window grows again: what was ahead at the last change. While the
    /// bytes asked for by the old window are still being read, starving says nothing about the new one: eight reads
    /// that wait for the same request would grow it eight times.
    settle: u64,
}

impl Window {
    /// The first window of a run whose reads are `len` bytes long.
    pub(crate) fn first(config: &ReadAheadConfig, len: u64) -> Self {
        let size = config.first_window(len);
        Self {
            size,
            floor: size,
            settle: 0,
        }
    }

    /// The window of a reader who said that it reads in order: nothing has to be found out, memory alone bounds it. Halved
    /// to one request of the source at least.
    pub(crate) fn declared(config: &ReadAheadConfig) -> Self {
        Self {
            size: config.cap(),
            floor: config.unit.max(FIRST_WINDOW).min(config.cap()),
            settle: 0,
        }
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The reader used `bytes` that had been asked for ahead.
    pub(crate) fn used(&mut self, bytes: u64) {
        self.settle = self.settle.saturating_sub(bytes);
    }

    /// The reader starves on bytes that had been asked for, `ahead` bytes are still to come. Whether it grew.
    pub(crate) fn starved(&mut self, config: &ReadAheadConfig, spare: u64, ahead: u64) -> bool {
        if self.settle > 0 {
            return false;
        }
        let next = config.next_window(self.size, spare);
        let grows = next > self.size;
        if grows {
            self.size = next;
            self.settle = ahead;
        }
        grows
    }

    /// Memory was refused, or evicted what had not been read. It may grow again once the smaller window was used up
    /// without another refusal. Whether it shrank.
    pub(crate) fn halve(&mut self) -> bool {
        let half = (self.size / 2).max(self.floor);
        let shrinks = half < self.size;
        self.size = half;
        self.settle = half;
        shrinks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn doubling() -> ReadAheadConfig {
        ReadAheadConfig {
            multiplier: 2.0,
            ..ReadAheadConfig::default()
        }
    }

    #[test]
    fn one_shortage_is_one_step() {
        let config = doubling();
        let mut window = Window::first(&config, MIB / 8);
        assert!(window.starved(&config, 0, MIB));
        assert!(
            !window.starved(&config, 0, MIB),
            "the first window is still being read"
        );
        window.used(MIB / 2);
        assert!(!window.starved(&config, 0, MIB));
        window.used(MIB / 2);
        assert!(window.starved(&config, 0, 2 * MIB));
        assert_eq!(window.size(), 4 * MIB);
    }

    #[test]
    fn halved_to_the_first_window_and_grown_again_after_use() {
        let config = doubling();
        let mut window = Window::first(&config, 2 * MIB);
        for _ in 0..2 {
            assert!(window.starved(&config, 0, 0));
        }
        assert_eq!(window.size(), 16 * MIB);
        assert!(window.halve() && window.halve());
        assert!(!window.halve(), "the floor");
        assert_eq!(window.size(), 4 * MIB);
        window.used(4 * MIB - 1);
        assert!(!window.starved(&config, 0, 0));
        window.used(1);
        assert!(window.starved(&config, 0, 0));
        assert_eq!(window.size(), 8 * MIB);
    }

    #[test]
    fn a_declared_window_shrinks_to_one_request() {
        let config = ReadAheadConfig::default();
        let mut window = Window::declared(&config);
        assert_eq!(window.size(), 512 * MIB);
        while window.halve() {}
        assert_eq!(window.size(), 8 * MIB);
    }
}
