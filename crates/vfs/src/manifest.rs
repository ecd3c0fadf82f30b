//! The files of a manifest, whose bytes lie in a content-addressed store.
//!
//! A manifest says everything about names, so nothing is asked for before a file is read, and nothing ever changes. A file
//! is read by the hash of what is in it ([`CasStore`]): the same content is the same object, in whichever file and manifest
//! it stands. A file of several chunks is one object. What is read can be checked by that hash ([`ContentProof`]).

mod proof;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use forebay_manifest::{
    Base, ChunkSize, Content, FileEntry, FileKind, Hash, Hasher, Kind as ManifestKind, Manifest, ManifestPath,
};
use forebay_range::{Known, RangeEngineConfig, Target};
use forebay_source::{CasStore, Chunks, Failure, Source};
use forebay_types::{Version, printable};
use object_store::path::Path;

use crate::entry::{Entry, FileMeta, Node};
use crate::error::VfsError;
use crate::freshness::Freshness;
use crate::ino::Kind;
use crate::namespace::Namespace;
use crate::path::DirPath;
use proof::ContentProof;

/// The files of a [`Manifest`].
///
/// - Times, sizes, executable bits and links are those of the manifest. A time before 1970 is shown as 1970.
/// - A link leads where the manifest says, from the link's own directory: manifests have targets from the root on.
/// - A name that is not UTF-8 is left out, and counted.
#[derive(Debug)]
pub struct ManifestNamespace {
    manifest: Arc<Manifest>,
    source: Source,
    store: CasStore,
    config: Arc<RangeEngineConfig>,
    skipped: u64,
}

/// Why a manifest cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub enum ManifestMountError {
    /// It says what changed, not what there is.
    #[error("it is a diff: it says what changed since another manifest, which has to come before it")]
    Diff,
    /// Its paths begin at the root of a file system.
    #[error(
        "its paths are absolute: they are those of the machine it was made on, and have no place below a mount"
    )]
    Absolute,
    /// A file without a hash.
    #[error("'{path}' was not hashed when the manifest was made, so nobody knows where its bytes are")]
    Unhashed {
        /// Which.
        path: Box<str>,
    },
    /// A file whose chunks make no object.
    #[error("'{path}': {source}")]
    Chunks {
        /// Which.
        path: Box<str>,
        /// Why.
        source: Failure,
    },
}

impl ManifestNamespace {
    /// The files of `manifest`, with their bytes in `store`, which `source` reads.
    ///
    /// # Errors
    /// If it is no list of files that could be read.
    pub fn new(
        manifest: Manifest,
        (source, store): (Source, CasStore),
        config: Arc<RangeEngineConfig>,
    ) -> Result<Self, ManifestMountError> {
        if manifest.kind() == ManifestKind::Diff {
            return Err(ManifestMountError::Diff);
        }
        if manifest.base() == Base::Absolute {
            return Err(ManifestMountError::Absolute);
        }
        let mut skipped = 0;
        for file in manifest.files() {
            let path = || printable(&String::from_utf8_lossy(file.path.as_bytes())).into();
            if str::from_utf8(file.path.as_bytes()).is_err() {
                skipped += 1;
            }
            let FileKind::Regular { size, content, .. } = &file.kind else {
                continue;
            };
            match content {
                Content::Hash(_) => {}
                Content::Unhashed => return Err(ManifestMountError::Unhashed { path: path() }),
                Content::Chunks(hashes) => {
                    let chunks = Chunks {
                        size: *size,
                        chunk_size: manifest.chunk_size().bytes().unwrap_or(*size),
                        names: hashes.iter().map(|hash| hash.object_key().into()).collect(),
                    };
                    let key = key_of(content, *size, manifest.chunk_size());
                    let joined = store.join(&key, chunks);
                    joined.map_err(|source| ManifestMountError::Chunks { path: path(), source })?;
                }
            }
        }
        Ok(Self {
            manifest: Arc::new(manifest),
            source,
            store,
            config,
            skipped,
        })
    }

    /// What it shows.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    fn node(&self, file: &FileEntry<'_>) -> Option<Node> {
        Some(match &file.kind {
            FileKind::Deleted => return None,
            FileKind::Symlink { target } => Node::Symlink {
                target: String::from_utf8(seen_from(file.path, *target)).ok()?.into(),
            },
            FileKind::Regular {
                size,
                mtime,
                runnable,
                content,
            } => Node::File(FileMeta {
                size: *size,
                modified: Duration::from_micros(u64::try_from(*mtime).unwrap_or_default()),
                version: version(&key_of(content, *size, self.manifest.chunk_size())),
                executable: *runnable,
            }),
        })
    }

    /// Whether anything lies in a directory, or it is named itself.
    fn is_dir(&self, path: ManifestPath<'_>) -> bool {
        !self.manifest.files_below(path).is_empty()
            || !self.manifest.dirs_below(path).is_empty()
            || self.manifest.find_dir(path).is_some()
    }
}

