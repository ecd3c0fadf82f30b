//! Contents that the store lacks.
//!
//! An object is only ever what its name says: the bytes are hashed as they are sent, from the very buffers that go out. A
//! small one is created and never replaced. A large one goes in parts; that it is not there was asked before, and if two
//! send it at once, both send the same.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use forebay_manifest::{Hash, Hasher};
use forebay_source::Fault;
use forebay_types::{ByteRange, ErrorKind};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use tokio::sync::{OnceCell, Semaphore};

use crate::commit::again::again;
use crate::commit::condition::cannot_create_only;
use crate::commit::error::CommitError;
use crate::commit::memory::Memory;
use crate::commit::parts::Parts;
use crate::commit::payload::{Fail, read};
use crate::commit::progress::{CommitProgress, add};
use crate::commit::send::{ObjectPlace, SendOptions};
use crate::overlay::DataFile;

/// So often we look for an object that is said to be there and is not.
const LOOKS: u32 = 3;

/// A content and where its bytes are.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) hash: Hash,
    pub(super) data: Arc<DataFile>,
    pub(super) range: ByteRange,
    /// The file that it is of, for messages.
    pub(super) path: Box<[u8]>,
}

/// Puts contents into the store, each once.
pub(super) struct Uploader {
    cas: ObjectPlace,
    options: SendOptions,
    requests: Semaphore,
    memory: Memory,
    /// Contents that are in the store, or on their way.
    sent: Mutex<HashMap<Hash, Arc<OnceCell<()>>>>,
    progress: Arc<CommitProgress>,
}

impl fmt::Debug for Uploader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploader")
            .field("cas", &self.cas)
            .finish_non_exhaustive()
    }
}

impl Uploader {
    pub(super) fn new(cas: ObjectPlace, options: &SendOptions, progress: Arc<CommitProgress>) -> Self {
        Self {
            cas,
            options: options.clone(),
            requests: Semaphore::new(options.at_once.max(1)),
            memory: options.leave(),
            sent: Mutex::default(),
            progress,
        }
    }

    /// Requests for objects at a time.
    pub(super) fn at_once(&self) -> usize {
        self.options.at_once.max(1)
    }

    /// What may be held in memory.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Sees to it that an object is in the store. Of all who want the same one, the first does it.
    pub(super) async fn ensure(&self, object: &Object) -> Result<(), Fail> {
        let cell = {
            let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.entry(object.hash.clone()).or_default().clone()
        };
        cell.get_or_try_init(|| self.put(object)).await.copied()
    }

    /// Puts it, and again if the connection broke or the store was busy for longer than the transport waits: whatever
    /// became of the request, it was for the same bytes under the same name.
    async fn put(&self, object: &Object) -> Result<(), Fail> {
        again(|| self.try_put(object)).await
    }

    async fn try_put(&self, object: &Object) -> Result<(), Fail> {
        let _turn = self
            .requests
            .acquire()
            .await
            .map_err(|_| CommitError::Cancelled)?;
        let key = self.cas.path.clone().join(object.hash.object_key());
        let len = object.range.len();
        let is_there = match self.is_there(&key, len).await {
            // Who may not list a bucket is not told that something is not there.
            Err(CommitError::Store { source, .. }) if Fault::of(&source).kind == ErrorKind::Denied => false,
            told => told?,
        };
        if is_there {
            add(&self.progress.there, len);
            add(&self.progress.there_objects, 1);
            return Ok(());
        }
        let is_new = if len <= self.options.single_put {
            self.put_single(&key, object).await?
        } else {
            self.put_parts(&key, object).await?;
            true
        };
        let (bytes, objects) = match is_new {
            true => (&self.progress.uploaded, &self.progress.uploaded_objects),
            false => (&self.progress.there, &self.progress.there_objects),
        };
        add(bytes, len);
        add(objects, 1);
        Ok(())
    }

    async fn is_there(&self, key: &Path, len: u64) -> Result<bool, CommitError> {
        match self.cas.store.head(key).await {
            Ok(meta) if meta.size == len => Ok(true),
            Ok(meta) => Err(CommitError::WrongObject {
                object: self.url(key),
                expected: len,
                found: meta.size,
            }),
            Err(error) if Fault::of(&error).kind == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("look for", key, error)),
        }
    }

    /// By one request. `false`: somebody else was faster.
    async fn put_single(&self, key: &Path, object: &Object) -> Result<bool, Fail> {
        let _memory = self.memory.take(object.range.len()).await?;
        let (read, hasher) = read(&object.data, &object.path, object.range, Some(Hasher::new())).await?;
        let Some(payload) = read.filter(|_| is(hasher, &object.hash)) else {
            return Err(Fail::Moved);
        };
        for _ in 0..LOOKS {
            let create = PutOptions::from(PutMode::Create);
            match self.cas.store.put_opts(key, payload.clone(), create).await {
                Ok(_) => return Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) => {
                    if self.is_there(key, object.range.len()).await? {
                        return Ok(false);
                    }
                }
                Err(error) if cannot_create_only(&error) => {
                    if add(&self.progress.not_create_only, 1) == 0 {
                        tracing::warn!(store = %self.cas.url, %error, "the store cannot create only: objects are looked for and put");
                    }
                    let put = self.cas.store.put(key, payload).await;
                    return put
                        .map(|_| true)
                        .map_err(|error| self.failed("store", key, error).into());
                }
                Err(error) => return Err(self.failed("store", key, error).into()),
            }
        }
        let why = "it is said to be there, and is not, again and again".into();
        let error = object_store::Error::Generic {
            store: "content-addressed store",
            source: why,
        };
        Err(self.failed("store", key, error).into())
    }

    /// In parts. Nothing is seen under this name before it is complete.
    async fn put_parts(&self, key: &Path, object: &Object) -> Result<(), Fail> {
        let mut parts = Parts::begin(&self.cas.store, key, self.url(key)).await?;
        let content = (&object.data, &*object.path, object.range);
        let sent = parts
            .send(content, &self.memory, self.options.part_size, Some(Hasher::new()))
            .await;
        match sent {
            Ok(hasher) if is(hasher.clone(), &object.hash) => {
                parts.complete().await?;
                Ok(())
            }
            Ok(_) => {
                parts.abort().await;
                Err(Fail::Moved)
            }
            Err(error) => {
                parts.abort().await;
                Err(error)
            }
        }
    }

    fn failed(&self, what: &'static str, key: &Path, source: object_store::Error) -> CommitError {
        CommitError::Store {
            what,
            object: self.url(key),
            source,
        }
    }

    fn url(&self, key: &Path) -> Box<str> {
        self.cas.url_of(key.filename().unwrap_or_default())
    }
}

fn is(hasher: Option<Hasher>, hash: &Hash) -> bool {
    hasher.is_some_and(|hasher| hasher.finish() == *hash)
}
