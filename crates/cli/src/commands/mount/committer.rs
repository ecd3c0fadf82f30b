//! Who commits what was written in a mount.

use std::sync::Arc;

use forebay_manifest::{ChunkSize, Hash, Kind, Manifest, Version};
use forebay_source::{Location, Opener};
use forebay_types::{ErrorKind, printable};
use forebay_vfs::commit::{
    self, CommitOptions, CommitOrder, CommitProgress, CommitStats, Committed, ManifestPlace, ObjectPlace, Put,
};
use forebay_vfs::merged::Merged;

use super::commit::{Commit, Done, Format, Stats};
use crate::exit::{CliError, Result};

impl Stats {
    pub(crate) fn of(stats: &CommitStats) -> Self {
        Self {
            files: stats.files,
            files_done: stats.files_done,
            hashed: stats.hashed,
            uploaded: stats.uploaded,
            uploaded_objects: stats.uploaded_objects,
            there: stats.there,
            there_objects: stats.there_objects,
        }
    }
}

/// What manifests a mount is made of, and where they and their contents are.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) manifest: Arc<Manifest>,
    /// The hash of its bytes, if it is one manifest.
    pub(super) hash: Option<Hash>,
    /// The last one.
    pub(super) location: Location,
    pub(super) cas: ObjectPlace,
}

/// Who commits what was written in one mount. One commit at a time.
#[derive(Debug)]
pub(super) struct Committer {
    merged: Merged,
    base: Base,
    opener: Opener,
    mountpoint: Box<[u8]>,
    one: tokio::sync::Mutex<()>,
}

impl Committer {
    pub(super) fn new(merged: Merged, base: Base, opener: Opener, mountpoint: Box<[u8]>) -> Self {
        Self {
            merged,
            base,
            opener,
            mountpoint,
            one: tokio::sync::Mutex::default(),
        }
    }

    /// Commits.
    ///
    /// # Errors
    /// What is wrong with the order, the files or the store; no manifest is written then.
    ///
    /// # Cancel safety
    /// As [`commit::commit`].
    pub(super) async fn commit(&self, commit: &Commit, progress: &Arc<CommitProgress>) -> Result<Done> {
        let _one = self.one.try_lock().map_err(|_| {
            CliError::new(ErrorKind::Conflict, "the mount is being committed already")
                .hint("wait until that is done")
        })?;
        let (location, place) = self.output(commit)?;
        let order = CommitOrder {
            base: self.base.manifest.clone(),
            parent: self.base.hash.clone(),
            cas: self.base.cas.clone(),
            manifest: ManifestPlace {
                place,
                replace: commit.replace,
                attributes: Default::default(),
            },
            options: CommitOptions {
                kind: if commit.diff { Kind::Diff } else { Kind::Snapshot },
                version: commit.format.map(|format| match format {
                    Format::V2023 => Version::V2023,
                    Format::Draft => Version::Beta2025,
                }),
                chunk_size: commit.chunk_size.map(|bytes| match bytes {
                    0 => ChunkSize::Never,
                    bytes => ChunkSize::Bytes(bytes),
                }),
                mountpoint: Some(self.mountpoint.clone()),
                ..CommitOptions::default()
            },
        };
        let committed = commit::commit(&self.merged, &order, progress).await;
        let committed = committed.map_err(|e| CliError::new(e.kind(), e.to_string()))?;
        Ok(done(&location, &committed))
    }

    /// Where the manifest goes.
    fn output(&self, commit: &Commit) -> Result<(Location, ObjectPlace)> {
        let url = match &commit.output {
            Some(url) => url.clone(),
            None => {
                let now = chrono::Utc::now().format("%Y%m%dT%H%M%SZ");
                format!("{}.{now}", self.base.location)
            }
        };
        let location: Location = url.parse()?;
        let source = self.opener.open(&location)?;
        let place = ObjectPlace {
            store: source.store,
            path: source.path,
            url: location.to_string().into(),
        };
        Ok((location, place))
    }
}

fn done(location: &Location, committed: &Committed) -> Done {
    let manifest = &committed.manifest;
    let path = |path: &[u8]| printable(&String::from_utf8_lossy(path)).into_owned();
    Done {
        url: location.to_string(),
        format: manifest.version().name().to_owned(),
        draft: committed.draft.as_ref().map(ToString::to_string),
        kind: match manifest.kind() {
            Kind::Snapshot => "snapshot",
            Kind::Diff => "diff",
        }
        .to_owned(),
        hash: committed.hash.to_string(),
        same_was_there: committed.put == Put::SameWasThere,
        entries: manifest.files().len() as u64,
        total_size: manifest.total_size(),
        left_out: committed.left_out.iter().map(|(left, _)| path(left)).collect(),
        split: committed.split,
        stats: Stats::of(&committed.stats),
    }
}
