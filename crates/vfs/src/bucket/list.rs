//! A directory: the keys right below it, and the prefixes.

use forebay_source::Fault;
use forebay_types::{ErrorKind, printable};
use object_store::path::Path;
use object_store::{ListResult, ObjectStoreExt};

use super::{BucketNamespace, NoFile, missing, no_file};
use crate::entry::{Entry, Node};
use crate::error::VfsError;
use crate::path::DirPath;

impl BucketNamespace {
    pub(super) async fn list_dir(&self, dir: &DirPath) -> Result<Vec<Entry>, VfsError> {
        let Some(key) = self.dir_key(dir) else {
            return Err(missing(dir));
        };
        let left_out = self.source.skipped_names();
        let ListResult {
            common_prefixes,
            objects,
            ..
        } = self.one_level(&key).await?;
        let name = |path: &Path| -> Option<Box<str>> { name_in(&key, path).map(Into::into) };
        let mut entries = Vec::with_capacity(common_prefixes.len() + objects.len());
        entries.extend(objects.into_iter().filter_map(|meta| {
            let node = Node::File(self.file_of(&meta));
            name(&meta.location).map(|name| Entry { name, node })
        }));
        entries.extend(common_prefixes.iter().filter_map(|prefix| {
            let node = Node::Dir;
            name(prefix).map(|name| Entry { name, node })
        }));
        if entries.is_empty() && !dir.is_root() {
            let there = if self.is_local() {
                self.is_local_dir(&key).await?
            } else {
                self.is_empty_dir(&key, self.below_nothing(left_out)).await?
            };
            if !there {
                return Err(missing(dir));
            }
        }
        Ok(entries)
    }

    /// What is right below a key; the store's own root for an empty one.
    async fn one_level(&self, key: &Path) -> Result<ListResult, VfsError> {
        let prefix = (!key.is_root()).then_some(key);
        let listed = self.source.store.list_with_delimiter(prefix).await;
        listed.map_err(|error| VfsError::store(printable(key.as_ref()), error))
    }

    /// Whether there is a directory of the local file system, if there are no names in it.
    async fn is_local_dir(&self, key: &Path) -> Result<bool, VfsError> {
        match self.source.store.head(key).await {
            Ok(_) => Ok(false),
            Err(error) => match no_file(&error) {
                Some(NoFile::Directory) => Ok(true),
                Some(NoFile::Special) => Ok(false),
                None if Fault::of(&error).kind == ErrorKind::NotFound => Ok(false),
                None => Err(VfsError::store(printable(key.as_ref()), error)),
            },
        }
    }

    /// Whether the directory above a key shows a directory there.
    pub(super) async fn is_listed(&self, key: &Path) -> Result<bool, VfsError> {
        let above = key.parent().unwrap_or_default();
        let level = self.one_level(&above).await?;
        Ok(level.common_prefixes.contains(key))
    }
}

/// The name that `path` is right below `dir`.
fn name_in<'a>(dir: &Path, path: &'a Path) -> Option<&'a str> {
    if dir.is_root() {
        return Some(path.as_ref());
    }
    path.as_ref().strip_prefix(dir.as_ref())?.strip_prefix('/')
}
