//! Who commits what was written in a mount.

use std::path::PathBuf;
use std::sync::Arc;

use forebay_manifest::{ChunkSize, Hash, Kind, Manifest, Version};
use forebay_source::{Location, Opener};
use forebay_types::{ErrorKind, printable};
use forebay_vfs::commit::{
    self, BucketCommitted, BucketOptions, BucketOrder, CommitProgress, CommitStats, ManifestCommitted,
    ManifestOptions, ManifestOrder, ManifestPlace, ObjectPlace, Put,
};
use forebay_vfs::merged::Merged;

use super::commit::{Commit, Conflict, Done, Format, LeftOut, ManifestDone, ObjectsDone, Stats};
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

/// What a mount lies on, and what can be done with what was written.
#[derive(Clone, Debug)]
pub(super) enum Base {
    /// A new manifest is made.
    Manifests(Manifests),
    /// Its objects are made the same.
    Objects(Objects),
    /// Nothing, and why.
    Nothing(&'static str),
}

/// Where the objects are that a mount shows.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    pub(super) place: ObjectPlace,
    /// The directory, if it is one of this machine.
    pub(super) local: Option<PathBuf>,
}

/// What manifests a mount is made of, and where they and their contents are.
#[derive(Clone, Debug)]
pub(super) struct Manifests {
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
    /// As [`commit::commit_manifest`].
    pub(super) async fn commit(&self, commit: &Commit, progress: &Arc<CommitProgress>) -> Result<Done> {
        let _one = self.one.try_lock().map_err(|_| {
            CliError::new(ErrorKind::Conflict, "the mount is being committed already")
                .hint("wait until that is done")
        })?;
        match &self.base {
            Base::Manifests(base) => self.commit_manifest(base, commit, progress).await,
            Base::Objects(objects) => self.commit_objects(objects, commit, progress).await,
            Base::Nothing(why) => Err(CliError::new(ErrorKind::Unsupported, *why)
                .hint("what was written stays in the overlay, and can be copied out of the mount")),
        }
    }

    /// The objects that are mounted.
    async fn commit_objects(
        &self,
        objects: &Objects,
        commit: &Commit,
        progress: &Arc<CommitProgress>,
    ) -> Result<Done> {
        let of_manifests = [
            ("--output", commit.output.is_some()),
            ("--diff", commit.diff),
            ("--format", commit.format.is_some()),
            ("--chunk-size", commit.chunk_size.is_some()),
        ];
        if let Some((option, _)) = of_manifests.iter().find(|(_, is_given)| *is_given) {
            let url = &objects.place.url;
            let why =
                format!("{option} is for manifests: what was written goes into {url}, which is mounted");
            return Err(CliError::usage(why).hint("leave it out"));
        }
        let order = BucketOrder {
            place: objects.place.clone(),
            options: BucketOptions {
                replace: commit.replace,
                local: objects.local.clone(),
                ..BucketOptions::default()
            },
        };
        let committed = commit::commit_bucket(&self.merged, &order, progress).await;
        let committed = committed.map_err(|e| CliError::new(e.kind(), e.to_string()))?;
        Ok(Done::Objects(objects_done(&objects.place.url, &committed)))
    }

    /// A new manifest.
    async fn commit_manifest(
        &self,
        base: &Manifests,
        commit: &Commit,
        progress: &Arc<CommitProgress>,
    ) -> Result<Done> {
        if commit.replace && commit.output.is_none() {
            let why = "--replace needs --output: which manifest is to be replaced is not said";
            return Err(CliError::usage(why));
        }
        let (location, place) = self.output(base, commit)?;
        let order = ManifestOrder {
            base: base.manifest.clone(),
            parent: base.hash.clone(),
            cas: base.cas.clone(),
            manifest: ManifestPlace {
                place,
                replace: commit.replace,
                attributes: Default::default(),
            },
            options: ManifestOptions {
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
                ..ManifestOptions::default()
            },
        };
        let committed = commit::commit_manifest(&self.merged, &order, progress).await;
        let committed = committed.map_err(|e| CliError::new(e.kind(), e.to_string()))?;
        Ok(Done::Manifest(Box::new(done(&location, &committed))))
    }

    /// Where the manifest goes.
    fn output(&self, base: &Manifests, commit: &Commit) -> Result<(Location, ObjectPlace)> {
        let url = match &commit.output {
            Some(url) => url.clone(),
            None => {
                let now = chrono::Utc::now().format("%Y%m%dT%H%M%SZ");
                format!("{}.{now}", base.location)
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

fn done(location: &Location, committed: &ManifestCommitted) -> ManifestDone {
    let manifest = &committed.manifest;
    let path = |path: &[u8]| printable(&String::from_utf8_lossy(path)).into_owned();
    ManifestDone {
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

fn objects_done(url: &str, committed: &BucketCommitted) -> ObjectsDone {
    let shown = |path: &[u8]| printable(&String::from_utf8_lossy(path)).into_owned();
    let conflicts = committed.conflicts.iter().map(|conflict| Conflict {
        path: shown(conflict.path.as_bytes()),
        why: conflict.why.to_string(),
    });
    let left_out = committed.left_out.iter().map(|(path, what)| LeftOut {
        path: shown(path),
        what: match what {
            commit::LeftOut::Symlink => "a symbolic link",
            commit::LeftOut::Special => "a pipe, a socket or a device",
            commit::LeftOut::EmptyDir => "an empty directory",
            commit::LeftOut::Name => "a name that no object can have",
        }
        .to_owned(),
    });
    ObjectsDone {
        url: url.to_owned(),
        put: committed.put,
        copied: committed.copied,
        deleted: committed.deleted,
        unchanged: committed.unchanged,
        conflicts: conflicts.collect(),
        left_out: left_out.collect(),
        unconditional: committed.stats.unconditional,
        stats: Stats::of(&committed.stats),
    }
}
