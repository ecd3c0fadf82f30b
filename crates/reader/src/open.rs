//! From a target to a handle: which version, and its first bytes on their way.

use std::sync::Arc;

use forebay_cache::Cached;
use forebay_range::{FirstPart, Known, RangeEngineConfig, Target};
use forebay_types::{BLOCK, BlockRange, ByteRange, ByteSize, Clock, RangeSpec};
use object_store::{Attributes, ObjectMeta};

use crate::begin::Want;
use crate::blocks::Blocks;
use crate::error::ReadError;
use crate::handle::Handle;
use crate::options::Freshness;
use crate::reader::Reader;

/// How an object is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    first: u64,
    freshness: Option<Freshness>,
    read_ahead_to: u64,
}

impl Default for OpenOptions {
    /// The first MiB comes with the answer that tells the version: one round trip, and most readers start there.
    fn default() -> Self {
        Self {
            first: ByteSize::mib(1).bytes(),
            freshness: None,
            read_ahead_to: u64::MAX,
        }
    }
}

impl OpenOptions {
    /// How many bytes from the start are wanted at once, if the version has to be asked for. At least one block.
    #[must_use]
    pub fn first(mut self, bytes: u64) -> Self {
        self.first = bytes;
        self
    }

    /// When a cached version is confirmed, instead of what the reader usually does.
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = Some(freshness);
        self
    }

    /// Where read-ahead ends: for a reader of one section of an object, to whom the rest is of no use.
    #[must_use]
    pub fn read_ahead_to(mut self, end: u64) -> Self {
        self.read_ahead_to = end;
        self
    }
}

/// What opening told.
pub(crate) struct Found {
    pub(crate) blocks: Blocks,
    pub(crate) range: ByteRange,
    /// What an answer said of the object, if one was asked for.
    pub(crate) told: Option<(ObjectMeta, Attributes)>,
    first: Option<FirstPart>,
}

impl Reader {
    /// Opens an object. Its version comes from the target if a listing told it, from the cache as far as
    /// [`Freshness`] lets it, else from the first ranged GET, whose bytes are then on their way.
    ///
    /// With [`Verify::Strict`](crate::Verify::Strict) all of it is fetched and checked here, where it is known what it must come to.
    ///
    /// # Errors
    /// Of that request, after its retries; [`ReadError::Refuted`], [`ReadError::Unproven`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the request.
    pub async fn open(&self, target: Target, options: OpenOptions) -> Result<Handle, ReadError> {
        // Only so much is asked for before anything is known.
        let first = options
            .first
            .max(BLOCK)
            .checked_next_multiple_of(BLOCK)
            .unwrap_or(u64::MAX);
        let asking = Target {
            config: Arc::new(RangeEngineConfig {
                chunk_size: first,
                min_split_size: first,
                ..(*target.config).clone()
            }),
            ..target.clone()
        };
        let found = self
            .find(asking, &target.config, RangeSpec::From(0), options.freshness)
            .await?;
        let handle = found.into_handle_ahead_to(options.read_ahead_to).0;
        handle.inner.blocks.admit().await?;
        Ok(handle)
    }

    /// Finds out the version, and what `spec` means in it. Whole blocks are asked for, since only those can be kept.
    pub(crate) async fn find(
        &self,
        target: Target,
        config: &Arc<RangeEngineConfig>,
        spec: RangeSpec,
        freshness: Option<Freshness>,
    ) -> Result<Found, ReadError> {
        let shared = &self.shared;
        let cache = shared.cache.as_ref().filter(|_| target.cached);
        if let Some(known) = target.known.clone() {
            return self.known(target, config, spec, known);
        }
        let cached = cache.and_then(|cache| cache.lookup(&target.origin, target.path.as_ref()));
        let Some(cached) = cached else {
            return self.ask(target, config, spec).await;
        };
        let known = Known {
            size: cached.id.size,
            version: cached.id.version.clone(),
        };
        let freshness = freshness.unwrap_or(shared.options.freshness);
        let name = (cached.id.origin.clone(), cached.id.key.clone());
        if is_fresh(freshness, &cached, shared.engine.clock()) && !shared.is_doubted(&name) {
            return self.known(target, config, spec, known);
        }
        self.confirm(target, config, spec, known).await
    }

