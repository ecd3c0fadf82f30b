//! What the unit tests of the pure parts share.

use std::path::Path;
use std::sync::Arc;

use forebay_manifest::{
    Base, ChunkSize, Content, DirEntry, FileEntry, FileKind, Hash, Kind, Manifest, ManifestBuilder,
    ManifestPath,
};
use forebay_types::SystemClock;
use tempfile::TempDir;

use crate::overlay::{Attrs, NewNode, NodeId, Origin, Upper, UpperEntry};

/// Changes above nothing that is there: only names count here.
pub(super) struct Rig {
    pub(super) upper: Upper,
    _dir: TempDir,
}

pub(super) const MTIME: i64 = 1_700_000_000_000_001;

impl Rig {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path: &Path = dir.path();
        let upper = Upper::open(&path.join("upper"), "base", Arc::new(SystemClock::new())).unwrap();
        Self { upper, _dir: dir }
    }

    /// Makes a lower directory known above, and those that it lies in.
    pub(super) fn dir(&self, path: &str) -> NodeId {
        let mut at = self.upper.root();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = match self.upper.entry(at, name.as_bytes()).unwrap() {
                Some(UpperEntry::Node { id, .. }) => id,
                _ => {
                    let above = self.upper.dir_origin(at).unwrap().unwrap();
                    let origin = if above.is_empty() {
                        name.to_owned()
                    } else {
                        format!("{above}/{name}")
                    };
                    self.upper
                        .adopt_dir(at, name.as_bytes(), &origin, attrs(0o755))
                        .unwrap()
                }
            };
        }
        at
    }

    /// Makes a lower file of 3 bytes known above.
    pub(super) fn file(&self, path: &str) -> NodeId {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.dir(dir);
        let above = self.upper.dir_origin(dir).unwrap().unwrap();
        let origin = Origin {
            path: if above.is_empty() {
                name.into()
            } else {
                format!("{above}/{name}").into()
            },
            version: "v".into(),
            size: 3,
            mtime: MTIME * 1000,
        };
        self.upper
            .adopt_file(dir, name.as_bytes(), &origin, attrs(0o644))
            .unwrap()
    }
}

pub(super) fn attrs(mode: u32) -> Attrs {
    Attrs {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        atime: MTIME * 1000,
        mtime: MTIME * 1000,
        ctime: MTIME * 1000,
    }
}

pub(super) fn new(mode: u32) -> NewNode {
    NewNode {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    }
}

/// A draft: `path`, `path -> target` or `path/`; of each file 3 bytes.
pub(super) fn draft(entries: &[&str]) -> Manifest {
    let mut builder =
        ManifestBuilder::draft(Kind::Snapshot, Base::Relative).chunk_size(ChunkSize::Bytes(1 << 20));
    for entry in entries {
        if let Some(path) = entry.strip_suffix('/') {
            let path = ManifestPath::new(path.as_bytes());
            builder.dir(DirEntry { path, deleted: false }).unwrap();
            continue;
        }
        let (path, kind) = match entry.split_once(" -> ") {
            Some((path, target)) => {
                let target = ManifestPath::new(target.as_bytes());
                (path, FileKind::Symlink { target })
            }
            None => (*entry, regular()),
        };
        let path = ManifestPath::new(path.as_bytes());
        builder.file(&FileEntry { path, kind }).unwrap();
    }
    builder.finish().unwrap()
}

pub(super) fn v2023(paths: &[&str]) -> Manifest {
    let mut builder = ManifestBuilder::v2023();
    for path in paths {
        let path = ManifestPath::new(path.as_bytes());
        builder
            .file(&FileEntry {
                path,
                kind: regular(),
            })
            .unwrap();
    }
    builder.finish().unwrap()
}

fn regular() -> FileKind<'static> {
    FileKind::Regular {
        size: 3,
        mtime: MTIME,
        runnable: false,
        content: Content::Hash(Hash::of(b"abc")),
    }
}
