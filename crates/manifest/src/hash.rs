//! Hashes of contents: XXH3 with 128 bits, seed 0.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use twox_hash::XxHash3_128;

use crate::limits::MAX_HASH_CHARS;

/// The hash of a file, a chunk or a manifest. What this program computes is an xxh128, written as 32 lower-case
/// hexadecimal digits; v2023-03-03 allows any other letters and digits, which are kept as they are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Hash(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    /// Big endian, as it is written. Not a `u128`, whose alignment would cost 8 bytes.
    Xxh128([u8; 16]),
    /// Never 32 lower-case hexadecimal digits.
    Other(Arc<str>),
}

impl Hash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_u128(XxHash3_128::oneshot(bytes))
    }

    /// The xxh128 with this value.
    pub fn from_u128(value: u128) -> Self {
        Self(Repr::Xxh128(value.to_be_bytes()))
    }

    /// Its value if it is 32 lower-case hexadecimal digits, as every xxh128 is.
    pub fn to_u128(&self) -> Option<u128> {
        self.as_bytes().map(|bytes| u128::from_be_bytes(*bytes))
    }

    /// The name of the object with these bytes, below `Data/`: `{hash}.xxh128`.
    pub fn object_key(&self) -> String {
        format!("{self}.xxh128")
    }

    /// The hash that is written as `text`; `None` if it is not 1 to 128 letters and digits of ASCII.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if let Some(bytes) = from_hex(text) {
            return Some(Self(Repr::Xxh128(bytes)));
        }
        let legal =
            !text.is_empty() && text.len() <= MAX_HASH_CHARS && text.iter().all(u8::is_ascii_alphanumeric);
        let text = legal.then(|| str::from_utf8(text).ok()).flatten()?;
        Some(Self(Repr::Other(text.into())))
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Repr::Xxh128(bytes))
    }

    pub(crate) fn as_bytes(&self) -> Option<&[u8; 16]> {
        match &self.0 {
            Repr::Xxh128(bytes) => Some(bytes),
            Repr::Other(_) => None,
        }
    }

    /// Appends what is written for it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::Xxh128(bytes) => out.extend_from_slice(&to_hex(bytes)),
            Repr::Other(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

fn to_hex(bytes: &[u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| {
        let byte = bytes[i / 2];
        DIGITS[usize::from(if i % 2 == 0 { byte >> 4 } else { byte & 15 })]
    })
}

/// The value of each lower-case hexadecimal digit; 0x80 for every other byte.
const NIBBLES: [u8; 256] = {
    let mut table = [0x80; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

fn from_hex(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; 32] = text.try_into().ok()?;
    let mut wrong = 0;
    let bytes = std::array::from_fn(|i| {
        let (high, low) = (
            NIBBLES[usize::from(text[2 * i])],
            NIBBLES[usize::from(text[2 * i + 1])],
        );
        wrong |= high | low;
        high << 4 | low
    });
    (wrong & 0x80 == 0).then_some(bytes)
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Xxh128(bytes) => write!(f, "{:032x}", u128::from_be_bytes(*bytes)),
            Repr::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Text that is no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 1 to 128 letters and digits; this is {} bytes of something else", .0)]
pub struct InvalidHash(usize);

impl FromStr for Hash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        Self::parse(text.as_bytes()).ok_or(InvalidHash(text.len()))
    }
}

/// Hashes bytes that come in pieces.
#[derive(Clone)]
pub struct Hasher(XxHash3_128);

impl Hasher {
    /// Nothing so far.
    pub fn new() -> Self {
        Self(XxHash3_128::new())
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The hash of all bytes so far.
    pub fn finish(&self) -> Hash {
        Hash::from_u128(self.0.finish_128())
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests;
