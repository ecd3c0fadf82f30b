//! Snappy. Java's library, and whoever is compatible with it, cuts the input into blocks and puts a header before them:
//!
//! ```text
//!   0  0x82 "SNAPPY" 0x00
//!   8  version, compatible version   i32 big endian each; some write them little endian, so nobody looks
//!  16  blocks                        length (i32 big endian) and snappy's raw format, each 32 KiB of input as a rule
//! ```
//!
//! Without that header the bytes are one block of the raw format, as other producers write it. The two cannot be taken
//! for each other: as a raw block the header would begin with a copy of what is not there.

use snap::raw::{Decoder, decompress_len};

use super::{Fault, take, take_slice};

pub(in super::super) const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const VERSIONS: usize = 8;

/// Raw snappy makes at most 64 bytes of three.
const MAX_RATIO: usize = 22;

pub(super) fn decompress(stored: &[u8], cap: usize) -> Result<Vec<u8>, Fault> {
    let Some(mut blocks) = stored.strip_prefix(&MAGIC) else {
        let mut out = vec![0; size_of_block(stored, cap)?];
        block(stored, &mut out)?;
        return Ok(out);
    };
    take::<VERSIONS>(&mut blocks)?;
    let mut size = 0;
    let mut rest = blocks;
    while !rest.is_empty() {
        size += size_of_block(next(&mut rest)?, cap - size)?;
    }
    let mut out = vec![0; size];
    let mut len = 0;
    while !blocks.is_empty() {
        len += block(next(&mut blocks)?, &mut out[len..])?;
    }
    Ok(out)
}

/// The block that `rest` begins with.
fn next<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let len = i32::from_be_bytes(take(rest)?);
    let len = usize::try_from(len).map_err(|_| Fault::new("the length of a block is negative"))?;
    take_slice(rest, len)
}

/// What a block says that it holds, if that can be and is within `cap`.
fn size_of_block(block: &[u8], cap: usize) -> Result<usize, Fault> {
    let size = decompress_len(block).map_err(|error| Fault::new(error.to_string()))?;
    if size > block.len().saturating_mul(MAX_RATIO) {
        return Err(Fault::new("a block says that it holds more than it can"));
    }
    if size > cap {
        return Err(Fault::Bomb);
    }
    Ok(size)
}

fn block(block: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
    Decoder::new()
        .decompress(block, out)
        .map_err(|error| Fault::new(error.to_string()))
}
