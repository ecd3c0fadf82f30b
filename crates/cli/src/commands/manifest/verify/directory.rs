//! A manifest beside a directory.

use std::collections::HashMap;
use std::path::Path;

use forebay_manifest::{Base, Content, FileEntry, FileKind, Kind, Manifest, Version};

use super::super::hashing::{self, Hashed};
use super::super::load::Loaded;
use super::super::name::shown;
use super::super::tree::{Found, Links, Tree, What};
use super::super::work;
use super::{Answer, Finding, is_hash};
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

/// Compares all that the manifest says, but times: a copy that is right may have others.
///
/// # Errors
/// A directory that cannot be read. Files that cannot be are among what is different.
pub(super) fn verify(session: &Session, loaded: &Loaded, dir: &Path) -> Result<Answer> {
    let Loaded { url, manifest, .. } = loaded;
    if manifest.base() == Base::Absolute {
        let message = format!("{url} has absolute paths, which do not lie below a directory");
        return Err(CliError::usage(message).hint("verify the store with --cas"));
    }
    let links = match manifest.version() {
        Version::V2023 => Links::Follow,
        Version::Beta2025 => Links::Keep,
    };
    let tree = Tree::walk(dir, links)?;
    let mut there: HashMap<&[u8], &Found> = tree
        .found
        .iter()
        .map(|found| (found.path.as_slice(), found))
        .collect();
    let mut answer = Answer {
        compared_with: dir.to_string_lossy().into_owned(),
        ..Answer::default()
    };
    let jobs = first_look(manifest, &tree, &mut there, &mut answer);
    let files: Vec<&Found> = jobs.iter().map(|(found, _)| *found).collect();
    let bar = progress::bytes(session.output, hashing::total(&files), "verify");
    let chunk = manifest.chunk_size().bytes();
    let hashed = work::each(
        &jobs,
        |_| false,
        |(found, entry), buffer| {
            // A v2023-03-03 manifest has no chunks, and a draft may have one hash of a large file.
            let cut = chunk.filter(|_| matches!(content(entry), Some(Content::Chunks(_))));
            hashing::one(&tree, found, cut, &bar, buffer)
        },
    );
    bar.finish_and_clear();
    for ((found, entry), hashed) in jobs.iter().zip(hashed.into_iter().flatten()) {
        let why = match hashed {
            Ok(hashed) => {
                answer.bytes += hashed.stat.size();
                difference(entry, &hashed)
            }
            Err(error) => Some(error.message().to_owned()),
        };
        match why {
            None => answer.good += 1,
            why => answer.different.push(finding(&found.path, why)),
        }
    }
    Ok(answer)
}

fn finding(path: &[u8], why: Option<String>) -> Finding {
    Finding {
        path: path.to_vec(),
        object: None,
        why,
    }
}

fn content<'a>(entry: &'a FileEntry<'_>) -> Option<&'a Content<'a>> {
    match &entry.kind {
        FileKind::Regular { content, .. } => Some(content),
        _ => None,
    }
}

