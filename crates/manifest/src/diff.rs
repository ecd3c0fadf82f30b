//! What changed between two manifests.

use std::cmp::Ordering;
use std::collections::HashSet;

use crate::builder::ManifestBuilder;
use crate::compose::{common_base, common_chunk_size};
use crate::entry::{DirEntry, FileEntry, FileKind};
use crate::error::ManifestError;
use crate::hash::Hash;
use crate::manifest::{Head, Kind, Manifest, Version};
use crate::order;
use crate::path::ManifestPath;

/// The diff, a **draft**, that makes `new` of `old`: laid over `old` by [`compose`](crate::compose()) it gives the files
/// and directories of `new`. A file is in it if anything about it changed, be it its time alone. `parent` is what the
/// diff calls `old` by: the hash of the bytes that are stored of it.
///
/// # Errors
/// [`ManifestError::Apart`]: one of them is a diff, one is absolute and the other relative, or they cut files into chunks
/// of different sizes.
pub fn diff(old: &Manifest, new: &Manifest, parent: Option<Hash>) -> Result<Manifest, ManifestError> {
    if old.kind() == Kind::Diff || new.kind() == Kind::Diff {
        return Err(ManifestError::Apart {
            why: "one of them is a diff; lay it over its snapshot first".into(),
        });
    }
    let head = Head {
        version: Version::Beta2025,
        kind: Kind::Diff,
        base: common_base(&[old, new])?,
        chunk_size: common_chunk_size(&[old, new])?,
        parent,
    };
    let mut builder = ManifestBuilder::derived(head, &[old, new]);
    let by_path = |a: &FileEntry<'_>, b: &FileEntry<'_>| a.path.cmp(&b.path);
    both(old.files(), new.files(), by_path, |old, new| match (old, new) {
        (Some(old), None) => builder.file(&FileEntry {
            path: old.path,
            kind: FileKind::Deleted,
        }),
        (old, Some(new)) if old.as_ref() != Some(&new) => builder.file(&new),
        _ => Ok(()),
    })?;
    let by_path = |a: &ManifestPath<'_>, b: &ManifestPath<'_>| order::code_points(a.as_bytes(), b.as_bytes());
    let (old, new) = (old.all_dirs(), new.all_dirs());
    both(old.into_iter(), new.into_iter(), by_path, |old, new| {
        let (path, deleted) = match (old, new) {
            (Some(old), None) => (old, true),
            (None, Some(new)) => (new, false),
            _ => return Ok(()),
        };
        builder.dir(DirEntry { path, deleted })
    })?;
    builder.finish()
}

/// Goes through two sorted lists side by side: `each` gets what is in one of them, or in both.
fn both<T>(
    old: impl Iterator<Item = T>,
    new: impl Iterator<Item = T>,
    order: impl Fn(&T, &T) -> Ordering,
    mut each: impl FnMut(Option<T>, Option<T>) -> Result<(), ManifestError>,
) -> Result<(), ManifestError> {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    loop {
        let next = match (old.peek(), new.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => order(old, new),
        };
        let from_old = if next.is_le() { old.next() } else { None };
        let from_new = if next.is_ge() { new.next() } else { None };
        each(from_old, from_new)?;
    }
}

impl Manifest {
    /// All its directories, each after the one that it lies in: those that are named, and of v2023-03-03 those that files
    /// lie in.
    pub fn all_dirs(&self) -> Vec<ManifestPath<'_>> {
        if self.version() == Version::Beta2025 {
            return self.dirs().map(|dir| dir.path).collect();
        }
        let mut dirs = HashSet::new();
        for file in self.files() {
            let mut next = file.path.parent();
            while let Some(dir) = next
                && dirs.insert(dir)
            {
                next = dir.parent();
            }
        }
        let mut dirs: Vec<_> = dirs.into_iter().collect();
        dirs.sort_unstable_by(|a, b| order::code_points(a.as_bytes(), b.as_bytes()));
        dirs
    }
}

#[cfg(test)]
mod tests;
