//! A cap on requests in flight, shared by all sources of the process.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::payload::map_stream;
use crate::transport::EngineRead;

/// How many requests, and so connections, the whole process may have open at a time. Clones share the budget.
#[derive(Clone, Debug)]
pub struct ConnectionBudget {
    permits: Arc<Semaphore>,
    max: usize,
}

impl ConnectionBudget {
    /// A budget of `max` requests; at least one.
    pub fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(max)),
            max,
        }
    }

    /// The whole budget.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Requests in flight now.
    pub fn in_use(&self) -> usize {
        self.max - self.permits.available_permits()
    }

    /// As many as are free, up to `most`: never waits, so whoever has one already may ask for more.
    pub(crate) fn try_take(&self, most: usize) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| self.permits.clone().try_acquire_owned().ok())
            .take(most)
            .collect()
    }

    async fn acquire(&self) -> OwnedSemaphorePermit {
        self.permits
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed")
    }
}

/// Holds one permit for each request, until its body has been read or dropped. Outermost in the stack, so that time
/// spent waiting here counts as nobody's latency.
#[derive(Debug)]
pub struct Limit {
    inner: Arc<dyn ObjectStore>,
    budget: ConnectionBudget,
}

impl Limit {
    /// Lets requests to `inner` pass as `budget` allows.
    pub fn new(inner: Arc<dyn ObjectStore>, budget: ConnectionBudget) -> Self {
        Self { inner, budget }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limit({}, {})", self.budget.max, self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Limit {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let _permit = self.budget.acquire().await;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let _permit = self.budget.acquire().await;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(LimitUpload {
            inner,
            budget: self.budget.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let permit = match (
            self.budget.permits.clone().try_acquire_owned(),
            options.extensions.get::<EngineRead>(),
        ) {
            (Ok(permit), _) => permit,
            (Err(_), None) => self.budget.acquire().await,
            (Err(_), Some(mark)) => {
                mark.enters_queue();
                let permit = self.budget.acquire().await;
                mark.leaves_queue();
                permit
            }
        };
        let result = self.inner.get_opts(location, options).await?;
        Ok(map_stream(result, |stream| {
            Held {
                stream,
                permit: Some(permit),
            }
            .boxed()
        }))
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let _permit = self.budget.acquire().await;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, budget) = (self.inner.clone(), self.budget.clone());
        // The names may come from a listing, which needs permits itself: none is held while they are waited for.
        locations
            .chunks(DELETED_AT_ONCE)
            .then(move |chunk| {
                let (inner, budget) = (inner.clone(), budget.clone());
                async move {
                    let _permit = budget.acquire().await;
                    let deleted: Vec<_> = inner
                        .delete_stream(futures::stream::iter(chunk).boxed())
                        .collect()
                        .await;
                    futures::stream::iter(deleted)
                }
            })
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        Pages::new(self.inner.list(prefix), self.budget.clone()).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        Pages::new(self.inner.list_with_offset(prefix, offset), self.budget.clone()).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let _permit = self.budget.acquire().await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let _permit = self.budget.acquire().await;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let _permit = self.budget.acquire().await;
        self.inner.rename_opts(from, to, options).await
    }
}

/// Names handed to a store in one go: eight requests of S3's bulk deletion.
const DELETED_AT_ONCE: usize = 8000;

/// A listing that holds a permit only while it waits for a page: who reads each object as it is listed must not wait
/// for a permit that the listing sits on.
struct Pages {
    stream: BoxStream<'static, Result<ObjectMeta>>,
    budget: ConnectionBudget,
    waiting: Option<BoxFuture<'static, OwnedSemaphorePermit>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Pages {
    fn new(stream: BoxStream<'static, Result<ObjectMeta>>, budget: ConnectionBudget) -> Self {
        Self {
            stream,
            budget,
            waiting: None,
            permit: None,
        }
    }
}

impl Stream for Pages {
    type Item = Result<ObjectMeta>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.permit.is_none() {
            let budget = &this.budget;
            let waiting = this.waiting.get_or_insert_with(|| {
                let budget = budget.clone();
                async move { budget.acquire().await }.boxed()
            });
            this.permit = Some(ready!(waiting.as_mut().poll(cx)));
            this.waiting = None;
        }
        let next = ready!(this.stream.as_mut().poll_next(cx));
        this.permit = None;
        Poll::Ready(next)
    }
}

/// A body with its permit, which goes back at the end of the body, not when its reader lets go of it.
struct Held {
    stream: BoxStream<'static, Result<Bytes>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Stream for Held {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.stream.as_mut().poll_next(cx);
        if matches!(next, Poll::Ready(None)) {
            self.permit = None;
        }
        next
    }
}

/// Each part of an upload is a request of its own.
#[derive(Debug)]
struct LimitUpload {
    inner: Box<dyn MultipartUpload>,
    budget: ConnectionBudget,
}

#[async_trait]
impl MultipartUpload for LimitUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.inner.put_part(data);
        let budget = self.budget.clone();
        async move {
            let _permit = budget.acquire().await;
            part.await
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let _permit = self.budget.acquire().await;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        let _permit = self.budget.acquire().await;
        self.inner.abort().await
    }
}
