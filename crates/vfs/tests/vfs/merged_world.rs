//! A bucket with changes on top, as the kernel would use it: every reference is counted and given back.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay_range::{RangeEngine, RangeEngineConfig};
use forebay_reader::{Reader, ReaderOptions};
use forebay_types::{Clock, SystemClock};
use forebay_vfs::merged::{Merged, MergedAttr, MergedError, MergedFile, MergedOpen, MergedOptions, OpenHow};
use forebay_vfs::overlay::{NewNode, NodeKind, OverlayError, Rename, Upper};
use forebay_vfs::{Ino, Namespace, Tree, TreeOptions};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::world::{World, namespace, within};

pub(crate) type Result<T> = std::result::Result<T, MergedError>;

/// What is below, and where the changes are.
pub(crate) struct Layers {
    pub(crate) world: World,
    pub(crate) dir: TempDir,
}

impl Layers {
    pub(crate) fn new() -> Self {
        Self {
            world: World::new(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// With these lower files.
    pub(crate) fn with(files: &[(&str, &'static str)]) -> Self {
        let layers = Self::new();
        for (key, content) in files {
            layers.world.put(key, content);
        }
        layers
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.dir.path().join("upper")
    }

    pub(crate) fn mount(&self) -> Mount {
        Mount::new(Arc::new(namespace(self.world.source(""))), &self.upper())
    }
}

/// A merged tree, and what the kernel holds of it.
pub(crate) struct Mount {
    pub(crate) merged: Merged,
    held: Mutex<HashMap<Ino, u64>>,
}

pub(crate) fn new(mode: u32) -> NewNode {
    NewNode {
        mode,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
    }
}

pub(crate) const READ: OpenHow = OpenHow {
    read: true,
    write: false,
    truncate: false,
};
pub(crate) const WRITE: OpenHow = OpenHow {
    read: true,
    write: true,
    truncate: false,
};
pub(crate) const TRUNCATE: OpenHow = OpenHow {
    read: false,
    write: true,
    truncate: true,
};

impl Mount {
    pub(crate) fn new(namespace: Arc<dyn Namespace>, upper: &Path) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Self::over(namespace, Upper::open(upper, "test", clock).unwrap())
    }

    /// Over what others change, and commits.
    pub(crate) fn with_ledger(namespace: Arc<dyn Namespace>, upper: &Path) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        // Threads of a commit that was given up may hold it for a moment.
        let opened = (0..500).find_map(|_| match Upper::open_with_ledger(upper, "test", clock.clone()) {
            Err(OverlayError::Busy { .. }) => {
                std::thread::sleep(Duration::from_millis(10));
                None
            }
            opened => Some(opened),
        });
        let mount = Self::over(namespace, opened.unwrap().unwrap());
        mount.merged.settle().unwrap();
        mount
    }

    fn over(namespace: Arc<dyn Namespace>, upper: Upper) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let tree = Tree::new(namespace, TreeOptions::default(), clock);
        let reader = Reader::new(
            RangeEngine::new(RangeEngineConfig::default()),
            None,
            ReaderOptions::default(),
        );
        let owner = new(0);
        let merged = Merged::new(tree, upper, reader, MergedOptions::of(owner.uid, owner.gid));
        Self {
            merged,
            held: Mutex::default(),
        }
    }

    /// The kernel was given a reference.
    pub(crate) fn took(&self, attr: MergedAttr) -> MergedAttr {
        *self.held.lock().unwrap().entry(attr.ino).or_default() += 1;
        attr
    }

    pub(crate) async fn lookup(&self, parent: Ino, name: &str) -> Result<MergedAttr> {
        let found = within(self.merged.lookup(parent, OsStr::new(name))).await?;
        Ok(self.took(found))
    }

    /// Down from the root, one name at a time.
    pub(crate) async fn walk(&self, path: &str) -> Result<MergedAttr> {
        let mut at = within(self.merged.attr(Ino::ROOT)).await?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self.lookup(at.ino, name).await?;
        }
        Ok(at)
    }

    /// The directory of a path, and the name in it.
    pub(crate) async fn split<'a>(&self, path: &'a str) -> Result<(Ino, &'a OsStr)> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.walk(above).await?.ino, OsStr::new(name)))
    }

    pub(crate) async fn open(&self, path: &str, how: OpenHow) -> Result<Arc<MergedFile>> {
        let attr = self.walk(path).await?;
        match within(self.merged.open(attr.ino, how)).await? {
            MergedOpen::Upper(file) => Ok(file),
            MergedOpen::Lower => panic!("{path} is below"),
        }
    }

    pub(crate) async fn create(&self, path: &str) -> Result<Arc<MergedFile>> {
        let (dir, name) = self.split(path).await?;
        let (attr, file) = within(self.merged.create(dir, name, new(0o644))).await?;
        self.took(attr);
        Ok(file)
    }

