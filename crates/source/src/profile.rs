//! How a kind of store likes to be read.

use forebay_types::ByteSize;

/// Facts about a store that the range engine plans with. The defaults stand here with their reasons; a user
/// changes them in `[range]` of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Bytes of one request.
    pub chunk_size: u64,
    /// Objects up to this size are one request.
    pub min_split_size: u64,
    /// Requests of one reader at a time.
    pub max_concurrent_ranges: usize,
    /// Whether splitting can help at all.
    pub split: bool,
    /// Whether the cache stage should keep what is read: local files are in the page cache already.
    pub cached: bool,
}

impl Profile {
    /// S3, GCS, Azure and plain HTTP. 8 MiB: at 30 ms to the first byte and 90 MB/s per connection a request of
    /// this size moves bytes for 93 of its 123 ms, and the engine hides most of the rest by asking for the next
    /// part early; larger parts would only need more memory. 12 MiB unsplit, so that no second request is
    /// smaller than 4 MiB. 16 connections give 1.4 GB/s at S3's rate, more than most machines' network.
    pub const REMOTE: Self = Self {
        chunk_size: ByteSize::mib(8).bytes(),
        min_split_size: ByteSize::mib(12).bytes(),
        max_concurrent_ranges: 16,
        split: true,
        cached: true,
    };

    /// Local files. The first plan had 32 requests of 4 MiB for every file. Measured on a warm page cache
    /// (docs/benchmarks.md, files): one stream reads 18 GB/s, four ranges 23, 32 ranges 11 at twice the CPU. On a cold
    /// disk one stream depends on the kernel's read-ahead, and four keep the device full. Hence 4 MiB and 4, and only
    /// for files of 16 MiB and more.
    pub const FILE: Self = Self {
        chunk_size: ByteSize::mib(4).bytes(),
        min_split_size: ByteSize::mib(16).bytes(),
        max_concurrent_ranges: 4,
        split: true,
        cached: false,
    };

    /// Local files past the page cache.
    pub const DIRECT: Self = Self {
        chunk_size: ByteSize::mib(64).bytes(),
        min_split_size: ByteSize::mib(16).bytes(),
        max_concurrent_ranges: 16,
        split: true,
        cached: false,
    };

    /// Memory: nothing to wait for, so nothing to split.
    pub const MEMORY: Self = Self {
        split: false,
        cached: false,
        ..Self::REMOTE
    };
}
