//! The objects themselves, whichever face shows them.
//!
//! A put meets its [`Preconditions`] and the bucket map under one lock, so conditional puts are true
//! compare-and-swap; what it stores is an [`Object`], immutable, of which a get hands out a shared reference.

mod conditions;
mod headers;
mod listing;
mod multipart;
mod object;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use crate::Content;

pub use conditions::{Preconditions, Verdict};
pub(crate) use headers::set;
pub use listing::{ListEntry, ListPage, ListQuery};
pub use multipart::PartInfo;
pub use object::{Attributes, Object};

/// Buckets of objects in memory. Clones share them, so two labs (say one of each face) can show the same objects.
#[derive(Clone, Default)]
pub struct Objects {
    state: Arc<RwLock<State>>,
}

#[derive(Default)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    uploads: BTreeMap<String, multipart::Upload>,
    /// Counts every version and upload; part of each ETag, so that no two versions share one.
    serial: u64,
    keep_history: bool,
}

#[derive(Default)]
struct Bucket {
    denied: bool,
    keys: BTreeMap<String, Arc<Object>>,
    /// Every version a key ever had, oldest first; empty unless history is kept.
    history: BTreeMap<String, Vec<Arc<Object>>>,
}

/// Why the store refuses. The faces turn it into status and S3 code by one table each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The bucket was never created.
    #[error("bucket '{0}' does not exist; create it with LabBuilder::bucket or Objects::create_bucket")]
    NoSuchBucket(String),
    /// [`Objects::deny_bucket`] said so.
    #[error("access to bucket '{0}' is denied")]
    AccessDenied(String),
    /// No object there.
    #[error("key '{0}' does not exist")]
    NoSuchKey(String),
    /// If-Match or If-None-Match is not met.
    #[error("the condition on key '{0}' is not met; read its present ETag and try again")]
    PreconditionFailed(String),
    /// Completed, aborted or never begun.
    #[error("upload '{0}' does not exist")]
    NoSuchUpload(String),
    /// The list of parts names one that was not uploaded, or in another version.
    #[error("part {0} was not uploaded with the ETag given")]
    InvalidPart(u32),
    /// The list of parts is not ascending.
    #[error("parts must be listed in ascending order")]
    InvalidPartOrder,
}

impl Objects {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a bucket, if there is none of the name.
    pub fn create_bucket(&self, bucket: &str) {
        self.write().buckets.entry(bucket.to_owned()).or_default();
    }

    /// Makes every request to the bucket fail with 403 AccessDenied, or ends that.
    pub fn deny_bucket(&self, bucket: &str, denied: bool) {
        self.write().buckets.entry(bucket.to_owned()).or_default().denied = denied;
    }

    /// The names of all buckets.
    pub fn buckets(&self) -> Vec<String> {
        self.read().buckets.keys().cloned().collect()
    }

    /// Whether the bucket is there and may be used.
    pub fn check_bucket(&self, bucket: &str) -> Result<(), StoreError> {
        self.read().open(bucket).map(drop)
    }

    /// From now on every version of every key is remembered, for [`Self::versions`].
    pub fn keep_history(&self) {
        self.write().keep_history = true;
    }

    /// Stores an object, making the bucket if need be, and returns its ETag.
    pub fn put(&self, bucket: &str, key: &str, content: impl Into<Content>) -> String {
        self.put_with(bucket, key, content.into(), Attributes::default())
    }

    /// The same with attributes.
    pub fn put_with(&self, bucket: &str, key: &str, content: Content, attributes: Attributes) -> String {
        let mut state = self.write();
        state.buckets.entry(bucket.to_owned()).or_default();
        state.store(bucket, key, content, attributes).etag.clone()
    }

    /// Stores an object if the present state of its key meets the conditions: a compare-and-swap.
    pub fn put_if(
        &self,
        bucket: &str,
        key: &str,
        content: Content,
        attributes: Attributes,
        conditions: &Preconditions,
    ) -> Result<Arc<Object>, StoreError> {
        let mut state = self.write();
        state.check(bucket, key, conditions)?;
        Ok(state.store(bucket, key, content, attributes))
    }

