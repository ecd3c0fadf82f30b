//! The new manifest, from what stays of the base and what was changed.

use std::collections::HashMap;

use forebay_manifest::{
    Base, ChunkSize, Content, DirEntry, FileEntry, FileKind, Hash, Kind, Manifest, ManifestBuilder,
    ManifestError, ManifestPath, diff,
};

use crate::commit::error::CommitError;
use crate::commit::manifest::engine::{Hashed, Hashes};
use crate::commit::manifest::links::Links;
use crate::commit::manifest::options::ManifestOptions;
use crate::commit::manifest::plan::{OwnFile, Plan};
use crate::overlay::NodeId;

/// What the new tree is.
#[derive(Debug)]
pub(super) struct Build<'a> {
    pub(super) base: &'a Manifest,
    pub(super) parent: Option<&'a Hash>,
    pub(super) plan: &'a Plan,
    /// The files of the plan.
    pub(super) hashed: &'a HashMap<NodeId, Hashed>,
    pub(super) is_draft: bool,
    pub(super) chunk_size: ChunkSize,
    pub(super) options: &'a ManifestOptions,
}

impl Build<'_> {
    /// The manifest, and its bytes.
    ///
    /// # Errors
    /// What no manifest can hold: names that are too long, links that leave the tree.
    pub(super) fn build(&self) -> Result<(Manifest, Vec<u8>), CommitError> {
        let fail = |source| CommitError::Manifest { source };
        let all = self.snapshot()?;
        let manifest = match self.options.kind {
            Kind::Snapshot => all,
            Kind::Diff => diff(self.base, &all, self.parent.cloned()).map_err(fail)?,
        };
        let bytes = manifest.encode();
        let again = Manifest::decode(&bytes, &self.options.limits).map_err(fail)?;
        if again.encode() != bytes {
            return Err(CommitError::NotTheSame);
        }
        Ok((again, bytes))
    }

    fn snapshot(&self) -> Result<Manifest, CommitError> {
        let fail = |source| CommitError::Manifest { source };
        let builder = match self.is_draft {
            false => ManifestBuilder::v2023(),
            true => ManifestBuilder::draft(Kind::Snapshot, Base::Relative).chunk_size(self.chunk_size),
        };
        let mut builder = builder.limits(self.options.limits.clone());
        for kept in self.plan.kept(self.base) {
            // Links may say something else where they are now: they follow.
            if !matches!(kept.file.kind, FileKind::Symlink { .. }) {
                let file = FileEntry {
                    path: ManifestPath::new(&kept.path),
                    kind: kept.file.kind,
                };
                builder.file(&file).map_err(fail)?;
            }
        }
        for own in &self.plan.files {
            if let Some(hashed) = self.hashed.get(&own.id) {
                self.own(&mut builder, own, hashed).map_err(fail)?;
            }
        }
        if self.is_draft {
            let links = Links::new(self.plan, self.base, self.options.mountpoint.as_deref());
            for link in links.all() {
                let (path, target) = link?;
                let file = FileEntry {
                    path: ManifestPath::new(path),
                    kind: FileKind::Symlink {
                        target: ManifestPath::new(&target),
                    },
                };
                builder.file(&file).map_err(fail)?;
            }
            for dir in self.plan.all_dirs(&self.base.all_dirs()) {
                let dir = DirEntry {
                    path: ManifestPath::new(&dir),
                    deleted: false,
                };
                builder.dir(dir).map_err(fail)?;
            }
        }
        builder.finish().map_err(fail)
    }

    fn own(
        &self,
        builder: &mut ManifestBuilder,
        own: &OwnFile,
        hashed: &Hashed,
    ) -> Result<(), ManifestError> {
        let origin = own.origin.and_then(|number| self.base.file(number));
        let content = match (&hashed.hashes, origin.map(|origin| origin.kind)) {
            (Hashes::Own(hashes), _) => match hashes.as_slice() {
                [hash] => Content::Hash(hash.clone()),
                hashes => Content::Chunks(hashes),
            },
            (Hashes::Origin, Some(FileKind::Regular { content, .. })) => content,
            (Hashes::Origin, _) => Content::Unhashed,
        };
        builder.file(&FileEntry {
            path: ManifestPath::new(&own.path),
            kind: FileKind::Regular {
                size: hashed.size,
                mtime: hashed.mtime,
                runnable: own.runnable,
                content,
            },
        })
    }
}
