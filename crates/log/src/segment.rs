//! Segments: the objects that the log's records lie in.
//!
//! A writer gathers batches of several partitions in a [`SegmentBuilder`] and uploads what it [built](Built) as one
//! object; compaction does the same for one partition. Whoever knows a section's place and its [`BatchIndex`] (the
//! metadata store keeps both) reads whole stretches of it by ranged requests and [verifies](verify_stretch) each.
//! Whoever knows nothing but the object's size reads its end, which [tells](read_tail) the rest. A whole object in
//! memory is read by [`SegmentReader`].
//!
//! # Format, version 1
//!
//! All integers are big-endian, as in the batches. CRCs are CRC-32C. One part follows the other without a gap, and every
//! byte is under a CRC or is compared with what must stand there:
//!
//! ```text
//! head       32 bytes
//!    0  8  magic "FBAYSEGM"
//!    8  2  version, 1
//!   10  2  kind: 1 flush (sections of several partitions), 2 compacted (one section at most)
//!   12 16  ULID of the object
//!   28  4  CRC of the 28 bytes before
//!
//! sections   for each partition its batches as Kafka has them, version 2, verbatim, back to back, in the order of
//!            their offsets; offsets may be missing between two batches
//!
//! index      for each section, in the order in which they lie in the object:
//!    0  1  length t of the topic's name
//!    1  t  the topic's name
//!    .  4  partition
//!    .  8  epoch of the writer
//!    .  8  base offset: that of the first batch
//!    .  8  next offset: one past that of the last batch
//!    .  8  number of records
//!    .  8  greatest timestamp, in milliseconds since 1970; -1 if no record has one
//!    .  8  position in the object
//!    .  8  length
//!    .  .  batch index, see below
//!
//! footer     64 bytes, the last ones of the object
//!    0  8  position of the index in the object
//!    8  8  length of the index
//!   16  4  CRC of the index
//!   20  4  number of sections
//!   24  8  length of the object
//!   32 16  ULID of the object
//!   48  2  kind, as in the head
//!   50  2  version, 1
//!   52  4  CRC of the 52 bytes before
//!   56  8  magic "FBAYFOOT"
//! ```
//!
//! The batches of a section are cut into *stretches*: whole batches one after the other, as few as make 64 KiB or more;
//! only the last stretch of a section may be smaller. The batch index has an entry for each. It stands by itself, too:
//! the metadata store keeps its bytes.
//!
//! ```text
//! batch index
//!    0  2  version, 1
//!    2  2  zero
//!    4  4  number n of entries, 1 at least
//!    8  …  n entries of 36 bytes:
//!          0  8  base offset: that of its first batch
//!          8  8  position in the section
//!         16  4  length
//!         20  4  CRC of the stretch's bytes
//!         24  4  number of records
//!         28  8  greatest timestamp, -1 for none
//!    .  4  CRC of everything before
//! ```
//!
//! Later versions keep the magics, the sizes of head and footer, and the places of versions and CRCs in head, footer and
//! batch index. So a reader can always tell a newer object ([`SegmentError::Newer`]) from a damaged one.
//!
//! ```
//! use bytes::Bytes;
//! use forebay_log::batch::{BatchBuilder, Codec};
//! use forebay_log::segment::{SegmentBuilder, SegmentKind, SegmentReader};
//! use forebay_log::{TopicName, TopicPartition};
//! use ulid::Ulid;
//!
//! let mut batch = BatchBuilder::new(Codec::Zstd);
//! batch.push(1_700_000_000_000, None, Some(b"one"), &[])?;
//! batch.push(1_700_000_000_001, None, Some(b"two"), &[])?;
//! let orders = TopicPartition::new(TopicName::new("orders")?, 0);
//! let mut segment = SegmentBuilder::new(Ulid::from_parts(1_700_000_000_002, 42), SegmentKind::Flush);
//! segment.begin_section(&orders, 1)?;
//! segment.push_batch(batch.finish(100)?)?;
//! let built = segment.finish()?;
//! assert_eq!((built.sections[0].base_offset, built.sections[0].next_offset), (100, 102));
//!
//! let reader = SegmentReader::open(Bytes::from(built.chunks.concat()))?;
//! let records = reader.read_from(&orders, 101, 10)?;
//! assert_eq!(records[0].value, "two");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod build;
mod error;
mod index;
mod layout;
mod read;
mod tail;

use std::fmt;

use bytes::Bytes;
use forebay_types::ByteRange;
use ulid::Ulid;

use crate::topic::TopicPartition;

pub use build::SegmentBuilder;
pub use error::{Place, SegmentError};
pub use index::{BatchIndex, IndexEntry};
pub use read::{SegmentReader, verify_stretch};
pub use tail::read_tail;

/// A stretch ends with the batch that makes it this long, in bytes: a block of the cache, so that a small read costs
/// about one.
pub(crate) const STRETCH: u64 = 64 * 1024;

/// How much of an object's end to ask for when nothing is known but its size, in bytes. It brings footer and index of
/// an object with up to 1,700 stretches or so, 100 MB of them; [`Tail::Need`] asks for what is missing of a greater one.
pub const TAIL_GUESS: u64 = 64 * 1024;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentKind {
    /// What a writer had of all its partitions at one time.
    Flush,
    /// Sections of one partition, joined to one.
    Compacted,
}

impl fmt::Display for SegmentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flush => "flush",
            Self::Compacted => "compacted",
        })
    }
}

/// The batches of one partition in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Whose.
    pub at: TopicPartition,
    /// The epoch of the lease that they were written under.
    pub epoch: u64,
    /// The offset of the first batch.
    pub base_offset: u64,
    /// The offset after the last batch. Between the two, offsets may be missing.
    pub next_offset: u64,
    /// How many records.
    pub records: u64,
    /// Their greatest timestamp, in milliseconds since 1970; -1 if none has one.
    pub max_timestamp: i64,
    /// Where the first batch begins in the object, in bytes.
    pub position: u64,
    /// How long the batches are.
    pub length: u64,
    /// Where its stretches are.
    pub index: BatchIndex,
}

impl Section {
    /// Where stretch `stretch` of it is in the object; `None` if it has fewer.
    pub fn range_of(&self, stretch: usize) -> Option<ByteRange> {
        let entry = self.index.entries().get(stretch)?;
        Some(ByteRange::at(
            self.position.saturating_add(entry.position),
            entry.length.into(),
        ))
    }
}

/// An object that is ready to be uploaded.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its name.
    pub id: Ulid,
    /// What it is.
    pub kind: SegmentKind,
    /// Its bytes, one chunk after the other.
    pub chunks: Vec<Bytes>,
    /// How many bytes.
    pub size: u64,
    /// What is in it.
    pub sections: Vec<Section>,
}

/// What an object says of itself at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Its name.
    pub id: Ulid,
    /// What it is.
    pub kind: SegmentKind,
    /// Its sections, in their order in the object.
    pub sections: Vec<Section>,
}

impl Contents {
    /// Checks that the object is the one that was looked for: its key says `id`.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`]: it is another one, copied or renamed.
    pub fn expect_id(&self, id: Ulid) -> Result<(), SegmentError> {
        if self.id == id {
            return Ok(());
        }
        let why = format!(
            "it says of itself that it is {}: it was copied or renamed",
            self.id
        );
        Err(SegmentError::damaged(why).in_object(id))
    }
}

/// What the end of an object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Everything.
    Contents(Contents),
    /// Too little: these bytes of the object are missing. They end where the tail began; ask again with both.
    Need(ByteRange),
}

#[cfg(test)]
mod tests;
