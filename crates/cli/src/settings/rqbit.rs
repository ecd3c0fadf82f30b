//! `[rqbit]`: torrents.

use std::time::Duration;

use forebay_range::RangeEngineConfig;
use forebay_source::{Profile, RqbitOptions};
use forebay_types::ByteSize;

/// What is left to a mount, and to the range engine, beyond the time that the store itself waits: who gives up first
/// should be the store, which knows why no byte came.
const BEYOND: Duration = Duration::from_secs(5);

/// `[rqbit]`. `None` is `readahead.readahead_size`.
#[derive(Clone, Debug)]
pub(crate) struct RqbitSettings {
    pub(crate) max_streams: usize,
    pub(crate) stream_idle: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) reach: Option<ByteSize>,
    pub(crate) believed: Duration,
    pub(crate) poll: Duration,
}

impl Default for RqbitSettings {
    fn default() -> Self {
        let options = RqbitOptions::default();
        Self {
            max_streams: options.max_streams,
            stream_idle: options.stream_idle,
            read_timeout: options.read_timeout,
            reach: None,
            believed: options.believed,
            poll: Duration::from_secs(5),
        }
    }
}

impl RqbitSettings {
    /// How torrents are read, where a reader in order may have `ahead` bytes ahead.
    pub(super) fn options(&self, ahead: ByteSize) -> RqbitOptions {
        RqbitOptions {
            max_streams: self.max_streams,
            stream_idle: self.stream_idle,
            read_timeout: self.read_timeout,
            reach: self.reach.unwrap_or(ahead).bytes(),
            believed: self.believed,
        }
    }

    /// How files of torrents are read in ranges. The store waits for missing pieces and for a client that is started
    /// anew, and knows when to give up: asking again, or twice, would only take more of the client's few streams.
    pub(super) fn range_config(&self, chunk_size: Option<ByteSize>, profile: &Profile) -> RangeEngineConfig {
        let base = RangeEngineConfig::for_profile(profile);
        RangeEngineConfig {
            chunk_size: chunk_size.map_or(base.chunk_size, ByteSize::bytes),
            // A place for a stream may have to be waited for before the first byte is.
            stall_timeout: self.read_timeout.saturating_mul(2).saturating_add(BEYOND),
            max_retries: 0,
            hedge: false,
            ask_early: false,
            // The client asks its peers first for what stands behind the places of all its streams.
            ahead_in_order: true,
            ..base
        }
    }

    /// How long a program waits for bytes of a mount, where it would wait for `usual` of another source.
    pub(super) fn mount_timeout(&self, usual: Duration) -> Duration {
        usual.max(self.read_timeout.saturating_add(BEYOND))
    }

    /// How often a mount asks which torrents there are; `None` for never.
    pub(crate) fn poll(&self) -> Option<Duration> {
        Some(self.poll).filter(|poll| !poll.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_gives_up_first() {
        for seconds in [1, 30, 3600] {
            let settings = RqbitSettings {
                read_timeout: Duration::from_secs(seconds),
                ..RqbitSettings::default()
            };
            let config = settings.range_config(None, &Profile::TORRENT);
            assert_eq!(config.stall_timeout, Duration::from_secs(2 * seconds + 5));
            assert_eq!(
                (
                    config.max_retries,
                    config.hedge,
                    config.ask_early,
                    config.ahead_in_order
                ),
                (0, false, false, true)
            );
            let usual = Duration::from_secs(30);
            let mount = settings.mount_timeout(usual);
            assert!(mount >= usual && mount > settings.read_timeout, "{mount:?}");
        }
    }

    #[test]
    fn parts_are_as_long_as_is_set() {
        let settings = RqbitSettings::default();
        let usual = settings.range_config(None, &Profile::TORRENT);
        assert_eq!(usual.chunk_size, Profile::TORRENT.chunk_size);
        assert_eq!(
            usual.max_concurrent_ranges,
            Profile::TORRENT.max_concurrent_ranges
        );
        let small = settings.range_config(Some(ByteSize::mib(1)), &Profile::TORRENT);
        assert_eq!(small.chunk_size, 1 << 20);
    }

    #[test]
    fn reach_is_what_is_read_ahead_unless_it_is_set() {
        let mut settings = RqbitSettings::default();
        assert_eq!(settings.options(ByteSize::mib(7)).reach, 7 << 20);
        settings.reach = Some(ByteSize(0));
        assert_eq!(settings.options(ByteSize::mib(7)).reach, 0);
        assert_eq!(settings.poll(), Some(Duration::from_secs(5)));
        settings.poll = Duration::ZERO;
        assert_eq!(settings.poll(), None);
    }
}
