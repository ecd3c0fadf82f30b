//! What can keep a commit from being made.

use std::error::Error;

use forebay_manifest::{ChunkSize, ManifestError};
use forebay_source::Fault;
use forebay_types::ErrorKind;

use crate::commit::manifest::DraftReason;
use crate::overlay::UpperError;

/// Why there is no commit. The overlay is as it was; the store may have more objects than before, and no new manifest.
/// Paths are safe to print.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The base is no manifest that can be mounted.
    #[error("nothing can be committed on top of this manifest: {why}; name the one that is mounted")]
    Base {
        /// What it is.
        why: &'static str,
    },
    /// The changes were made to something else.
    #[error("'{path}' comes from '{origin}', which the base has not; name the manifest that is mounted")]
    OtherBase {
        /// Where it is now.
        path: Box<str>,
        /// Where it was.
        origin: Box<str>,
    },
    /// The base cuts files into other chunks.
    #[error(
        "{} were asked for, and the base has files in {}; ask for those, or say nothing of chunks", chunks(*asked), chunks(*base)
    )]
    ChunkSize {
        /// What was asked for.
        asked: ChunkSize,
        /// What the base has.
        base: ChunkSize,
    },
    /// v2023-03-03 was asked for, and has no words for something.
    #[error("a v2023-03-03 manifest cannot hold {reason}: remove that, or ask for the draft format")]
    Inexpressible {
        /// For what.
        reason: DraftReason,
    },
    /// A link whose target no manifest can say.
    #[error("the link '{path}' to '{target}' {why}: make it lead to something in the tree, or remove it")]
    Link {
        /// Which link.
        path: Box<str>,
        /// What it says.
        target: Box<str>,
        /// What is wrong with that.
        why: &'static str,
    },
    /// A file is written to all the time.
    #[error(
        "'{path}' is being written: it changed {times} times in a row while it was hashed; wait until nobody writes to it"
    )]
    Busy {
        /// Which.
        path: Box<str>,
        /// How often it was tried.
        times: u32,
    },
    /// What was changed could not be read.
    #[error("'{path}' cannot be read from the overlay: {source}")]
    Overlay {
        /// Which file; empty: it is the overlay as a whole.
        path: Box<str>,
        /// What the overlay says.
        source: UpperError,
    },
    /// What a file lacks could not be brought from below.
    #[error("'{path}' cannot be read to its end: {source}")]
    Below {
        /// Which.
        path: Box<str>,
        /// Why.
        source: BelowError,
    },
    /// A request failed. What was stored by then is found by the next commit.
    #[error("cannot {what} {object}: {source}")]
    Store {
        /// What was asked.
        what: &'static str,
        /// Of which object.
        object: Box<str>,
        /// What the store says.
        source: object_store::Error,
    },
    /// Under the hash of a content there is another one.
    #[error(
        "{object} has {found} bytes, and the content of that hash has {expected}: the object is damaged, and nobody can read \
         files that have it; remove it and commit again"
    )]
    WrongObject {
        /// Which.
        object: Box<str>,
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// There is something where the manifest was to go.
    #[error(
        "{object} exists already, and is another manifest; give this one a name of its own, or ask for it to be replaced"
    )]
    Exists {
        /// Which.
        object: Box<str>,
    },
    /// The result is no manifest.
    #[error("the changes make no manifest: {source}")]
    Manifest {
        /// Why.
        source: ManifestError,
    },
    /// The manifest that was written is not read as the same.
    #[error("the new manifest is not read back as it was made, so it was not stored; report this")]
    NotTheSame,
    /// The overlay does not know what it hides.
    #[error(
        "this overlay was begun by an older version of forebay, which did not note what it hides: copy what you want to keep \
         out of the mount, and mount with another --overlay-dir"
    )]
    NoLedger,
    /// The store can only be read.
    #[error("nothing can be put into {url}: it can only be read")]
    ReadOnly {
        /// Which.
        url: Box<str>,
    },
    /// The program ends.
    #[error("the commit was given up because the program ends")]
    Cancelled,
}

/// Why bytes could not be brought from below: what to do about it, and what the reader says.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct BelowError {
    /// What to do about it.
    pub kind: ErrorKind,
    /// What was said.
    pub source: Box<dyn Error + Send + Sync>,
}

impl CommitError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Base { .. } | Self::OtherBase { .. } | Self::ChunkSize { .. } | Self::Link { .. } => {
                ErrorKind::Invalid
            }
            Self::Inexpressible { .. } => ErrorKind::Unsupported,
            Self::Busy { .. } => ErrorKind::Changed,
            Self::Overlay { source, .. } => source.errno().kind().into(),
            Self::Below { source, .. } => source.kind,
            Self::Store { source, .. } => Fault::of(source).kind,
            Self::WrongObject { .. } => ErrorKind::Corrupt,
            Self::Exists { .. } => ErrorKind::Conflict,
            // Names that are too long, say: the tree is to blame, and nothing that was read.
            Self::Manifest { source } => match source.kind() {
                ErrorKind::Corrupt => ErrorKind::Invalid,
                kind => kind,
            },
            Self::NotTheSame => ErrorKind::Internal,
            Self::NoLedger | Self::ReadOnly { .. } => ErrorKind::Unsupported,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    pub(super) fn overlay(path: &[u8]) -> impl Fn(UpperError) -> Self {
        move |source| Self::Overlay {
            path: shown(path),
            source,
        }
    }
}

fn chunks(size: ChunkSize) -> String {
    match size.bytes() {
        Some(bytes) => format!("chunks of {bytes} bytes"),
        None => "no chunks".to_owned(),
    }
}

/// A path, safe to print.
pub(super) fn shown(path: &[u8]) -> Box<str> {
    forebay_manifest::ManifestPath::new(path).to_string().into()
}
