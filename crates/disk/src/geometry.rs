//! What a file wants of direct reads, and how a range is widened to that. Pure but for [`Geometry::of`].

#[cfg(test)]
mod tests;

use std::fs::File;

use forebay_types::ByteRange;

use crate::file::Wanted;

/// What offsets, lengths and addresses are multiples of where the kernel does not say (before 6.1, and file systems
/// that never do): every file system takes it.
const USUAL: u64 = 4096;

/// The most that a file system or a user may ask for: a slab must hold several.
pub(crate) const MOST: u64 = 1 << 20;

/// How a file is read past the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Offsets and lengths of reads are multiples of it, in bytes: a power of two.
    pub unit: u64,
    /// Addresses are multiples of it.
    pub memory: usize,
    /// What the kernel told of offsets; `None` if it told nothing.
    pub told: Option<u64>,
}

/// What the kernel says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Offsets, addresses; zero if the file cannot be read directly. `None` if it does not say.
    pub(crate) alignment: Option<(u64, u64)>,
    /// The same for writing.
    pub(crate) writes: Option<(u64, u64)>,
    pub(crate) mount: u64,
}

impl Geometry {
    /// For a file read through the page cache: no widening.
    pub(crate) const BUFFERED: Self = Self {
        unit: 1,
        memory: USUAL as usize,
        told: None,
    };

    /// From what the kernel told and what the user wants; what is wanted less than needed is raised.
    pub(crate) fn new(told: Option<(u64, u64)>, wanted: Wanted) -> Self {
        let (offset, memory) = told.unwrap_or((USUAL, USUAL));
        let wish = wanted.alignment.unwrap_or(1).max(wanted.min_io_size).max(1);
        let power = |bytes: u64| bytes.clamp(1, MOST).next_power_of_two();
        Self {
            unit: power(offset).max(power(wish)),
            memory: power(memory).max(power(wanted.alignment.unwrap_or(1))) as usize,
            told: told.map(|(offset, _)| offset),
        }
    }

    /// The smallest whole units that have all of `range`.
    pub fn widen(&self, range: ByteRange) -> ByteRange {
        let start = range.start() / self.unit * self.unit;
        let end = range.end().checked_next_multiple_of(self.unit);
        ByteRange::new(start, end.unwrap_or(u64::MAX / self.unit * self.unit))
    }
}

impl Told {
    /// Asks the kernel.
    #[cfg(target_os = "linux")]
    pub(crate) fn of(file: &File) -> std::io::Result<Self> {
        use rustix::fs::{AtFlags, StatxFlags, statx};
        // STATX_DIO_READ_ALIGN, since Linux 6.14; include/uapi/linux/stat.h.
        let read_align = StatxFlags::from_bits_retain(0x20000);
        let asked = StatxFlags::DIOALIGN | StatxFlags::MNT_ID | read_align;
        let told = match statx(file, c"", AtFlags::EMPTY_PATH, asked) {
            Ok(told) => told,
            // A sandbox without statx.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
                return Ok(Self {
                    alignment: None,
                    writes: None,
                    mount: 0,
                });
            }
            Err(errno) => return Err(errno.into()),
        };
        let has = |flag: StatxFlags| told.stx_mask & flag.bits() != 0;
        let writes = has(StatxFlags::DIOALIGN).then(|| {
            (
                u64::from(told.stx_dio_offset_align),
                u64::from(told.stx_dio_mem_align),
            )
        });
        let alignment = writes.map(|(writes, memory)| {
            // Where reads are more exacting than writes, or less, the kernel says so apart.
            let reads = u64::from(told.stx_dio_read_offset_align);
            let offset = match (has(read_align), reads) {
                (true, reads) if reads > 0 => reads,
                _ => writes,
            };
            (offset, memory)
        });
        Ok(Self {
            alignment,
            writes,
            mount: if has(StatxFlags::MNT_ID) {
                told.stx_mnt_id
            } else {
                0
            },
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of(_: &File) -> std::io::Result<Self> {
        Ok(Self {
            alignment: None,
            writes: None,
            mount: 0,
        })
    }
}
