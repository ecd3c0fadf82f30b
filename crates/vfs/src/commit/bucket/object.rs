//! One object: what is expected to be there, and removing it. `put` and `copy` make it, `ours` tells
//! what an interrupted commit made of it.

mod copy;
mod ours;
mod put;

use std::sync::Arc;

use bytes::Bytes;
use forebay_source::{Fault, version_of};
use forebay_types::{ByteRange, ErrorKind};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStoreExt};

use crate::commit::again::again;
use crate::commit::bucket::conflict::ConflictWhy;
use crate::commit::bucket::options::BucketOptions;
use crate::commit::condition::is_another;
use crate::commit::error::CommitError;
use crate::commit::memory::Memory;
use crate::commit::progress::{CommitProgress, add};
use crate::commit::send::ObjectPlace;
use crate::merged::Merged;

pub(super) use copy::Copied;
pub(super) use put::{Content, Sent};

/// Bytes that are read of an object at a time.
const COMPARE: u64 = 8 << 20;

/// The objects below a prefix.
pub(super) struct Objects {
    /// What is above, which is told what is sent.
    pub(super) merged: Merged,
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
    /// What was removed here: it may be gone already.
    Removed(&'a str),
    /// Whatever it is, it is replaced.
    Anything,
}

impl<'a> Expected<'a> {
    fn is_met(self, there: Option<&ObjectMeta>) -> bool {
        match (self, there) {
            (Self::Anything, _) | (Self::Nothing | Self::Removed(_), None) => true,
            (Self::Version(version) | Self::Removed(version), Some(there)) => {
                version_of(there).to_text() == version
            }
            (Self::Nothing, Some(_)) | (Self::Version(_), None) => false,
        }
    }

    fn why_not(self, there: Option<&ObjectMeta>) -> ConflictWhy {
        match (self, there) {
            (_, None) => ConflictWhy::Removed,
            (Self::Nothing, _) => ConflictWhy::Created,
            (Self::Version(_) | Self::Removed(_) | Self::Anything, _) => ConflictWhy::Changed,
        }
    }
}

/// What came of a removal.
#[derive(Debug)]
pub(super) enum Deleted {
    /// It is not there any more.
    Done,
    /// What an interrupted commit was to put is not there; another object may be.
    NotThere,
    Refused(ConflictWhy),
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

    /// Some bytes of an object; `None`: it is another by now, or gone.
    async fn part_of(
        &self,
        path: &str,
        there: &ObjectMeta,
        range: ByteRange,
    ) -> Result<Option<Bytes>, CommitError> {
        let key = self.key_of(path)?;
        again(|| async {
            let options = GetOptions {
                if_match: there.e_tag.clone(),
                range: Some(GetRange::Bounded(range.start()..range.end())),
                ..GetOptions::default()
            };
            let failed = |error| self.failed("read", path, error);
            match self.place.store.get_opts(&key, options).await {
                Ok(got) => got.bytes().await.map(Some).map_err(failed),
                Err(error) if is_another(&error) => Ok(None),
                Err(error) => Err(failed(error)),
            }
        })
        .await
    }

    /// Removes an object, if it is the expected one or what an interrupted commit put. `None`: the latter alone is, and what else is
    /// there is nobody's concern.
    pub(super) async fn delete(
        &self,
        path: &str,
        expected: Option<Expected<'_>>,
    ) -> Result<Deleted, CommitError> {
        let key = self.key_of(path)?;
        let there = self.head(path).await?;
        let Some(there) = there else {
            return Ok(match expected {
                Some(_) => Deleted::Done,
                None => Deleted::NotThere,
            });
        };
        let is_expected = expected.is_some_and(|expected| expected.is_met(Some(&there)));
        if !is_expected && !self.is_ours(path, &there).await? {
            return Ok(match expected {
                Some(expected) => Deleted::Refused(expected.why_not(Some(&there))),
                None => Deleted::NotThere,
            });
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
        Ok(Deleted::Done)
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
