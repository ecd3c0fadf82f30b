//! Where a commit gets what was changed.

use async_trait::async_trait;
use forebay_types::ByteRange;

use crate::commit::error::BelowError;
use crate::overlay::{NodeId, Upper};

/// A tree with changes above it that can be committed. Clones share everything; they go to threads that wait for the disk.
#[async_trait]
pub trait Working: Clone + Send + Sync + 'static {
    /// The changes.
    fn upper(&self) -> &Upper;

    /// The mode that a lower file is shown with, so that a mode that was set can be told from one that was not.
    fn lower_mode(&self, executable: bool) -> u32;

    /// Brings what a file lacks of `range` from below, and keeps it above. The file has a data file.
    ///
    /// # Errors
    /// What was said below, or by the disk.
    async fn bring(&self, id: NodeId, range: ByteRange) -> Result<(), BelowError>;
}
