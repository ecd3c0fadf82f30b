//! Manifests of AWS Deadline Cloud job attachments: which files there are, and under which hash the bytes of each lie in
//! the store (`Data/{hash}.xxh128`).
//!
//! Bytes → [`Manifest::decode`], within [`Limits`] → a [`Manifest`]: its [`Version`], [`Kind`] and [`Base`], and its
//! entries, [`FileEntry`] and [`DirEntry`], sorted, checked, and at about 48 bytes each beside their paths →
//! [`Manifest::encode`]: the canonical bytes, the same that the reference writes → [`Manifest::hash`] of them.
//!
//! A new manifest is made with a [`ManifestBuilder`], which checks what decoding checks, or from others: [`compose`]
//! merges several, later ones winning; [`diff()`] says what changed between two. [`Manifest::to_version`] turns one
//! version into the other, or says which entry cannot be expressed. Contents are hashed with a [`Hasher`]; a
//! [`Stamp`] tells whether a file stayed the same meanwhile.
//!
//! Two formats are read and written. **v2023-03-03** is the one in use: files with path, size, time and hash.
//! **beta-2025-12 is a draft** of its authors, which may change or go: directories, symbolic links, executables,
//! deletions and chunks. Nothing that has to last should be written in it. docs/manifest.md has both, and what is
//! refused.
//!
//! A [`ManifestPath`] is the bytes of a Linux file name. What an error says is for people, with every name escaped
//! ([`ManifestError`], [`EntryName`]).
//!
//! ```
//! use forebay_manifest::{Content, FileEntry, FileKind, Hash, Limits, Manifest, ManifestBuilder, ManifestPath};
//!
//! let mut builder = ManifestBuilder::v2023();
//! builder.file(&FileEntry {
//!     path: ManifestPath::new(b"scene/shot.blend"),
//!     kind: FileKind::Regular {
//!         size: 3,
//!         mtime: 1_700_000_000_000_000,
//!         runnable: false,
//!         content: Content::Hash(Hash::of(b"abc")),
//!     },
//! })?;
//! let bytes = builder.finish()?.encode();
//! let manifest = Manifest::decode(&bytes, &Limits::default())?;
//! assert_eq!(manifest.total_size(), 3);
//! # Ok::<(), forebay_manifest::ManifestError>(())
//! ```

mod builder;
mod check;
mod compose;
mod decode;
mod diff;
mod draft;
mod entry;
mod error;
mod hash;
mod json;
mod limits;
mod manifest;
mod order;
mod path;
mod stamp;
mod store;
mod v2023;

pub use builder::ManifestBuilder;
pub use compose::compose;
pub use diff::diff;
pub use entry::{Content, DirEntry, FileEntry, FileKind};
pub use error::{EntryName, List, ManifestError};
pub use hash::{Hash, Hasher, InvalidHash};
pub use limits::Limits;
pub use manifest::{Base, ChunkSize, Kind, Manifest, Version};
pub use path::ManifestPath;
pub use stamp::Stamp;
