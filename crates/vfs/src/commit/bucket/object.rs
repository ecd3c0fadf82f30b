//! One object: what is expected to be there, and removing it. `put` and `copy` make it.

mod copy;
mod put;

use std::sync::Arc;

use forebay_source::{Fault, version_of};
use forebay_types::ErrorKind;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::commit::again::again;
use crate::commit::bucket::conflict::ConflictWhy;
use crate::commit::bucket::options::BucketOptions;
use crate::commit::error::CommitError;
use crate::commit::memory::Memory;
use crate::commit::progress::{CommitProgress, add};
use crate::commit::send::ObjectPlace;

pub(super) use copy::Copied;
pub(super) use put::{Content, Sent};

/// The objects below a prefix.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) place: ObjectPlace,
    pub(super) options: BucketOptions,
    pub(super) memory: Memory,
    pub(super) progress: Arc<CommitProgress>,
}

/// What is expected to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected<'a> {
    Nothing,
    Version(&'a str),
    /// Whatever it is, it is replaced.
    Anything,
}

impl<'a> Expected<'a> {
    fn is_met(self, there: Option<&ObjectMeta>) -> bool {
        match (self, there) {
            (Self::Anything, _) | (Self::Nothing, None) => true,
            (Self::Version(version), Some(there)) => version_of(there).to_text() == version,
            (Self::Nothing, Some(_)) | (Self::Version(_), None) => false,
        }
    }

    fn why_not(self, there: Option<&ObjectMeta>) -> ConflictWhy {
        match (self, there) {
            (_, None) => ConflictWhy::Removed,
            (Self::Nothing, _) => ConflictWhy::Created,
            (Self::Version(_) | Self::Anything, _) => ConflictWhy::Changed,
        }
    }
}

impl Objects {
    /// `None` if no object can have this path.
    pub(super) fn key(&self, path: &str) -> Option<Path> {
        crate::bucket::below(&self.place.path, path)
    }

    fn key_of(&self, path: &str) -> Result<Path, CommitError> {
        self.key(path).ok_or_else(|| {
            let source = object_store::Error::NotFound {
                path: path.to_owned(),
                source: "no object can have this name".into(),
            };
            self.failed("address", path, source)
        })
    }

    /// What is there.
    pub(super) async fn head(&self, path: &str) -> Result<Option<ObjectMeta>, CommitError> {
        let key = self.key_of(path)?;
        again(|| async {
            match self.place.store.head(&key).await {
                Ok(meta) => Ok(Some(meta)),
                Err(error) if Fault::of(&error).kind == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(self.failed("look for", path, error)),
            }
        })
        .await
    }

    /// Removes an object, if it is the expected one. `Err` inside: it is another.
    pub(super) async fn delete(
        &self,
        path: &str,
        expected: Expected<'_>,
    ) -> Result<Result<(), ConflictWhy>, CommitError> {
        let key = self.key_of(path)?;
        let Some(there) = self.head(path).await? else {
            return Ok(Ok(()));
        };
        if !expected.is_met(Some(&there)) {
            return Ok(Err(expected.why_not(Some(&there))));
        }
        again(|| async {
            match self.place.store.delete(&key).await {
                Ok(()) => Ok(()),
                Err(error) if Fault::of(&error).kind == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(self.failed("remove", path, error)),
            }
        })
        .await?;
        add(&self.progress.deleted, 1);
        Ok(Ok(()))
    }

    fn say_unconditional(&self, error: &object_store::Error) {
        if add(&self.progress.unconditional, 1) == 0 {
            tracing::warn!(
                store = %self.place.url,
                %error,
                "the store cannot do this only if an object is still the same: it is looked at just before"
            );
        }
    }

    pub(super) fn failed(&self, what: &'static str, path: &str, source: object_store::Error) -> CommitError {
        CommitError::Store {
            what,
            object: self.url(path),
            source,
        }
    }

    fn url(&self, path: &str) -> Box<str> {
        self.place.url_of(path)
    }
}
