//! Counts what is asked of a store, whatever kind it is.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::payload::map_stream;

/// Counts of one source; all only grow.
#[derive(Debug, Default)]
pub struct Meter {
    gets: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    writes: AtomicU64,
    read_bytes: AtomicU64,
}

impl Meter {
    /// Reads begun.
    pub fn gets(&self) -> u64 {
        self.gets.load(Relaxed)
    }

    /// Looks at an object without its bytes.
    pub fn heads(&self) -> u64 {
        self.heads.load(Relaxed)
    }

    /// Listings begun (each may be many pages).
    pub fn lists(&self) -> u64 {
        self.lists.load(Relaxed)
    }

    /// Puts, copies, renames and deletions.
    pub fn writes(&self) -> u64 {
        self.writes.load(Relaxed)
    }

    /// Bytes of objects handed on.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Relaxed)
    }
}

/// Counts on the way through. Under the limit and above verification, so a read that is refused there is counted as
/// the request it was.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn ObjectStore>,
    meter: Arc<Meter>,
}

impl Metered {
    /// Counts what goes to `inner` in `meter`.
    pub fn new(inner: Arc<dyn ObjectStore>, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metered({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Metered {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.meter.writes.fetch_add(1, Relaxed);
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.meter.writes.fetch_add(1, Relaxed);
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let counter = if options.head {
            &self.meter.heads
        } else {
            &self.meter.gets
        };
        counter.fetch_add(1, Relaxed);
        let result = self.inner.get_opts(location, options).await?;
        let meter = self.meter.clone();
        let count = move |chunk: &Result<Bytes>| {
            if let Ok(chunk) = chunk {
                meter.read_bytes.fetch_add(chunk.len() as u64, Relaxed);
            }
        };
        Ok(map_stream(result, |stream| stream.inspect(count).boxed()))
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.meter.gets.fetch_add(1, Relaxed);
        let parts = self.inner.get_ranges(location, ranges).await?;
        self.meter
            .read_bytes
            .fetch_add(parts.iter().map(|p| p.len() as u64).sum(), Relaxed);
        Ok(parts)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.meter.writes.fetch_add(1, Relaxed);
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.lists.fetch_add(1, Relaxed);
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.lists.fetch_add(1, Relaxed);
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.meter.lists.fetch_add(1, Relaxed);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.meter.writes.fetch_add(1, Relaxed);
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.meter.writes.fetch_add(1, Relaxed);
        self.inner.rename_opts(from, to, options).await
    }
}