#[async_trait]
impl Namespace for ManifestNamespace {
    async fn list(&self, dir: &DirPath) -> Result<Vec<Entry>, VfsError> {
        let path = ManifestPath::new(dir.as_str().as_bytes());
        if !dir.is_root() && !self.is_dir(path) {
            return Err(VfsError::NotFound {
                path: printable(dir.as_str()).into(),
                valid: Duration::MAX,
            });
        }
        let above = if dir.is_root() { 0 } else { dir.as_str().len() + 1 };
        let mut entries = Vec::new();
        let mut below = self.manifest.files_below(path);
        while let Some(file) = below.next().and_then(|index| self.manifest.file(index)) {
            let full = file.path.as_bytes();
            let Ok(name) = str::from_utf8(&full[above..]) else {
                continue;
            };
            let Some((child, _)) = name.split_once('/') else {
                entries.extend(self.node(&file).map(|node| Entry {
                    name: name.into(),
                    node,
                }));
                continue;
            };
            entries.push(dir_entry(child));
            // From one directory to the next, however many files are in it.
            below.start = self
                .manifest
                .files_below(ManifestPath::new(&full[..above + child.len()]))
                .end;
        }
        let mut below = self.manifest.dirs_below(path);
        while let Some(dir) = below.next().and_then(|index| self.manifest.dir(index)) {
            let full = dir.path.as_bytes();
            let Ok(name) = str::from_utf8(&full[above..]) else {
                continue;
            };
            let child = name.split_once('/').map_or(name, |(child, _)| child);
            entries.push(dir_entry(child));
            let inside = self
                .manifest
                .dirs_below(ManifestPath::new(&full[..above + child.len()]));
            below.start = below.start.max(inside.end);
        }
        // A directory may be named, and have files too.
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        Ok(entries)
    }

    async fn look(&self, dir: &DirPath, name: &str, _was: Option<Kind>) -> Result<Option<Node>, VfsError> {
        let path = dir.join(name);
        let path = ManifestPath::new(path.as_bytes());
        let file = self
            .manifest
            .find(path)
            .and_then(|index| self.manifest.file(index));
        Ok(match file.and_then(|file| self.node(&file)) {
            Some(node) => Some(node),
            None => self.is_dir(path).then_some(Node::Dir),
        })
    }

    fn target(&self, _dir: &DirPath, _name: &str, meta: &FileMeta) -> Target {
        let key = match &meta.version {
            Version::ETag(tag) => tag.trim_matches('"').to_owned(),
            // Every version here is a tag.
            _ => String::new(),
        };
        let proof = ContentProof::of(&key, meta.size, self.store.chunks(&key));
        let mut target = Target::at(&self.source, Path::from(key), self.config.clone());
        target.known = Some(Known {
            size: meta.size,
            version: meta.version.clone(),
        });
        target.proof = proof;
        target
    }

    fn freshness(&self) -> Freshness {
        Freshness::Immutable
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

fn dir_entry(name: &str) -> Entry {
    Entry {
        name: name.into(),
        node: Node::Dir,
    }
}

/// The name of the object with a content: of one chunk as the store has it, of several a hash of all that it is made of.
fn key_of(content: &Content<'_>, size: u64, chunk_size: ChunkSize) -> String {
    match content {
        Content::Hash(hash) => hash.object_key(),
        Content::Chunks(hashes) => format!("{}.chunks", joint(hashes, size, chunk_size)),
        Content::Unhashed => String::new(),
    }
}

fn joint(hashes: &[Hash], size: u64, chunk_size: ChunkSize) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(format!("{size}/{}", chunk_size.bytes().unwrap_or(size)).as_bytes());
    for hash in hashes {
        hasher.update(format!("/{hash}").as_bytes());
    }
    hasher.finish()
}

/// As [`CasStore`] tells the version of an object.
fn version(key: &str) -> Version {
    Version::ETag(format!("\"{key}\"").as_str().into())
}

/// A target from the root on, as it is seen from the directory of a link. What both have in common is not said, so it
/// still holds when a directory above both is moved.
pub(crate) fn seen_from(link: ManifestPath<'_>, target: ManifestPath<'_>) -> Vec<u8> {
    let up = link.components().count().saturating_sub(1);
    let mut dir = link.components().take(up).peekable();
    // `.` is the root.
    let mut target = target.components().filter(|name| *name != b".").peekable();
    while dir.peek().is_some() && dir.peek() == target.peek() {
        dir.next();
        target.next();
    }
    let path: Vec<&[u8]> = dir.map(|_| &b".."[..]).chain(target).collect();
    if path.is_empty() {
        b".".to_vec()
    } else {
        path.join(&b'/')
    }
}

#[cfg(test)]
mod tests;
