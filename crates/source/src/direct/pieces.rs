//! A range of a file, piece by piece, with the next ones on their way.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use forebay_disk::MAX_READ;
use forebay_types::ByteRange;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::Result;

use super::open::Open;

/// Pieces of one range that the disk reads at a time.
const AT_ONCE: usize = 2;

/// A piece on its way, and how long it must be.
type Piece = (u64, BoxFuture<'static, std::io::Result<Bytes>>);

struct Pieces<I> {
    file: Arc<Open>,
    plan: I,
    under_way: VecDeque<Piece>,
}

/// Streams `range` of `file`. The first pieces are asked for at once. Ends after the first error.
pub(super) fn stream(file: Arc<Open>, range: ByteRange) -> BoxStream<'static, Result<Bytes>> {
    let plan = file.file.pieces(range, MAX_READ);
    let mut pieces = Pieces {
        file,
        plan,
        under_way: VecDeque::with_capacity(AT_ONCE),
    };
    pieces.ask();
    futures::stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        let piece = pieces.next().await?;
        let more = piece.is_ok().then_some(pieces);
        Some((piece, more))
    })
    // object_store's collect_bytes polls an empty stream twice.
    .fuse()
    .boxed()
}

/// All of `range` of `file` at once; without a copy where that is one piece.
pub(super) async fn collect(file: Arc<Open>, range: ByteRange) -> Result<Bytes> {
    let mut pieces = stream(file.clone(), range);
    let first = pieces.try_next().await?.unwrap_or_default();
    if first.len() as u64 == range.len() {
        return Ok(first);
    }
    // Sparse files are longer than memory; the answer to that is an error, not an abort.
    let too_large = || {
        let why = "the range does not fit into memory";
        file.failed(std::io::Error::new(std::io::ErrorKind::OutOfMemory, why))
    };
    let len = usize::try_from(range.len()).map_err(|_| too_large())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| too_large())?;
    bytes.extend_from_slice(&first);
    while let Some(piece) = pieces.try_next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

impl<I: Iterator<Item = ByteRange>> Pieces<I> {
    /// Asks for what is next: for one piece in any case, for more as long as there are buffers for all who read.
    fn ask(&mut self) {
        while self.under_way.len() < AT_ONCE
            && (self.under_way.is_empty() || self.file.file.has_room())
            && let Some(range) = self.plan.next()
        {
            self.under_way
                .push_back((range.len(), Box::pin(self.file.file.read(range))));
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes>> {
        let (len, piece) = self.under_way.pop_front()?;
        let piece = piece.await;
        self.ask();
        Some(self.check(piece, len))
    }

    /// Insists that the piece is whole and the file still the one that was opened.
    fn check(&self, piece: std::io::Result<Bytes>, len: u64) -> Result<Bytes> {
        let bytes = piece.map_err(|e| self.file.failed(e))?;
        if (bytes.len() as u64) < len {
            return Err(self.file.ended_early().into());
        }
        self.file.unchanged()?;
        Ok(bytes)
    }
}
