//! A cache of whole named values: the face that a log wants for its segments.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use forebay_types::{ByteRange, ObjectId, Origin, SystemClock, Version};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use twox_hash::XxHash3_128;

use crate::cache::{Cache, Cached};
use crate::error::CacheError;
use crate::fill::{Fill, Stored};
use crate::object::{ReadOutcome, Wait};
use crate::options::{Accounting, CacheOptions};
use crate::stats::{CacheStats, Count};

/// Values by key, at most `max_size_bytes` of them in bytes, on local disk. They are there again after a restart. Several processes may
/// use one directory. A disk that fails or is full makes it forget, never fail.
#[derive(Clone, Debug)]
pub struct SegmentCache {
    cache: Cache,
    origin: Origin,
}

impl SegmentCache {
    /// Opens the directory, or makes it.
    ///
    /// # Errors
    /// As [`Cache::open`].
    pub fn new(dir: impl Into<PathBuf>, max_size_bytes: u64) -> Result<Self, CacheError> {
        let mut options = CacheOptions::new(dir, max_size_bytes);
        options.accounting = Accounting::Content;
        Ok(Self {
            cache: Cache::open(options, Arc::new(SystemClock::new()))?,
            // No server has this one.
            origin: Origin::new("segment:", ""),
        })
    }

    /// The value of a key, if it is here.
    ///
    /// # Errors
    /// Only if the runtime is going down.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        self.get_range(key, ByteRange::new(0, u64::MAX)).await
    }

    /// The part of a value that lies in `range`, if the value is here; reads no more than that from the disk, and the rest of the
    /// 64 KiB blocks at its ends the first time.
    ///
    /// # Errors
    /// Only if the runtime is going down.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn get_range(&self, key: &str, range: ByteRange) -> Result<Option<Bytes>, CacheError> {
        let (me, key) = (self.clone(), key.to_owned());
        blocking(move || me.read(&key, range)).await
    }

    /// Keeps a value; returns when it can be read. A value that is larger than the whole cache is not kept, and nothing else leaves for
    /// it; that, and whatever else prevents it, is counted as a drop. An older value of the key is gone in any case.
    ///
    /// # Errors
    /// Only if the runtime is going down.
    ///
    /// # Cancel safety
    /// The value may be kept or not.
    pub async fn put(&self, key: &str, data: Bytes) -> Result<(), CacheError> {
        let id = ObjectId {
            origin: self.origin.clone(),
            key: key.into(),
            version: Version::ETag(format!("{:032x}", XxHash3_128::oneshot(&data)).into()),
            size: data.len() as u64,
        };
        let shared = self.cache.shared();
        let stored = if id.size > shared.options.max_size {
            shared.said.oversized(id.size, shared.options.max_size);
            shared.count(Count::Drops, 1);
            shared.count(Count::DroppedBytes, id.size);
            Stored::Dropped
        } else {
            let (told, tell) = oneshot::channel();
            let fill = Fill {
                at: 0,
                chunks: vec![data],
                patient: true,
                hold: Box::new(()),
                // Nobody listens if the caller went away.
                done: Box::new(|stored| {
                    let _ = told.send(stored);
                }),
            };
            match self.cache.object(&id).store(fill) {
                Ok(()) => tell.await.unwrap_or(Stored::Dropped),
                Err(_) => Stored::Dropped,
            }
        };
        if stored == Stored::Dropped {
            let me = self.clone();
            blocking(move || me.remove_older(&id)).await?;
        }
        Ok(())
    }

    /// The figures of all processes since the directory was made or cleared.
    pub async fn stats(&self) -> CacheStats {
        let cache = self.cache.clone();
        match blocking(move || cache.stats()).await {
            Ok(stats) => stats,
            Err(_) => self.cache.stats(),
        }
    }

    fn read(&self, key: &str, range: ByteRange) -> Option<Bytes> {
        let max_size = self.cache.shared().options.max_size;
        let found = self
            .cache
            .lookup(&self.origin, key)
            .filter(|found| found.complete && found.id.size <= max_size)
            .and_then(|Cached { id, .. }| {
                let range = range.clamp_to(id.size);
                let mut bytes = Vec::new();
                bytes.try_reserve_exact(range.len() as usize).ok()?;
                bytes.resize(range.len() as usize, 0);
                let outcome = self.cache.object(&id).read(range.start(), &mut bytes, Wait::Yes);
                (outcome == ReadOutcome::Done).then(|| Bytes::from(bytes))
            });
        match &found {
            Some(bytes) => self.cache.count_hit(bytes.len() as u64),
            // How long it would have been, nobody knows.
            None => self.cache.count_miss(0),
        }
        found
    }

    /// A value could not be kept: the one before it must not be taken for it.
    fn remove_older(&self, id: &ObjectId) {
        self.cache.remove(id, |kept| kept != id);
    }

    /// The cache below it, for a reader that shares the directory.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }
}

async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, CacheError> {
    spawn_blocking(work).await.map_err(|error| CacheError::Worker {
        why: error.to_string(),
    })
}
