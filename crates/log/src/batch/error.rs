//! What can be wrong with a batch.

use forebay_types::ErrorKind;

use super::codec::Codec;

/// Why a batch was not read or not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("record batch is cut short: it needs {need} bytes, and {have} are there")]
    Truncated {
        /// Bytes needed, of the header or the whole batch.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// Not a batch of version 2.
    #[error(
        "no record batch of version 2: its version byte is {found} (0 and 1 are Kafka's formats before 0.11)"
    )]
    Magic {
        /// The version byte.
        found: u8,
    },
    /// A field of the header cannot be.
    #[error("record batch is damaged: {field} is {value}, {why}")]
    Field {
        /// The field, by the name that Kafka's documentation gives it.
        field: &'static str,
        /// What stands there.
        value: i64,
        /// Why that cannot be.
        why: &'static str,
    },
    /// The batch is larger than allowed.
    #[error("record batch at offset {base_offset} has {found} {what}, more than the {cap} allowed")]
    OverCap {
        /// The base offset of the batch.
        base_offset: u64,
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: u64,
        /// How much is allowed.
        cap: u64,
    },
    /// The bytes are not those that the checksum was made of.
    #[error(
        "record batch at offset {base_offset} is damaged: its CRC-32C is {found:#010x}, not {expected:#010x}"
    )]
    Checksum {
        /// The base offset of the batch.
        base_offset: u64,
        /// What the header says.
        expected: u32,
        /// What the bytes have.
        found: u32,
    },
    /// A codec that nobody has defined.
    #[error(
        "record batch at offset {base_offset} is compressed with codec {number}, which Kafka does not define"
    )]
    UnknownCodec {
        /// The base offset of the batch.
        base_offset: u64,
        /// The codec's number.
        number: u16,
    },
    /// The records cannot be decompressed.
    #[error("record batch at offset {base_offset} cannot be decompressed with {codec}: {why}")]
    Decompress {
        /// The base offset of the batch.
        base_offset: u64,
        /// The codec that its attributes name.
        codec: Codec,
        /// What it said.
        why: String,
    },
    /// Decompression would make more bytes than allowed.
    #[error(
        "record batch at offset {base_offset} grows beyond the {cap} bytes allowed when {codec} decompresses it"
    )]
    Bomb {
        /// The base offset of the batch.
        base_offset: u64,
        /// The codec that its attributes name.
        codec: Codec,
        /// Bytes allowed.
        cap: usize,
    },
    /// A record is not what a record should be.
    #[error(
        "record {index} of the batch at offset {base_offset} is damaged ({why}; it starts at byte {at} of the records)"
    )]
    Record {
        /// The base offset of the batch.
        base_offset: u64,
        /// The record's number in the batch, from 0 on.
        index: u32,
        /// Where it starts in the records' bytes after decompression.
        at: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A batch without records is not built.
    #[error("a record batch needs at least one record")]
    Empty,
    /// A record would make the batch that is being built larger than allowed. The batch is as before.
    #[error(
        "a record of {record} bytes does not fit: the batch would have {batch} bytes, and {cap} are allowed"
    )]
    TooLarge {
        /// Bytes of the record.
        record: usize,
        /// Bytes of the batch with it.
        batch: usize,
        /// Bytes allowed.
        cap: usize,
    },
    /// There is no room for one more record or header. The batch is as before.
    #[error("too many {what}: {found}, and {cap} are allowed")]
    TooMany {
        /// Records or headers.
        what: &'static str,
        /// How many there would be.
        found: u64,
        /// How many are allowed.
        cap: u64,
    },
    /// Timestamps too far from each other for one batch. The batch is as before.
    #[error("timestamps {first} and {this} are too far apart for one record batch")]
    Timestamps {
        /// The first record's.
        first: i64,
        /// The refused record's.
        this: i64,
    },
    /// A partition has no such offsets.
    #[error("{records} records from offset {base_offset} on: a partition ends at offset 2^63 - 1")]
    Offsets {
        /// Where the batch was to begin.
        base_offset: u64,
        /// Its records.
        records: u32,
    },
    /// The codec's library refused to compress, which none does for want of anything but memory.
    #[error("cannot compress a record batch with {codec}: {why}")]
    Compress {
        /// The codec.
        codec: Codec,
        /// What it said.
        why: String,
    },
}

impl BatchError {
    /// What a caller should do: bytes that are no batch are corrupt, records that make none are invalid.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Truncated { .. }
            | Self::Magic { .. }
            | Self::Field { .. }
            | Self::OverCap { .. }
            | Self::Checksum { .. }
            | Self::UnknownCodec { .. }
            | Self::Decompress { .. }
            | Self::Bomb { .. }
            | Self::Record { .. } => ErrorKind::Corrupt,
            Self::Empty
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::Timestamps { .. }
            | Self::Offsets { .. } => ErrorKind::Invalid,
            Self::Compress { .. } => ErrorKind::Internal,
        }
    }
}
