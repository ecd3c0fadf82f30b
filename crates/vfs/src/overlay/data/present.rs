//! Bytes that are read from where they lie.

use std::sync::RwLockReadGuard;

use forebay_disk::sys::stored;
use forebay_types::ByteRange;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::fstat;

use super::{Content, DataFile};
use crate::overlay::error::UpperError;

/// Bytes of a file that are here, to be taken from where they lie. As long as this lives nothing is cut off the file; others
/// may write to it.
#[derive(Debug)]
pub struct Present<'a> {
    file: &'a DataFile,
    range: ByteRange,
    is_dense: bool,
    _uncut: RwLockReadGuard<'a, Content>,
}

impl Present<'_> {
    /// Which.
    pub fn range(&self) -> ByteRange {
        self.range
    }

    /// Whether the file has as much room on the disk as it is long: then it has no holes, on a disk in memory at least.
    pub fn is_dense(&self) -> bool {
        self.is_dense
    }
}

impl AsFd for Present<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.fd()
    }
}

impl DataFile {
    /// The `size` bytes from `offset` on, or up to the end of the file, without reading them. `None`: some must come from
    /// below first.
    ///
    /// # Errors
    /// What the system says.
    pub fn present(&self, offset: u64, size: usize) -> Result<Option<Present<'_>>, UpperError> {
        let content = self.read();
        let stat = fstat(&self.fd).map_err(self.io("look at the data"))?;
        let len = stat.st_size.cast_unsigned();
        let range = ByteRange::at(offset, size as u64).clamp_to(len);
        if content.absent_in(range).is_some() {
            return Ok(None);
        }
        Ok(Some(Present {
            file: self,
            range,
            is_dense: stored(&stat) >= len,
            _uncut: content,
        }))
    }
}
