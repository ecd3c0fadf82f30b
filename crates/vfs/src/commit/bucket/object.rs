//! One object: is it still what it was, put it, copy it, remove it.

use std::sync::Arc;

use forebay_source::{Fault, version_of};
use forebay_types::{ByteRange, ErrorKind};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetRange, ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    PutResult, UpdateVersion,
};

use crate::commit::again::again;
use crate::commit::bring::cut;
use crate::commit::bucket::conflict::ConflictWhy;
use crate::commit::bucket::options::BucketOptions;
use crate::commit::error::CommitError;
use crate::commit::memory::Memory;
use crate::commit::options::ObjectPlace;
use crate::commit::parts::Parts;
use crate::commit::progress::{CommitProgress, add};
use crate::commit::upload::{Fail, cannot_create_only, read};
use crate::overlay::{DataFile, Origin};

/// Bytes that are compared at a time.
const COMPARE: u64 = 8 << 20;

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

/// What came of a put.
#[derive(Debug)]
pub(super) enum Sent {
    /// It is there, in this version.
    Stored(Box<str>),
    /// The same was there.
    SameWasThere(Box<str>),
    Refused(ConflictWhy),
}

/// What came of a copy.
#[derive(Debug)]
pub(super) enum Copied {
    /// It is there, in this version.
    Done(Box<str>),
    /// The store does not do it, or something is there that may be the same: the content has to be put.
    PutInstead,
    /// Another content was copied, and is there in this version.
    Wrong(Box<str>, ConflictWhy),
    Refused(ConflictWhy),
}

