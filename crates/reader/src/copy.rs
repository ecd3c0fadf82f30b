//! Bytes into a sink, in any order.

use std::sync::Arc;

use forebay_range::RangeSink;
use forebay_types::ByteRange;

use crate::blocks::Awaited;
use crate::error::ReadError;
use crate::handle::Handle;
use crate::lanes::lanes;

impl Handle {
    /// Puts the bytes of `range`, as far as the object goes, into `sink`, each to its place counted from the start of
    /// the range, in whatever order they come. Gives back their number.
    ///
    /// # Errors
    /// If a part fails for good, or the sink does. The sink then holds some of the bytes.
    ///
    /// # Cancel safety
    /// Dropping the future ends its requests; the sink then holds some of the bytes.
    pub async fn copy_to(&self, range: ByteRange, sink: Arc<dyn RangeSink>) -> Result<u64, ReadError> {
        let range = range.clamp_to(self.size());
        let failed = |error: std::io::Error| ReadError::Sink(Arc::new(error));
        sink.begin(range.len()).map_err(failed)?;
        let lane = |part| self.clone().lane(part, range.start(), sink.clone());
        lanes(&self.inner.blocks, range, lane).await?;
        Ok(range.len())
    }

    async fn lane(self, part: ByteRange, start: u64, sink: Arc<dyn RangeSink>) -> Result<(), ReadError> {
        let inner = &*self.inner;
        let blocks = &inner.blocks;
        inner.count(part, blocks.find(part));
        let mut awaited = Awaited::new(blocks, part);
        let mut at = part.start();
        while at < part.end() {
            let chunks = blocks.next(at, part.end(), at + 1, &mut awaited).await?;
            for chunk in chunks {
                sink.write_at(at - start, &chunk)
                    .map_err(|e| ReadError::Sink(Arc::new(e)))?;
                blocks.consumed(ByteRange::at(at, chunk.len() as u64));
                at += chunk.len() as u64;
            }
        }
        inner.ahead().adopt(awaited.let_be());
        Ok(())
    }
}
