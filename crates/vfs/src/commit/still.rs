//! Files that nobody writes to meanwhile.

use forebay_manifest::Stamp;
use forebay_types::{Clock, SystemClock};

use crate::commit::error::{CommitError, shown};
use crate::commit::progress::{CommitProgress, add};

/// Reads a file until nobody writes to it meanwhile; an attempt that somebody disturbed says `None`. `None`: so did all,
/// [`Stamp::AGAIN`] + 1 of them.
pub(super) async fn until_still<T, F>(
    progress: &CommitProgress,
    path: &[u8],
    mut attempt: impl FnMut() -> F,
) -> Result<Option<T>, CommitError>
where
    F: Future<Output = Result<Option<T>, CommitError>>,
{
    for times in 0..=Stamp::AGAIN {
        if let Some(done) = attempt().await? {
            return Ok(Some(done));
        }
        add(&progress.again, 1);
        tracing::debug!(path = %shown(path), "it changed while it was read");
        if times < Stamp::AGAIN {
            // Whoever writes may be done soon.
            tokio::time::sleep(Stamp::STEP * (1 << times)).await;
        }
    }
    Ok(None)
}

/// Whether a file with this stamp changes no more. A write within the same step of the kernel's clock would not show: what was
/// changed just now is looked at once more when that is over, by `is_same`.
pub(super) async fn is_still(
    stamp: Stamp,
    is_same: impl Future<Output = Result<bool, CommitError>>,
) -> Result<bool, CommitError> {
    if !stamp.is_fresh(SystemClock::new().wall()) {
        return Ok(true);
    }
    tokio::time::sleep(Stamp::STEP).await;
    is_same.await
}
