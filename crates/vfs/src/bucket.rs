//! The files of a source: a bucket, a prefix of one, a local directory, or one object.
//!
//! Keys are paths: what stands between their slashes are names, exactly as it stands there, so they are parsed with
//! `Path::parse` and never built with `Path::from`, which would encode some of them. [`list`] asks for a directory,
//! [`look`] for one name.

mod list;
mod look;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use forebay_range::{Known, RangeEngineConfig, Target};
use forebay_source::{Failure, FileStoreError, Source, version_of};
use forebay_types::limits::MAX_KEY_BYTES;
use forebay_types::{ErrorKind, printable};
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::entry::{Entry, FileMeta, Node};
use crate::error::VfsError;
use crate::freshness::Freshness;
use crate::ino::Kind;
use crate::namespace::Namespace;
use crate::path::DirPath;

/// For how long the names of a bucket are believed: as short as it may be without asking twice within one `ls -l`, as
/// others have it (Mountpoint: 1 s).
const TTL: Duration = Duration::from_secs(1);

/// The files of a [`Source`].
///
/// - **Directories come from keys**: `a/b` makes the directory `a`, whether or not there is a marker (an object `a/`).
///   An empty directory is there only by its marker. In a local tree and on a web server, directories are directories.
/// - **A directory hides a file** of the same name (keys `a` and `a/b`).
/// - **What a key cannot say as names** (`a//b`, `..`, controls) is not there; nor is what a listing of a local tree
///   leaves out: FIFOs, links that lead out of it, links to directories (see `forebay_source::FileStore`).
#[derive(Debug)]
pub struct BucketNamespace {
    source: Source,
    config: Arc<RangeEngineConfig>,
    root: Root,
    freshness: Freshness,
    /// Names that listings of the source had left out before.
    skipped_before: u64,
    said_denied: AtomicBool,
}

/// What the root is.
#[derive(Clone, Debug)]
enum Root {
    /// All below the source's path.
    Prefix,
    /// A directory with the source's object in it, under this name.
    Object(Box<str>),
}

impl BucketNamespace {
    /// All below the source's path, whether it exists or not.
    pub fn prefix(source: Source, config: Arc<RangeEngineConfig>) -> Self {
        Self::new(source, config, Root::Prefix)
    }

    /// A directory with one file in it, the source's object, under `name`.
    pub fn object(source: Source, name: &str, config: Arc<RangeEngineConfig>) -> Self {
        Self::new(source, config, Root::Object(name.into()))
    }

    /// Finds out which of the two the source's path is: a directory if there is anything below it, by the rule that a
    /// directory hides a file. `name` is what a single object is to be called, if not as the last part of its key (which
    /// for a web server is percent-encoded).
    ///
    /// # Errors
    /// [`VfsError::NotFound`] if it is neither; what the source says.
    ///
    /// # Cancel safety
    /// Dropping the future ends its requests.
    pub async fn find(
        source: Source,
        name: Option<&str>,
        config: Arc<RangeEngineConfig>,
    ) -> Result<Self, VfsError> {
        let this = Self::prefix(source, config);
        if this.source.is_prefix || this.source.path.is_root() {
            return Ok(this);
        }
        let key = this.source.path.clone();
        match this.look_key(&key, None).await? {
            Some(Node::Dir) => Ok(this),
            Some(Node::File(_) | Node::Symlink { .. }) => {
                let name = name.or(key.filename()).unwrap_or_default();
                Ok(Self::object(this.source, name, this.config))
            }
            None => Err(VfsError::NotFound {
                path: printable(key.as_ref()).into(),
                valid: Duration::ZERO,
            }),
        }
    }

    fn new(source: Source, config: Arc<RangeEngineConfig>, root: Root) -> Self {
        Self {
            skipped_before: source.skipped_names(),
            source,
            config,
            root,
            freshness: Freshness::Ttl(TTL),
            said_denied: AtomicBool::new(false),
        }
    }

    /// For another time than a second, or for ever.
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// Whether the root is a directory of the source, not a single object.
    pub fn is_prefix(&self) -> bool {
        matches!(self.root, Root::Prefix)
    }

    /// The source.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether it is a tree of the local file system, whose directories need no keys to exist.
    fn is_local(&self) -> bool {
        self.source.origin.url().starts_with("file://")
    }

