use forebay_manifest::{DirEntry, ManifestBuilder};
use forebay_range::RangeEngine;
use forebay_source::{Opener, SourceOptions};
use forebay_types::RangeSpec;
use object_store::ObjectStoreExt;

use super::*;

fn regular<'a>(path: &'a str, size: u64, content: Content<'a>) -> FileEntry<'a> {
    FileEntry {
        path: ManifestPath::new(path.as_bytes()),
        kind: FileKind::Regular {
            size,
            mtime: 1_700_000_000_000_001,
            runnable: path.ends_with(".sh"),
            content,
        },
    }
}

fn snapshot(files: &[FileEntry<'_>], dirs: &[&str]) -> Manifest {
    let mut builder =
        ManifestBuilder::draft(ManifestKind::Snapshot, Base::Relative).chunk_size(ChunkSize::Bytes(4));
    for path in dirs {
        let path = ManifestPath::new(path.as_bytes());
        builder.dir(DirEntry { path, deleted: false }).unwrap();
    }
    for file in files {
        builder.file(file).unwrap();
    }
    builder.finish().unwrap()
}

struct World {
    /// With the objects.
    below: Source,
    namespace: ManifestNamespace,
}

fn world(manifest: Manifest) -> Result<World, ManifestMountError> {
    let opener = Opener::new(SourceOptions::default());
    let below = opener.memory();
    let namespace = ManifestNamespace::new(manifest, opener.open_cas(&below), Arc::default())?;
    Ok(World { below, namespace })
}

impl World {
    async fn put(&self, bytes: &'static [u8]) {
        let key = Path::from(Hash::of(bytes).object_key());
        self.below.store.put(&key, bytes.into()).await.unwrap();
    }

    async fn names(&self, dir: &DirPath) -> Vec<(String, Kind)> {
        let entries = self.namespace.list(dir).await.unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.name.to_string(), entry.node.kind()))
            .collect()
    }

    async fn read(&self, dir: &DirPath, name: &str) -> Result<Vec<u8>, forebay_range::RangeError> {
        let Some(Node::File(meta)) = self.namespace.look(dir, name, None).await.unwrap() else {
            panic!("{name} is no file");
        };
        let engine = RangeEngine::new(RangeEngineConfig::default());
        let target = self.namespace.target(dir, name, &meta);
        let (bytes, _) = engine.read(target, RangeSpec::From(0)).await?;
        Ok(bytes.to_vec())
    }
}

fn dir(names: &[&str]) -> DirPath {
    names.iter().fold(DirPath::root(), |dir, name| dir.child(name))
}

#[tokio::test]
async fn a_manifest_is_a_tree() {
    let hash = || Content::Hash(Hash::of(b"abc"));
    let link = FileEntry {
        path: ManifestPath::new(b"a/b/link"),
        kind: FileKind::Symlink {
            target: ManifestPath::new(b"z.sh"),
        },
    };
    let world = world(snapshot(
        &[
            regular("a/b/one", 3, hash()),
            regular("a/b/two", 3, hash()),
            regular("a/b.txt", 3, hash()),
            regular("a-b/x", 3, hash()),
            regular("z.sh", 3, hash()),
            regular("\u{fb33}/y", 3, hash()),
            regular("\u{1f600}/y", 3, hash()),
            link,
        ],
        &["empty/deeper", "a/c"],
    ))
    .unwrap();
    use Kind::{Dir, File, Symlink};
    let expected = |names: &[(&str, Kind)]| {
        names
            .iter()
            .map(|(n, k)| ((*n).to_owned(), *k))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        world.names(&dir(&[])).await,
        expected(&[
            ("a", Dir),
            ("a-b", Dir),
            ("empty", Dir),
            ("z.sh", File),
            ("\u{fb33}", Dir),
            ("\u{1f600}", Dir)
        ])
    );
    assert_eq!(
        world.names(&dir(&["a"])).await,
        expected(&[("b", Dir), ("b.txt", File), ("c", Dir)])
    );
    assert_eq!(
        world.names(&dir(&["a", "b"])).await,
        expected(&[("link", Symlink), ("one", File), ("two", File)])
    );
    assert_eq!(world.names(&dir(&["empty"])).await, expected(&[("deeper", Dir)]));
    assert_eq!(world.names(&dir(&["empty", "deeper"])).await, []);
    for none in [&["a", "b", "one"][..], &["no"], &["z.sh"]] {
        let error = world.namespace.list(&dir(none)).await.unwrap_err();
        assert!(matches!(error, VfsError::NotFound { .. }), "{error}");
    }
    let look = async |at: &[&str], name| world.namespace.look(&dir(at), name, None).await.unwrap();
    assert_eq!(look(&["a"], "c").await, Some(Node::Dir));
    assert_eq!(look(&[], "empty").await, Some(Node::Dir));
    assert_eq!(look(&[], "emp").await, None);
    let target = "../../z.sh".into();
    assert_eq!(look(&["a", "b"], "link").await, Some(Node::Symlink { target }));
    let Some(Node::File(meta)) = look(&[], "z.sh").await else {
        panic!("no file");
    };
    assert_eq!((meta.size, meta.executable), (3, true));
    assert_eq!(meta.modified, Duration::from_micros(1_700_000_000_000_001));
}

