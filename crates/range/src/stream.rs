//! Bytes in order, as they come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use forebay_types::ByteRange;
use futures::{FutureExt, Stream};
use object_store::ObjectMeta;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::error::RangeError;
use crate::read::{Opened, joined};
use crate::state::{Held, PartOut, ReadState};
use crate::stats::RangeStats;

/// The bytes of a read, in order. Parts are fetched side by side, as far ahead as the memory budget lets them; what
/// arrives out of order waits.
///
/// # Cancel safety
/// Each item is lost or kept whole. Dropping the stream ends all its requests and gives its memory back.
#[derive(Debug)]
pub struct RangeStream {
    lanes: mpsc::UnboundedReceiver<Lane>,
    current: Option<Lane>,
    run: Run,
    state: Arc<ReadState>,
    meta: Option<ObjectMeta>,
    range: ByteRange,
}

/// The task that starts the parts; ends with the stream.
#[derive(Debug)]
struct Run(Option<JoinHandle<Result<(), RangeError>>>);

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// The chunks of one part on their way to the reader, and the memory they are in.
#[derive(Debug)]
struct Lane {
    chunks: mpsc::UnboundedReceiver<Bytes>,
    left: u64,
    held: Held,
    window: Option<Arc<Window>>,
}

/// Keeps a part that is longer than its memory from running ahead of the reader.
#[derive(Debug)]
struct Window {
    size: u64,
    used: AtomicU64,
    freed: Notify,
}

struct LaneOut {
    /// Gone when the part is complete: that ends the lane.
    chunks: Option<mpsc::UnboundedSender<Bytes>>,
    window: Option<Arc<Window>>,
}

impl PartOut for LaneOut {
    async fn room(&mut self) {
        let Some(window) = &self.window else { return };
        while window.used.load(Relaxed) >= window.size {
            window.freed.notified().await;
        }
    }

    fn chunk(&mut self, _offset: u64, bytes: Bytes) -> io::Result<()> {
        if let Some(window) = &self.window {
            window.used.fetch_add(bytes.len() as u64, Relaxed);
        }
        // A reader that is gone has aborted this task already, or is about to.
        let sent = self
            .chunks
            .as_ref()
            .is_some_and(|chunks| chunks.send(bytes).is_ok());
        if sent {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn done(&mut self) {
        self.chunks = None;
    }
}

impl Opened {
    /// Reads all bytes in order; see [`crate::RangeEngine::stream`].
    pub fn into_stream(self) -> RangeStream {
        let (new_lane, lanes) = mpsc::unbounded_channel();
        let (state, meta, range) = (self.state().clone(), self.meta().cloned(), self.range());
        let run = self.run(move |part, held| {
            let (sender, chunks) = mpsc::unbounded_channel();
            let window = (held.bytes() < part.len()).then(|| {
                Arc::new(Window {
                    size: held.bytes(),
                    used: AtomicU64::new(0),
                    freed: Notify::new(),
                })
            });
            // A stream that is gone needs no lane.
            let _ = new_lane.send(Lane {
                chunks,
                left: part.len(),
                held,
                window: window.clone(),
            });
            LaneOut {
                chunks: Some(sender),
                window,
            }
        });
        let task = tokio::spawn(async move { run.await.map(|_| ()) });
        RangeStream {
            lanes,
            current: None,
            run: Run(Some(task)),
            state,
            meta,
            range,
        }
    }
}

impl RangeStream {
    /// What the first answer said of the object; `None` if it was known before.
    pub fn meta(&self) -> Option<&ObjectMeta> {
        self.meta.as_ref()
    }

    /// The bytes that are read.
    pub fn range(&self) -> ByteRange {
        self.range
    }

    /// Figures so far.
    pub fn stats(&self) -> RangeStats {
        self.state.stats()
    }
}

impl Stream for RangeStream {
    type Item = Result<Bytes, RangeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.run.0.is_none() {
            return Poll::Ready(None);
        }
        loop {
            if let Some(lane) = &mut self.current {
                match ready!(lane.chunks.poll_recv(cx)) {
                    Some(chunk) => {
                        let len = chunk.len() as u64;
                        lane.left = lane.left.saturating_sub(len);
                        match &lane.window {
                            Some(window) => {
                                window.used.fetch_sub(len, Relaxed);
                                window.freed.notify_one();
                            }
                            None => lane.held.release(len),
                        }
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    None if lane.left == 0 => self.current = None,
                    // Its part ended early: why, the run tells.
                    None => return self.finish(cx),
                }
            }
            match ready!(self.lanes.poll_recv(cx)) {
                Some(lane) => self.current = Some(lane),
                None => return self.finish(cx),
            }
        }
    }
}

impl RangeStream {
    fn finish(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, RangeError>>> {
        let Some(task) = &mut self.run.0 else {
            return Poll::Ready(None);
        };
        let outcome = ready!(task.poll_unpin(cx));
        self.run.0 = None;
        self.current = None;
        self.lanes.close();
        let mut incomplete = false;
        // What waits in the lanes behind a failed part is not for the reader, and its memory is wanted elsewhere.
        while self.lanes.try_recv().is_ok() {
            incomplete = true;
        }
        Poll::Ready(match joined(outcome) {
            Ok(()) if incomplete => Some(Err(RangeError::Task("a part ended without its bytes".to_owned()))),
            Ok(()) => None,
            Err(error) => Some(Err(error)),
        })
    }
}
