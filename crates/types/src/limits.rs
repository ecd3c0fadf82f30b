//! Every fixed limit of the system on one page. What a user may change is a setting, not here.

use std::time::Duration;

/// Longest object key accepted, in bytes (S3 and GCS: 1,024; Azure: 1,024 characters).
pub const MAX_KEY_BYTES: usize = 4 * 1024;

/// Largest error body read from a server, in bytes: enough for any S3 error document.
pub const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;

/// Largest page of a listing held in memory, in bytes (S3: 1,000 keys of at most 1 KiB, escaped, with metadata).
pub const MAX_LIST_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// Redirects followed for one HTTP request.
pub const MAX_REDIRECTS: usize = 10;

/// Longest wait that a server may ask for by Retry-After and get.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Largest settings file read, in bytes.
pub const MAX_SETTINGS_BYTES: u64 = 1024 * 1024;
