//! `forebay manifest diff`: what changed since a manifest.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use forebay_manifest::{Base, Content, FileKind, Kind, Manifest, ManifestPath, Version, diff};
use forebay_source::Location;
use forebay_types::printable;
use serde::Serialize;

use super::hashing;
use super::load::{self, Loaded};
use super::name::{Item, shown};
use super::out;
use super::snapshot::Plan;
use super::tree::{Found, Links, Tree, What};
use crate::args::ManifestDiffArgs;
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

/// What `diff --json` answers.
#[derive(Debug, Default, Serialize)]
struct Answer {
    new: Vec<Item>,
    /// Of which the bytes changed, or what they are.
    modified: Vec<Item>,
    deleted: Vec<Item>,
    /// Of which something else changed, such as the time; the bytes did not, as far as both sides say.
    touched: Vec<Item>,
}

pub(super) fn run(session: &Session, args: &ManifestDiffArgs) -> Result<()> {
    if args.old == "-" && args.new == "-" {
        return Err(CliError::usage("both manifests cannot come from standard input"));
    }
    if let Some(file) = args.output.as_deref() {
        if file == "-" {
            let message = "the list goes to standard output, so the manifest cannot";
            return Err(CliError::usage(message).hint("name a file"));
        }
        out::check(file)?;
    }
    let dir = directory(&args.new)?;
    if args.force_rehash && dir.is_none() {
        return Err(
            CliError::usage("--force-rehash is about files, and NEW is a manifest")
                .hint("leave it out, or name a local directory"),
        );
    }
    let old = load::manifest(session, &args.old)?;
    let new = match dir {
        Some(dir) => of_directory(session, &old, &dir, args.force_rehash)?,
        None => load::manifest(session, &args.new)?.manifest,
    };
    let changes = diff(&old.manifest, &new, Some(old.hash.clone()))?;
    let answer = compare(&old.manifest, &new, &changes);
    if let Some(file) = args.output.as_deref() {
        tracing::warn!(
            "{} is in the draft format beta-2025-12, which may change or go",
            printable(file)
        );
        out::file(session, file, &changes.encode())?;
    }
    session.output.answer(&answer, || answer.text())
}

/// The local directory that is named, if it is one.
fn directory(new: &str) -> Result<Option<PathBuf>> {
    if new == "-" {
        return Ok(None);
    }
    Ok(match new.parse::<Location>()? {
        Location::File(path) | Location::Direct(path) if path.is_dir() => Some(path),
        _ => None,
    })
}

/// A manifest of what is below `dir` now. Files whose size and time are those of `old` are taken to be the same, unless
/// `rehash` is said.
fn of_directory(session: &Session, old: &Loaded, dir: &Path, rehash: bool) -> Result<Manifest> {
    let Loaded { url, manifest, .. } = old;
    let unfit = |what: &str| {
        CliError::usage(format!(
            "{url} {what}: it cannot be compared with what is below a directory"
        ))
    };
    if manifest.base() == Base::Absolute {
        return Err(unfit("has absolute paths"));
    }
    if manifest.kind() == Kind::Diff {
        return Err(unfit("is a diff"));
    }
    let (links, plan) = match manifest.version() {
        Version::V2023 => (Links::Follow, Plan::AsV2023),
        Version::Beta2025 => (Links::Keep, Plan::Draft(manifest.chunk_size())),
    };
    let tree = Tree::walk(dir, links)?;
    tree.check()?;
    let (mut same, mut others) = (Vec::new(), Vec::new());
    for found in tree.files() {
        match known(manifest, found).filter(|_| !rehash) {
            Some(content) => same.push((found, content)),
            None => others.push(found),
        }
    }
    let bar = progress::bytes(session.output, hashing::total(&others), "hash");
    let hashed = hashing::all(&tree, &others, plan.chunk(), &bar)?;
    bar.finish_and_clear();
    let same = same.iter().filter_map(|(found, content)| match &found.what {
        What::File { stat, .. } => Some(stat.entry(&found.path, content.clone(), plan.has_modes())),
        _ => None,
    });
    let others = others
        .iter()
        .zip(&hashed)
        .map(|(found, hashed)| hashed.entry(&found.path, plan.has_modes()));
    plan.build(&tree, same.chain(others))
}

/// The hashes that a manifest has of a file, if the file has its size and time.
fn known<'a>(manifest: &'a Manifest, found: &Found) -> Option<Content<'a>> {
    let What::File { stat, .. } = &found.what else {
        return None;
    };
    let entry = manifest.file(manifest.find(ManifestPath::new(&found.path))?)?;
    match entry.kind {
        FileKind::Regular {
            size, mtime, content, ..
        } if size == stat.size() && mtime == stat.mtime() => Some(content),
        _ => None,
    }
}

/// Sorts what changed, as the diff has it. Directories are told of only where both sides have any.
fn compare(old: &Manifest, new: &Manifest, changes: &Manifest) -> Answer {
    let mut answer = Answer::default();
    for file in changes.files() {
        let before = old.find(file.path).and_then(|number| old.file(number));
        let list = match (&before, &file.kind) {
            (_, FileKind::Deleted) => &mut answer.deleted,
            (None, _) => &mut answer.new,
            (Some(before), after) if is_same(&before.kind, after) => &mut answer.touched,
            (Some(_), _) => &mut answer.modified,
        };
        list.push(Item(file.path.as_bytes().to_vec()));
    }
    if [old, new]
        .iter()
        .all(|manifest| manifest.version() == Version::Beta2025)
    {
        let before: HashSet<ManifestPath<'_>> = old.dirs().map(|dir| dir.path).collect();
        for dir in changes.dirs() {
            let list = match dir.deleted {
                true => &mut answer.deleted,
                // A directory above something that changed is in the diff too.
                false if before.contains(&dir.path) => continue,
                false => &mut answer.new,
            };
            list.push(Item([dir.path.as_bytes(), b"/"].concat()));
        }
    }
    answer
}

/// Whether two entries have the same bytes, and the same right to be run, as far as they say.
fn is_same(old: &FileKind<'_>, new: &FileKind<'_>) -> bool {
    let (
        FileKind::Regular {
            size: old_size,
            mtime: old_mtime,
            runnable: old_runs,
            content: old,
        },
        FileKind::Regular {
            size,
            mtime,
            runnable,
            content: new,
        },
    ) = (old, new)
    else {
        return old == new;
    };
    let bytes = match (old, new) {
        (Content::Hash(old), Content::Hash(new)) => old == new,
        (Content::Chunks(old), Content::Chunks(new)) => old == new,
        // Hashes of different things, or none: there is nothing else to go by.
        _ => old_mtime == mtime,
    };
    bytes && old_size == size && old_runs == runnable
}

impl Answer {
    fn text(&self) -> String {
        let lists = [
            ("new", &self.new),
            ("modified", &self.modified),
            ("touched", &self.touched),
            ("deleted", &self.deleted),
        ];
        let lines: Vec<String> = lists
            .iter()
            .flat_map(|(what, list)| {
                list.iter()
                    .map(move |item| format!("{what:<9} {}", shown(&item.0)))
            })
            .collect();
        lines.join("\n")
    }
}
