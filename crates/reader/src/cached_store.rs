//! The read path as an `object_store::ObjectStore`.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use forebay_range::{Known, RangeEngineConfig, Target};
use forebay_readahead::{MERGE_GAP, merge};
use forebay_source::Source;
use forebay_types::{BlockRange, ByteRange, ErrorKind, RangeSpec};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result,
};

use crate::error::ReadError;
use crate::handle::Handle;
use crate::open::Found;
use crate::options::Freshness;
use crate::reader::Reader;

/// Reads of one `get_ranges` at a time.
const RANGES_AT_ONCE: usize = 16;

/// How often an object may be replaced just when it is asked for.
const RACES: u32 = 3;
/// Objects whose facts are remembered, at most.
const REMEMBERED: usize = 100_000;

/// A store that reads in parallel ranges, through the cache, with read-ahead. Everything but plain reads goes to the
/// store below: conditional reads, listings, writes.
///
/// What is written through it is read back as written; what others write shows as soon as [`Freshness`] says.
#[derive(Clone)]
pub struct CachedStore {
    reader: Reader,
    source: Source,
    config: Arc<RangeEngineConfig>,
    facts: Arc<Mutex<HashMap<Path, Facts>>>,
}

/// What the server said of an object besides its bytes, and when (by the engine's clock).
#[derive(Clone, Debug)]
struct Facts {
    meta: ObjectMeta,
    attributes: Attributes,
    at: Duration,
}

impl CachedStore {
    /// Reads objects of `source`.
    pub fn new(reader: Reader, source: Source, config: Arc<RangeEngineConfig>) -> Self {
        Self {
            reader,
            source,
            config,
            facts: Arc::default(),
        }
    }

    /// What it reads with.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// An object of it, open for reading: for more than a store can do.
    ///
    /// # Errors
    /// As [`Reader::open`].
    ///
    /// # Cancel safety
    /// As [`Reader::open`].
    pub async fn open(&self, location: &Path) -> std::result::Result<Handle, ReadError> {
        self.reader
            .open(self.target(location), crate::OpenOptions::default())
            .await
    }

    fn target(&self, location: &Path) -> Target {
        Target::at(&self.source, location.clone(), self.config.clone())
    }

    fn facts(&self) -> MutexGuard<'_, HashMap<Path, Facts>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, location: &Path) {
        self.facts().remove(location);
    }

    fn remember(&self, meta: ObjectMeta, attributes: Attributes) -> Facts {
        let at = self.reader.engine().clock().now();
        let facts = Facts { meta, attributes, at };
        let mut all = self.facts();
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(facts.meta.location.clone(), facts.clone());
        facts
    }

    /// What is known of an object, if it may be used without asking.
    fn fresh(&self, location: &Path) -> Option<Facts> {
        let facts = self.facts().get(location).cloned()?;
        let shared = &self.reader.shared;
        if shared.is_doubted(&(self.source.origin.clone(), location.as_ref().into())) {
            return None;
        }
        let age = self.reader.engine().clock().now().saturating_sub(facts.at);
        match self.reader.shared.options.freshness {
            Freshness::Always => None,
            Freshness::Ttl(ttl) => (age < ttl).then_some(facts),
            Freshness::Never => Some(facts),
        }
    }

    /// Finds the object's version, in one round trip as a rule. If the cache has all bytes of a version: by asking
    /// whether it is still the present one. Else by the first ranged GET, whose bytes are then of the version that it
    /// names, whoever writes meanwhile.
    async fn find(&self, location: &Path, spec: RangeSpec) -> Result<(Found, Facts)> {
        let target = self.target(location);
        let config = &self.config;
        let failed = |error| store_error(location, error);
        if let Some(facts) = self.fresh(location) {
            let known = Known::of(&facts.meta);
            let found = self.reader.known(target, config, spec, known).map_err(failed)?;
            return Ok((found, facts));
        }
        let mut changed = None;
        if let Some(here) = self.here(&target, spec) {
            let of_here = |facts: &Facts| Known::of(&facts.meta) == here;
            let remembered = self.facts().get(location).cloned().filter(of_here);
            if let Some(facts) = remembered {
                let found = self
                    .reader
                    .confirm(target.clone(), config, spec, here)
                    .await
                    .map_err(failed)?;
                if found.told.is_none() {
                    return Ok((found, facts));
                }
                changed = Some(found);
            } else {
                // Its last change and attributes are in no answer that says "not modified".
                let head = GetOptions {
                    head: true,
                    ..GetOptions::default()
                };
                let answer = self.source.store.get_opts(location, head).await?;
                let facts = self.remember(answer.meta, answer.attributes);
                if of_here(&facts) {
                    let found = self.reader.known(target, config, spec, here).map_err(failed)?;
                    return Ok((found, facts));
                }
            }
        }
        let found = match changed {
            Some(found) => found,
            None => self.reader.ask(target, config, spec).await.map_err(failed)?,
        };
        let (meta, attributes) = found.told.clone().ok_or_else(|| failed(untold()))?;
        Ok((found, self.remember(meta, attributes)))
    }

    /// The cached version, if the cache has all that `spec` means in it.
    fn here(&self, target: &Target, spec: RangeSpec) -> Option<Known> {
        let cache = self.reader.cache().filter(|_| target.cached)?;
        let cached = cache.lookup(&target.origin, target.path.as_ref())?;
        let range = spec.resolve(cached.id.size)?;
        let has_all = cache.object(&cached.id).has(BlockRange::touching(range));
        has_all.then_some(Known {
            size: cached.id.size,
            version: cached.id.version,
        })
    }
}

