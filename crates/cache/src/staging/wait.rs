//! Waiting for bytes that somebody fetches.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::{Hold, Outcome, Staging};

/// What came of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited<E> {
    /// The bytes, from the one waited for on.
    Bytes(Vec<Bytes>),
    /// No fill brings them any more: they are on disk, or to be claimed.
    Gone,
    /// Whoever fetched them failed.
    Failed(E),
}

/// Waits for bytes; while it does they are not let go.
///
/// # Cancel safety
/// Dropping it gives up the wait and nothing else.
#[derive(Debug)]
pub struct Waiting<H: Hold, E: Clone> {
    staging: Staging<H, E>,
    at: u64,
    end: u64,
    token: Option<u64>,
    outcome: Option<Outcome<E>>,
}

impl<H: Hold, E: Clone> Waiting<H, E> {
    pub(super) fn new(staging: Staging<H, E>, at: u64, end: u64) -> Self {
        Self {
            staging,
            at,
            end,
            token: None,
            outcome: None,
        }
    }
}

impl<H: Hold, E: Clone> Future for Waiting<H, E> {
    type Output = Waited<E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Waited<E>> {
        let this = self.get_mut();
        let mut table = this.staging.lock();
        let here = match table.fill_at(this.at) {
            Some(fill) if fill.has(this.at, this.end) => Some(fill.slices(this.at, this.end)),
            _ => None,
        };
        if let Some(bytes) = here {
            if let Some(token) = this.token.take() {
                table.strike(token, this.at);
            }
            return Poll::Ready(Waited::Bytes(bytes));
        }
        match table.enlist(&mut this.token, this.at, this.end, cx.waker()) {
            Some(outcome) => {
                this.outcome = Some(outcome);
                Poll::Pending
            }
            None => Poll::Ready(
                match this.outcome.take().and_then(|outcome| outcome.get().cloned()) {
                    Some(error) => Waited::Failed(error),
                    None => Waited::Gone,
                },
            ),
        }
    }
}

impl<H: Hold, E: Clone> Drop for Waiting<H, E> {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            self.staging.lock().strike(token, self.at);
        }
    }
}
