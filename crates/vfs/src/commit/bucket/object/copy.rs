//! An object that the store copies.

use forebay_source::{Fault, version_of};
use forebay_types::ErrorKind;
use object_store::{CopyMode, CopyOptions};

use super::ours::Note;
use super::{Expected, Objects};
use crate::commit::bucket::conflict::ConflictWhy;
use crate::commit::condition::{cannot_create_only, is_refusal};
use crate::commit::error::CommitError;
use crate::commit::progress::add;
use crate::overlay::Origin;

/// What came of a copy.
#[derive(Debug)]
pub(in crate::commit::bucket) enum Copied {
    /// It is there, in this version.
    Done(Box<str>),
    /// The store does not do it, or something is there that may be the same: the content has to be put.
    PutInstead,
    /// Another content was copied, and is there in this version.
    Wrong(Box<str>, ConflictWhy),
    Refused(ConflictWhy),
}

impl Objects {
    /// Has the store copy an object whose place is as expected.
    pub(in crate::commit::bucket) async fn copy(
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
        let note = Note::Copy {
            path: &from.path,
            version: &from.version,
        };
        self.going(to, &note)?;
        let store = &self.place.store;
        if expected == Expected::Nothing {
            let options = CopyOptions::new().with_mode(CopyMode::Create);
            match store.copy_opts(&source, &target, options).await {
                Ok(()) => return Ok(true),
                Err(error) if is_refusal(&error) => return Ok(false),
                Err(error) if cannot_create_only(&error) => self.say_unconditional(&error),
                Err(error) => return self.copy_failed(to, error),
            }
        }
        if expected != Expected::Anything && !expected.is_met(self.head(to).await?.as_ref()) {
            return Ok(false);
        }
        let options = CopyOptions::new().with_mode(CopyMode::Overwrite);
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
}