    /// The object at a key, if there is one.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Arc<Object>> {
        self.find(bucket, key).ok()
    }

    /// The object at a key, or why there is none to be had.
    pub fn find(&self, bucket: &str, key: &str) -> Result<Arc<Object>, StoreError> {
        let state = self.read();
        let object = state.open(bucket)?.keys.get(key);
        object
            .cloned()
            .ok_or_else(|| StoreError::NoSuchKey(key.to_owned()))
    }

    /// Removes an object; tells whether there was one.
    pub fn delete(&self, bucket: &str, key: &str) -> bool {
        self.delete_if(bucket, key, &Preconditions::default())
            .unwrap_or(false)
    }

    /// Removes an object if the present state of its key meets the conditions; tells whether there was one.
    pub fn delete_if(&self, bucket: &str, key: &str, conditions: &Preconditions) -> Result<bool, StoreError> {
        let mut state = self.write();
        if state.open(bucket)?.keys.contains_key(key) {
            state.check(bucket, key, conditions)?;
        }
        let bucket = state.buckets.get_mut(bucket);
        Ok(bucket.is_some_and(|bucket| bucket.keys.remove(key).is_some()))
    }

    /// Gives an object other tags; its version stays the same.
    pub fn set_tags(
        &self,
        bucket: &str,
        key: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        let mut state = self.write();
        state.open(bucket)?;
        let found = state
            .buckets
            .get_mut(bucket)
            .and_then(|bucket| bucket.keys.get_mut(key));
        let object = found.ok_or_else(|| StoreError::NoSuchKey(key.to_owned()))?;
        Arc::make_mut(object).attributes.tags = tags;
        Ok(())
    }

    /// One page of keys.
    pub fn list(&self, bucket: &str, query: &ListQuery) -> Result<ListPage, StoreError> {
        Ok(listing::page(&self.read().open(bucket)?.keys, query))
    }

    /// Every version that a key had since [`Self::keep_history`], oldest first: which ETag meant which bytes.
    pub fn versions(&self, bucket: &str, key: &str) -> Vec<Arc<Object>> {
        let state = self.read();
        state
            .buckets
            .get(bucket)
            .and_then(|bucket| bucket.history.get(key))
            .cloned()
            .unwrap_or_default()
    }

    // A panic of one test thread while it held the lock must not hide behind the poison of the others.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&self, bucket: &str) -> Result<&Bucket, StoreError> {
        match self.buckets.get(bucket) {
            None => Err(StoreError::NoSuchBucket(bucket.to_owned())),
            Some(Bucket { denied: true, .. }) => Err(StoreError::AccessDenied(bucket.to_owned())),
            Some(open) => Ok(open),
        }
    }

    /// Whether a write to the key may go on. S3 answers 404, not 412, to If-Match where there is nothing.
    fn check(&self, bucket: &str, key: &str, conditions: &Preconditions) -> Result<(), StoreError> {
        let current = self.open(bucket)?.keys.get(key);
        match conditions.evaluate(current.map(AsRef::as_ref)) {
            Verdict::Proceed => Ok(()),
            Verdict::Failed if current.is_none() => Err(StoreError::NoSuchKey(key.to_owned())),
            Verdict::Failed | Verdict::NotModified => Err(StoreError::PreconditionFailed(key.to_owned())),
        }
    }

    /// The bucket exists.
    fn store(&mut self, bucket: &str, key: &str, content: Content, attributes: Attributes) -> Arc<Object> {
        let object = Arc::new(Object::new(self.next_serial(), content, attributes, now()));
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            bucket.keys.insert(key.to_owned(), Arc::clone(&object));
            if self.keep_history {
                bucket
                    .history
                    .entry(key.to_owned())
                    .or_default()
                    .push(Arc::clone(&object));
            }
        }
        object
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read();
        f.debug_map()
            .entries(
                state
                    .buckets
                    .iter()
                    .map(|(name, bucket)| (name, bucket.keys.len())),
            )
            .finish()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "Last-Modified is a date on the wire; no decision of ours hangs on it"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
