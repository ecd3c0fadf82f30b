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

/// Longest wait that a server may ask for by Retry-After and get.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Largest settings file read, in bytes.
pub const MAX_SETTINGS_BYTES: u64 = 1024 * 1024;
