//! What a user may set, and why the defaults are what they are.

use std::path::PathBuf;

/// How a [`crate::Cache`] is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// Where the files are. Made if it is not there; must belong to the caller.
    pub dir: PathBuf,
    /// Bytes that the whole directory may take, whichever processes use it.
    pub max_size: u64,
    /// Which bytes count.
    pub accounting: Accounting,
    /// How large fills reach the disk.
    pub write: WriteMode,
    /// Checks the blocks of sealed objects too, once per process. Off by default: a seal says that the file was synced
    /// and every block was checked before; [`crate::Cache::verify`] is for disks that are not trusted.
    pub verify_sealed: bool,
    /// Objects that stay open (two descriptors each) and remembered after their last use.
    pub max_open: usize,
    /// Bytes that may wait for the disk before [`crate::CachedObject::store`] refuses impatient fills.
    pub write_behind: u64,
    /// Bytes of the file system that must stay free; 0: it may be filled until it says no.
    pub keep_free: u64,
}

/// 256 objects are at most 512 descriptors: half of the usual soft limit of 1,024.
const MAX_OPEN: usize = 256;

/// 128 MiB: less than 0.1 s at the 2.5 GB/s that O_DIRECT reaches, and bounded when the disk stands still.
const WRITE_BEHIND: u64 = 128 << 20;

/// 256 MiB: a file system that is full to the last byte fails others, and slows itself down.
const KEEP_FREE: u64 = 256 << 20;

impl CacheOptions {
    /// A cache in `dir` of at most `max_size` bytes on disk; the rest by default.
    pub fn new(dir: impl Into<PathBuf>, max_size: u64) -> Self {
        Self {
            dir: dir.into(),
            max_size,
            accounting: Accounting::Disk,
            write: WriteMode::Auto,
            verify_sealed: false,
            max_open: MAX_OPEN,
            write_behind: WRITE_BEHIND,
            keep_free: KEEP_FREE,
        }
    }
}

/// Which bytes count against the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounting {
    /// Blocks that the file system gave out, maps included: what `du` says. A scan needs no file to be opened.
    Disk,
    /// Bytes of objects that are there, nothing else: what a caller of `put` counts. A scan reads every map.
    Content,
}

/// How large fills reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// O_DIRECT from 256 KiB on, where the file system permits it.
    Auto,
    /// O_DIRECT for all whole 4 KiB pages of files that are not tiny, where the file system permits it.
    Direct,
    /// Through the page cache: what is written is in memory for the next reader, for three to ten times the CPU.
    Buffered,
}