/// All that can be told without reading; the files that have to be read are returned.
fn first_look<'a>(
    manifest: &'a Manifest,
    tree: &'a Tree,
    there: &mut HashMap<&'a [u8], &'a Found>,
    answer: &mut Answer,
) -> Vec<(&'a Found, FileEntry<'a>)> {
    let mut jobs = Vec::new();
    for entry in manifest.files() {
        let path = entry.path.as_bytes();
        let found = match there.get(path) {
            // In a diff, what is deleted may be there as the other.
            Some(found) if entry.kind == FileKind::Deleted && matches!(found.what, What::Dir) => {
                answer.good += 1;
                continue;
            }
            _ => there.remove(path),
        };
        let wrong = match (&entry.kind, found.map(|found| (found, &found.what))) {
            (FileKind::Deleted, None) => None,
            (FileKind::Deleted, Some(_)) => {
                answer
                    .extra
                    .push(finding(path, Some("the diff deletes it".to_owned())));
                continue;
            }
            (_, None) => {
                answer.missing.push(finding(path, None));
                continue;
            }
            (
                FileKind::Regular {
                    size,
                    runnable,
                    content,
                    ..
                },
                Some((found, What::File { stat, .. })),
            ) => {
                let of_mode = manifest.version() == Version::Beta2025 && *runnable != stat.runnable;
                if stat.size() != *size {
                    Some(format!("it has {} bytes, not {size}", stat.size()))
                } else if of_mode && *runnable {
                    Some("its owner may not run it".to_owned())
                } else if of_mode {
                    Some("its owner may run it".to_owned())
                } else if *content == Content::Unhashed {
                    answer.unhashed += 1;
                    None
                } else {
                    jobs.push((found, entry.clone()));
                    continue;
                }
            }
            (FileKind::Symlink { target }, Some((_, What::Link { target: actual }))) => (target.as_bytes()
                != actual)
                .then(|| format!("it leads to {}, not to {target}", shown(actual))),
            (_, Some((_, What::Bad(why)))) => Some(why.clone()),
            (FileKind::Symlink { .. }, Some(_)) => Some("it is no link".to_owned()),
            (FileKind::Regular { .. }, Some((_, what))) => Some(format!("it is {}, no file", what.name())),
        };
        match wrong {
            None => answer.good += 1,
            why => answer.different.push(finding(path, why)),
        }
    }
    directories(manifest, tree, there, answer);
    // A diff does not say what else there is.
    if manifest.kind() == Kind::Snapshot {
        let is_draft = manifest.version() == Version::Beta2025;
        for found in there.values() {
            let path = match found.what {
                // v2023-03-03 does not name those that there are.
                What::Dir if !is_draft => continue,
                What::Dir => [&found.path, &b"/"[..]].concat(),
                _ => found.path.clone(),
            };
            answer.extra.push(finding(&path, None));
        }
    }
    jobs
}

fn directories<'a>(
    manifest: &'a Manifest,
    tree: &Tree,
    there: &mut HashMap<&'a [u8], &'a Found>,
    answer: &mut Answer,
) {
    for dir in manifest.dirs() {
        let path = dir.path.as_bytes();
        let found = there.get(path).copied();
        let is_dir = found.is_some_and(|found| matches!(found.what, What::Dir));
        if is_dir {
            there.remove(path);
        }
        let shown = || [path, b"/"].concat();
        match (dir.deleted, found) {
            // One that something is left in stays.
            (true, _) if is_dir && !tree.has_any_in(path) => {
                let why = "the diff deletes it".to_owned();
                answer.extra.push(finding(&shown(), Some(why)));
            }
            (false, None) => answer.missing.push(finding(&shown(), None)),
            (false, Some(found)) if !is_dir => {
                there.remove(path);
                let why = format!("it is {}, no directory", found.what.name());
                answer.different.push(finding(&shown(), Some(why)));
            }
            _ => {}
        }
    }
}

/// Why a file is not what its entry says.
fn difference(entry: &FileEntry<'_>, hashed: &Hashed) -> Option<String> {
    let FileKind::Regular { size, content, .. } = &entry.kind else {
        return None;
    };
    if hashed.stat.size() != *size {
        return Some(format!("it has {} bytes, not {size}", hashed.stat.size()));
    }
    match (content, hashed.content()) {
        (Content::Hash(expected), Content::Hash(actual)) => {
            (!is_hash(expected, &actual)).then(|| format!("its bytes hash to {actual}, not to {expected}"))
        }
        (Content::Chunks(expected), Content::Chunks(actual)) => {
            let bad = expected
                .iter()
                .zip(actual)
                .position(|(expected, actual)| !is_hash(expected, actual));
            match bad {
                Some(number) => Some(format!(
                    "the bytes of chunk {number} hash to {}, not to {}",
                    actual[number], expected[number]
                )),
                None => (expected.len() != actual.len())
                    .then(|| format!("it has {} chunks, not {}", actual.len(), expected.len())),
            }
        }
        _ => Some("its hashes are of other pieces".to_owned()),
    }
}
