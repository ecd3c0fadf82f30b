//! How a process uses a log.

use std::path::PathBuf;
use std::time::Duration;

use forebay_cache::{CacheError, SegmentCache};
use forebay_types::ByteSize;
use serde::{Deserialize, Serialize};

use crate::batch::Caps;

/// Settings of a reading process, by the names that the plan of the read path gave them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadConfig {
    /// Where segments are kept on the local disk. Owned by the user alone, never in a shared temporary directory: there is
    /// no default.
    pub cache_dir: PathBuf,
    /// Bytes that they may take there.
    #[serde(default = "cache_max_size")]
    pub cache_max_size: u64,
    /// Whether what follows is fetched before it is asked for.
    #[serde(default = "prefetch_enabled")]
    pub prefetch_enabled: bool,
    /// Records of one poll, where its caller does not say.
    #[serde(default = "fetch_size")]
    pub fetch_size: usize,
}

/// 1 GiB.
fn cache_max_size() -> u64 {
    ByteSize::gib(1).bytes()
}

fn prefetch_enabled() -> bool {
    true
}

/// 1,000.
fn fetch_size() -> usize {
    1000
}

impl ReadConfig {
    /// A cache of 1 GiB in this directory, with read-ahead, and 1,000 records to a poll.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            cache_max_size: cache_max_size(),
            prefetch_enabled: prefetch_enabled(),
            fetch_size: fetch_size(),
        }
    }

    /// Opens the cache, or makes it.
    ///
    /// # Errors
    /// As [`SegmentCache::new`].
    pub fn open_cache(&self) -> Result<SegmentCache, CacheError> {
        SegmentCache::new(&self.cache_dir, self.cache_max_size)
    }
}

/// How a [`crate::Log`] reads.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Whether what follows is fetched before it is asked for.
    pub prefetch_enabled: bool,
    /// Records of one poll, where its caller does not say.
    pub fetch_size: usize,
    /// Bytes of decompressed batches that are kept for other readers of the same place, as far as the memory budget has
    /// room. 0 keeps none.
    pub decoded_cache: u64,
    /// How old the ends of a partition may be that a read goes by, while it is behind them. Who reaches the end always
    /// asks again.
    pub ends_max_age: Duration,
    /// What a batch may be.
    pub caps: Caps,
}

impl Default for LogOptions {
    /// 64 MiB of decompressed batches: some hundred of 1 MiB or less, more than the consumers of a process are apart when
    /// they follow each other. 100 ms: a catch-up of thousands of polls a second asks the metadata ten times.
    fn default() -> Self {
        Self {
            prefetch_enabled: prefetch_enabled(),
            fetch_size: fetch_size(),
            decoded_cache: ByteSize::mib(64).bytes(),
            ends_max_age: Duration::from_millis(100),
            caps: Caps::default(),
        }
    }
}

impl From<&ReadConfig> for LogOptions {
    fn from(config: &ReadConfig) -> Self {
        Self {
            prefetch_enabled: config.prefetch_enabled,
            fetch_size: config.fetch_size,
            ..Self::default()
        }
    }
}