impl fmt::Debug for CachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CachedStore({})", self.source.store)
    }
}

/// An answer always tells what it is of.
fn untold() -> ReadError {
    ReadError::Task("an answer told nothing".to_owned())
}

/// An error of ours as one of a store: its kind decides.
fn store_error(location: &Path, error: ReadError) -> Error {
    let (kind, path) = (error.kind(), location.to_string());
    let source = Box::new(error);
    match kind {
        ErrorKind::NotFound => Error::NotFound { path, source },
        ErrorKind::Denied => Error::PermissionDenied { path, source },
        ErrorKind::Changed => Error::Precondition { path, source },
        ErrorKind::Unsupported => Error::NotSupported { source },
        ErrorKind::Conflict => Error::AlreadyExists { path, source },
        ErrorKind::Invalid
        | ErrorKind::Corrupt
        | ErrorKind::Unavailable
        | ErrorKind::TimedOut
        | ErrorKind::NoSpace
        | ErrorKind::LocalIo
        | ErrorKind::Cancelled
        | ErrorKind::Internal => Error::Generic {
            store: "Forebay",
            source,
        },
    }
}

/// What a plain read asks for; `None` if the store below is to judge it.
fn plain(options: &GetOptions) -> Option<RangeSpec> {
    let conditional = options.if_match.is_some()
        || options.if_none_match.is_some()
        || options.if_modified_since.is_some()
        || options.if_unmodified_since.is_some()
        || options.version.is_some();
    if options.head || conditional {
        return None;
    }
    match &options.range {
        None => Some(RangeSpec::From(0)),
        Some(GetRange::Bounded(range)) if range.start < range.end => {
            Some(RangeSpec::Bounded(range.clone().into()))
        }
        Some(GetRange::Bounded(_)) => None,
        Some(GetRange::Offset(start)) => Some(RangeSpec::From(*start)),
        Some(GetRange::Suffix(len)) => Some(RangeSpec::Last(*len)),
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for CachedStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(spec) = plain(&options) else {
            return self.source.store.get_opts(location, options).await;
        };
        let mut races = 0;
        let (facts, range, stream) = loop {
            let (found, facts) = self.find(location, spec).await?;
            let (handle, range) = found.into_handle_and_range();
            let mut stream = handle.stream(range);
            match stream.next().await {
                // Replaced between the answer that told its version and its first bytes: the newer one is as good.
                Some(Err(error)) if error.kind() == ErrorKind::Changed && races < RACES => races += 1,
                first => break (facts, range, futures::stream::iter(first).chain(stream)),
            }
        };
        let path = location.clone();
        let stream = stream.map_err(move |error| store_error(&path, error)).boxed();
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream),
            meta: facts.meta,
            range: range.into(),
            attributes: facts.attributes,
            extensions: options.extensions,
        })
    }

    /// Ranges less than 512 KiB apart are read as one.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let wanted = |range: &Range<u64>| ByteRange::from(range.clone());
        let Some(first) = ranges
            .iter()
            .map(wanted)
            .reduce(|a, b| if b.start() < a.start() { b } else { a })
        else {
            return Ok(Vec::new());
        };
        let failed = |error| store_error(location, error);
        let (found, facts) = self.find(location, RangeSpec::Bounded(first)).await?;
        for range in ranges {
            if range.start >= facts.meta.size || range.start >= range.end {
                // What is wrong with it the store below says best.
                return self.source.store.get_ranges(location, ranges).await;
            }
        }
        let (handle, _) = found.into_handle_and_range();
        let merged = merge(ranges.iter().map(wanted), MERGE_GAP);
        let read = |range: ByteRange| {
            let handle = handle.clone();
            async move {
                let bytes = handle.read_at(range.start(), range.len() as usize).await?;
                Ok::<_, ReadError>((range.start(), bytes))
            }
        };
        let parts: Vec<(u64, Bytes)> = futures::stream::iter(merged)
            .map(read)
            .buffered(RANGES_AT_ONCE)
            .try_collect()
            .await
            .map_err(failed)?;
        Ok(ranges
            .iter()
            .map(|range| {
                let at = parts
                    .partition_point(|(start, _)| *start <= range.start)
                    .saturating_sub(1);
                let (start, bytes) = &parts[at];
                let cut = |offset: u64| ((offset - start) as usize).min(bytes.len());
                bytes.slice(cut(range.start)..cut(range.end))
            })
            .collect())
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let result = self.source.store.put_opts(location, payload, opts).await;
        self.forget(location);
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.source.store.put_multipart_opts(location, opts).await?;
        Ok(Box::new(Upload {
            inner,
            store: self.clone(),
            location: location.clone(),
        }))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        self.source
            .store
            .delete_stream(locations)
            .inspect_ok(move |location| store.forget(location))
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.source.store.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.source.store.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.source.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let result = self.source.store.copy_opts(from, to, options).await;
        self.forget(to);
        result
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let result = self.source.store.rename_opts(from, to, options).await;
        self.forget(from);
        self.forget(to);
        result
    }
}

/// An upload after which the object is another.
#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    store: CachedStore,
    location: Path,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> object_store::UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await;
        self.store.forget(&self.location);
        result
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
