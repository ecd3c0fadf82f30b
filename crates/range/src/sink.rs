//! Bytes to their places, in any order.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::RangeError;
use crate::read::Opened;
use crate::state::PartOut;
use crate::stats::RangeStats;

/// Where the bytes of a read go. Called from several threads at a time, never twice for the same byte that succeeded,
/// and on runtime threads: it may copy, it should not wait.
pub trait RangeSink: Send + Sync + 'static {
    /// Told once, before the first bytes, how many will come.
    ///
    /// # Errors
    /// End the read.
    fn begin(&self, len: u64) -> io::Result<()> {
        let _ = len;
        Ok(())
    }

    /// Takes bytes; `offset` counts from the start of the range that is read.
    ///
    /// # Errors
    /// End the read.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// Drops everything: for measuring, and for warming what lies below.
#[derive(Clone, Copy, Debug)]
pub struct Discard;

impl RangeSink for Discard {
    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Writes into a file with `pwrite`, from where the bytes arrive. The page cache takes them at memory speed; handing
/// each chunk to another thread cost more than it hid (docs/benchmarks.md, get to a file).
#[derive(Clone, Debug)]
pub struct FileSink {
    file: Arc<File>,
}

impl FileSink {
    /// Writes into `file`, which should be empty.
    pub fn new(file: File) -> Self {
        Self::shared(Arc::new(file))
    }

    /// Writes into a file that others hold as well.
    pub fn shared(file: Arc<File>) -> Self {
        Self { file }
    }
}

impl RangeSink for FileSink {
    fn begin(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
}

/// A part's way into the sink. Its memory is held until the part is through: the chunks on their way count.
struct SinkOut {
    sink: Arc<dyn RangeSink>,
    held: Option<crate::state::Held>,
}

impl PartOut for SinkOut {
    fn chunk(&mut self, offset: u64, bytes: Bytes) -> io::Result<()> {
        self.sink.write_at(offset, &bytes)
    }

    fn done(&mut self) {
        self.held = None;
    }
}

impl Opened {
    /// Puts all bytes into `sink`; see [`crate::RangeEngine::read_to`].
    ///
    /// # Errors
    /// If a part fails for good, or the sink does.
    ///
    /// # Cancel safety
    /// Dropping the future ends all its requests; the sink then holds some of the bytes.
    pub async fn into_sink(mut self, sink: Arc<dyn RangeSink>) -> Result<RangeStats, RangeError> {
        sink.begin(self.range().len())
            .map_err(|source| RangeError::Sink { source })?;
        let state = self.state().clone();
        match self.single() {
            Some(job) => {
                job.run(SinkOut { sink, held: None }).await?;
            }
            None => {
                self.run(|_, held| SinkOut {
                    sink: sink.clone(),
                    held: Some(held),
                })
                .await?;
            }
        }
        Ok(state.stats())
    }
}
