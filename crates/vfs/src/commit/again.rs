//! Requests that are sent again.

use std::time::Duration;

use crate::commit::error::CommitError;

/// How often an object is sent again after a failure that may pass. Requests that change nothing, and those that the store
/// refused for now, are repeated below, in the transport; those that a connection broke are not.
const AGAIN: u32 = 3;

/// How long is waited before the first of them; four times as long before each other.
const PAUSE: Duration = Duration::from_millis(50);

/// Does it, and again if the connection broke or the store was busy for longer than the transport waits.
pub(super) async fn again<T, E, F>(mut attempt: impl FnMut() -> F) -> Result<T, E>
where
    E: Passing,
    F: Future<Output = Result<T, E>>,
{
    let mut pause = PAUSE;
    for _ in 0..AGAIN {
        let done = attempt().await;
        let Some(error) = done.as_ref().err().and_then(E::passing) else {
            return done;
        };
        tracing::warn!(%error, "sent again");
        tokio::time::sleep(pause).await;
        pause *= 4;
    }
    attempt().await
}

/// A failure that may be one that passes.
pub(super) trait Passing {
    /// What it is, if it may pass.
    fn passing(&self) -> Option<&CommitError>;
}

impl Passing for CommitError {
    fn passing(&self) -> Option<&CommitError> {
        self.kind().is_transient().then_some(self)
    }
}
