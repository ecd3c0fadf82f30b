//! The codecs, read. Each looks over the compressed bytes first, so that one allocation of about the right size, and
//! never of more than the cap, holds what comes out.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use super::caps::Caps;
use super::codec::Codec;
use super::error::BatchError;
use super::header::BatchHeader;

/// Why there are no records.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There would be more bytes than the cap.
    Bomb,
    /// The codec cannot read them.
    Broken(String),
}

impl Fault {
    fn new(why: impl Into<String>) -> Self {
        Self::Broken(why.into())
    }

    /// The error of the batch.
    pub(super) fn at(self, header: &BatchHeader, codec: Codec, caps: &Caps) -> BatchError {
        let base_offset = header.base_offset;
        match self {
            Self::Bomb => BatchError::Bomb {
                base_offset,
                codec,
                cap: caps.decompressed_bytes,
            },
            Self::Broken(why) => BatchError::Decompress {
                base_offset,
                codec,
                why,
            },
        }
    }
}

/// Decompresses `stored`. Not for [`Codec::None`], which nothing has to be done for.
pub(super) fn decompress(codec: Codec, stored: &[u8], caps: &Caps) -> Result<Vec<u8>, Fault> {
    let mut records = match codec {
        Codec::None => stored.to_vec(),
        Codec::Gzip => gzip::decompress(stored, caps.decompressed_bytes)?,
        Codec::Snappy => snappy::decompress(stored, caps.decompressed_bytes)?,
        Codec::Lz4 => lz4::decompress(stored, caps.decompressed_bytes)?,
        Codec::Zstd => zstd::decompress(stored, caps)?,
    };
    // Where the size was a guess, what is too much of it goes back: records keep this memory for long.
    if records.capacity() - records.len() > records.len() / 8 + 1024 {
        records.shrink_to_fit();
    }
    Ok(records)
}

/// Takes `N` bytes off the front.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Fault> {
    let Some((taken, tail)) = rest.split_first_chunk::<N>() else {
        return Err(Fault::new("it is cut short"));
    };
    *rest = tail;
    Ok(*taken)
}

/// Takes `len` bytes off the front.
fn take_slice<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Fault> {
    let Some((taken, tail)) = rest.split_at_checked(len) else {
        return Err(Fault::new("it is cut short"));
    };
    *rest = tail;
    Ok(taken)
}

#[cfg(test)]
mod tests;