/// The content of a file, and whether it is still that.
pub(super) struct Content<'a> {
    pub(super) path: &'a str,
    pub(super) data: &'a Arc<DataFile>,
    pub(super) len: u64,
    /// Whether it is what it was.
    pub(super) is_still: &'a (dyn Fn() -> Result<bool, CommitError> + Send + Sync),
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

    /// Puts a content whose place is as expected.
    ///
    /// # Errors
    /// [`Fail::Moved`]: it was written to meanwhile, and nothing was put.
    pub(super) async fn put(&self, content: &Content<'_>, expected: Expected<'_>) -> Result<Sent, Fail> {
        again(|| self.try_put(content, expected)).await
    }

    async fn try_put(&self, content: &Content<'_>, expected: Expected<'_>) -> Result<Sent, Fail> {
        let mode = match expected {
            Expected::Anything => PutMode::Overwrite,
            // A large object is looked for before it is sent in vain.
            Expected::Nothing if content.len <= self.options.single_put => PutMode::Create,
            Expected::Nothing | Expected::Version(_) => {
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
        let done = if content.len <= self.options.single_put {
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
        let (payload, _) = read(content.data, content.path.as_bytes(), range, None).await?;
        let Some(payload) = payload else {
            return Err(Fail::Moved);
        };
        // All of it is of one moment.
        if !(content.is_still)()? {
            return Err(Fail::Moved);
        }
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
            parts
                .send(bytes, &self.memory, self.options.part_size, None)
                .await?;
            if !(content.is_still)()? {
                return Err(Fail::Moved);
            }
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
        if let Some(there) = &there
            && self.is_same(content, there).await?
        {
            add(&self.progress.there, content.len);
            add(&self.progress.there_objects, 1);
            return Ok(Sent::SameWasThere(version_of(there).to_text().into()));
        }
        Ok(Sent::Refused(expected.why_not(there.as_ref())))
    }

    /// Whether an object has the bytes of a file.
    async fn is_same(&self, content: &Content<'_>, there: &ObjectMeta) -> Result<bool, Fail> {
        if there.size != content.len {
            return Ok(false);
        }
        let key = self.key_of(content.path)?;
        for range in cut(ByteRange::new(0, content.len), COMPARE) {
            let _memory = self.memory.take(range.len() * 2).await?;
            let theirs = again(|| async {
                let options = GetOptions {
                    if_match: there.e_tag.clone(),
                    range: Some(GetRange::Bounded(range.start()..range.end())),
                    ..GetOptions::default()
                };
                let failed = |error| self.failed("read", content.path, error);
                match self.place.store.get_opts(&key, options).await {
                    Ok(got) => got.bytes().await.map(Some).map_err(failed),
                    // Replaced once more, or removed.
                    Err(error) if is_another(&error) => Ok(None),
                    Err(error) => Err(failed(error)),
                }
            })
            .await?;
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

    /// Has the store copy an object whose place is as expected.
    pub(super) async fn copy(
        &self,
        from: &Origin,
        to: &str,
        expected: Expected<'_>,
    ) -> Result<Copied, CommitError> {
        let source = Expected::Version(&from.version);
        let changed = || ConflictWhy::Source {
            path: from.path.clone(),
        };
        if from.size > self.options.largest_copy {
            return Ok(Copied::PutInstead);
        }
        if !source.is_met(self.head(&from.path).await?.as_ref()) {
            return Ok(Copied::Refused(changed()));
        }
        if !self.request_copy(from, to, expected).await? {
            return Ok(Copied::PutInstead);
        }
        let made = self.head(to).await?;
        let is_still = source.is_met(self.head(&from.path).await?.as_ref());
        match made {
            Some(made) if is_still && made.size == from.size => {
                add(&self.progress.copied, 1);
                Ok(Copied::Done(version_of(&made).to_text().into()))
            }
            Some(made) if !is_still => Ok(Copied::Wrong(version_of(&made).to_text().into(), changed())),
            _ => Ok(Copied::Refused(ConflictWhy::Changed)),
        }
    }

    /// `false`: something else is there, or the store does not copy this.
    async fn request_copy(
        &self,
        from: &Origin,
        to: &str,
        expected: Expected<'_>,
    ) -> Result<bool, CommitError> {
        let (source, target) = (self.key_of(&from.path)?, self.key_of(to)?);
        let store = &self.place.store;
        let mut mode = CopyMode::Overwrite;
        if expected == Expected::Nothing {
            mode = CopyMode::Create;
            let options = CopyOptions::new().with_mode(mode);
            match store.copy_opts(&source, &target, options).await {
                Ok(()) => return Ok(true),
                Err(error) if is_refusal(&error) => return Ok(false),
                Err(error) if cannot_create_only(&error) => {
                    self.say_unconditional(&error);
                    mode = CopyMode::Overwrite;
                }
                Err(error) => return self.copy_failed(to, error),
            }
        }
        if expected != Expected::Anything && !expected.is_met(self.head(to).await?.as_ref()) {
            return Ok(false);
        }
        let options = CopyOptions::new().with_mode(mode);
        match store.copy_opts(&source, &target, options).await {
            Ok(()) => Ok(true),
            Err(error) => self.copy_failed(to, error),
        }
    }

    /// What a store does not copy, it may take.
    fn copy_failed(&self, to: &str, error: object_store::Error) -> Result<bool, CommitError> {
        match Fault::of(&error).kind {
            ErrorKind::Unsupported | ErrorKind::Invalid => {
                tracing::debug!(%error, to, "not copied by the store: its content is put");
                Ok(false)
            }
            // Whether it was done is not known: what is there then is compared.
            kind if kind.is_transient() => {
                tracing::warn!(%error, to, "the store did not say whether it copied an object: its content is put");
                Ok(false)
            }
            _ => Err(self.failed("copy to", to, error)),
        }
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
        let url = self.place.url.trim_end_matches('/');
        format!("{url}/{}", forebay_types::printable(path)).into()
    }
}

/// That something is there, or another one, where nothing was to be, or this one.
fn is_refusal(error: &object_store::Error) -> bool {
    matches!(
        error,
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }
    ) || Fault::of(error).status == Some(409)
}

fn is_another(error: &object_store::Error) -> bool {
    let kind = Fault::of(error).kind;
    kind == ErrorKind::Changed || kind == ErrorKind::NotFound || is_refusal(error)
}
