//! How a process uses a log.

use std::path::PathBuf;
use std::time::Duration;

use forebay_types::ByteSize;
use serde::{Deserialize, Serialize};

use crate::batch::Caps;

/// Settings of a reading process, by the names that the plan of the read path gave them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadConfig {
    /// Where segments are kept on the local disk. Owned by the user alone, never in a shared temporary directory.
    pub cache_dir: PathBuf,
    /// Bytes that they may take there.
    pub cache_max_size: u64,
    /// Whether what follows is fetched before it is asked for.
    pub prefetch_enabled: bool,
    /// Records of one poll, where its caller does not say.
    pub fetch_size: usize,
}

impl Default for ReadConfig {
    /// `~/.cache/forebay` (or where `XDG_CACHE_HOME` says), 1 GiB, on, 1,000.
    fn default() -> Self {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
            .unwrap_or_else(|| PathBuf::from(".cache"));
        Self {
            cache_dir: cache.join("forebay"),
            cache_max_size: ByteSize::gib(1).bytes(),
            prefetch_enabled: true,
            fetch_size: 1000,
        }
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
            prefetch_enabled: true,
            fetch_size: 1000,
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
