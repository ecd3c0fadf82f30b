//! How one source is read in ranges.

use std::time::Duration;

use forebay_source::{DirectStoreOptions, Profile};
use forebay_types::ByteSize;

/// Settings of the range engine for one kind of source. The defaults come from the source's [`Profile`], where each
/// number has its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeEngineConfig {
    /// Bytes of one request. A last part between half of this and one and a half is not cut further.
    pub chunk_size: u64,
    /// Ranges of one read whose bytes flow at a time. A range that is nearly through lets the next one be asked for,
    /// so that its first byte comes when the last of this one has: requests in flight are a few more.
    pub max_concurrent_ranges: usize,
    /// Objects up to this size are one request.
    pub min_split_size: u64,
    /// Without a byte for this long a connection is given up and the part resumed on another. 10 s: S3 pauses of
    /// several seconds are seen, and cutting those would repeat work for nothing.
    pub stall_timeout: Duration,
    /// Failures in a row, without one new byte, before a part is given up.
    pub max_retries: u32,
    /// Pause before the first retry; doubles up to 5 s, with jitter. A server's Retry-After goes before.
    pub retry_pause: Duration,
    /// Whether a request whose first byte is late gets a second one beside it.
    pub hedge: bool,
    /// Whether the next part is asked for a first-byte time before this one ends.
    pub ask_early: bool,
    /// Whether what nobody waits for is asked for one range at a time, in the order of the object, beside those that
    /// somebody waits for. For sources that order their own work by what is asked of them.
    pub ahead_in_order: bool,
}

impl RangeEngineConfig {
    /// The defaults for a kind of source.
    pub fn for_profile(profile: &Profile) -> Self {
        Self {
            chunk_size: profile.chunk_size,
            max_concurrent_ranges: profile.max_concurrent_ranges,
            min_split_size: if profile.split {
                profile.min_split_size
            } else {
                u64::MAX
            },
            stall_timeout: Duration::from_secs(10),
            max_retries: 6,
            retry_pause: Duration::from_millis(100),
            // A local disk is late when it is busy: asking twice makes it busier.
            hedge: profile.cached,
            ask_early: profile.cached,
            ahead_in_order: false,
        }
    }
}

impl Default for RangeEngineConfig {
    fn default() -> Self {
        Self::for_profile(&Profile::REMOTE)
    }
}

/// How local files are read and written.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSystemConfig {
    /// Whether that goes past the page cache.
    pub direct_io: bool,
    /// What offsets, lengths and addresses of direct I/O are multiples of; `None` for what the kernel says of each file.
    pub alignment: Option<u64>,
    /// The least that one direct request to the disk brings.
    pub min_io_size: u64,
    /// Whether a put returns only when the disk has the bytes.
    pub sync_writes: bool,
    /// Whether large files are read in parallel ranges; off, each read is one stream.
    pub enable_range_engine: bool,
    /// How.
    pub range_engine: RangeEngineConfig,
}

impl Default for FileSystemConfig {
    /// Through the page cache, in one stream (docs/decisions/0004-file-defaults.md).
    fn default() -> Self {
        Self {
            direct_io: false,
            range_engine: RangeEngineConfig::for_profile(&Profile::FILE),
            ..Self::direct()
        }
    }
}

impl FileSystemConfig {
    /// Past the page cache.
    pub fn direct() -> Self {
        let store = DirectStoreOptions::default();
        Self {
            direct_io: store.direct_io,
            alignment: store.alignment,
            min_io_size: store.min_io_size,
            sync_writes: store.sync_writes,
            enable_range_engine: false,
            range_engine: RangeEngineConfig::for_profile(&Profile::DIRECT),
        }
    }

    /// Past the page cache, in parallel ranges, every put on the disk before it returns.
    pub fn high_performance() -> Self {
        Self {
            sync_writes: true,
            enable_range_engine: true,
            ..Self::direct()
        }
    }

    /// What the store is opened with.
    pub fn store(&self) -> DirectStoreOptions {
        DirectStoreOptions {
            direct_io: self.direct_io,
            alignment: self.alignment,
            min_io_size: self.min_io_size,
            sync_writes: self.sync_writes,
            create_root: false,
        }
    }

    /// What the engine works with: ranges as configured, or no splitting at all.
    pub fn effective(&self) -> RangeEngineConfig {
        if self.enable_range_engine {
            self.range_engine.clone()
        } else {
            RangeEngineConfig {
                min_split_size: u64::MAX,
                ..self.range_engine.clone()
            }
        }
    }
}

/// Longest pause between two attempts when the server does not say.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Smallest part that a reader without memory gets all the same, so that it always moves on: with 64 such readers
/// 64 MiB above the budget.
pub(crate) const OVERDRAFT: u64 = ByteSize::mib(1).bytes();
