//! A mounted manifest with changes above it, and the lab that has its contents.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use forebay_manifest::{
    Base, ChunkSize, Content, FileEntry, FileKind, Hash, Kind, Limits, Manifest, ManifestBuilder,
    ManifestPath,
};
use forebay_testkit::{Face, Object, Profile};
use forebay_types::{ByteRange, SystemClock};
use forebay_vfs::ManifestNamespace;
use forebay_vfs::commit::{
    BelowError, CommitError, CommitProgress, ManifestCommitted, ManifestOptions, ManifestOrder,
    ManifestPlace, ObjectPlace, Working, commit_manifest,
};
use forebay_vfs::overlay::{
    Attrs, Changed, DataFile, NewNode, NodeId, Origin, SetAttrs, SetTime, Upper, UpperEntry,
};
use object_store::ObjectStore;
use tempfile::TempDir;

use crate::merged_world::Mount;
use crate::world::{BUCKET, World, within};

/// Microseconds since 1970 of all lower files.
pub(crate) const MTIME: i64 = 1_700_000_000_000_001;

/// Where contents are.
pub(crate) const DATA: &str = "root/Data";

/// Where the manifest goes.
pub(crate) const MANIFEST: &str = "root/Manifests/new";

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Job(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) world: World,
    pub(crate) upper: Upper,
    pub(crate) base: Arc<Manifest>,
    /// Contents of the base by path.
    pub(crate) lower: Files,
    /// Bytes that were brought from below.
    pub(crate) brought: AtomicU64,
    _dir: TempDir,
}

impl Deref for Job {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

#[async_trait]
impl Working for Job {
    fn upper(&self) -> &Upper {
        &self.upper
    }

    fn lower_mode(&self, executable: bool) -> u32 {
        if executable { 0o755 } else { 0o644 }
    }

    async fn bring(&self, id: NodeId, range: ByteRange) -> Result<(), BelowError> {
        let (origin, _) = self.upper.content(id).unwrap();
        let lower = &self.lower[&*origin.unwrap().path];
        let data = self.upper.data(id).unwrap();
        for absent in data.absent() {
            let (start, end) = (absent.start().max(range.start()), absent.end().min(range.end()));
            if start < end {
                let start = start / (64 << 10) * (64 << 10);
                let bytes = &lower[start as usize..end as usize];
                self.brought
                    .fetch_add(data.fill(start, bytes).unwrap(), Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// The hashes of a content that is cut if it is larger than `chunk`.
pub(crate) fn hashes(bytes: &[u8], chunk: Option<usize>) -> Vec<Hash> {
    match chunk {
        Some(chunk) if bytes.len() > chunk => bytes.chunks(chunk).map(Hash::of).collect(),
        _ => vec![Hash::of(bytes)],
    }
}

pub(crate) fn content(hashes: &[Hash]) -> Content<'_> {
    match hashes {
        [hash] => Content::Hash(hash.clone()),
        hashes => Content::Chunks(hashes),
    }
}

/// Of these files, each with its time; v2023 without a chunk size.
pub(crate) fn manifest<'a>(
    files: impl IntoIterator<Item = (&'a String, &'a Vec<u8>, i64)>,
    chunk: Option<usize>,
) -> Manifest {
    let mut builder = match chunk {
        None => ManifestBuilder::v2023(),
        Some(chunk) => {
            ManifestBuilder::draft(Kind::Snapshot, Base::Relative).chunk_size(ChunkSize::Bytes(chunk as u64))
        }
    };
    for (path, bytes, mtime) in files {
        let hashes = hashes(bytes, chunk);
        let kind = FileKind::Regular {
            size: bytes.len() as u64,
            mtime,
            runnable: false,
            content: content(&hashes),
        };
        let path = ManifestPath::new(path.as_bytes());
        builder.file(&FileEntry { path, kind }).unwrap();
    }
    builder.finish().unwrap()
}

/// The bytes of an object.
pub(crate) fn all(object: &Object) -> Vec<u8> {
    object.content.read(ByteRange::new(0, object.size())).to_vec()
}

fn me() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

pub(crate) fn new(mode: u32) -> NewNode {
    let (uid, gid) = me();
    NewNode { mode, uid, gid }
}

fn attrs(mode: u32) -> Attrs {
    let ((uid, gid), time) = (me(), MTIME * 1000);
    Attrs {
        mode,
        uid,
        gid,
        atime: time,
        mtime: time,
        ctime: time,
    }
}

impl Job {
    /// A v2023-03-03 manifest.
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        Self::cut(files, None)
    }

    /// A draft, if `chunk` says how long chunks are.
    pub(crate) fn cut(files: &[(&str, &[u8])], chunk: Option<usize>) -> Self {
        let lower: Files = files
            .iter()
            .map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec()))
            .collect();
        let base = manifest(lower.iter().map(|(path, bytes)| (path, bytes, MTIME)), chunk);
        Self::of(base, lower, chunk)
    }