    pub(crate) async fn mkdir(&self, path: &str) -> Result<MergedAttr> {
        let (dir, name) = self.split(path).await?;
        Ok(self.took(within(self.merged.mkdir(dir, name, new(0o755))).await?))
    }

    pub(crate) async fn symlink(&self, path: &str, target: &str) -> Result<MergedAttr> {
        let (dir, name) = self.split(path).await?;
        let made = self.merged.symlink(dir, name, target.as_bytes(), new(0o777));
        Ok(self.took(within(made).await?))
    }

    pub(crate) async fn link(&self, from: &str, to: &str) -> Result<MergedAttr> {
        let ino = self.walk(from).await?.ino;
        let (dir, name) = self.split(to).await?;
        Ok(self.took(within(self.merged.link(ino, dir, name)).await?))
    }

    pub(crate) async fn unlink(&self, path: &str) -> Result<()> {
        let (dir, name) = self.split(path).await?;
        within(self.merged.unlink(dir, name)).await
    }

    pub(crate) async fn rmdir(&self, path: &str) -> Result<()> {
        let (dir, name) = self.split(path).await?;
        within(self.merged.rmdir(dir, name)).await
    }

    pub(crate) async fn rename(&self, from: &str, to: &str, how: Rename) -> Result<()> {
        let (from, to) = (self.split(from).await?, self.split(to).await?);
        within(self.merged.rename(from, to, how)).await
    }

    pub(crate) async fn mv(&self, from: &str, to: &str) -> Result<()> {
        self.rename(from, to, Rename::Replace).await
    }

    pub(crate) async fn write(&self, path: &str, content: &str) -> Result<()> {
        let file = match self.open(path, TRUNCATE).await {
            Err(MergedError::NotFound { .. }) => self.create(path).await?,
            opened => opened?,
        };
        within(file.write_at(0, content.as_bytes())).await.map(drop)
    }

    /// All bytes of a file, wherever they are.
    pub(crate) async fn read(&self, path: &str) -> Result<Vec<u8>> {
        let attr = self.walk(path).await?;
        self.read_ino(attr).await
    }

    pub(crate) async fn read_ino(&self, attr: MergedAttr) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(attr.size).unwrap() + 1];
        let read = match within(self.merged.open(attr.ino, READ)).await? {
            MergedOpen::Upper(file) => within(file.read_at(0, &mut bytes)).await?,
            MergedOpen::Lower => {
                let opened = self.merged.lower().file(attr.ino)?;
                let reader = Reader::new(
                    RangeEngine::new(RangeEngineConfig::default()),
                    None,
                    ReaderOptions::default(),
                );
                let handle =
                    within(reader.open(opened.target, forebay_reader::OpenOptions::default())).await?;
                within(handle.read_into(0, &mut bytes)).await?
            }
        };
        bytes.truncate(read);
        Ok(bytes)
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        String::from_utf8(self.read(path).await.unwrap()).unwrap()
    }

    /// The names of a directory, with a `/` behind those of directories and an `@` behind those of links.
    pub(crate) async fn ls(&self, path: &str) -> Vec<String> {
        let ino = self.walk(path).await.unwrap().ino;
        let dir = within(self.merged.read_dir(ino)).await.unwrap();
        assert_eq!(dir.ino(), ino);
        dir.iter_from(0)
            .map(|entry| {
                let name = String::from_utf8(entry.name.to_vec()).unwrap();
                match entry.kind {
                    NodeKind::Dir => format!("{name}/"),
                    NodeKind::Symlink => format!("{name}@"),
                    NodeKind::File | NodeKind::Special(_) => name,
                }
            })
            .collect()
    }

    /// The kernel forgets everything, children before the directories that they were found in or after: nothing stays.
    pub(crate) fn forget_all(&self) {
        let held = std::mem::take(&mut *self.held.lock().unwrap());
        for (ino, references) in held {
            // In two steps, as it may.
            if references > 1 {
                assert!(self.merged.forget(ino, references - 1), "{ino}");
            }
            self.merged.forget(ino, 1);
        }
        assert_eq!(self.merged.held(), 0, "nodes above are held");
        assert_eq!(
            self.merged.lower().stats().nodes,
            1,
            "numbers of the lower tree are held"
        );
    }
}

/// What a system call answers; as the mount says it.
pub(crate) fn errno<T: std::fmt::Debug>(result: Result<T>) -> Errno {
    match result.unwrap_err() {
        MergedError::NotFound { .. } => Errno::NOENT,
        MergedError::Upper(error) => error.errno(),
        MergedError::Stale { .. } => Errno::STALE,
        other => panic!("{other:?}"),
    }
}
