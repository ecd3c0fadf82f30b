//! gzip: the last four bytes tell the size, if there is one member only and it is honest.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;

use super::Fault;

/// Deflate makes at most this many bytes of one.
const MAX_RATIO: usize = 1032;

/// First room if the end tells nothing that can be.
const SMALL: usize = 4096;

pub(super) fn decompress(stored: &[u8], cap: usize) -> Result<Vec<u8>, Fault> {
    let told = stored
        .last_chunk()
        .map_or(0, |end| u32::from_le_bytes(*end) as usize);
    let possible = stored.len().saturating_mul(MAX_RATIO).min(cap);
    let guess = if told <= possible { told } else { SMALL.min(cap) };
    // One more than the guess, so that the end shows without growing, and than the cap, so that going beyond it does.
    let mut out = vec![0; guess + 1];
    let mut len = 0;
    let mut decoder = MultiGzDecoder::new(stored);
    loop {
        if len == out.len() {
            if len > cap {
                return Err(Fault::Bomb);
            }
            out.resize(len.saturating_mul(2).min(cap + 1), 0);
        }
        match decoder.read(&mut out[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) => return Err(Fault::new(error.to_string())),
        }
    }
    if len > cap {
        return Err(Fault::Bomb);
    }
    out.truncate(len);
    Ok(out)
}
