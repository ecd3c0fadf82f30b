//! Several manifests laid over each other: what the tree is after all of them.
//!
//! Each is applied to what the ones before left, in this order:
//!
//! 1. files that it deletes go; a directory of that name stays;
//! 2. directories that it deletes go, the deepest first, each only if nothing lies in it any more (rmdir);
//! 3. its files come, in place of files of the same path. Where a directory is, it goes with all that lies in it; where a
//!    file is in the way further up, the file goes and a directory takes its place;
//! 4. its directories come, in place of files.
//!
//! So the later one wins, always, and nothing is merged inside a file. If the first is a snapshot, so is the result, and
//! what went is not in it. If the first is a diff, the result is one, and what went is deleted in it.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::builder::ManifestBuilder;
use crate::entry::{Content, DirEntry, FileEntry, FileKind};
use crate::error::ManifestError;
use crate::manifest::{ChunkSize, Head, Kind, Manifest, Version};
use crate::path::ManifestPath;

/// Lays `manifests` over each other, the last one uppermost. The result is v2023-03-03 if all of them are, and a draft
/// otherwise. Snapshots may follow each other: this is how outputs of several jobs come together.
///
/// # Errors
/// [`ManifestError::Apart`]: there are none, some are absolute and some relative, or they cut files into chunks of
/// different sizes.
pub fn compose(manifests: &[&Manifest]) -> Result<Manifest, ManifestError> {
    let Some(first) = manifests.first() else {
        return Err(apart("there are none"));
    };
    let head = Head {
        version: match manifests
            .iter()
            .all(|manifest| manifest.version() == Version::V2023)
        {
            true => Version::V2023,
            false => Version::Beta2025,
        },
        kind: first.kind(),
        base: common_base(manifests)?,
        chunk_size: common_chunk_size(manifests)?,
        parent: first.parent().cloned(),
    };
    let mut tree = Tree {
        manifests,
        files: BTreeMap::new(),
        dirs: BTreeMap::new(),
        keeps_deletions: head.kind == Kind::Diff,
    };
    for (layer, manifest) in manifests.iter().enumerate() {
        tree.lay(layer, manifest);
    }
    tree.build(head)
}

fn apart(why: impl Into<std::borrow::Cow<'static, str>>) -> ManifestError {
    ManifestError::Apart { why: why.into() }
}

/// The base that all of them have.
pub(crate) fn common_base(manifests: &[&Manifest]) -> Result<crate::Base, ManifestError> {
    let base = manifests
        .first()
        .map_or(crate::Base::Relative, |first| first.base());
    match manifests.iter().position(|manifest| manifest.base() != base) {
        None => Ok(base),
        Some(number) => Err(apart(format!(
            "number 0 has {base:?} paths and number {number} has not; make them again below one root"
        ))),
    }
}

/// The chunk size of those that have chunks; else of the first draft.
pub(crate) fn common_chunk_size(manifests: &[&Manifest]) -> Result<ChunkSize, ManifestError> {
    let is_chunked = |file: FileEntry<'_>| {
        let FileKind::Regular { content, .. } = file.kind else {
            return false;
        };
        matches!(content, Content::Chunks(_))
    };
    let mut chunked = (0..)
        .zip(manifests)
        .filter(|(_, manifest)| manifest.files().any(is_chunked))
        .map(|(number, manifest): (usize, _)| (number, manifest.chunk_size()));
    if let Some((number, size)) = chunked.next() {
        return match chunked.find(|(_, other)| other.bytes() != size.bytes()) {
            None => Ok(size),
            Some((other, _)) => Err(apart(format!(
                "numbers {number} and {other} cut files into chunks of different sizes; make them again with one size"
            ))),
        };
    }
    let draft = manifests
        .iter()
        .find(|manifest| manifest.version() == Version::Beta2025);
    Ok(draft.map_or(ChunkSize::Unwritten, |draft| draft.chunk_size()))
}

/// What is at a path of the files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// The file with this number, of the manifest with this one.
    Live(u32, u32),
    Deleted,
}

