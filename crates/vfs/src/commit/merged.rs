//! A merged tree can be committed.

use async_trait::async_trait;
use forebay_types::ByteRange;

use crate::commit::error::BelowError;
use crate::commit::working::Working;
use crate::merged::{Merged, MergedError};
use crate::overlay::{NodeId, Upper};

#[async_trait]
impl Working for Merged {
    fn upper(&self) -> &Upper {
        Self::upper(self)
    }

    fn lower_mode(&self, executable: bool) -> u32 {
        Self::lower_mode(self, executable)
    }

    async fn bring(&self, id: NodeId, range: ByteRange) -> Result<(), BelowError> {
        let failed = |error: MergedError| BelowError {
            kind: error.kind(),
            source: error.into(),
        };
        let file = self.open_node(id).await.map_err(failed)?;
        // What is read is kept.
        let mut buffer = vec![0; usize::try_from(range.len()).unwrap_or(usize::MAX)];
        let read = file.read_at(range.start(), &mut buffer).await;
        read.map(drop).map_err(failed)
    }
}
