//! Kafka record batches, version 2 (magic 2): reading and building.
//!
//! A batch is a header of 61 bytes and its records, which may be compressed as one. All numbers of the header are big
//! endian; the format is that of Kafka's documentation, "Message Format: Record Batch" (kafka.apache.org).
//!
//! ```text
//!   0  baseOffset            i64  offset of the first record when the batch was made
//!   8  batchLength           i32  bytes after this field: all of the batch but the first 12
//!  12  partitionLeaderEpoch  i32  set by a broker; not under the checksum, nor is what stands before it
//!  16  magic                 i8   2
//!  17  crc                   u32  CRC-32C of everything from 21 to the end
//!  21  attributes            i16  bits 0-2 codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd
//!                                 bit 3 timestamps: 0 the producer's, 1 the broker's (log append time)
//!                                 bit 4 transactional, bit 5 control batch, bit 6 baseTimestamp is a delete horizon
//!                                 bits 7-15 unused
//!  23  lastOffsetDelta       i32  last offset, less baseOffset; stays when compaction takes the last record away
//!  27  baseTimestamp         i64  milliseconds since 1970: what the records' timestamps are counted from
//!  35  maxTimestamp          i64  the greatest timestamp; in log append time every record's
//!  43  producerId            i64  -1: none
//!  51  producerEpoch         i16  -1: none
//!  53  baseSequence          i32  -1: none
//!  57  records               i32  how many there are
//!  61  records                    compressed as the attributes say
//! ```
//!
//! A record is made of varints (7 bits to a byte, lowest first, the high bit says that another byte follows; signed
//! numbers in zigzag: 0, -1, 1, -2, …) and bytes:
//!
//! ```text
//! length          varint   bytes of the record after this field
//! attributes      i8       unused
//! timestampDelta  varlong  timestamp, less baseTimestamp
//! offsetDelta     varint   offset, less baseOffset; grows from record to record, with holes after compaction
//! keyLength       varint   -1: no key
//! key
//! valueLength     varint   -1: no value, a tombstone
//! value
//! headers         varint   how many follow
//!   nameLength    varint
//!   name                   UTF-8, by Kafka's rules
//!   valueLength   varint   -1: null
//!   value
//! ```
//!
//! What the codecs make of the records is framed as Kafka's producers frame it: gzip, LZ4 frames and zstd frames as
//! they are everywhere; snappy in the blocks of the Java library (see `decompress`), or bare.
//!
//! [`Batch`] takes batches apart without a copy, [`Decoded`] their records, and [`BatchBuilder`] makes them. Nothing
//! is allocated for a length, a count or a size before it has been held against [`Caps`] and against the bytes that are
//! there.
//!
//! ```
//! use forebay_log::batch::{Batch, BatchBuilder, BatchError, Caps, Codec};
//!
//! let mut builder = BatchBuilder::new(Codec::Lz4);
//! builder.push(1_700_000_000_000, Some(b"key"), Some(b"value"), &[])?;
//! builder.push(1_700_000_000_001, Some(b"key"), None, &[])?;
//! let mut bytes = builder.finish(100)?;
//!
//! let batch = Batch::split_off_front(&mut bytes)?;
//! let decoded = batch.decode(&Caps::default())?;
//! let mut cursor = decoded.cursor();
//! let mut records = Vec::new();
//! decoded.read(&mut cursor, 101, 500, 1 << 20, &mut records)?;
//! assert_eq!(records[0].offset, 101);
//! assert!(records[0].tombstone);
//! # Ok::<(), BatchError>(())
//! ```

mod builder;
mod caps;
mod codec;
mod compress;
mod decoded;
mod decompress;
mod envelope;
mod error;
mod header;
mod parse;

pub use builder::BatchBuilder;
pub use caps::Caps;
pub use codec::{Codec, UnknownCodec};
pub use decoded::{Cursor, Decoded};
pub use envelope::Batch;
pub use error::BatchError;
pub use header::{BatchHeader, HEADER_LEN};

#[cfg(test)]
mod tests;
