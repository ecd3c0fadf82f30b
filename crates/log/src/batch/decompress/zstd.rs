//! zstd frames (RFC 8878). Headers of frames and blocks tell how much can come out, so that the whole is decompressed in
//! one go, straight to where the records stay; a frame that was streamed, too, without a window in between.

use std::cell::RefCell;

use zstd::zstd_safe::{DCtx, get_error_name, zstd_sys::ZSTD_ErrorCode};

use super::{Caps, Fault, take, take_slice};

const MAGIC: u32 = 0xFD2F_B528;
/// The last four bits are anything.
const SKIPPABLE: u32 = 0x184D_2A50;
const MAX_BLOCK: u64 = 128 * 1024;

thread_local! {
    /// 96 KB; without a window, for it never streams.
    static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

pub(super) fn decompress(stored: &[u8], caps: &Caps) -> Result<Vec<u8>, Fault> {
    let size = size(stored, caps)?;
    let cap = caps.decompressed_bytes;
    let mut out = Vec::with_capacity(size.min(cap as u64) as usize);
    CONTEXT.with_borrow_mut(|context| {
        if context.is_none() {
            *context = DCtx::try_create();
        }
        let Some(context) = context else {
            return Err(Fault::new("there is no memory for it"));
        };
        match context.decompress(&mut out, stored) {
            Ok(_) => Ok(()),
            Err(code) if size > cap as u64 && is_too_small(code) => Err(Fault::Bomb),
            Err(code) => Err(Fault::new(get_error_name(code))),
        }
    })?;
    // An allocator may have given more than was asked for.
    if out.len() > cap {
        return Err(Fault::Bomb);
    }
    Ok(out)
}

/// Errors are negative numbers in an unsigned type.
fn is_too_small(code: usize) -> bool {
    code.wrapping_neg() == ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize
}

/// Most bytes that can come out: as the frames say if they do, else what their blocks can hold.
fn size(stored: &[u8], caps: &Caps) -> Result<u64, Fault> {
    let mut rest = stored;
    let mut all = 0;
    while !rest.is_empty() {
        let magic = u32::from_le_bytes(take(&mut rest)?);
        if magic & !0xF == SKIPPABLE {
            let len = u32::from_le_bytes(take(&mut rest)?);
            take_slice(&mut rest, len as usize)?;
        } else if magic == MAGIC {
            all += size_of_frame(&mut rest, caps)?;
        } else {
            return Err(Fault::new("it is no zstd frame"));
        }
    }
    Ok(all)
}

/// The same for one frame, from after its magic to its end.
fn size_of_frame(rest: &mut &[u8], caps: &Caps) -> Result<u64, Fault> {
    let [flags] = take(rest)?;
    let single = flags & 0b10_0000 != 0;
    let window = if single {
        None
    } else {
        let [window] = take(rest)?;
        let power = 1_u64 << (10 + (window >> 3));
        Some(power + power / 8 * u64::from(window & 7))
    };
    if flags & 0b11 != 0 {
        return Err(Fault::new("it needs a dictionary, which Kafka has none of"));
    }
    let told = match flags >> 6 {
        0 if !single => None,
        0 => Some(u64::from(take::<1>(rest)?[0])),
        1 => Some(u64::from(u16::from_le_bytes(take(rest)?)) + 256),
        2 => Some(u64::from(u32::from_le_bytes(take(rest)?))),
        _ => Some(u64::from_le_bytes(take(rest)?)),
    };
    if let Some(window) = window
        && window > 1_u64.checked_shl(caps.zstd_window_log).unwrap_or(u64::MAX)
    {
        let allowed = caps.zstd_window_log;
        return Err(Fault::new(format!(
            "its window is {window} bytes, and 2^{allowed} are allowed"
        )));
    }
    let block_max = window.or(told).unwrap_or(MAX_BLOCK).min(MAX_BLOCK);
    let most = size_of_blocks(rest, block_max)?;
    if flags & 0b100 != 0 {
        take::<4>(rest)?;
    }
    match told {
        Some(told) if told > most => Err(Fault::new("it says that it holds more than it can")),
        Some(told) if told > caps.decompressed_bytes as u64 => Err(Fault::Bomb),
        Some(told) => Ok(told),
        None => Ok(most),
    }
}

fn size_of_blocks(rest: &mut &[u8], block_max: u64) -> Result<u64, Fault> {
    let mut all = 0;
    loop {
        let [a, b, c] = take(rest)?;
        let word = u32::from_le_bytes([a, b, c, 0]);
        let size = word >> 3;
        let (stored, most) = match word >> 1 & 0b11 {
            0 => (size as usize, u64::from(size)),
            1 => (1, u64::from(size)),
            2 => (size as usize, block_max),
            _ => return Err(Fault::new("a block is of an unknown type")),
        };
        if most > block_max {
            return Err(Fault::new("a block is longer than its frame allows"));
        }
        take_slice(rest, stored)?;
        all += most;
        if word & 1 != 0 {
            return Ok(all);
        }
    }
}
