//! One open stream of a file, and where it is.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use super::daemon::FileBytes;
use super::places::Place;
use crate::transport::Failure;

/// An open stream. Its place among the client's streams is free again when it is dropped.
pub(super) struct Open {
    bytes: FileBytes,
    /// Where its next byte stands in the file.
    at: u64,
    /// Where it ends.
    end: u64,
    /// Bytes that came and were not wanted yet.
    left: Bytes,
    place: Place,
}

impl Open {
    pub(super) fn new(bytes: FileBytes, at: u64, end: u64, place: Place) -> Self {
        Self {
            bytes,
            at,
            end,
            left: Bytes::new(),
            place,
        }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.at >= self.end
    }

    /// Closes it and keeps its place.
    pub(super) fn into_place(self) -> Place {
        self.place
    }

    /// The next bytes, none from `until` on; `None` if the stream ended before its time.
    fn poll(&mut self, cx: &mut Context<'_>, until: u64) -> Poll<Result<Option<Bytes>, Failure>> {
        while self.left.is_empty() {
            match ready!(self.bytes.poll_next_unpin(cx)) {
                Some(chunk) => self.left = chunk?,
                None => return Poll::Ready(Ok(None)),
            }
        }
        let wanted = usize::try_from(until - self.at).unwrap_or(usize::MAX);
        let chunk = self.left.split_to(wanted.min(self.left.len()));
        self.at += chunk.len() as u64;
        Poll::Ready(Ok(Some(chunk)))
    }
}

/// Where a read keeps its stream, so that others can take it away from it.
#[derive(Default)]
pub(super) struct Slot {
    inner: Mutex<Inner>,
}

/// Since when a read has a stream, and since when that is silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) since: Duration,
    pub(super) fed: Duration,
}

#[derive(Default)]
struct Inner {
    open: Option<Open>,
    /// When the stream came.
    since: Duration,
    /// When the last byte came, or the stream.
    fed: Duration,
    /// Whether its reader waits for it, as opposed to nobody reading.
    hungry: bool,
    waker: Option<Waker>,
}

impl Slot {
    pub(super) fn put(&self, open: Open, now: Duration) {
        let mut inner = self.lock();
        (inner.since, inner.fed) = (now, now);
        inner.open = Some(open);
    }

    /// Its reader waits for a stream.
    pub(super) fn expect(&self) {
        self.lock().hungry = true;
    }

    pub(super) fn take(&self) -> Option<Open> {
        self.lock().open.take()
    }

    /// Where the stream is; `None` if there is none.
    pub(super) fn at(&self) -> Option<u64> {
        self.lock().open.as_ref().map(Open::at)
    }

    /// The next bytes before `until`; `None` if there is no stream, or none any more.
    pub(super) fn poll(
        &self,
        cx: &mut Context<'_>,
        until: u64,
        now: Duration,
    ) -> Poll<Result<Option<Bytes>, Failure>> {
        let mut inner = self.lock();
        let Some(open) = &mut inner.open else {
            return Poll::Ready(Ok(None));
        };
        let outcome = open.poll(cx, until);
        inner.hungry = outcome.is_pending();
        match &outcome {
            Poll::Pending => inner.waker = Some(cx.waker().clone()),
            Poll::Ready(Ok(Some(_))) => inner.fed = now,
            Poll::Ready(Ok(None) | Err(_)) => inner.open = None,
        }
        outcome
    }

    /// When its stream came, and when the last byte of that; `None` if it has none, or is being read at this moment.
    pub(super) fn held(&self) -> Option<Held> {
        match self.inner.try_lock() {
            Ok(inner) => inner.open.as_ref().map(|_| Held {
                since: inner.since,
                fed: inner.fed,
            }),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => None,
        }
    }

    /// Whether its reader waits for bytes, or got some since `then`.
    pub(super) fn is_alive(&self, then: Duration) -> bool {
        let inner = self.lock();
        inner.hungry || inner.fed >= then
    }

    /// Takes the stream away from its reader, who will ask for another.
    pub(super) fn revoke(&self) -> Option<Open> {
        let (open, waker) = {
            let mut inner = self.lock();
            (inner.open.take(), inner.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        open
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
