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

    /// Torrents: a client has few places for streams, and gives a file's bytes in order at the speed of its disk. Ranges
    /// that follow each other ride in one stream whatever their number is; there are many for those that do not: a seek
    /// must not wait behind what was asked for ahead and has no piece yet (measured with one at a time: 0.5-2.3 s until
    /// head and tail of a film were read, now 0.06). 4 MiB, the most that a piece of a usual torrent has: a seek leaves
    /// little behind, and what is asked for ahead comes in readable pieces.
    pub const TORRENT: Self = Self {
        chunk_size: ByteSize::mib(4).bytes(),
        min_split_size: ByteSize::mib(6).bytes(),
        max_concurrent_ranges: 16,
        split: true,
        cached: true,
    };

    /// Local files, where ranges are asked for (`[file] enable_range_engine`; by default each read is one stream). The
    /// first plan had 32 requests of 4 MiB. Measured (docs/benchmarks.md, files): a cold file comes fastest in one
    /// stream, which has the kernel's read-ahead to itself (2.9 GB/s; four ranges of 4 MiB 1.6-2.0, of 64 MiB 2.4); a warm
    /// one in four ranges of 64 MiB (36 GB/s; one stream 20-25, 32 ranges of 4 MiB 11).
    pub const FILE: Self = Self {
        chunk_size: ByteSize::mib(64).bytes(),
        min_split_size: ByteSize::mib(64).bytes(),
        max_concurrent_ranges: 4,
        split: true,
        cached: false,
    };

    /// Local files past the page cache, where ranges are asked for (`[direct] enable_range_engine`): as the plan had them.
    /// One stream has the disk at its ceiling already; several are for arrays of disks.
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
