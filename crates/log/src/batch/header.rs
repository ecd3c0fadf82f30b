//! The 61 bytes before the records.

use super::caps::Caps;
use super::codec::Codec;
use super::error::BatchError;

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;

/// Bytes before those that batchLength counts.
pub(super) const UNCOUNTED: usize = 12;

/// Where the bytes under the checksum start.
pub(super) const CHECKED: usize = 21;

/// A record has no fewer bytes: seven fields of one byte.
pub(super) const MIN_RECORD: usize = 7;

/// No record has this offset: the one after it could not be said.
pub(super) const MAX_OFFSET: u64 = i64::MAX as u64;

const MAGIC: u8 = 2;
const CODEC: u16 = 0b111;
const LOG_APPEND_TIME: u16 = 1 << 3;
const TRANSACTIONAL: u16 = 1 << 4;
const CONTROL: u16 = 1 << 5;

/// The header of a batch: see [the module](super) for what its fields are in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record when the batch was made; compaction may have taken that record away.
    pub base_offset: u64,
    /// Bytes of the whole batch, the 12 that its own length does not count among them.
    pub len: usize,
    /// Set by a broker when it took the batch.
    pub leader_epoch: i32,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamps, kind of batch.
    pub attributes: u16,
    /// Last offset, less `base_offset`.
    pub last_offset_delta: u32,
    /// Milliseconds since 1970 that the records' timestamps are counted from.
    pub base_timestamp: i64,
    /// The greatest timestamp of the records.
    pub max_timestamp: i64,
    /// Who made it, if it wants no duplicates; else -1.
    pub producer_id: i64,
    /// Which incarnation of the producer; -1 for none.
    pub producer_epoch: i16,
    /// The producer's number of the first record; -1 for none.
    pub base_sequence: i32,
    /// How many records there are. None at all is a batch that compaction emptied.
    pub records: u32,
}

impl BatchHeader {
    /// Reads the header of the batch that `bytes` begin with; the first [`HEADER_LEN`] bytes are enough. The checksum
    /// is not looked at.
    ///
    /// # Errors
    /// Fewer bytes, another format, a field that cannot be, or more than [`Caps::default`] allows.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(BatchError::Truncated {
                need: HEADER_LEN,
                have: bytes.len(),
            });
        };
        let base_offset = i64::from_be_bytes(field(head, 0));
        let counted = i32::from_be_bytes(field(head, 8));
        let [magic] = field(head, 16);
        if magic != MAGIC {
            return Err(BatchError::Magic { found: magic });
        }
        let last_offset_delta = i32::from_be_bytes(field(head, 23));
        let records = i32::from_be_bytes(field(head, 57));
        let len = match usize::try_from(counted) {
            Ok(counted) if counted >= HEADER_LEN - UNCOUNTED => counted + UNCOUNTED,
            _ => return Err(bad("batchLength", counted, "less than the rest of a header")),
        };
        let header = Self {
            base_offset: u64::try_from(base_offset).map_err(|_| negative("baseOffset", base_offset))?,
            len,
            leader_epoch: i32::from_be_bytes(field(head, 12)),
            crc: u32::from_be_bytes(field(head, 17)),
            attributes: u16::from_be_bytes(field(head, 21)),
            last_offset_delta: u32::try_from(last_offset_delta)
                .map_err(|_| negative("lastOffsetDelta", last_offset_delta))?,
            base_timestamp: i64::from_be_bytes(field(head, 27)),
            max_timestamp: i64::from_be_bytes(field(head, 35)),
            producer_id: i64::from_be_bytes(field(head, 43)),
            producer_epoch: i16::from_be_bytes(field(head, 51)),
            base_sequence: i32::from_be_bytes(field(head, 53)),
            records: u32::try_from(records).map_err(|_| negative("records", records))?,
        };
        header.check_ranges()?;
        header.check_caps(&Caps::LIMITS)?;
        Ok(header)
    }

    fn check_ranges(&self) -> Result<(), BatchError> {
        if self.base_offset + u64::from(self.last_offset_delta) >= MAX_OFFSET {
            return Err(bad(
                "lastOffsetDelta",
                self.last_offset_delta,
                "so that offsets would go beyond 2^63 - 1",
            ));
        }
        if u64::from(self.records) > u64::from(self.last_offset_delta) + 1 {
            return Err(bad(
                "records",
                self.records,
                "more than there are offsets from the first to the last",
            ));
        }
        let uncompressed = self.attributes & CODEC == Codec::None.number();
        if uncompressed && self.records as usize > (self.len - HEADER_LEN) / MIN_RECORD {
            return Err(bad("records", self.records, "more than its bytes can hold"));
        }
        Ok(())
    }

    /// Holds length and count against `caps`.
    pub(super) fn check_caps(&self, caps: &Caps) -> Result<(), BatchError> {
        let over = |what, found, cap| BatchError::OverCap {
            base_offset: self.base_offset,
            what,
            found,
            cap,
        };
        if self.len > caps.batch_bytes {
            return Err(over("bytes", self.len as u64, caps.batch_bytes as u64));
        }
        if self.records > caps.records {
            return Err(over("records", self.records.into(), caps.records.into()));
        }
        Ok(())
    }

    /// The offset after the last one of the batch: where the next batch may start.
    pub fn next_offset(&self) -> u64 {
        self.base_offset + u64::from(self.last_offset_delta) + 1
    }

    /// What the records are compressed with.
    ///
    /// # Errors
    /// [`BatchError::UnknownCodec`] if the attributes name none that there is.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        let number = self.attributes & CODEC;
        Codec::of_number(number).ok_or(BatchError::UnknownCodec {
            base_offset: self.base_offset,
            number,
        })
    }

    /// Whether the records are marks of a transaction and not data.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the timestamp of every record is `max_timestamp`, which the broker set, and not what the producer said.
    pub fn log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Writes everything but the checksum, which [`seal`] puts in.
    pub(super) fn write(&self, head: &mut [u8; HEADER_LEN]) {
        let mut at = 0;
        let mut put = |value: &[u8]| {
            head[at..at + value.len()].copy_from_slice(value);
            at += value.len();
        };
        put(&self.base_offset.to_be_bytes());
        put(&((self.len - UNCOUNTED) as u32).to_be_bytes());
        put(&self.leader_epoch.to_be_bytes());
        put(&[MAGIC]);
        put(&[0; 4]);
        put(&self.attributes.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.to_be_bytes());
        put(&self.max_timestamp.to_be_bytes());
        put(&self.producer_id.to_be_bytes());
        put(&self.producer_epoch.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&self.records.to_be_bytes());
        debug_assert_eq!(at, HEADER_LEN);
    }
}

/// CRC-32C of what a batch's checksum is made of.
pub(super) fn crc_of(batch: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch[CHECKED..]) as u32
}

/// Puts the checksum into a batch that is otherwise whole.
pub(super) fn seal(batch: &mut [u8]) {
    let crc = crc_of(batch);
    batch[CHECKED - 4..CHECKED].copy_from_slice(&crc.to_be_bytes());
}

fn field<const N: usize>(head: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&head[at..at + N]);
    bytes
}

fn bad(field: &'static str, value: impl Into<i64>, why: &'static str) -> BatchError {
    BatchError::Field {
        field,
        value: value.into(),
        why,
    }
}

fn negative(field: &'static str, value: impl Into<i64>) -> BatchError {
    bad(field, value, "which is negative")
}
