//! Records as lines: what [`read`](read) makes of them, and how [`write`](write) writes them down.

pub(super) mod read;
pub(super) mod write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes as JSON has them where they are not UTF-8.
fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text)
        .map_err(|error| format!("not base64: {error}"))
}

#[cfg(test)]
mod tests;