    pub(crate) fn of(base: Manifest, lower: Files, chunk: Option<usize>) -> Self {
        let world = World::at(Profile::LOOPBACK, Face::Full);
        for bytes in lower.values() {
            let pieces: Vec<&[u8]> = match chunk {
                Some(chunk) if bytes.len() > chunk => bytes.chunks(chunk).collect(),
                _ => vec![bytes],
            };
            for piece in pieces {
                let key = format!("{DATA}/{}", Hash::of(piece).object_key());
                world.lab.objects().put(BUCKET, &key, piece.to_vec());
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let upper = Upper::open(&dir.path().join("upper"), "base", Arc::new(SystemClock::new())).unwrap();
        Self(Arc::new(Inner {
            world,
            upper,
            base: Arc::new(base),
            lower,
            brought: AtomicU64::new(0),
            _dir: dir,
        }))
    }

    /// A mount of a manifest of these contents, with changes of its own in `upper`.
    pub(crate) fn mount(&self, manifest: &Manifest, upper: &Path) -> Mount {
        let source = self.world.source(&format!("{DATA}/"));
        let contents = self.world.opener.open_cas(&source);
        let namespace = ManifestNamespace::new(manifest.clone(), contents, Arc::default()).unwrap();
        Mount::new(Arc::new(namespace), upper)
    }

    /// A directory, made known above if it is only below.
    pub(crate) fn dir(&self, path: &str) -> NodeId {
        let mut at = self.upper.root();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = match self.upper.entry(at, name.as_bytes()).unwrap() {
                Some(UpperEntry::Node { id, .. }) => id,
                _ => {
                    let origin = self.below(at, name);
                    let adopted = self.upper.adopt_dir(at, name.as_bytes(), &origin, attrs(0o755));
                    adopted.unwrap()
                }
            };
        }
        at
    }

    fn below(&self, dir: NodeId, name: &str) -> String {
        match &*self.upper.dir_origin(dir).unwrap().unwrap() {
            "" => name.to_owned(),
            above => format!("{above}/{name}"),
        }
    }

    /// The directory of a path, and its last name.
    pub(crate) fn place<'p>(&self, path: &'p str) -> (NodeId, &'p [u8]) {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.dir(dir), name.as_bytes())
    }

    /// A file, made known above if it is only below.
    pub(crate) fn file(&self, path: &str) -> NodeId {
        let (dir, name) = self.place(path);
        if let Some(UpperEntry::Node { id, .. }) = self.upper.entry(dir, name).unwrap() {
            return id;
        }
        let below = self.below(dir, str::from_utf8(name).unwrap());
        let origin = Origin {
            version: "v".into(),
            size: self.lower[&below].len() as u64,
            mtime: MTIME * 1000,
            path: below.into(),
        };
        self.upper.adopt_file(dir, name, &origin, attrs(0o644)).unwrap()
    }

