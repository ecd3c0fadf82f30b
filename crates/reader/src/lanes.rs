//! Many parts of an object side by side, in any order.

use forebay_types::ByteRange;
use tokio::task::JoinSet;

use crate::blocks::Blocks;
use crate::error::ReadError;

/// Runs `lane` for each part of `range`, as many at a time as the source likes.
///
/// # Errors
/// The first of a lane; the others end then.
///
/// # Cancel safety
/// Dropping the future ends all lanes.
pub(crate) async fn lanes<F>(
    blocks: &Blocks,
    range: ByteRange,
    lane: impl Fn(ByteRange) -> F,
) -> Result<(), ReadError>
where
    F: Future<Output = Result<(), ReadError>> + Send + 'static,
{
    // A few more than bodies flow: each waits for its turn before the one in front of it has ended.
    let flowing = blocks.fetch.target().config.max_concurrent_ranges;
    let at_once = flowing.saturating_add(4).clamp(1, 64);
    let mut tasks = JoinSet::new();
    let mut rest = range;
    while !rest.is_empty() || !tasks.is_empty() {
        if rest.is_empty() || tasks.len() >= at_once {
            if let Some(ended) = tasks.join_next().await {
                ended.map_err(|e| ReadError::Task(e.to_string()))??;
            }
            continue;
        }
        // Whole units of the object, so that a lane is a request.
        let unit = blocks.unit();
        let (part, after) = rest.split_at(unit - rest.start() % unit);
        rest = after;
        tasks.spawn(lane(part));
    }
    Ok(())
}
