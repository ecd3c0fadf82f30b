//! Bytes on their way into the cache.

use std::fmt;

use bytes::Bytes;
use forebay_types::ByteRange;

/// Bytes for the disk.
pub struct Fill {
    /// Where they begin: at the start of a block.
    pub at: u64,
    /// One after the other; they end at the end of a block or of the object.
    pub chunks: Vec<Bytes>,
    /// Never refused: its owner goes by [`crate::Cache::backlog`] instead.
    pub patient: bool,
    /// Dropped when the fill is settled and its chunks are let go: memory that is accounted for them, for example.
    pub hold: Box<dyn Send>,
    /// Told what became of it, on a thread of the cache, before `hold` is dropped.
    pub done: Box<dyn FnOnce(Stored) + Send>,
}

impl Fill {
    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    pub(crate) fn range(&self) -> ByteRange {
        ByteRange::at(self.at, self.len())
    }
}

impl fmt::Debug for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut show = f.debug_struct("Fill");
        show.field("range", &self.range()).field("patient", &self.patient);
        show.finish_non_exhaustive()
    }
}

/// What became of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Its blocks are in the cache.
    Written,
    /// They are not, and that is counted.
    Dropped,
}
