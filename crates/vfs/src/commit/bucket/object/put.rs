//! A content into its place, unless somebody was there first.

use std::sync::Arc;

use forebay_manifest::Hasher;
use forebay_source::version_of;
use forebay_types::ByteRange;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion};

use super::ours::Note;
use super::{COMPARE, Expected, Objects};
use crate::commit::again::again;
use crate::commit::bring::cut;
use crate::commit::bucket::conflict::ConflictWhy;
use crate::commit::condition::{cannot_create_only, is_refusal};
use crate::commit::error::CommitError;
use crate::commit::parts::Parts;
use crate::commit::payload::{Fail, read};
use crate::commit::progress::add;
use crate::overlay::DataFile;

/// What came of a put.
#[derive(Debug)]
pub(in crate::commit::bucket) enum Sent {
    /// It is there, in this version.
    Stored(Box<str>),
    /// The same was there.
    SameWasThere(Box<str>),
    /// What an interrupted commit put was there, and still is: an older content of the file, in this version.
    Ours(Box<str>),
    Refused(ConflictWhy),
}

/// The content of a file, and whether it is still that.
pub(in crate::commit::bucket) struct Content<'a> {
    pub(in crate::commit::bucket) path: &'a str,
    pub(in crate::commit::bucket) data: &'a Arc<DataFile>,
    pub(in crate::commit::bucket) len: u64,
    /// Whether it is what it was.
    pub(in crate::commit::bucket) is_still: &'a (dyn Fn() -> Result<bool, CommitError> + Send + Sync),
}

impl Objects {
    /// Puts a content whose place is as expected.
    ///
    /// # Errors
    /// [`Fail::Moved`]: it was written to meanwhile, and nothing was put.
    pub(in crate::commit::bucket) async fn put(
        &self,
        content: &Content<'_>,
        expected: Expected<'_>,
    ) -> Result<Sent, Fail> {
        match again(|| self.try_put(content, expected)).await? {
            Sent::Ours(version) => again(|| self.try_put(content, Expected::Version(&version))).await,
            sent => Ok(sent),
        }
    }

    async fn try_put(&self, content: &Content<'_>, expected: Expected<'_>) -> Result<Sent, Fail> {
        let mode = match expected {
            Expected::Anything => PutMode::Overwrite,
            // A large object is looked for before it is sent in vain.
            Expected::Nothing if content.len <= self.options.send.single_put => PutMode::Create,
            Expected::Nothing | Expected::Version(_) | Expected::Removed(_) => {
                let there = self.head(content.path).await?;
                if !expected.is_met(there.as_ref()) {
                    return self.refused(content, expected, there).await;
                }
                match there {
                    Some(there) => PutMode::Update(UpdateVersion {
                        e_tag: there.e_tag,
                        version: there.version,
                    }),
                    None => PutMode::Create,
                }
            }
        };
        let done = if content.len <= self.options.send.single_put {
            self.put_single(content, expected, mode).await?
        } else {
            self.put_parts(content, expected).await?
        };
        let Some(done) = done else {
            let there = self.head(content.path).await?;
            return self.refused(content, expected, there).await;
        };
        add(&self.progress.uploaded, content.len);
        add(&self.progress.uploaded_objects, 1);
        Ok(Sent::Stored(self.version(content.path, content.len, done).await?))
    }

    /// By one request. `None`: it is not as expected.
    async fn put_single(
        &self,
        content: &Content<'_>,
        expected: Expected<'_>,
        mode: PutMode,
    ) -> Result<Option<PutResult>, Fail> {
        let key = self.key_of(content.path)?;
        let _memory = self.memory.take(content.len).await?;
        let range = ByteRange::new(0, content.len);
        let hasher = Some(Hasher::new());
        let (payload, hasher) = read(content.data, content.path.as_bytes(), range, hasher).await?;
        let Some(payload) = payload else {
            return Err(Fail::Moved);
        };
        // All of it is of one moment.
        if !(content.is_still)()? {
            return Err(Fail::Moved);
        }
        self.going_of(content, hasher)?;
        let options = PutOptions::from(mode.clone());
        match self.place.store.put_opts(&key, payload.clone(), options).await {
            Ok(done) => Ok(Some(done)),
            Err(error) if is_refusal(&error) => Ok(None),
            Err(error) if mode != PutMode::Overwrite && cannot_create_only(&error) => {
                self.say_unconditional(&error);
                self.put_anyway(&key, content, expected, payload).await
            }
            Err(error) => Err(self.failed("store", content.path, error).into()),
        }
    }