    /// Writes to a file, filling what it must.
    pub(crate) fn write(&self, path: &str, offset: u64, bytes: &[u8]) {
        let id = self.file(path);
        let data = self.upper.data(id).unwrap();
        loop {
            match data.write_at(offset, bytes).unwrap() {
                Changed::Done(done) => {
                    assert_eq!(done, bytes.len() as u64);
                    return;
                }
                Changed::Fill(ranges) => {
                    let (origin, _) = self.upper.content(id).unwrap();
                    let lower = &self.lower[&*origin.unwrap().path];
                    for range in ranges {
                        let bytes = &lower[range.start() as usize..range.end() as usize];
                        data.fill(range.start(), bytes).unwrap();
                    }
                }
            }
        }
    }

    /// Makes a file.
    pub(crate) fn create(&self, path: &str, bytes: &[u8]) -> Arc<DataFile> {
        let (dir, name) = self.place(path);
        let (_, data) = self.upper.create(dir, name, new(0o644)).unwrap();
        assert_eq!(
            data.write_at(0, bytes).unwrap(),
            Changed::Done(bytes.len() as u64)
        );
        data
    }

    /// Microseconds since 1970.
    pub(crate) fn touch(&self, path: &str, mtime: i64) {
        let set = SetAttrs {
            mtime: Some(SetTime::At(mtime * 1000)),
            ..SetAttrs::default()
        };
        self.upper.set_attrs(self.file(path), &set).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        let is_below = true;
        self.upper
            .rename(
                self.place(from),
                self.place(to),
                forebay_vfs::overlay::Rename::Replace,
                is_below,
            )
            .unwrap();
    }

    /// Removes what is only below.
    pub(crate) fn hide(&self, path: &str) {
        let (dir, name) = self.place(path);
        self.upper.hide(dir, name).unwrap();
    }

    pub(crate) fn order(&self, options: ManifestOptions) -> ManifestOrder {
        let source = self.world.source("");
        self.order_in(&source.store, options)
    }

    /// With another store in the place of the lab.
    pub(crate) fn order_in(&self, store: &Arc<dyn ObjectStore>, options: ManifestOptions) -> ManifestOrder {
        let place = |path: &str| ObjectPlace {
            store: store.clone(),
            path: path.into(),
            url: format!("s3://{BUCKET}/{path}").into(),
        };
        ManifestOrder {
            base: self.base.clone(),
            parent: None,
            cas: place(DATA),
            manifest: ManifestPlace {
                place: place(MANIFEST),
                replace: false,
                attributes: Default::default(),
            },
            options,
        }
    }

    pub(crate) async fn commit(&self, options: ManifestOptions) -> Result<ManifestCommitted, CommitError> {
        self.commit_as(&self.order(options)).await
    }

    pub(crate) async fn commit_as(&self, order: &ManifestOrder) -> Result<ManifestCommitted, CommitError> {
        let progress = Arc::new(CommitProgress::default());
        within(Box::pin(commit_manifest(self, order, &progress))).await
    }

    /// The manifest that was stored.
    pub(crate) fn stored(&self) -> Option<Manifest> {
        let object = self.world.lab.objects().get(BUCKET, MANIFEST)?;
        let bytes = all(&object);
        Some(Manifest::decode(&bytes, &Limits::default()).unwrap())
    }

    /// Every content that a manifest names is in the store, under its own hash.
    pub(crate) fn check_contents(&self, manifest: &Manifest) {
        for file in manifest.files() {
            let FileKind::Regular { content, .. } = file.kind else {
                continue;
            };
            let hashes = match content {
                Content::Hash(hash) => vec![hash],
                Content::Chunks(hashes) => hashes.to_vec(),
                Content::Unhashed => panic!("{} has no hash", file.path),
            };
            for hash in hashes {
                let key = format!("{DATA}/{}", hash.object_key());
                let object = self.world.lab.objects().get(BUCKET, &key);
                let object = object.unwrap_or_else(|| panic!("{} has no object", file.path));
                assert_eq!(Hash::of(&all(&object)), hash, "{}", file.path);
            }
        }
    }
}
