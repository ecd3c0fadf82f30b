//! Who knows which files there are.

use std::fmt::Debug;

use async_trait::async_trait;
use forebay_range::Target;

use crate::entry::{Entry, FileMeta, Node};
use crate::error::VfsError;
use crate::freshness::Freshness;
use crate::ino::Kind;
use crate::path::DirPath;

/// What files exist, asked of whoever knows. Remembers nothing: that is for the [`Tree`](crate::Tree).
///
/// Dropping one of its futures ends the requests behind it.
#[async_trait]
pub trait Namespace: Debug + Send + Sync {
    /// All of one directory, in any order; names that no file can have may be among them.
    ///
    /// # Errors
    /// [`VfsError::NotFound`] if there is no such directory, which the root never answers with; else what the source says.
    async fn list(&self, dir: &DirPath) -> Result<Vec<Entry>, VfsError>;

    /// One name, without listing its directory. `was` is what it was the last time, which may make it cheaper to find
    /// out. `None`: there is no such name.
    ///
    /// # Errors
    /// What the source says.
    async fn look(&self, dir: &DirPath, name: &str, was: Option<Kind>) -> Result<Option<Node>, VfsError>;

    /// What a reader opens for a file, in the version that `meta` says.
    fn target(&self, dir: &DirPath, name: &str, meta: &FileMeta) -> Target;

    /// For how long answers may be believed.
    fn freshness(&self) -> Freshness;

    /// Names that its answers lack, because its source or its protocol cannot show them.
    fn skipped(&self) -> u64 {
        0
    }
}
