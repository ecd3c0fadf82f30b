//! How the bytes of a write reach their file.

use std::fs::File;
use std::io;

use forebay_disk::sys::write_pieces_at;
use forebay_disk::{Disk, Wanted};
use object_store::PutPayload;

use super::gather::Gather;

/// Which way the bytes of a write are to go.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Through the page cache.
    Buffered,
    /// Past it, if the file system can.
    Direct(Disk, Wanted),
}

/// A file being written. Several threads may write at different offsets.
#[derive(Debug)]
pub(super) enum Writer {
    Buffered(File),
    Direct(Gather),
}

impl Writer {
    pub(super) fn new(file: File, way: &Way) -> io::Result<Self> {
        Ok(match way {
            Way::Buffered => Self::Buffered(file),
            Way::Direct(disk, wanted) => Self::Direct(Gather::new(disk.write(file, *wanted)?)),
        })
    }

    pub(super) fn file(&self) -> &File {
        match self {
            Self::Buffered(file) => file,
            Self::Direct(gather) => gather.file(),
        }
    }

    /// Writes all of `payload` from `offset` on.
    pub(super) fn write_at(&self, payload: &PutPayload, offset: u64) -> io::Result<()> {
        match self {
            Self::Buffered(file) => write_buffered(file, payload, offset),
            Self::Direct(gather) => gather.write_at(payload, offset),
        }
    }

    /// Writes what is left to be written when all bytes were given.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Buffered(_) => Ok(()),
            Self::Direct(gather) => gather.finish(),
        }
    }
}

fn write_buffered(file: &File, payload: &PutPayload, offset: u64) -> io::Result<()> {
    let pieces: Vec<&[u8]> = payload.iter().map(AsRef::as_ref).collect();
    Ok(write_pieces_at(file, &pieces, offset)?)
}
