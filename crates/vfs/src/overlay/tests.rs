//! The overlay as a whole, and what its tests share.

mod crash;
mod full_disk;
mod model;
mod power;
mod threads;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay_types::{Clock, SystemClock};
use tempfile::TempDir;

use super::*;

pub(super) const BASE: &str = "s3://bucket/tree";

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// A directory for one test.
pub(super) struct Rig {
    pub(super) dir: TempDir,
    has_ledger: bool,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            has_ledger: false,
        }
    }

    /// One that knows which versions it hides, or not.
    pub(super) fn with_ledger(has_ledger: bool) -> Self {
        Self {
            has_ledger,
            ..Self::new()
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("overlay")
    }

    pub(super) fn open(&self) -> Upper {
        self.try_open().unwrap()
    }

    pub(super) fn try_open(&self) -> Result<Upper, OverlayError> {
        match self.has_ledger {
            true => Upper::open_with_ledger(&self.path(), BASE, clock()),
            false => Upper::open(&self.path(), BASE, clock()),
        }
    }

    /// What a killed process leaves: a copy of everything as it is at this moment.
    pub(super) fn killed(&self) -> Self {
        let copy = Self::with_ledger(self.has_ledger);
        copy_dir(&self.path(), &copy.path());
        copy
    }

    pub(super) fn names(&self) -> PathBuf {
        self.path().join("names")
    }

    /// Files below `data`.
    pub(super) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for shard in fs::read_dir(self.path().join("data")).unwrap() {
            for file in fs::read_dir(shard.unwrap().path()).unwrap() {
                files.push(file.unwrap().file_name().into_string().unwrap());
            }
        }
        files.sort();
        files
    }
}

pub(super) fn copy_dir(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            // Holes stay holes, and xattrs and times stay what they were.
            let done = std::process::Command::new("cp")
                .args(["--sparse=always", "--preserve=all"])
                .arg(entry.path())
                .arg(&to)
                .status();
            assert!(done.unwrap().success());
        }
    }
}

pub(super) fn new(mode: u32) -> NewNode {
    NewNode {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    }
}

pub(super) fn attrs(mode: u32) -> Attrs {
    Attrs {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        atime: 1,
        mtime: 2_000_000_003,
        ctime: 4,
    }
}

pub(super) fn origin(path: &str, size: u64) -> Origin {
    Origin {
        path: path.into(),
        version: "\"v1\"".into(),
        size,
        mtime: 2_000_000_003,
    }
}

/// The node at a path.
pub(super) fn at(upper: &Upper, path: &str) -> Option<NodeId> {
    let mut id = upper.root();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        id = match upper.entry(id, name.as_bytes()).ok()?? {
            UpperEntry::Node { id, .. } => id,
            UpperEntry::Whiteout => return None,
        };
    }
    Some(id)
}

/// Everything that can be reached, by path.
pub(super) fn dump(upper: &Upper) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut first = BTreeMap::new();
    let mut dirs = vec![(upper.root(), String::new())];
    while let Some((dir, path)) = dirs.pop() {
        for (name, entry) in upper.entries(dir).unwrap() {
            let path = format!("{path}/{}", str::from_utf8(&name).unwrap());
            let (id, kind) = match entry {
                UpperEntry::Whiteout => {
                    all.insert(path, "whiteout".to_owned());
                    continue;
                }
                UpperEntry::Node { id, kind } => (id, kind),
            };
            let told = upper.attrs(id).unwrap();
            assert_eq!(told.kind, kind);
            let what = match kind {
                NodeKind::Dir => {
                    dirs.push((id, path.clone()));
                    assert_eq!(upper.parent(id).unwrap(), dir);
                    format!("dir over={}", upper.dir_origin(id).unwrap().is_some())
                }
                NodeKind::File => {
                    let (origin, data) = upper.content(id).unwrap();
                    format!("file lower={} data={}", origin.is_some(), data != Data::Lower)
                }
                NodeKind::Symlink => "link".to_owned(),
                NodeKind::Special(kind) => format!("{kind:?}"),
            };
            let lowest = first.entry(id).or_insert_with(|| path.clone());
            *lowest = path.clone().min(lowest.clone());
            let what = format!("{what} links={} mode={:o} {id}", told.links, told.attrs.mode);
            all.insert(path, what);
        }
    }
    // Numbers differ from run to run: the first path stands for them.
    for what in all.values_mut() {
        if let Some(at) = what.find("node ") {
            let id = NodeId(u64::from_str_radix(&what[at + 5..], 16).unwrap());
            what.replace_range(at.., &first[&id]);
        }
    }
    all
}

pub(super) fn write(file: &DataFile, offset: u64, bytes: &[u8]) {
    assert_eq!(
        file.write_at(offset, bytes).unwrap(),
        Changed::Done(bytes.len() as u64)
    );
}

/// All of a complete file.
pub(super) fn read(file: &DataFile) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(
        file.read_at(&mut bytes, 0).unwrap(),
        ReadData::Present(bytes.len())
    );
    bytes
}
