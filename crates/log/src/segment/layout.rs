//! Head and footer, byte by byte, and the words that all parts of the format share.

use bytes::{Buf, BufMut};
use crc_fast::{CrcAlgorithm, Digest};
use ulid::Ulid;

use super::{SegmentError, SegmentKind};

/// The only version there is so far.
pub(super) const VERSION: u16 = 1;

/// Bytes of a head.
pub(super) const HEAD: usize = 32;

/// Bytes of a footer.
pub(super) const FOOTER: usize = 64;

const HEAD_MAGIC: [u8; 8] = *b"FBAYSEGM";
const FOOTER_MAGIC: [u8; 8] = *b"FBAYFOOT";

/// What the first bytes of an object say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: Ulid,
    pub(super) kind: SegmentKind,
}

impl Head {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_slice(&HEAD_MAGIC);
        out.put_u16(VERSION);
        out.put_u16(code_of(self.kind));
        out.put_slice(&self.id.to_bytes());
        put_crc(out, start);
    }

    /// Reads it from the bytes that an object begins with.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SegmentError> {
        let Some(mut bytes) = bytes.get(..HEAD) else {
            return Err(SegmentError::damaged("it ends within its head"));
        };
        let crc = crc32c(&bytes[..HEAD - 4]);
        if !bytes.starts_with(&HEAD_MAGIC) {
            return Err(SegmentError::damaged("it does not begin as one does"));
        }
        bytes.advance(HEAD_MAGIC.len());
        let version = bytes.get_u16();
        let kind = bytes.get_u16();
        let id = get_id(&mut bytes);
        if bytes.get_u32() != crc {
            return Err(SegmentError::damaged("the checksum of its head does not fit"));
        }
        check_version(version).map_err(|error| error.in_object(id))?;
        let kind = kind_of(kind).map_err(|error| error.in_object(id))?;
        Ok(Self { id, kind })
    }
}

/// What the last bytes of an object say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) index_position: u64,
    pub(super) index_length: u64,
    pub(super) index_crc: u32,
    pub(super) sections: u32,
    pub(super) size: u64,
    pub(super) id: Ulid,
    pub(super) kind: SegmentKind,
}

impl Footer {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u64(self.index_position);
        out.put_u64(self.index_length);
        out.put_u32(self.index_crc);
        out.put_u32(self.sections);
        out.put_u64(self.size);
        out.put_slice(&self.id.to_bytes());
        out.put_u16(code_of(self.kind));
        out.put_u16(VERSION);
        put_crc(out, start);
        out.put_slice(&FOOTER_MAGIC);
    }

    /// Reads it from the last [`FOOTER`] bytes of an object.
    pub(super) fn parse(bytes: &[u8; FOOTER]) -> Result<Self, SegmentError> {
        if !bytes.ends_with(&FOOTER_MAGIC) {
            return Err(SegmentError::damaged(
                "it does not end as one does: it was cut short, or never was one",
            ));
        }
        let mut bytes = &bytes[..];
        let crc = crc32c(&bytes[..FOOTER - 12]);
        let index_position = bytes.get_u64();
        let index_length = bytes.get_u64();
        let index_crc = bytes.get_u32();
        let sections = bytes.get_u32();
        let size = bytes.get_u64();
        let id = get_id(&mut bytes);
        let kind = bytes.get_u16();
        let version = bytes.get_u16();
        if bytes.get_u32() != crc {
            return Err(SegmentError::damaged("the checksum of its footer does not fit"));
        }
        check_version(version).map_err(|error| error.in_object(id))?;
        Ok(Self {
            index_position,
            index_length,
            index_crc,
            sections,
            size,
            id,
            kind: kind_of(kind).map_err(|error| error.in_object(id))?,
        })
    }
}

/// Refuses what this program does not know. To be asked only when the checksum was right.
pub(super) fn check_version(version: u16) -> Result<(), SegmentError> {
    match version {
        VERSION => Ok(()),
        0 => Err(SegmentError::damaged("version 0 never was one")),
        version => Err(SegmentError::newer(version)),
    }
}

pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    // 32 bits in the type of a longer CRC.
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The same over bytes that come in pieces.
pub(super) struct Crc(Digest);

impl Crc {
    pub(super) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn get(&self) -> u32 {
        self.0.finalize() as u32
    }
}

/// Appends the CRC of everything from `start` on.
pub(super) fn put_crc(out: &mut Vec<u8>, start: usize) {
    let crc = crc32c(&out[start..]);
    out.put_u32(crc);
}

fn get_id(bytes: &mut &[u8]) -> Ulid {
    Ulid::from_bytes(bytes.get_u128().to_be_bytes())
}

fn code_of(kind: SegmentKind) -> u16 {
    match kind {
        SegmentKind::Flush => 1,
        SegmentKind::Compacted => 2,
    }
}

fn kind_of(code: u16) -> Result<SegmentKind, SegmentError> {
    match code {
        1 => Ok(SegmentKind::Flush),
        2 => Ok(SegmentKind::Compacted),
        code => Err(SegmentError::damaged(format!(
            "there is no kind {code} of segments"
        ))),
    }
}
