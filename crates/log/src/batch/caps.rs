//! How much a batch may ask for.

use forebay_types::limits::{
    MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_DECOMPRESSED_BATCH_BYTES, MAX_RECORD_HEADERS, MAX_ZSTD_WINDOW_LOG,
};

/// The most that a batch may hold, so that bytes of a stranger cannot take all memory. What is beyond is an error,
/// before anything is allocated for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The whole batch as it is stored, in bytes.
    pub batch_bytes: usize,
    /// Its records after decompression, in bytes.
    pub decompressed_bytes: usize,
    /// Records of a batch.
    pub records: u32,
    /// Headers of a record.
    pub headers: u32,
    /// Window of a zstd frame, as a power of two. A frame that tells its size and fits into that many bytes has no
    /// window to speak of.
    pub zstd_window_log: u32,
}

impl Caps {
    /// The limits of the system.
    pub(super) const LIMITS: Self = Self {
        batch_bytes: MAX_BATCH_BYTES,
        decompressed_bytes: MAX_DECOMPRESSED_BATCH_BYTES,
        records: MAX_BATCH_RECORDS,
        headers: MAX_RECORD_HEADERS,
        zstd_window_log: MAX_ZSTD_WINDOW_LOG,
    };
}

impl Default for Caps {
    /// What [`forebay_types::limits`] says.
    fn default() -> Self {
        Self::LIMITS
    }
}
