//! Records into a batch.

use bytes::Bytes;

use crate::record::Header;

use super::caps::Caps;
use super::codec::Codec;
use super::compress::compress;
use super::error::BatchError;
use super::header::{BatchHeader, HEADER_LEN, MAX_OFFSET, seal};

/// Collects records and makes a batch of them. What it makes can be read under [`Caps::default`].
#[derive(Debug)]
pub struct BatchBuilder {
    codec: Codec,
    /// The batch without compression: room for the header, then the records.
    bytes: Vec<u8>,
    records: u32,
    base_timestamp: i64,
    max_timestamp: i64,
}

/// No varint is longer.
const MAX_VARINT: usize = 10;

impl BatchBuilder {
    /// An empty batch, to be compressed with `codec`.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            bytes: vec![0; HEADER_LEN],
            records: 0,
            base_timestamp: -1,
            max_timestamp: -1,
        }
    }

    /// Appends a record. `timestamp` is in milliseconds since 1970, or -1; a `value` of `None` is a tombstone.
    ///
    /// # Errors
    /// The record does not fit into this batch, or into any; then the batch is as before.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<(), BatchError> {
        let caps = Caps::LIMITS;
        let base = if self.records == 0 {
            timestamp
        } else {
            self.base_timestamp
        };
        let since = timestamp.checked_sub(base).ok_or(BatchError::Timestamps {
            first: base,
            this: timestamp,
        })?;
        if self.records >= caps.records {
            return Err(too_many(
                "records in a batch",
                self.records as usize + 1,
                caps.records,
            ));
        }
        if headers.len() > caps.headers as usize {
            return Err(too_many("headers of a record", headers.len(), caps.headers));
        }
        // Neither cast loses anything: both counts were held against their caps.
        let delta = i64::from(self.records);
        let count = headers.len() as i64;
        let len = headers.iter().fold(
            1 + varint_len(since) + varint_len(delta) + varint_len(count) + field_len(key) + field_len(value),
            |len: usize, header| {
                len.saturating_add(field_len(Some(&header.name)))
                    .saturating_add(field_len(header.value.as_deref()))
            },
        );
        // The cast may wrap for what is refused here.
        let record = len.saturating_add(varint_len(len as i64));
        let batch = self.bytes.len().saturating_add(record);
        let cap = caps.batch_bytes.min(HEADER_LEN + caps.decompressed_bytes);
        if batch > cap {
            return Err(BatchError::TooLarge { record, batch, cap });
        }

        self.bytes.reserve(record);
        let mut head = Small::default();
        head.varint(len as i64);
        head.byte(0);
        head.varint(since);
        head.varint(delta);
        self.bytes.extend_from_slice(head.as_slice());
        self.field(key);
        self.field(value);
        self.varint(count);
        for header in headers {
            self.field(Some(&header.name));
            self.field(header.value.as_deref());
        }
        debug_assert_eq!(self.bytes.len(), batch);
        self.max_timestamp = if self.records == 0 {
            timestamp
        } else {
            self.max_timestamp.max(timestamp)
        };
        self.base_timestamp = base;
        self.records += 1;
        Ok(())
    }

    /// How many records it has.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Bytes of the batch if it were not compressed: [`Self::finish`] makes no more.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The whole batch, its first record at `base_offset`, with its checksum. Records that compression does not make
    /// smaller stay as they are, and the batch says so.
    ///
    /// # Errors
    /// [`BatchError::Empty`] without records, [`BatchError::Offsets`] if there are no such offsets.
    pub fn finish(self, base_offset: u64) -> Result<Bytes, BatchError> {
        if self.records == 0 {
            return Err(BatchError::Empty);
        }
        if base_offset > MAX_OFFSET - u64::from(self.records) {
            return Err(BatchError::Offsets {
                base_offset,
                records: self.records,
            });
        }
        let mut header = BatchHeader {
            base_offset,
            len: 0,
            leader_epoch: 0,
            crc: 0,
            attributes: Codec::None.number(),
            last_offset_delta: self.records - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records: self.records,
        };
        let mut batch = self.bytes;
        if self.codec != Codec::None {
            // One byte less than there are, so that what is not smaller does not fit.
            let mut smaller = vec![0; batch.len() - 1];
            if let Some(len) = compress(self.codec, &batch[HEADER_LEN..], &mut smaller[HEADER_LEN..])? {
                smaller.truncate(HEADER_LEN + len);
                smaller.shrink_to_fit();
                batch = smaller;
                header.attributes = self.codec.number();
            }
        }
        header.len = batch.len();
        let head = batch
            .first_chunk_mut()
            .expect("a batch starts with room for its header");
        header.write(head);
        seal(&mut batch);
        Ok(batch.into())
    }

    #[inline]
    fn field(&mut self, field: Option<&[u8]>) {
        match field {
            None => self.bytes.push(1),
            Some(bytes) => {
                self.varint(bytes.len() as i64);
                self.bytes.extend_from_slice(bytes);
            }
        }
    }

    #[inline]
    fn varint(&mut self, value: i64) {
        let mut raw = zigzag(value);
        while raw >= 0x80 {
            self.bytes.push(raw as u8 | 0x80);
            raw >>= 7;
        }
        self.bytes.push(raw as u8);
    }
}

/// The numbers at the beginning of a record.
#[derive(Default)]
struct Small {
    bytes: [u8; 3 * MAX_VARINT + 1],
    len: usize,
}

impl Small {
    #[inline]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    #[inline]
    fn varint(&mut self, value: i64) {
        let mut raw = zigzag(value);
        while raw >= 0x80 {
            self.byte(raw as u8 | 0x80);
            raw >>= 7;
        }
        self.byte(raw as u8);
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1) as u64 ^ (value >> 63) as u64
}

fn varint_len(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Bytes of a field with its length, which are never more than memory has.
fn field_len(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| bytes.len() + varint_len(bytes.len() as i64))
}

fn too_many(what: &'static str, found: usize, cap: u32) -> BatchError {
    BatchError::TooMany {
        what,
        found: found as u64,
        cap: cap.into(),
    }
}
