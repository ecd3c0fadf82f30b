//! One name: is there an object, is there anything below it?

use forebay_source::Fault;
use forebay_types::{ErrorKind, printable};
use futures::StreamExt;
use futures::future::join;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::{BucketNamespace, NoFile, no_file};
use crate::entry::{FileMeta, Node};
use crate::error::VfsError;
use crate::ino::Kind;

/// What a listing found below a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    Something,
    Nothing,
    /// Nothing that can be shown; but while it was asked, some listing of the source left something out.
    Perhaps,
}

impl BucketNamespace {
    /// What a key is, which was `was` the last time.
    pub(super) async fn look_key(&self, key: &Path, was: Option<Kind>) -> Result<Option<Node>, VfsError> {
        if self.is_local() {
            self.look_local(key, was).await
        } else if self.is_web() {
            self.look_web(key, was).await
        } else {
            self.look_remote(key, was).await
        }
    }

    /// The object that is the whole of the root.
    pub(super) async fn object_at_root(&self) -> Result<Option<Node>, VfsError> {
        Ok(self.head(&self.source.path).await?.map(Node::File))
    }

    async fn look_remote(&self, key: &Path, was: Option<Kind>) -> Result<Option<Node>, VfsError> {
        let was_dir = was == Some(Kind::Dir);
        // A directory stays one for as long as there is anything below it: nothing else needs to be known.
        let (file, below) = if was_dir {
            match self.look_below(key).await? {
                Below::Something => return Ok(Some(Node::Dir)),
                below => (self.head(key).await, Ok(below)),
            }
        } else {
            // Both to their ends: a request that is given up costs its connection.
            join(self.head(key), self.look_below(key)).await
        };
        match (file, below) {
            (_, Ok(Below::Something)) => Ok(Some(Node::Dir)),
            (Err(error), _) => Err(error),
            (Ok(Some(file)), Ok(Below::Nothing)) => Ok(Some(Node::File(file))),
            (Ok(file), Ok(below)) => {
                let dir = match file {
                    // The directory hides it, if there is one.
                    Some(_) => self.is_hidden_dir(key, below).await?,
                    None => self.is_empty_dir(key, below).await?,
                };
                Ok(if dir {
                    Some(Node::Dir)
                } else {
                    file.map(Node::File)
                })
            }
            (Ok(file), Err(error)) => match error.kind() {
                // A store that lists nothing: there need be nothing below.
                ErrorKind::Unsupported => Ok(file.map(Node::File)),
                ErrorKind::Denied if file.is_some() => {
                    self.say_denied();
                    Ok(file.map(Node::File))
                }
                _ => Err(error),
            },
        }
    }

    async fn look_local(&self, key: &Path, was: Option<Kind>) -> Result<Option<Node>, VfsError> {
        let error = match self.source.store.head(key).await {
            Ok(meta) => return Ok(Some(Node::File(self.file_of(&meta)))),
            Err(error) => error,
        };
        match no_file(&error) {
            // Or a link to one, and those are not shown: only the directory above can tell.
            Some(NoFile::Directory) => {
                let there = was == Some(Kind::Dir) || self.is_listed(key).await?;
                Ok(there.then_some(Node::Dir))
            }
            Some(NoFile::Special) => Ok(None),
            None if Fault::of(&error).kind == ErrorKind::NotFound => Ok(None),
            None => Err(VfsError::store(printable(key.as_ref()), error)),
        }
    }

    /// One request for a name that is as it was, without the page of a directory, which may be long.
    async fn look_web(&self, key: &Path, was: Option<Kind>) -> Result<Option<Node>, VfsError> {
        // Some servers answer a page for a directory's name without its slash: a listing knew better.
        if was == Some(Kind::Dir) && matches!(self.has_marker(key).await, Ok(true)) {
            return Ok(Some(Node::Dir));
        }
        match self.source.store.head(key).await {
            Ok(meta) => Ok(Some(Node::File(self.file_of(&meta)))),
            Err(error) if no_file(&error) == Some(NoFile::Directory) => Ok(Some(Node::Dir)),
            Err(error) if Fault::of(&error).kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(VfsError::store(printable(key.as_ref()), error)),
        }
    }

    /// The object of a key, if there is one.
    async fn head(&self, key: &Path) -> Result<Option<FileMeta>, VfsError> {
        match self.source.store.head(key).await {
            Ok(meta) => Ok(Some(self.file_of(&meta))),
            Err(error) if Fault::of(&error).kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(VfsError::store(printable(key.as_ref()), error)),
        }
    }

    /// Whether there are keys below this one. The first page of the listing tells.
    async fn look_below(&self, key: &Path) -> Result<Below, VfsError> {
        let left_out = self.source.skipped_names();
        match self.source.store.list(Some(key)).next().await {
            None => Ok(self.below_nothing(left_out)),
            Some(Ok(_)) => Ok(Below::Something),
            Some(Err(error)) => Err(VfsError::store(printable(key.as_ref()), error)),
        }
    }

    /// What it means that a listing showed nothing, before which so many names had been left out.
    pub(super) fn below_nothing(&self, left_out: u64) -> Below {
        if self.source.skipped_names() > left_out {
            Below::Perhaps
        } else {
            Below::Nothing
        }
    }

    /// Whether a key without anything that can be shown below it is a directory.
    pub(super) async fn is_empty_dir(&self, key: &Path, below: Below) -> Result<bool, VfsError> {
        Ok(self.has_marker(key).await? || self.is_hidden_dir(key, below).await?)
    }

    /// Whether all that is below a key cannot be shown. The directory above shows it nevertheless, and is believed.
    async fn is_hidden_dir(&self, key: &Path, below: Below) -> Result<bool, VfsError> {
        match below {
            Below::Something => Ok(true),
            Below::Nothing => Ok(false),
            Below::Perhaps => self.is_listed(key).await,
        }
    }

    /// Whether there is an object that says that this is a directory: its key ends in a slash.
    async fn has_marker(&self, key: &Path) -> Result<bool, VfsError> {
        // No listing shows it: it is no path. That an empty name adds a slash is the one way to say its key.
        Ok(self.head(&key.clone().join("")).await?.is_some())
    }
}
