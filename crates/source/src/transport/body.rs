//! A response body that moves its own connection and gives it back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::failure::Failure;
use super::meter::WireMeter;
use super::pool::{Connection, Key, Pool};

/// The bytes of a response, straight from its connection.
///
/// # Cancel safety
/// Dropping it before its end closes the connection: what the server still sends is refused, not read.
pub struct Body {
    // Never locked: `Mutex` only lends `Sync` to hyper's connection, which object_store's body type asks for.
    inner: Mutex<Inner>,
}

/// What a body needs to know of where it came from and where its connection goes.
#[derive(Clone)]
pub(super) struct Ends {
    pub(super) key: Key,
    pub(super) pool: Arc<Pool>,
    pub(super) meter: Arc<WireMeter>,
    /// Longest wait for the next bytes.
    pub(super) stall: Duration,
}

struct Inner {
    incoming: Incoming,
    /// Bytes still to come, if the server told.
    left: Option<u64>,
    connection: Option<Connection>,
    ends: Ends,
    /// The stall deadline. Made at the first wait, so that a body that never waits pays for no timer.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Whether bytes came since the alarm was set.
    fed: bool,
}

impl Body {
    pub(super) fn new(incoming: Incoming, connection: Connection, ends: Ends, head_only: bool) -> Self {
        let left = if head_only {
            Some(0)
        } else {
            incoming.size_hint().exact()
        };
        let mut inner = Inner {
            incoming,
            left,
            connection: Some(connection),
            ends,
            alarm: None,
            fed: true,
        };
        if left == Some(0) {
            inner.recycle();
        }
        Self {
            inner: Mutex::new(inner),
        }
    }

    fn inner(&mut self) -> &mut Inner {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The response is complete: the connection goes back, if it can carry another request.
    fn recycle(&mut self) {
        if let Some(mut connection) = self.connection.take()
            && connection.settle()
        {
            self.ends.pool.put(self.ends.key.clone(), connection);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        loop {
            if let Poll::Ready(next) = Pin::new(&mut self.incoming).poll_frame(cx) {
                return Poll::Ready(self.account(next));
            }
            // Nothing buffered: read from the socket. What arrives stands in `incoming` within this very poll.
            let Some(connection) = &mut self.connection else {
                return self.poll_alarm(cx);
            };
            match connection.poll_wire(cx) {
                // Over: what it left in `incoming` (bytes, or the reason) comes out in the next round.
                Poll::Ready(_) => self.connection = None,
                Poll::Pending => {
                    return match Pin::new(&mut self.incoming).poll_frame(cx) {
                        Poll::Ready(next) => Poll::Ready(self.account(next)),
                        Poll::Pending => self.poll_alarm(cx),
                    };
                }
            }
        }
    }

    /// Nothing to read: wait, but not for ever.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let after = self.ends.stall;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        if std::mem::take(&mut self.fed) {
            alarm.as_mut().reset(tokio::time::Instant::now() + after);
        }
        alarm.as_mut().poll(cx).map(|()| {
            self.connection = None;
            Some(Err(Failure::Stalled {
                what: "the body of the response",
                after,
            }))
        })
    }

    fn account(
        &mut self,
        next: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> Option<Result<Frame<Bytes>, Failure>> {
        match next {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.ends.meter.received(len);
                self.fed = true;
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(len);
                    if *left == 0 {
                        // Before the reader asks again: it may not, since it knows how much it wanted.
                        self.recycle();
                    }
                }
                Some(Ok(frame))
            }
            Some(Err(source)) => {
                self.connection = None;
                Some(Err(Failure::Broken {
                    host: self.ends.key.to_string(),
                    source,
                }))
            }
            None => {
                self.recycle();
                None
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.inner().poll(cx)
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}
