//! The codecs that a batch may be compressed with.

use std::fmt;
use std::str::FromStr;

use forebay_types::printable;
use serde::{Deserialize, Serialize};

/// What the records of a batch are compressed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Nothing.
    #[default]
    None,
    /// A gzip stream (RFC 1952).
    Gzip,
    /// Snappy, in the blocks of the Java library or bare.
    Snappy,
    /// An LZ4 frame.
    Lz4,
    /// A zstd frame (RFC 8878).
    Zstd,
}

/// A word that names no codec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no codec: choose none, gzip, snappy, lz4 or zstd", printable(.0))]
pub struct UnknownCodec(String);

impl Codec {
    /// All of them, in the order of their numbers in a batch.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Its number in the attributes of a batch.
    pub(super) fn number(self) -> u16 {
        self as u16
    }

    /// The codec with that number.
    pub(super) fn of_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.as_str() == name)
            .ok_or_else(|| UnknownCodec(name.to_owned()))
    }
}
