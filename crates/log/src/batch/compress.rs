//! The codecs, written, each as Kafka's Java producer frames it.

use std::cell::RefCell;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use snap::raw::{Encoder, max_compress_len};
use zstd::zstd_safe::{CCtx, get_error_name, zstd_sys::ZSTD_ErrorCode};

use super::codec::Codec;
use super::error::BatchError;

/// What Java's snappy cuts its input into.
const SNAPPY_BLOCK: usize = 32 * 1024;
/// Magic, version 1, compatible with version 1.
const SNAPPY_HEAD: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

/// What Kafka's Java producer cuts its input into.
const LZ4_BLOCK: usize = 64 * 1024;
/// Magic, version 1 with independent blocks and no checksums, blocks of 64 KiB, checksum of those two.
const LZ4_HEAD: [u8; 7] = [0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82];
const LZ4_STORED: u32 = 1 << 31;

/// 3 % more bytes than with the default of 6, at 2.8 times the speed: 50 MB/s in `benches/batch.rs`.
const GZIP_LEVEL: u32 = 4;

thread_local! {
    /// 1.3 MB with the default level, which zstd fills again for each batch.
    static CONTEXT: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
}

/// Bytes being written to a place of fixed size.
struct Out<'a> {
    free: &'a mut [u8],
    len: usize,
}

impl Out<'_> {
    /// `None` if there is no room.
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.free
            .get_mut(self.len..self.len + bytes.len())?
            .copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }
}

/// Compresses `records` to the beginning of `out` and returns how long the result is; `None` if it does not fit.
pub(super) fn compress(codec: Codec, records: &[u8], out: &mut [u8]) -> Result<Option<usize>, BatchError> {
    let mut out = Out { free: out, len: 0 };
    let done = match codec {
        Codec::None => out.put(records),
        Codec::Gzip => gzip(records, &mut out),
        Codec::Snappy => snappy(records, &mut out)?,
        Codec::Lz4 => lz4(records, &mut out)?,
        Codec::Zstd => return zstd(records, out.free),
    };
    Ok(done.map(|()| out.len))
}

fn gzip(records: &[u8], out: &mut Out<'_>) -> Option<()> {
    // Writing to a slice fails for want of room alone.
    let mut encoder = GzEncoder::new(&mut out.free[..], Compression::new(GZIP_LEVEL));
    encoder.write_all(records).ok()?;
    let left = encoder.finish().ok()?.len();
    out.len = out.free.len() - left;
    Some(())
}

fn snappy(records: &[u8], out: &mut Out<'_>) -> Result<Option<()>, BatchError> {
    if out.put(&SNAPPY_HEAD).is_none() {
        return Ok(None);
    }
    let mut encoder = Encoder::new();
    let mut block = vec![0; max_compress_len(SNAPPY_BLOCK.min(records.len()))];
    for chunk in records.chunks(SNAPPY_BLOCK) {
        let len = encoder
            .compress(chunk, &mut block)
            .map_err(|error| failed(Codec::Snappy, error.to_string()))?;
        let put = out
            .put(&(len as u32).to_be_bytes())
            .and_then(|()| out.put(&block[..len]));
        if put.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(()))
}

fn lz4(records: &[u8], out: &mut Out<'_>) -> Result<Option<()>, BatchError> {
    if out.put(&LZ4_HEAD).is_none() {
        return Ok(None);
    }
    let mut table = CompressTable::large();
    let mut block = vec![0; get_maximum_output_size(LZ4_BLOCK.min(records.len()))];
    for chunk in records.chunks(LZ4_BLOCK) {
        let len = compress_into_with_table(chunk, &mut block, &mut table)
            .map_err(|error| failed(Codec::Lz4, error.to_string()))?;
        let (word, bytes) = if len < chunk.len() {
            (len as u32, &block[..len])
        } else {
            (chunk.len() as u32 | LZ4_STORED, chunk)
        };
        if out
            .put(&word.to_le_bytes())
            .and_then(|()| out.put(bytes))
            .is_none()
        {
            return Ok(None);
        }
    }
    Ok(out.put(&[0; 4]))
}

fn zstd(records: &[u8], out: &mut [u8]) -> Result<Option<usize>, BatchError> {
    CONTEXT.with_borrow_mut(|context| {
        if context.is_none() {
            *context = CCtx::try_create();
        }
        let Some(context) = context else {
            return Err(failed(Codec::Zstd, "there is no memory for it".to_owned()));
        };
        match context.compress2(out, records) {
            Ok(len) => Ok(Some(len)),
            Err(code) if code.wrapping_neg() == ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize => {
                Ok(None)
            }
            Err(code) => Err(failed(Codec::Zstd, get_error_name(code).to_owned())),
        }
    })
}

fn failed(codec: Codec, why: String) -> BatchError {
    BatchError::Compress { codec, why }
}
