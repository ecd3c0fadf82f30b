//! Which format the new manifest has, and why.

use std::collections::HashSet;
use std::fmt;

use forebay_manifest::{ChunkSize, Content, FileKind, Kind, Manifest, ManifestPath, Version};

use crate::commit::error::{CommitError, shown};
use crate::commit::manifest::options::ManifestOptions;
use crate::commit::manifest::plan::Plan;

/// Why a manifest is in the draft format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftReason {
    /// It was asked for.
    Asked,
    /// v2023-03-03 has no diffs.
    Diff,
    /// v2023-03-03 has no symbolic links.
    Symlink {
        /// Which it is.
        path: Box<str>,
    },
    /// v2023-03-03 does not say that a file may be run.
    Executable {
        /// Which it is.
        path: Box<str>,
    },
    /// v2023-03-03 has no directories but those in which files lie.
    EmptyDir {
        /// Which it is.
        path: Box<str>,
    },
    /// v2023-03-03 has no chunks, and what the base has in chunks has no other hash.
    Chunks {
        /// Which it is.
        path: Box<str>,
    },
    /// v2023-03-03 has no files without a hash, and the base has one.
    Unhashed {
        /// Which it is.
        path: Box<str>,
    },
    /// v2023-03-03 has no manifests without files.
    NoFiles,
}

impl fmt::Display for DraftReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("what was asked for"),
            Self::Diff => f.write_str("a diff"),
            Self::Symlink { path } => write!(f, "the link '{path}'"),
            Self::Executable { path } => write!(f, "the executable '{path}'"),
            Self::EmptyDir { path } => write!(f, "the empty directory '{path}'"),
            Self::Chunks { path } => {
                write!(f, "'{path}', of which the base has the hashes of its chunks only")
            }
            Self::Unhashed { path } => write!(f, "'{path}', which was not hashed when the base was made"),
            Self::NoFiles => f.write_str("a tree without files"),
        }
    }
}

/// The format, and why it is the draft; and how files are cut.
///
/// # Errors
/// v2023-03-03 was asked for and cannot hold it; chunks were asked for that do not go with those of the base.
pub(super) fn choose(
    options: &ManifestOptions,
    plan: &Plan,
    base: &Manifest,
) -> Result<(Option<DraftReason>, ChunkSize), CommitError> {
    let needed = match options.kind {
        Kind::Diff => Some(DraftReason::Diff),
        Kind::Snapshot => needs_draft(plan, base),
    };
    let reason = match (options.version, needed) {
        (Some(Version::V2023), Some(reason)) => return Err(CommitError::Inexpressible { reason }),
        (Some(Version::V2023), None) | (None, None) => return Ok((None, ChunkSize::Never)),
        (Some(Version::Beta2025), needed) => needed.unwrap_or(DraftReason::Asked),
        (None, Some(reason)) => reason,
    };
    Ok((Some(reason), chunk_size(options, base)?))
}

/// The base's, if it has any: files of it keep their chunks.
fn chunk_size(options: &ManifestOptions, base: &Manifest) -> Result<ChunkSize, CommitError> {
    let of_base = (base.version() == Version::Beta2025).then(|| base.chunk_size());
    let Some(asked) = options.chunk_size else {
        return Ok(of_base.unwrap_or(ChunkSize::Bytes(256 << 20)));
    };
    match of_base {
        Some(of_base) if of_base.bytes() != asked.bytes() && base.files().any(|file| is_cut(&file.kind)) => {
            Err(CommitError::ChunkSize { asked, base: of_base })
        }
        _ => Ok(asked),
    }
}

fn is_cut(kind: &FileKind<'_>) -> bool {
    let FileKind::Regular { content, .. } = kind else {
        return false;
    };
    matches!(content, Content::Chunks(_))
}

/// The first thing that v2023-03-03 has no words for.
fn needs_draft(plan: &Plan, base: &Manifest) -> Option<DraftReason> {
    if let Some(link) = plan.links.first() {
        return Some(DraftReason::Symlink {
            path: shown(&link.path),
        });
    }
    // Directories in which anything lies.
    let mut used = HashSet::new();
    let mut use_dirs = |path: &[u8]| {
        let mut next = ManifestPath::new(path).parent();
        while let Some(dir) = next
            && !used.contains(dir.as_bytes())
        {
            used.insert(dir.as_bytes().to_vec());
            next = dir.parent();
        }
    };
    let mut is_empty = true;
    for kept in plan.kept(base) {
        let path = || shown(&kept.path);
        match &kept.file.kind {
            FileKind::Symlink { .. } => return Some(DraftReason::Symlink { path: path() }),
            FileKind::Regular { runnable: true, .. } => {
                return Some(DraftReason::Executable { path: path() });
            }
            FileKind::Regular { content, .. } => match content {
                Content::Chunks(_) => return Some(DraftReason::Chunks { path: path() }),
                Content::Unhashed => return Some(DraftReason::Unhashed { path: path() }),
                Content::Hash(_) => {}
            },
            FileKind::Deleted => {}
        }
        is_empty = false;
        use_dirs(&kept.path);
    }
    for file in &plan.files {
        if file.runnable {
            return Some(DraftReason::Executable {
                path: shown(&file.path),
            });
        }
        let origin = file.origin.and_then(|number| base.file(number));
        if origin.is_some_and(|origin| is_cut(&origin.kind)) {
            return Some(DraftReason::Chunks {
                path: shown(&file.path),
            });
        }
        is_empty = false;
        use_dirs(&file.path);
    }
    let all = base.all_dirs();
    let empty = plan.all_dirs(&all).find(|dir| {
        // One that has an empty one in it is not the one to name, but is no better.
        !used.contains(&**dir)
    });
    match empty {
        Some(dir) => Some(DraftReason::EmptyDir { path: shown(&dir) }),
        None => is_empty.then_some(DraftReason::NoFiles),
    }
}
