//! `forebay manifest snapshot`: a manifest of what lies below a directory.

use std::path::Path;

use forebay_manifest::{
    Base, ChunkSize, DirEntry, FileEntry, FileKind, Kind, Limits, Manifest, ManifestBuilder, ManifestError,
    ManifestPath,
};
use forebay_types::ErrorKind;
use serde::Serialize;

use super::hashing;
use super::name::shown;
use super::out;
use super::show::{Summary, table};
use super::tree::{Found, Links, Tree, What};
use crate::args::{ManifestFormat, ManifestSnapshotArgs};
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

/// Of the draft's files, if nothing else is said: what its authors take.
const CHUNK: ChunkSize = ChunkSize::Bytes(256 << 20);

#[derive(Debug, Serialize)]
struct Answer {
    /// The file that it was written to.
    manifest: String,
    #[serde(flatten)]
    summary: Summary,
    hash: String,
    bytes: u64,
}

pub(super) fn run(session: &Session, args: &ManifestSnapshotArgs) -> Result<()> {
    let file = args.output.as_deref().filter(|file| *file != "-");
    if session.output.json && file.is_none() {
        let message = "--json answers on standard output, where the manifest goes";
        return Err(CliError::usage(message).hint("say -o FILE too"));
    }
    if args.chunk_size.is_some() && args.format != Some(ManifestFormat::Draft) {
        return Err(
            CliError::usage("only the draft format cuts files into chunks").hint("say --format draft")
        );
    }
    file.map_or(Ok(()), out::check)?;
    let (tree, format) = walk(&args.dir, args.format)?;
    let plan = match format {
        ManifestFormat::V2023 => Plan::V2023,
        ManifestFormat::Draft => Plan::Draft(args.chunk_size.unwrap_or(CHUNK)),
    };
    let manifest = of_tree(session, &tree, plan)?;
    let bytes = manifest.encode();
    let Some(file) = file else {
        return out::stdout(&bytes);
    };
    out::file(session, file, &bytes)?;
    let answer = Answer {
        manifest: file.to_owned(),
        summary: Summary::of(&manifest),
        hash: manifest.hash().to_string(),
        bytes: bytes.len() as u64,
    };
    session.output.answer(&answer, || {
        if session.output.quiet {
            return String::new();
        }
        let mut lines = vec![("manifest", answer.manifest.clone())];
        lines.extend(answer.summary.lines(&manifest));
        lines.insert(lines.len() - 1, ("hash", answer.hash.clone()));
        table(&lines)
    })
}

/// What there is, and the format for it.
fn walk(dir: &Path, format: Option<ManifestFormat>) -> Result<(Tree, ManifestFormat)> {
    let links = match format {
        Some(ManifestFormat::V2023) => Links::Follow,
        Some(ManifestFormat::Draft) | None => Links::Keep,
    };
    let tree = Tree::walk(dir, links)?;
    tree.check()?;
    let format = match (format, needs_draft(&tree)) {
        (Some(format), _) => format,
        (None, None) => ManifestFormat::V2023,
        (None, Some(why)) => {
            tracing::warn!(
                "the manifest is in the draft format beta-2025-12, which may change or go: v2023-03-03 cannot hold {why}; \
                 --format v2023 follows links and leaves the rest out"
            );
            ManifestFormat::Draft
        }
    };
    Ok((tree, format))
}

/// The first thing that v2023-03-03 has no words for.
fn needs_draft(tree: &Tree) -> Option<String> {
    let special = tree.found.iter().find_map(|found| match &found.what {
        What::Link { .. } => Some(format!("the link {}", shown(&found.path))),
        What::File { stat, .. } if stat.runnable => Some(format!("the executable {}", shown(&found.path))),
        _ => None,
    });
    let empty = || {
        let dir = tree.empty_dir()?;
        Some(format!("the empty directory {}", shown(dir)))
    };
    let nothing = || {
        let any = tree
            .found
            .iter()
            .any(|found| matches!(found.what, What::File { .. }));
        (!any).then(|| "a directory without files".to_owned())
    };
    special.or_else(empty).or_else(nothing)
}

/// What a manifest of a tree is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// v2023-03-03.
    V2023,
    /// A draft that says what v2023-03-03 would, to be compared with one.
    AsV2023,
    /// A draft with links, directories and modes.
    Draft(ChunkSize),
}

impl Plan {
    pub(super) fn chunk(self) -> Option<u64> {
        match self {
            Self::V2023 | Self::AsV2023 => None,
            Self::Draft(size) => size.bytes(),
        }
    }

    pub(super) fn has_modes(self) -> bool {
        matches!(self, Self::Draft(_))
    }

    /// The manifest of `tree`, whose files are given by `files`.
    ///
    /// # Errors
    /// What a manifest cannot hold: the tree is to blame, not a manifest that was read.
    pub(super) fn build<'a>(
        self,
        tree: &'a Tree,
        files: impl Iterator<Item = FileEntry<'a>>,
    ) -> Result<Manifest> {
        let unfit = |error: ManifestError| match error.kind() {
            ErrorKind::Corrupt => CliError::usage(error.to_string()),
            _ => error.into(),
        };
        self.gather(tree, files).map_err(unfit)
    }

    fn gather<'a>(
        self,
        tree: &'a Tree,
        files: impl Iterator<Item = FileEntry<'a>>,
    ) -> std::result::Result<Manifest, ManifestError> {
        let draft = |size| ManifestBuilder::draft(Kind::Snapshot, Base::Relative).chunk_size(size);
        let builder = match self {
            Self::V2023 => ManifestBuilder::v2023(),
            Self::AsV2023 => draft(ChunkSize::Never),
            Self::Draft(size) => draft(size),
        };
        let mut builder = builder.limits(Limits::default());
        for file in files {
            builder.file(&file)?;
        }
        if self.has_modes() {
            for found in &tree.found {
                let path = ManifestPath::new(&found.path);
                match &found.what {
                    What::Link { target } => builder.file(&FileEntry {
                        path,
                        kind: FileKind::Symlink {
                            target: ManifestPath::new(target),
                        },
                    })?,
                    What::Dir => builder.dir(DirEntry { path, deleted: false })?,
                    What::File { .. } | What::Special | What::Bad(_) => {}
                }
            }
        }
        builder.finish()
    }
}

/// Hashes all files of a tree.
fn of_tree(session: &Session, tree: &Tree, plan: Plan) -> Result<Manifest> {
    let files: Vec<&Found> = tree.files().collect();
    let bar = progress::bytes(session.output, hashing::total(&files), "hash");
    let hashed = hashing::all(tree, &files, plan.chunk(), &bar)?;
    bar.finish_and_clear();
    let entries = files
        .iter()
        .zip(&hashed)
        .map(|(found, hashed)| hashed.entry(&found.path, plan.has_modes()));
    plan.build(tree, entries)
}
