//! A manifest that was checked.

use std::ops::Range;

use crate::decode;
use crate::draft;
use crate::entry::{DirEntry, FileEntry};
use crate::error::{Fault, ManifestError};
use crate::hash::Hash;
use crate::limits::Limits;
use crate::path::ManifestPath;
use crate::store::Store;
use crate::{ManifestBuilder, v2023};

/// Which format a manifest is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `2023-03-03`: stable, and the one in use.
    V2023,
    /// `beta-2025-12`: **a draft**, which may change or go before it is released. Not for what has to last.
    Beta2025,
}

impl Version {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V2023 => "v2023-03-03",
            Self::Beta2025 => "beta-2025-12",
        }
    }
}

/// What a manifest is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// All that there is. Every v2023-03-03 manifest counts as one, also those of changed files alone: they do not say.
    Snapshot,
    /// What changed since another manifest. A draft alone can be one.
    Diff,
}

/// What paths start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// A directory that the manifest does not name.
    Relative,
    /// The root of the file system: every path begins with `/`. A draft alone can have those.
    Absolute,
}

/// How long the chunks of a draft's files are, as it says so (`fileChunkSizeBytes`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChunkSize {
    /// It does not say: 256 MiB. Drafts of the Python prototype, and v2023-03-03, which has no chunks.
    #[default]
    Unwritten,
    /// −1: no file is cut.
    Never,
    /// This many bytes, at least 1.
    Bytes(u64),
}

impl ChunkSize {
    /// Bytes of each chunk but a file's last; `None`: no file is cut.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Unwritten => Some(256 << 20),
            Self::Never => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// What is said of a manifest as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: Version,
    pub(crate) kind: Kind,
    pub(crate) base: Base,
    pub(crate) chunk_size: ChunkSize,
    pub(crate) parent: Option<Hash>,
}

/// A manifest: checked, sorted, and never changed. See the [crate's page](crate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub(crate) head: Head,
    pub(crate) total_size: u64,
    /// Files by their UTF-16 units, directories by their code points. In a draft every directory that something lies in
    /// is among them.
    pub(crate) store: Store,
}

impl Manifest {
    /// Reads a manifest of either version. What was in canonical form is the same bytes when it is
    /// [encoded](Self::encode) again.
    ///
    /// # Errors
    /// [`ManifestError`] says what is refused, and in which entry. Nothing of such a manifest may be used.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, ManifestError> {
        decode::decode(bytes, limits)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self.head.version {
            Version::V2023 => v2023::encode(self),
            Version::Beta2025 => draft::encode(self),
        }
    }

    /// The hash of its canonical bytes, by which jobs and diffs refer to it.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.encode())
    }

    /// Its format.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// What it is of.
    pub fn kind(&self) -> Kind {
        self.head.kind
    }

    /// What its paths start from.
    pub fn base(&self) -> Base {
        self.head.base
    }

    /// How long its chunks are.
    pub fn chunk_size(&self) -> ChunkSize {
        self.head.chunk_size
    }

    /// The hash of the manifest that it is a diff of, if it says so.
    pub fn parent(&self) -> Option<&Hash> {
        self.head.parent.as_ref()
    }

    /// Bytes of all its regular files together.
    pub fn total_size(&self) -> u64 {
        self.total_size
    }

    /// Its files, links and deleted files, in the order of their paths.
    pub fn files(&self) -> impl ExactSizeIterator<Item = FileEntry<'_>> + DoubleEndedIterator + Clone {
        self.store.files()
    }

    /// The file with this number in [`files`](Self::files).
    pub fn file(&self, index: usize) -> Option<FileEntry<'_>> {
        self.store.file(index)
    }

    /// The number of the file with this path.
    pub fn find(&self, path: ManifestPath<'_>) -> Option<usize> {
        self.store.find_file(path)
    }

    /// The numbers of all files that lie in a directory, at whatever depth; all numbers for an empty path. They stand side by
    /// side, and so do those of each directory in it.
    pub fn files_below(&self, dir: ManifestPath<'_>) -> Range<usize> {
        self.store.files_below(dir)
    }

    /// The same of its directories.
    pub fn dirs_below(&self, dir: ManifestPath<'_>) -> Range<usize> {
        self.store.dirs_below(dir)
    }

    /// The directory with this number in [`dirs`](Self::dirs).
    pub fn dir(&self, index: usize) -> Option<DirEntry<'_>> {
        self.store.dir(index)
    }

    /// The number of the directory with this path, if it is named; see [`dirs`](Self::dirs).
    pub fn find_dir(&self, path: ManifestPath<'_>) -> Option<usize> {
        self.store.find_dir(path)
    }

    /// Its directories, each after the one that it lies in. None in v2023-03-03: there they follow from the files.
    pub fn dirs(&self) -> impl ExactSizeIterator<Item = DirEntry<'_>> + DoubleEndedIterator + Clone {
        self.store.dirs()
    }

    /// Bytes of memory that its entries take. Hashes that are no xxh128 take more.
    pub fn heap_bytes(&self) -> usize {
        self.store.heap_bytes()
    }

    /// The same manifest in another format. A draft can hold everything.
    ///
    /// # Errors
    /// [`ManifestError::Inexpressible`]: v2023-03-03 has no diffs, absolute paths, links, deletions, executables, chunks,
    /// files without a hash, and empty directories, and is never empty. The error names the entry.
    pub fn to_version(&self, version: Version) -> Result<Self, ManifestError> {
        if version == self.head.version {
            return Ok(self.clone());
        }
        let head = Head {
            version,
            chunk_size: match version {
                Version::V2023 => ChunkSize::Unwritten,
                Version::Beta2025 => ChunkSize::Never,
            },
            ..self.head.clone()
        };
        let mut builder = ManifestBuilder::derived(head, &[self]);
        if version == Version::V2023 {
            v2023::refuse_empty_dirs(self)?;
        } else {
            self.dirs().try_for_each(|dir| builder.dir(dir))?;
        }
        self.files().try_for_each(|file| builder.file(&file))?;
        builder.finish()
    }
}

impl Head {
    /// Whether the version has words for the rest.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.version == Version::Beta2025 {
            return match self.chunk_size {
                ChunkSize::Bytes(0) => Err(Fault::refused(
                    "chunks of 0 bytes hold nothing: the smallest is 1",
                )),
                _ => Ok(()),
            };
        }
        if self.kind == Kind::Diff {
            return Err(Fault::Inexpressible("a diff"));
        }
        if self.base == Base::Absolute {
            return Err(Fault::Inexpressible("absolute paths"));
        }
        if self.parent.is_some() {
            return Err(Fault::Inexpressible("the hash of a parent"));
        }
        Ok(())
    }
}