    /// Asks whether `known`, which is cached, is still the present version; if it is not, the first bytes of the one
    /// that is are on their way.
    pub(crate) async fn confirm(
        &self,
        target: Target,
        config: &Arc<RangeEngineConfig>,
        spec: RangeSpec,
        known: Known,
    ) -> Result<Found, ReadError> {
        let shared = &self.shared;
        let unless = target.clone().unless(known.clone());
        match shared.engine.open_if_changed(unless, whole_blocks(spec)).await? {
            Some(opened) => self.opened(opened, config, spec),
            None => {
                if let Some(cache) = shared.cache.as_ref().filter(|_| target.cached) {
                    let id = target.object_id(&known);
                    shared.trust(&(id.origin.clone(), id.key.clone()));
                    cache.object(&id).validated();
                }
                self.known(target, config, spec, known)
            }
        }
    }

    /// The present version, whatever is cached, its first bytes on their way.
    pub(crate) async fn ask(
        &self,
        target: Target,
        config: &Arc<RangeEngineConfig>,
        spec: RangeSpec,
    ) -> Result<Found, ReadError> {
        let opened = self.shared.engine.open(target, whole_blocks(spec)).await?;
        self.opened(opened, config, spec)
    }

    pub(crate) fn known(
        &self,
        target: Target,
        config: &Arc<RangeEngineConfig>,
        spec: RangeSpec,
        known: Known,
    ) -> Result<Found, ReadError> {
        let range = resolve(&target, spec, known.size)?;
        let target = Target {
            config: config.clone(),
            ..target
        };
        let cache = self.shared.cache_for(&target, &known);
        let object = self
            .shared
            .objects
            .get(target.object_id(&known), cache, target.proof.as_ref());
        let fetch = self.shared.engine.fetch(target, known);
        Ok(Found {
            blocks: Blocks::new(self.shared.clone(), object, fetch, config),
            range,
            told: None,
            first: None,
        })
    }

    fn opened(
        &self,
        opened: forebay_range::Opened,
        config: &Arc<RangeEngineConfig>,
        spec: RangeSpec,
    ) -> Result<Found, ReadError> {
        let known = opened
            .known()
            .cloned()
            .expect("an opened read has begun a version");
        let told = opened.meta().cloned().zip(opened.attributes().cloned());
        let (fetch, first) = opened.into_fetch();
        let target = fetch.target().clone();
        let range = resolve(&target, spec, known.size)?;
        let cache = self.shared.cache_for(&target, &known);
        let object = self
            .shared
            .objects
            .get(target.object_id(&known), cache, target.proof.as_ref());
        self.shared.trust(&object.name());
        if let Some(cached) = &object.cached {
            cached.validated();
        }
        Ok(Found {
            blocks: Blocks::new(self.shared.clone(), object, fetch, config),
            range,
            told,
            first,
        })
    }
}

/// The bytes that `spec` means.
fn resolve(target: &Target, spec: RangeSpec, size: u64) -> Result<ByteRange, ReadError> {
    spec.resolve(size).ok_or_else(|| ReadError::OutOfRange {
        object: target.name.to_string(),
        range: spec,
        size,
    })
}

/// `spec` with the rest of the blocks that it touches, as far as that can be said before the size is known.
fn whole_blocks(spec: RangeSpec) -> RangeSpec {
    match spec {
        RangeSpec::Bounded(range) => RangeSpec::Bounded(BlockRange::touching(range).bytes(u64::MAX)),
        RangeSpec::From(start) => RangeSpec::From(start - start % BLOCK),
        RangeSpec::Last(len) => RangeSpec::Last(len.saturating_add(BLOCK)),
    }
}

/// Whether a cached version can be used without asking.
fn is_fresh(freshness: Freshness, cached: &Cached, clock: &Arc<dyn Clock>) -> bool {
    match freshness {
        Freshness::Always => false,
        // A clock that was set back makes everything fresh for ever: not so.
        Freshness::Ttl(ttl) => {
            let now = clock.wall();
            now >= cached.validated && now - cached.validated < ttl
        }
        Freshness::Never => true,
    }
}

impl Found {
    /// A handle, whose first bytes are on their way if they had to be asked for.
    pub(crate) fn into_handle(self) -> Handle {
        self.into_handle_and_range().0
    }

    /// A handle, and what the range means that was asked for.
    pub(crate) fn into_handle_and_range(self) -> (Handle, ByteRange) {
        self.into_handle_ahead_to(u64::MAX)
    }

    fn into_handle_ahead_to(self, end: u64) -> (Handle, ByteRange) {
        let handle = Handle::new(self.blocks, end);
        if let Some(first) = self.first {
            let blocks = &handle.inner.blocks;
            let mut want = Want::new(first.range(), blocks.fetch.target().intent);
            want.first = Some(first);
            let begun = blocks.begin_with(&mut want);
            handle.inner.ahead().adopt(begun.tasks);
        }
        (handle, self.range)
    }
}
