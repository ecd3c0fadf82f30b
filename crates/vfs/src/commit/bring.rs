//! What a file lacks, from below.

use forebay_types::ByteRange;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::commit::error::{CommitError, shown};
use crate::commit::memory::Memory;
use crate::commit::working::Working;
use crate::overlay::NodeId;

/// Bytes that are brought from below at a time: as many as one request fetches.
const BRING: u64 = 8 << 20;

/// How many are, for one file.
const BRING_AT_ONCE: usize = 4;

/// Brings these ranges of a file, and keeps them above.
pub(super) async fn bring<W: Working>(
    working: &W,
    memory: &Memory,
    (id, path): (NodeId, &[u8]),
    missing: impl IntoIterator<Item = ByteRange>,
) -> Result<(), CommitError> {
    let missing: Vec<ByteRange> = missing.into_iter().flat_map(|range| cut(range, BRING)).collect();
    let brought = stream::iter(missing).map(|range| {
        let (working, memory) = (working.clone(), memory.clone());
        async move {
            let _memory = memory.take(range.len()).await?;
            Ok::<_, CommitError>(working.bring(id, range).await)
        }
    });
    let mut brought = std::pin::pin!(brought.buffer_unordered(BRING_AT_ONCE));
    while let Some(done) = brought.try_next().await? {
        done.map_err(|source| CommitError::Below {
            path: shown(path),
            source,
        })?;
    }
    Ok(())
}

/// In runs of `most` bytes.
pub(super) fn cut(range: ByteRange, most: u64) -> impl Iterator<Item = ByteRange> {
    (0..range.len().div_ceil(most)).map(move |index| {
        let start = range.start() + index * most;
        ByteRange::new(start, range.end().min(start + most))
    })
}
