//! Varints and the fields of a record.

use std::ops::Range;

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    CutShort,
    NoMore,
    Trailing,
    VarintTooLong,
    Length,
    BeyondLength,
    Leftover,
    Offset,
    Timestamp,
    KeyLength,
    ValueLength,
    HeaderCount,
    HeaderCap,
    NameLength,
}

impl Fault {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::CutShort => "the records end within it",
            Self::NoMore => "the records end before it: there are fewer than the header says",
            Self::Trailing => "it is the last one, and bytes follow it",
            Self::VarintTooLong => "a number in it has more digits than its type",
            Self::Length => "its length is negative",
            Self::BeyondLength => "a field goes beyond its length",
            Self::Leftover => "its fields end before its length does",
            Self::Offset => "its offset is not between the one before and the last of the batch",
            Self::Timestamp => "its timestamp is no 64 bit number",
            Self::KeyLength => "the length of its key is less than -1",
            Self::ValueLength => "the length of its value is less than -1",
            Self::HeaderCount => "it has a negative number of headers, or more than its bytes can hold",
            Self::HeaderCap => "it has more headers than allowed",
            Self::NameLength => "the length of a header's name is negative",
        }
    }
}

/// A varint of at most 32 bits; most have one or two bytes.
#[inline(always)]
pub(super) fn varint(rest: &mut &[u8]) -> Result<i32, Fault> {
    match **rest {
        [a, ref tail @ ..] if a < 0x80 => {
            *rest = tail;
            Ok(unzigzag32(u32::from(a)))
        }
        [a, b, ref tail @ ..] if b < 0x80 => {
            *rest = tail;
            Ok(unzigzag32(u32::from(a & 0x7F) | u32::from(b) << 7))
        }
        // The cast is lossless: 32 bits were asked for.
        _ => many::<32>(rest).map(|raw| unzigzag32(raw as u32)),
    }
}

/// A varint of at most 64 bits.
#[inline(always)]
pub(super) fn varlong(rest: &mut &[u8]) -> Result<i64, Fault> {
    match **rest {
        [a, ref tail @ ..] if a < 0x80 => {
            *rest = tail;
            Ok(unzigzag64(u64::from(a)))
        }
        [a, b, ref tail @ ..] if b < 0x80 => {
            *rest = tail;
            Ok(unzigzag64(u64::from(a & 0x7F) | u64::from(b) << 7))
        }
        _ => many::<64>(rest).map(unzigzag64),
    }
}

/// A varint of any length that `BITS` bits allow.
#[inline(never)]
fn many<const BITS: u32>(rest: &mut &[u8]) -> Result<u64, Fault> {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let Some((&byte, tail)) = rest.split_first() else {
            return Err(Fault::BeyondLength);
        };
        *rest = tail;
        let bits = u64::from(byte & 0x7F);
        if shift + 7 > BITS && bits >> (BITS - shift) != 0 {
            return Err(Fault::VarintTooLong);
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
        shift += 7;
        if shift >= BITS {
            return Err(Fault::VarintTooLong);
        }
    }
}

fn unzigzag32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

fn unzigzag64(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

/// The next bytes, with their length before them: `None` for null. They are told as a range of the bytes that `rest`
/// is the tail of and that end at `end`.
#[inline(always)]
pub(super) fn bytes(rest: &mut &[u8], end: usize, bad: Fault) -> Result<Option<Range<usize>>, Fault> {
    let len = varint(rest)?;
    let Ok(len) = usize::try_from(len) else {
        return if len == -1 { Ok(None) } else { Err(bad) };
    };
    let start = end - rest.len();
    let Some((_, tail)) = rest.split_at_checked(len) else {
        return Err(Fault::BeyondLength);
    };
    *rest = tail;
    Ok(Some(start..start + len))
}

#[cfg(test)]
mod tests;
