//! One batch among others: cut off, checked, given its place.

use bytes::{Bytes, BytesMut};

use super::caps::Caps;
use super::codec::Codec;
use super::decoded::Decoded;
use super::decompress::decompress;
use super::error::BatchError;
use super::header::{BatchHeader, HEADER_LEN, MAX_OFFSET, MIN_RECORD, crc_of};

/// A whole batch, still compressed. Clones share its bytes.
#[derive(Clone, Debug)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Takes the batch that `bytes` begin with off them and verifies its checksum. Nothing is copied. After an error
    /// `bytes` are as before.
    ///
    /// # Errors
    /// [`BatchError::Truncated`] if the batch is not all there, [`BatchError::Checksum`] if it is damaged, and what
    /// [`BatchHeader::parse`] says.
    pub fn split_off_front(bytes: &mut Bytes) -> Result<Self, BatchError> {
        Self::split(bytes, true)
    }

    /// The same without the checksum, for bytes that another checksum was verified of.
    ///
    /// # Errors
    /// As [`Self::split_off_front`], but for the checksum.
    pub fn split_off_front_trusted(bytes: &mut Bytes) -> Result<Self, BatchError> {
        Self::split(bytes, false)
    }

    fn split(bytes: &mut Bytes, verify: bool) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let Some(batch) = bytes.get(..header.len) else {
            return Err(BatchError::Truncated {
                need: header.len,
                have: bytes.len(),
            });
        };
        if verify {
            let found = crc_of(batch);
            if found != header.crc {
                return Err(BatchError::Checksum {
                    base_offset: header.base_offset,
                    expected: header.crc,
                    found,
                });
            }
        }
        Ok(Self {
            header,
            bytes: bytes.split_to(header.len),
        })
    }

    /// Its header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All of its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same batch with its first record at `base`. The checksum stays, for it does not cover the offset. Only if
    /// somebody else holds the bytes, too, are they copied.
    ///
    /// # Panics
    /// If an offset would be beyond 2^63 - 1, which no partition reaches by counting.
    #[must_use]
    pub fn with_base_offset(mut self, base: u64) -> Self {
        let last = base.checked_add(self.header.last_offset_delta.into());
        assert!(
            last.is_some_and(|last| last < MAX_OFFSET),
            "offsets from {base} on go beyond 2^63 - 1"
        );
        if base != self.header.base_offset {
            let mut bytes = self
                .bytes
                .try_into_mut()
                .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            bytes[..8].copy_from_slice(&base.to_be_bytes());
            self.bytes = bytes.freeze();
            self.header.base_offset = base;
        }
        self
    }

    /// Decompresses the records. Those of a batch without compression are taken where they are.
    ///
    /// # Errors
    /// More than `caps` allow, or bytes that the codec cannot read. What is wrong with single records comes to light
    /// when they are read.
    pub fn decode(&self, caps: &Caps) -> Result<Decoded, BatchError> {
        self.header.check_caps(caps)?;
        let codec = self.header.codec()?;
        let stored = self.bytes.slice(HEADER_LEN..);
        if codec == Codec::None || (stored.is_empty() && self.header.records == 0) {
            if stored.len() > caps.decompressed_bytes {
                return Err(BatchError::OverCap {
                    base_offset: self.header.base_offset,
                    what: "bytes of records",
                    found: stored.len() as u64,
                    cap: caps.decompressed_bytes as u64,
                });
            }
            return Decoded::new(&self.header, caps, stored, 0);
        }
        let records =
            decompress(codec, &stored, caps).map_err(|fault| fault.at(&self.header, codec, caps))?;
        let memory = records.capacity();
        if self.header.records as usize > records.len() / MIN_RECORD {
            return Err(BatchError::Field {
                field: "records",
                value: self.header.records.into(),
                why: "more than its bytes can hold",
            });
        }
        Decoded::new(&self.header, caps, records.into(), memory)
    }
}