struct Tree<'a> {
    manifests: &'a [&'a Manifest],
    files: BTreeMap<&'a [u8], Slot>,
    /// Whether each is there; `false`: it was deleted. Directories above one that is there are there too.
    dirs: BTreeMap<&'a [u8], bool>,
    /// The result is a diff.
    keeps_deletions: bool,
}

impl<'a> Tree<'a> {
    fn lay(&mut self, layer: usize, manifest: &'a Manifest) {
        let files = || {
            (0..)
                .zip(manifest.files())
                .map(|(number, file)| (number, file.path, file.kind))
        };
        for (_, path, _) in files().filter(|(_, _, kind)| *kind == FileKind::Deleted) {
            self.file_goes(path.as_bytes());
        }
        for dir in manifest.dirs().rev().filter(|dir| dir.deleted) {
            if !self.has_content(dir.path.as_bytes()) {
                self.dir_goes(dir.path.as_bytes());
            }
        }
        for (number, path, _) in files().filter(|(_, _, kind)| *kind != FileKind::Deleted) {
            self.file_comes(path, Slot::Live(layer as u32, number));
        }
        for dir in manifest.dirs().filter(|dir| !dir.deleted) {
            self.dir_comes(Some(dir.path));
        }
    }

    fn file_goes(&mut self, path: &'a [u8]) {
        if self.keeps_deletions {
            self.files.insert(path, Slot::Deleted);
        } else {
            self.files.remove(path);
        }
    }

    fn dir_goes(&mut self, path: &'a [u8]) {
        if self.keeps_deletions {
            self.dirs.insert(path, false);
        } else {
            self.dirs.remove(path);
        }
    }

    fn file_comes(&mut self, path: ManifestPath<'a>, slot: Slot) {
        if self.dirs.get(path.as_bytes()) == Some(&true) {
            let files: Vec<_> = below(&self.files, path.as_bytes())
                .map(|(path, _)| *path)
                .collect();
            let dirs: Vec<_> = below(&self.dirs, path.as_bytes())
                .map(|(path, _)| *path)
                .collect();
            files.into_iter().for_each(|file| self.file_goes(file));
            dirs.into_iter().for_each(|dir| self.dir_goes(dir));
            self.dir_goes(path.as_bytes());
        }
        self.dir_comes(path.parent());
        self.files.insert(path.as_bytes(), slot);
    }

    fn dir_comes(&mut self, mut next: Option<ManifestPath<'a>>) {
        while let Some(dir) = next
            && self.dirs.insert(dir.as_bytes(), true) != Some(true)
        {
            if matches!(self.files.get(dir.as_bytes()), Some(Slot::Live(..))) {
                self.file_goes(dir.as_bytes());
            }
            next = dir.parent();
        }
    }

    fn has_content(&self, dir: &[u8]) -> bool {
        below(&self.files, dir).any(|(_, slot)| *slot != Slot::Deleted)
            || below(&self.dirs, dir).any(|(_, live)| *live)
    }

    fn build(&self, head: Head) -> Result<Manifest, ManifestError> {
        let version = head.version;
        let mut builder = ManifestBuilder::derived(head, self.manifests);
        for (path, slot) in &self.files {
            let file = match slot {
                Slot::Deleted => None,
                Slot::Live(layer, number) => self.manifests[*layer as usize].file(*number as usize),
            };
            builder.file(&file.unwrap_or(FileEntry {
                path: ManifestPath::new(path),
                kind: FileKind::Deleted,
            }))?;
        }
        if version == Version::Beta2025 {
            for (path, live) in &self.dirs {
                builder.dir(DirEntry {
                    path: ManifestPath::new(path),
                    deleted: !live,
                })?;
            }
        }
        builder.finish()
    }
}

/// What lies in `dir`, at whatever depth.
fn below<'m, 'a, V>(
    map: &'m BTreeMap<&'a [u8], V>,
    dir: &[u8],
) -> impl Iterator<Item = (&'m &'a [u8], &'m V)> + use<'m, 'a, V> {
    // `0` is what follows `/`.
    let (from, to) = ([dir, b"/"].concat(), [dir, b"0"].concat());
    map.range::<[u8], _>((Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice())))
}

#[cfg(test)]
mod tests;
