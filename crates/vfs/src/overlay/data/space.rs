//! Sizes, holes and reserved room.

use forebay_disk::sys::write_at;
use forebay_types::{BlockRange, ByteRange};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{self, FallocateFlags, SeekFrom};
use rustix::io::{self, Errno};

use super::{Changed, DataFile, MAX_OFFSET};
use crate::overlay::error::UpperError;
use crate::overlay::map::Block;
use crate::overlay::sys::size_of;

/// Zeros written at once where the file system cannot make holes.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

impl DataFile {
    /// Makes the file `len` bytes long. What is cut off never comes back: a file that grows again has zeros there.
    ///
    /// # Errors
    /// What the system says: the file is as it was then.
    pub fn truncate(&self, len: u64) -> Result<(), UpperError> {
        let failed = self.io("change the size");
        if len > MAX_OFFSET {
            return Err(failed(Errno::FBIG));
        }
        self.shared.with_room(|| {
            let mut content = self.write();
            if len > content.limit {
                self.record_limit(&mut content)?;
            }
            io::retry_on_intr(|| fs::ftruncate(&self.fd, len)).map_err(&failed)?;
            if len < content.limit {
                content.limit = len;
                // The file first, then the journal: a killed process leaves a file that tells by its length. If there is
                // no room for that, it is told before the file grows.
                let _ = self.record_limit(&mut content);
            }
            Ok(())
        })
    }

    /// Makes `len` bytes from `offset` on zero and gives their room back; the file keeps its size.
    ///
    /// # Errors
    /// What the system says.
    pub fn punch(&self, offset: u64, len: u64) -> Result<Changed, UpperError> {
        let range = self.range(offset, len)?.clamp_to(self.len()?);
        self.overwrite(range, |fd| clear(fd, range))
    }

    /// Makes `len` bytes from `offset` on zero; the file grows if they lie behind its end, unless `keep_size`.
    ///
    /// # Errors
    /// What the system says.
    pub fn zero(&self, offset: u64, len: u64, keep_size: bool) -> Result<Changed, UpperError> {
        let range = self.range(offset, len)?;
        let inside = range.clamp_to(self.len()?);
        let done = self.overwrite(inside, |fd| clear(fd, inside))?;
        if let Changed::Fill(_) = done {
            return Ok(done);
        }
        if !keep_size && range.end() > self.len()? {
            self.truncate(range.end())?;
        }
        Ok(Changed::Done(range.len()))
    }

    /// Reserves room for `len` bytes from `offset` on; the file grows if they lie behind its end, unless `keep_size`. No
    /// byte changes.
    ///
    /// # Errors
    /// What the system says: ENOSPC if there is no room, EOPNOTSUPP if the file system cannot do it.
    pub fn allocate(&self, offset: u64, len: u64, keep_size: bool) -> Result<(), UpperError> {
        let range = self.range(offset, len)?;
        let failed = self.io("reserve room for the data");
        let flags = if keep_size {
            FallocateFlags::KEEP_SIZE
        } else {
            FallocateFlags::empty()
        };
        self.shared.with_room(|| {
            let mut content = self.write();
            self.record_limit(&mut content)?;
            io::retry_on_intr(|| fs::fallocate(&self.fd, flags, range.start(), range.len())).map_err(&failed)
        })
    }

    /// Where the next bytes are that are not in a hole, from `offset` on; `None` if there are none. What is below counts as
    /// bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn seek_data(&self, offset: u64) -> Result<Option<u64>, UpperError> {
        let content = self.read();
        let absent = content.map.as_ref().and_then(|map| {
            let blocks = BlockRange::touching(ByteRange::new(offset, content.limit.max(offset)));
            let block = map.find(blocks, |block| block == Block::Absent);
            let bytes = BlockRange::new(block, block + 1).bytes(content.limit);
            (block < blocks.end()).then(|| bytes.start().max(offset))
        });
        let here = match self.seek(SeekFrom::Data(offset.min(MAX_OFFSET))) {
            Err(Errno::NXIO) => None,
            other => Some(other.map_err(self.io("seek in the data"))?),
        };
        Ok(match (absent, here) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        })
    }

    /// Where the next hole begins from `offset` on, which the end of the file is at the latest; `None` if `offset` is not
    /// before that. What is below counts as bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn seek_hole(&self, offset: u64) -> Result<Option<u64>, UpperError> {
        let content = self.read();
        let mut at = offset;
        loop {
            at = match self.seek(SeekFrom::Hole(at.min(MAX_OFFSET))) {
                Err(Errno::NXIO) => return Ok(None),
                other => other.map_err(self.io("seek in the data"))?,
            };
            let rest = ByteRange::new(at, content.limit.max(at));
            match content.absent_in(rest) {
                Some(absent) if absent.start() <= at => at = absent.end(),
                _ => return Ok(Some(at)),
            }
            if at >= self.len()? {
                return Ok(Some(at));
            }
        }
    }

    fn seek(&self, to: SeekFrom) -> Result<u64, Errno> {
        // Nobody reads or writes at the position of the descriptor.
        fs::seek(self.fd.as_fd(), to)
    }
}

/// Makes bytes zero that lie in the file; returns how many.
fn clear(fd: BorrowedFd<'_>, range: ByteRange) -> Result<u64, Errno> {
    // What was cut off meanwhile is zero.
    let inside = range.clamp_to(size_of(fd)?);
    if inside.is_empty() {
        return Ok(range.len());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match io::retry_on_intr(|| fs::fallocate(fd, flags, inside.start(), inside.len())) {
        Ok(()) => Ok(range.len()),
        Err(Errno::OPNOTSUPP) => {
            let mut at = inside.start();
            while at < inside.end() {
                let len = (inside.end() - at).min(ZEROS.len() as u64);
                write_at(fd, &ZEROS[..len as usize], at)?;
                at += len;
            }
            Ok(range.len())
        }
        Err(e) => Err(e),
    }
}