#[tokio::test]
async fn files_are_read_by_their_hashes_and_chunks_as_one() {
    let chunks = [b"abcd".as_slice(), b"efgh", b"ij"].map(Hash::of);
    let world = world(snapshot(
        &[
            regular("whole", 3, Content::Hash(Hash::of(b"abc"))),
            regular("joined", 10, Content::Chunks(&chunks)),
            regular("lost", 3, Content::Hash(Hash::of(b"xyz"))),
            regular("short", 4, Content::Hash(Hash::of(b"abc"))),
        ],
        &[],
    ))
    .unwrap();
    for bytes in [b"abc".as_slice(), b"abcd", b"efgh", b"ij"] {
        world.put(bytes).await;
    }
    let root = DirPath::root();
    assert_eq!(world.read(&root, "whole").await.unwrap(), b"abc");
    assert_eq!(world.read(&root, "joined").await.unwrap(), b"abcdefghij");
    assert!(world.read(&root, "lost").await.is_err());
    let error = world.read(&root, "short").await.unwrap_err();
    assert_eq!(error.kind(), forebay_types::ErrorKind::Changed, "{error}");
}

#[test]
fn what_is_no_list_of_files_is_refused() {
    let diff = ManifestBuilder::draft(ManifestKind::Diff, Base::Relative)
        .finish()
        .unwrap();
    assert!(matches!(world(diff), Err(ManifestMountError::Diff)));
    let absolute = ManifestBuilder::draft(ManifestKind::Snapshot, Base::Absolute)
        .finish()
        .unwrap();
    assert!(matches!(world(absolute), Err(ManifestMountError::Absolute)));
    let unhashed = snapshot(&[regular("a\nb", 3, Content::Unhashed)], &[]);
    let Err(error) = world(unhashed) else {
        panic!("it is mounted")
    };
    assert!(error.to_string().contains("'a\\u{a}b' was not hashed"), "{error}");
}

#[test]
fn links_are_seen_from_their_directories() {
    let seen = |link: &str, target: &str| {
        let path = |text: &str| text.as_bytes().to_vec();
        let (link, target) = (path(link), path(target));
        String::from_utf8(seen_from(ManifestPath::new(&link), ManifestPath::new(&target))).unwrap()
    };
    assert_eq!(seen("l", "a/b"), "a/b");
    assert_eq!(seen("a/l", "b"), "../b");
    assert_eq!(seen("a/b/l", "."), "../..");
    assert_eq!(seen("l", "."), ".");
    // A directory that is moved takes along what its links lead to.
    assert_eq!(seen("a/b/l", "a/b/c"), "c");
    assert_eq!(seen("a/b/l", "a/c"), "../c");
    assert_eq!(seen("a/b/l", "a/b"), ".");
    assert_eq!(seen("a/b/c/l", "a/b"), "..");
    assert_eq!(seen("a/l", "ab"), "../ab");
}