    /// The store knows no conditions: it is looked at just before.
    async fn put_anyway(
        &self,
        key: &Path,
        content: &Content<'_>,
        expected: Expected<'_>,
        payload: PutPayload,
    ) -> Result<Option<PutResult>, Fail> {
        let there = self.head(content.path).await?;
        if !expected.is_met(there.as_ref()) {
            return Ok(None);
        }
        let put = self.place.store.put(key, payload).await;
        put.map(Some)
            .map_err(|error| self.failed("store", content.path, error).into())
    }

    /// In parts. `None`: it is not as expected.
    async fn put_parts(
        &self,
        content: &Content<'_>,
        expected: Expected<'_>,
    ) -> Result<Option<PutResult>, Fail> {
        let key = self.key_of(content.path)?;
        let mut parts = Parts::begin(&self.place.store, &key, self.url(content.path)).await?;
        let range = ByteRange::new(0, content.len);
        let bytes = (content.data, content.path.as_bytes(), range);
        let checked = async {
            let part_size = self.options.send.part_size;
            let hasher = parts
                .send(bytes, &self.memory, part_size, Some(Hasher::new()))
                .await?;
            if !(content.is_still)()? {
                return Err(Fail::Moved);
            }
            self.going_of(content, hasher)?;
            // There is no condition for the completion: it is looked at just before.
            Ok(expected == Expected::Anything || {
                let there = self.head(content.path).await?;
                expected.is_met(there.as_ref())
            })
        };
        match checked.await {
            Ok(true) => Ok(parts.complete().await?),
            Ok(false) => {
                parts.abort().await;
                Ok(None)
            }
            Err(error) => {
                parts.abort().await;
                Err(error)
            }
        }
    }

    /// Something is there that was not expected: it may be this very content, put by a commit before that heard no answer.
    async fn refused(
        &self,
        content: &Content<'_>,
        expected: Expected<'_>,
        there: Option<ObjectMeta>,
    ) -> Result<Sent, Fail> {
        if let Some(there) = &there {
            if self.is_same(content, there).await? {
                add(&self.progress.there, content.len);
                add(&self.progress.there_objects, 1);
                return Ok(Sent::SameWasThere(version_of(there).to_text().into()));
            }
            if self.is_ours(content.path, there).await? {
                return Ok(Sent::Ours(version_of(there).to_text().into()));
            }
        }
        Ok(Sent::Refused(expected.why_not(there.as_ref())))
    }

    /// Whether an object has the bytes of a file.
    async fn is_same(&self, content: &Content<'_>, there: &ObjectMeta) -> Result<bool, Fail> {
        if there.size != content.len {
            return Ok(false);
        }
        for range in cut(ByteRange::new(0, content.len), COMPARE) {
            let _memory = self.memory.take(range.len() * 2).await?;
            let theirs = self.part_of(content.path, there, range).await?;
            let (ours, _) = read(content.data, content.path.as_bytes(), range, None).await?;
            let is_same = match (&theirs, &ours) {
                (Some(theirs), Some(ours)) => ours.iter().flatten().eq(theirs.iter()),
                _ => false,
            };
            if !is_same {
                return Ok(false);
            }
        }
        match (content.is_still)()? {
            true => Ok(true),
            false => Err(Fail::Moved),
        }
    }

    /// Notes that a content is about to be put.
    fn going_of(&self, content: &Content<'_>, hasher: Option<Hasher>) -> Result<(), CommitError> {
        match hasher.map(|hasher| hasher.finish()) {
            Some(hash) => self.going(content.path, &Note::Content(&hash)),
            None => Ok(()),
        }
    }

    /// The version of what was just put, as a listing shows it.
    async fn version(&self, path: &str, len: u64, put: PutResult) -> Result<Box<str>, CommitError> {
        if let Some(tag) = put.e_tag {
            let version = forebay_types::Version::ETag(tag.into());
            return Ok(version.to_text().into());
        }
        let there = self.head(path).await?.filter(|there| there.size == len);
        // Replaced within this moment: the next commit finds that it is another.
        Ok(there.map_or_else(
            || forebay_types::Version::Unknown.to_text().into(),
            |there| version_of(&there).to_text().into(),
        ))
    }
}