    /// Whether it is a web server, which says of a name whether it is a directory, and lists empty ones too.
    fn is_web(&self) -> bool {
        let url = self.source.origin.url();
        url.starts_with("http://") || url.starts_with("https://")
    }

    /// The key of a directory; the root's may be empty. `None` if no object can have it.
    fn dir_key(&self, dir: &DirPath) -> Option<Path> {
        if dir.is_root() {
            Some(self.source.path.clone())
        } else {
            below(&self.source.path, dir.as_str())
        }
    }

    /// The key of a name in a directory. `None` if no object can have it.
    fn key(&self, dir: &DirPath, name: &str) -> Option<Path> {
        below(&self.source.path, &dir.join(name))
    }

    /// What the store says of a file.
    fn file_of(&self, meta: &ObjectMeta) -> FileMeta {
        let time = &meta.last_modified;
        let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
        FileMeta {
            size: meta.size,
            modified: Duration::new(seconds, time.timestamp_subsec_nanos().min(999_999_999)),
            version: version_of(meta),
            executable: self.source.is_executable(&meta.location),
        }
    }
}

/// The key `path` below `prefix`, if there can be such a key.
pub(crate) fn below(prefix: &Path, path: &str) -> Option<Path> {
    let key = if prefix.is_root() {
        path.to_owned()
    } else {
        format!("{prefix}/{path}")
    };
    let parsed = Path::parse(&key).ok()?;
    (parsed.as_ref() == key && key.len() <= MAX_KEY_BYTES).then_some(parsed)
}

/// What a local store or a web server found where it looked for a file, if not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoFile {
    Directory,
    Special,
}

/// Whether an error says that there is something of that name, but no file.
fn no_file(error: &object_store::Error) -> Option<NoFile> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(Failure::Directory) = error.downcast_ref::<Failure>() {
            return Some(NoFile::Directory);
        }
        if let Some(found) = error.downcast_ref::<FileStoreError>() {
            return match found {
                FileStoreError::NotAFile { .. } if found.kind() == ErrorKind::NotFound => {
                    Some(NoFile::Directory)
                }
                FileStoreError::NotAFile { .. } => Some(NoFile::Special),
                _ => None,
            };
        }
        next = error.source();
    }
    None
}

#[async_trait]
impl Namespace for BucketNamespace {
    async fn list(&self, dir: &DirPath) -> Result<Vec<Entry>, VfsError> {
        match &self.root {
            Root::Prefix => self.list_dir(dir).await,
            Root::Object(name) if dir.is_root() => {
                let found = self.object_at_root().await?;
                let entry = |node| Entry {
                    name: name.clone(),
                    node,
                };
                Ok(found.map(entry).into_iter().collect())
            }
            Root::Object(_) => Err(missing(dir)),
        }
    }

    async fn look(&self, dir: &DirPath, name: &str, was: Option<Kind>) -> Result<Option<Node>, VfsError> {
        match &self.root {
            Root::Prefix => match self.key(dir, name) {
                Some(key) => self.look_key(&key, was).await,
                None => Ok(None),
            },
            Root::Object(own) if dir.is_root() && **own == *name => self.object_at_root().await,
            Root::Object(_) => Ok(None),
        }
    }

    fn target(&self, dir: &DirPath, name: &str, meta: &FileMeta) -> Target {
        let key = match &self.root {
            Root::Prefix => self.key(dir, name),
            Root::Object(_) => Some(self.source.path.clone()),
        };
        // A file that was found has a key that can be parsed.
        let key = key.unwrap_or_default();
        let mut target = Target::at(&self.source, key, self.config.clone());
        target.known = Some(Known {
            size: meta.size,
            version: meta.version.clone(),
        });
        target
    }

    fn freshness(&self) -> Freshness {
        self.freshness
    }

    fn skipped(&self) -> u64 {
        self.source.skipped_names().saturating_sub(self.skipped_before)
    }
}

impl BucketNamespace {
    /// Says once that listings are refused, where a file was found all the same.
    fn say_denied(&self) {
        if !self.said_denied.swap(true, Relaxed) {
            tracing::warn!(
                origin = %self.source.origin,
                "listing is not permitted: files are found by their names, directories are not"
            );
        }
    }
}

/// There is no such directory.
fn missing(dir: &DirPath) -> VfsError {
    VfsError::NotFound {
        path: printable(dir.as_str()).into(),
        valid: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
