//! The bucket of a log: its keys, and the writes that go to it directly.

use std::time::Duration;

use bytes::Bytes;
use forebay_source::Source;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::{LogError, Result};

/// Keys that are deleted at a time.
const DELETES_AT_ONCE: usize = 8;

/// The pause after a write met another attempt at the same key that is not through; doubled each time.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_CONFLICT_PAUSE: Duration = Duration::from_secs(2);

/// Where the objects of a log are.
#[derive(Debug)]
pub(crate) struct Bucket {
    source: Source,
}

impl Bucket {
    pub(crate) fn new(source: Source) -> Self {
        Self { source }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// What all keys of the log begin with; empty at the root of a bucket.
    pub(crate) fn prefix(&self) -> &str {
        self.source.path.as_ref()
    }

    pub(crate) fn path(&self, key: &str) -> Result<Path> {
        Path::parse(key).map_err(|error| LogError::Key {
            key: forebay_types::printable(key).into_owned(),
            why: error.to_string(),
        })
    }

    /// Its name in messages.
    pub(crate) fn shown(&self, key: &str) -> String {
        format!("{}/{}", self.source.origin, forebay_types::printable(key))
    }

    fn error(&self, key: &str, what: &'static str) -> impl FnOnce(Error) -> LogError {
        let object = self.shown(key);
        move |source| LogError::Store { object, what, source }
    }

    /// Writes an object that is not there yet; gives its entity tag.
    ///
    /// Nobody else knows the key: its ULID is not to be guessed. If something is there already, it is what an earlier attempt of
    /// this very call put there before its answer was lost, provided it has the size.
    pub(crate) async fn create(&self, key: &str, chunks: Vec<Bytes>) -> Result<String> {
        let path = self.path(key)?;
        let size: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let mut pause = CONFLICT_PAUSE;
        loop {
            let options = PutOptions {
                mode: PutMode::Create,
                ..PutOptions::default()
            };
            let payload = PutPayload::from_iter(chunks.iter().cloned());
            let taken = match self.source.store.put_opts(&path, payload, options).await {
                Ok(put) => match put.e_tag {
                    Some(tag) => return Ok(tag),
                    None => None,
                },
                Err(error @ Error::AlreadyExists { .. }) => Some(error),
                Err(error) => return Err(self.error(key, "written")(error)),
            };
            match (self.source.store.head(&path).await, taken) {
                (Ok(meta), Some(error)) if meta.size != size => {
                    return Err(self.error(key, "written")(error));
                }
                (Ok(meta), _) => return meta.e_tag.ok_or_else(|| self.no_tag(key)),
                // Another attempt is not through yet (409): its outcome is not known to the store either.
                (Err(Error::NotFound { .. }), Some(_)) if pause <= LONGEST_CONFLICT_PAUSE => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                (Err(error), _) => return Err(self.error(key, "looked at")(error)),
            }
        }
    }

    fn no_tag(&self, key: &str) -> LogError {
        LogError::Key {
            key: self.shown(key),
            why: "this store gives no entity tags, by which a log knows its segments".to_owned(),
        }
    }

    /// Reads a small object whole, of at most `most` bytes.
    pub(crate) async fn read(&self, key: &str, most: u64) -> Result<Bytes> {
        let path = self.path(key)?;
        let got = self
            .source
            .store
            .get(&path)
            .await
            .map_err(self.error(key, "read"))?;
        if got.meta.size > most {
            return Err(LogError::Key {
                key: self.shown(key),
                why: format!("it has {} bytes, and at most {most} are read", got.meta.size),
            });
        }
        got.bytes().await.map_err(self.error(key, "read"))
    }

    /// All objects below `folder` of the log's prefix.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        let prefix = match (self.prefix(), folder) {
            ("", folder) => folder.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, folder) => format!("{prefix}/{folder}"),
        };
        let path = self.path(&prefix)?;
        let under = (!prefix.is_empty()).then_some(&path);
        self.source
            .store
            .list(under)
            .try_collect()
            .await
            .map_err(self.error(&prefix, "listed"))
    }

    /// Deletes objects; gives back those that are gone, whether they were there or not.
    pub(crate) async fn delete<K: AsRef<str>>(&self, keys: Vec<K>) -> Vec<(K, Result<()>)> {
        futures::stream::iter(keys.into_iter().map(|key| async move {
            let deleted = match self.path(key.as_ref()) {
                Ok(path) => match self.source.store.delete(&path).await {
                    Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(self.error(key.as_ref(), "deleted")(error)),
                },
                Err(error) => Err(error),
            };
            (key, deleted)
        }))
        .buffer_unordered(DELETES_AT_ONCE)
        .collect()
        .await
    }
}
