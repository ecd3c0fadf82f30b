//! How one source is read in ranges.

use std::time::Duration;

use forebay_source::Profile;
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
    /// Whether a put returns only when the disk has the bytes.
    pub sync_writes: bool,
    /// Whether large files are read in parallel ranges; off, each read is one stream.
    pub enable_range_engine: bool,
    /// How.
    pub range_engine: RangeEngineConfig,
}

impl Default for FileSystemConfig {
    fn default() -> Self {
        Self {
            sync_writes: false,
            enable_range_engine: true,
            range_engine: RangeEngineConfig::for_profile(&Profile::FILE),
        }
    }
}

impl FileSystemConfig {
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
