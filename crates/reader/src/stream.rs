//! Bytes in order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use forebay_range::Target;
use forebay_types::{ByteRange, Intent, RangeSpec};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, ready};

use crate::blocks::{Awaited, Found};
use crate::error::ReadError;
use crate::handle::Handle;
use crate::reader::Reader;

/// Bytes that are looked at together: how often read-ahead is told of the reader's progress.
const STEP: u64 = 1024 * 1024;

/// The bytes of a range in order, as they come, without a copy.
///
/// # Cancel safety
/// Each item is given or kept whole. Dropping the stream ends its read-ahead and the requests that only it waits for.
pub struct ReadStream {
    range: ByteRange,
    handle: Handle,
    ready: VecDeque<Bytes>,
    at: u64,
    /// Read-ahead knows of the reader up to here.
    told: u64,
    next: Option<BoxFuture<'static, Result<Vec<Bytes>, ReadError>>>,
}

impl std::fmt::Debug for ReadStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadStream")
            .field("id", self.handle.id())
            .field("range", &self.range)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens an object and reads `range` of it in order. The first request asks for the start of the range.
    ///
    /// # Errors
    /// Of the first request; later failures come through the stream.
    ///
    /// # Cancel safety
    /// Dropping the future ends the request.
    pub async fn stream(&self, target: Target, range: RangeSpec) -> Result<ReadStream, ReadError> {
        let config = target.config.clone();
        let found = self.find(target, &config, range, None).await?;
        let (handle, range) = found.into_handle_and_range();
        Ok(handle.stream(range))
    }
}

impl Handle {
    /// The bytes of `range`, as far as the object goes, in order. Read-ahead begins at once.
    pub fn stream(&self, range: ByteRange) -> ReadStream {
        let range = range.clamp_to(self.size());
        self.will_read(range);
        ReadStream {
            range,
            handle: self.clone(),
            ready: VecDeque::new(),
            at: range.start(),
            told: range.start(),
            next: None,
        }
    }

    /// The next bytes of a reader in order, at least one, none beyond `step`.
    async fn step(self, step: ByteRange, tell: bool) -> Result<Vec<Bytes>, ReadError> {
        let inner = &*self.inner;
        let mut awaited = Awaited::new(&inner.blocks, step);
        if tell {
            // Demand first: it goes before read-ahead in every queue.
            let found = inner.blocks.find(step);
            if found == Found::Nowhere {
                let begun = inner.blocks.begin(step, Intent::Demand);
                begun.tasks.into_iter().for_each(|task| awaited.add(task));
            }
            inner.served(step, found);
        }
        let (at, end) = (step.start(), step.end());
        let bytes = inner.blocks.next(at, end, at + 1, &mut awaited).await?;
        inner.ahead().adopt(awaited.let_be());

        Ok(bytes)
    }
}

impl ReadStream {
    /// The handle it reads with.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The bytes that are read.
    pub fn range(&self) -> ByteRange {
        self.range
    }
}

impl Stream for ReadStream {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(chunk) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if this.at >= this.range.end() {
                return Poll::Ready(None);
            }
            let (at, end, told) = (this.at, this.range.end(), &mut this.told);
            let next = this.next.get_or_insert_with(|| {
                let tell = at >= *told;
                if tell {
                    *told = end.min(at + STEP);
                }
                this.handle.clone().step(ByteRange::new(at, *told), tell).boxed()
            });
            let outcome = ready!(next.poll_unpin(cx));
            this.next = None;
            match outcome {
                Ok(chunks) => {
                    this.at += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
                    this.ready.extend(chunks);
                }
                Err(error) => {
                    this.at = this.range.end();
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}
