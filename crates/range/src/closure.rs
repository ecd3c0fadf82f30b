//! The engine over any function that fetches a range.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use forebay_source::Failure;
use forebay_types::{Intent, Origin, RangeSpec, Version};
use futures::future::{Either, select};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio_util::sync::CancellationToken;

use crate::engine::RangeEngine;
use crate::error::RangeError;
use crate::stats::RangeStats;
use crate::target::{Known, Target};

impl RangeEngine {
    /// Downloads an object of `size` bytes through `get_range(offset, length)`, in parallel, into one buffer, with this
    /// engine's config, budgets and retries. The function answers with exactly `length` bytes; it is called again for
    /// what failed, if its error means that this may help (see [`forebay_source::Fault`]).
    ///
    /// # Errors
    /// As [`RangeEngine::read`]; [`RangeError::Cancelled`] once `cancel` is.
    ///
    /// # Cancel safety
    /// Dropping the future drops the futures of all ranges under way.
    pub async fn download<F, Fut>(
        &self,
        size: u64,
        get_range: F,
        cancel: Option<CancellationToken>,
    ) -> Result<(Bytes, RangeStats), RangeError>
    where
        F: Fn(u64, u64) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes>> + Send + 'static,
    {
        let store = Closure {
            call: Box::new(move |offset, len| get_range(offset, len).boxed()),
            size,
        };
        let target = Target {
            store: Arc::new(store),
            path: Path::ROOT,
            origin: Origin::new("function", ""),
            name: "download".into(),
            cached: false,
            config: self.shared.config.clone(),
            known: Some(Known {
                size,
                version: Version::Unknown,
            }),
            unless: None,
            intent: Intent::Demand,
            proof: None,
        };
        let read = pin!(self.read(target, RangeSpec::From(0)));
        let Some(cancel) = cancel else { return read.await };
        match select(read, pin!(cancel.cancelled())).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(RangeError::Cancelled),
        }
    }
}

type Call = dyn Fn(u64, u64) -> futures::future::BoxFuture<'static, Result<Bytes>> + Send + Sync;

/// A function in the shape of a store that has one object.
struct Closure {
    call: Box<Call>,
    size: u64,
}

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Closure({} bytes)", self.size)
    }
}

impl fmt::Display for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

fn refuse<T>() -> Result<T> {
    Err(Error::NotSupported {
        source: "a function can only be read".into(),
    })
}

#[async_trait]
impl ObjectStore for Closure {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let range = match options.range {
            Some(GetRange::Bounded(range)) => range,
            _ => 0..self.size,
        };
        let bytes = (self.call)(range.start, range.end - range.start).await?;
        let (expected, got) = (range.end - range.start, bytes.len() as u64);
        if got != expected {
            return Err(Failure::Length { expected, got }.into_store_error(location.as_ref()));
        }
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: Default::default(),
            size: self.size,
            e_tag: None,
            version: None,
        };
        let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(bytes) }).boxed());
        Ok(GetResult {
            payload,
            meta,
            range,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        refuse()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        refuse()
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        futures::stream::once(async { refuse() }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::once(async { refuse() }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        refuse()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        refuse()
    }
}
