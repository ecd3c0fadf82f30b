//! Every fixed limit of the system on one page. What a user may change is a setting, not here.

use std::time::Duration;

/// Longest object key accepted, in bytes (S3 and GCS: 1,024; Azure: 1,024 characters).
pub const MAX_KEY_BYTES: usize = 4 * 1024;

/// Largest error body read from a server, in bytes: enough for any S3 error document.
pub const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;

/// Largest page of a listing held in memory, in bytes (S3: 1,000 keys of at most 1 KiB, escaped, with metadata).
pub const MAX_LIST_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// Largest directory page of a web server, in bytes: it has no pages to turn, so a big directory is one page. Enough
/// for half a million names in nginx's JSON.
pub const MAX_WEB_PAGE_BYTES: usize = 64 * 1024 * 1024;

/// Most names taken from one directory page of a web server.
pub const MAX_WEB_ENTRIES: usize = 1_000_000;

/// Longest name taken from a directory page, in bytes: NAME_MAX of Linux.
pub const MAX_WEB_NAME_BYTES: usize = 255;

/// Directories of a web server that may lie in each other: a link to one above it makes them endless.
pub const MAX_WEB_DEPTH: usize = 128;

/// Redirects followed for one HTTP request.
pub const MAX_REDIRECTS: usize = 10;

/// Largest list of a client's torrents, in bytes: about 100,000 torrents.
pub const MAX_TORRENT_LIST_BYTES: usize = 16 * 1024 * 1024;

/// Largest description of one torrent, in bytes: about 300,000 files with long names.
pub const MAX_TORRENT_DETAILS_BYTES: usize = 64 * 1024 * 1024;

/// Largest report how a torrent is doing, in bytes: a number of up to 20 digits for each of [`MAX_TORRENT_FILES`].
pub const MAX_TORRENT_STATS_BYTES: usize = 32 * 1024 * 1024;

/// Largest bit field of a torrent's pieces, in bytes: 64 million pieces, 1 TiB in the smallest pieces in use (16 KiB).
pub const MAX_TORRENT_HAVES_BYTES: usize = 8 * 1024 * 1024;

/// Most files shown of one torrent: as many as of a web server's directory.
pub const MAX_TORRENT_FILES: usize = 1_000_000;

/// Directories of a torrent that may lie in each other: as many as of a web server, and few enough for any stack.
pub const MAX_TORRENT_DEPTH: usize = 128;

/// Longest name shown of a torrent's file or directory, in bytes: NAME_MAX of Linux.
pub const MAX_TORRENT_NAME_BYTES: usize = 255;

/// Longest wait for a torrent client's answer to what it knows without its peers, with all repeats of the question.
pub const MAX_TORRENT_ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Longest wait that a server may ask for by Retry-After and get.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Largest settings file read, in bytes.
pub const MAX_SETTINGS_BYTES: u64 = 1024 * 1024;

/// Most sections of one segment of the log: a flush of more partitions is several objects.
pub const MAX_SEGMENT_SECTIONS: usize = 64 * 1024;

/// Most stretches of one section of a segment: 16 GiB of batches or more, as each stretch but the last has 64 KiB at
/// least.
pub const MAX_SEGMENT_STRETCHES: usize = 256 * 1024;

/// Largest index block of a segment, in bytes: it is read into memory whole.
pub const MAX_SEGMENT_INDEX_BYTES: u64 = 64 * 1024 * 1024;

/// Largest record batch read or built, in bytes as it is stored. Kafka's brokers take 1 MiB unless told otherwise.
pub const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;

/// Largest record batch after decompression, in bytes: what one reader's memory has to hold.
pub const MAX_DECOMPRESSED_BATCH_BYTES: usize = 128 * 1024 * 1024;

/// Most records in one batch.
pub const MAX_BATCH_RECORDS: u32 = 4 * 1024 * 1024;

/// Most headers of one record. Each takes two bytes of the batch at least, and 64 in memory.
pub const MAX_RECORD_HEADERS: u32 = 4096;

/// Largest window of a zstd frame, as a power of two: zstd's own limit, which every level of a producer keeps.
pub const MAX_ZSTD_WINDOW_LOG: u32 = 27;
