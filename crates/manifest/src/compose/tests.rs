use super::compose;
use crate::{
    Base, ChunkSize, Content, DirEntry, FileEntry, FileKind, Hash, Kind, Manifest, ManifestBuilder,
    ManifestPath, Version,
};

/// A manifest of words: `a/b=x` is a file with the hash x, `-a/b` a deleted one, `a/` a directory, `-a/` a deleted one.
fn build(builder: ManifestBuilder, words: &str) -> Manifest {
    let mut builder = builder;
    for word in words.split_whitespace() {
        let (deleted, word) = (word.starts_with('-'), word.trim_start_matches('-'));
        if let Some(dir) = word.strip_suffix('/') {
            let path = ManifestPath::new(dir.as_bytes());
            builder.dir(DirEntry { path, deleted }).unwrap();
            continue;
        }
        let (path, hash) = word.split_once('=').unwrap_or((word, ""));
        let kind = match deleted {
            true => FileKind::Deleted,
            false => FileKind::Regular {
                size: 1,
                mtime: 0,
                runnable: false,
                content: Content::Hash(hash.parse().unwrap()),
            },
        };
        let path = ManifestPath::new(path.as_bytes());
        builder.file(&FileEntry { path, kind }).unwrap();
    }
    builder.finish().unwrap()
}

fn old(words: &str) -> Manifest {
    build(ManifestBuilder::v2023(), words)
}

fn snapshot(words: &str) -> Manifest {
    build(ManifestBuilder::draft(Kind::Snapshot, Base::Relative), words)
}

fn diff(words: &str) -> Manifest {
    build(ManifestBuilder::draft(Kind::Diff, Base::Relative), words)
}

/// The words of a manifest: files, then directories.
fn words(manifest: &Manifest) -> String {
    let files = manifest.files().map(|file| match file.kind {
        FileKind::Regular {
            content: Content::Hash(hash),
            ..
        } => format!("{}={hash}", file.path),
        FileKind::Deleted => format!("-{}", file.path),
        other => panic!("{other:?}"),
    });
    let dirs = manifest
        .dirs()
        .map(|dir| format!("{}{}/", if dir.deleted { "-" } else { "" }, dir.path));
    files.chain(dirs).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_later_one_wins() {
    for (layers, expected) in [
        (vec![old("a=1 d/b=2")], "a=1 d/b=2"),
        (vec![old("a=1 d/b=2"), old("d/b=3 e=4")], "a=1 d/b=3 e=4"),
        // A file in place of a directory, and the reverse, at any depth.
        (vec![old("a/b/c=1 a/d=2 a.x=3"), old("a=4")], "a=4 a.x=3"),
        (vec![old("a=4 a.x=3"), old("a/b/c=1")], "a.x=3 a/b/c=1"),
        (vec![old("a=1"), old("a/b=2"), old("a=3")], "a=3"),
        // A draft has directories, and keeps those that an older format did not name.
        (vec![old("a/b=1"), snapshot("c/ a/d=2")], "a/b=1 a/d=2 a/ c/"),
        (vec![snapshot("a/b/"), old("a=1")], "a=1"),
        (vec![snapshot("a=1"), snapshot("a/")], "a/"),
    ] {
        let composed = compose(&layers.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(words(&composed), expected);
        assert_eq!(composed.kind(), Kind::Snapshot);
        assert_eq!(composed.total_size(), expected.matches('=').count() as u64);
        let all_old = layers.iter().all(|layer| layer.version() == Version::V2023);
        assert_eq!(composed.version() == Version::V2023, all_old);
    }
}

#[test]
fn diffs_delete() {
    for (layers, expected) in [
        (vec![snapshot("a=1 d/b=2"), diff("-a")], "d/b=2 d/"),
        // The directory stays that was not deleted, and the one that is not empty.
        (vec![snapshot("d/b=2"), diff("-d/b")], "d/"),
        (vec![snapshot("d/b=2"), diff("-d/b -d/")], ""),
        (vec![snapshot("d/b=2 d/c=3"), diff("-d/b -d/")], "d/c=3 d/"),
        (vec![snapshot("d/e/f/"), diff("-d/ -d/e/ -d/e/f/")], ""),
        (
            vec![snapshot("d/e/f/ d/g/"), diff("-d/ -d/e/ -d/e/f/")],
            "d/ d/g/",
        ),
        // A file in place of a directory, and the reverse.
        (vec![snapshot("a/b=1"), diff("-a/b -a/ a=2")], "a=2"),
        (vec![snapshot("a=2"), diff("-a a/b=1")], "a/b=1 a/"),
        // The deletion of a file does not take a directory along; deleting nothing is no fault.
        (vec![snapshot("a/b=1"), diff("-a")], "a/b=1 a/"),
        (vec![snapshot("a=1"), diff("-x/y -x/ -z")], "a=1"),
        (
            vec![snapshot("a=1"), diff("-a"), diff("a=2"), diff("b=3")],
            "a=2 b=3",
        ),
        (vec![old("d/a=1 b=2"), diff("-d/a")], "b=2 d/"),
    ] {
        let composed = compose(&layers.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(words(&composed), expected);
        assert_eq!(composed.kind(), Kind::Snapshot);
    }
}

#[test]
fn diffs_come_together_as_one() {
    for (layers, expected) in [
        (vec![diff("a=1 -b"), diff("-a b=2")], "-a b=2"),
        (vec![diff("a=1"), diff("a/b=2")], "-a a/b=2 a/"),
        (vec![diff("a/b=1"), diff("a=2")], "a=2 -a/b -a/"),
        (vec![diff("-d/b -d/"), diff("d/c=1")], "-d/b d/c=1 d/"),
        (vec![diff("d/c=1"), diff("-d/c -d/")], "-d/c -d/"),
    ] {
        let layers: Vec<_> = layers.iter().collect();
        let one = compose(&layers).unwrap();
        assert_eq!((words(&one).as_str(), one.kind()), (expected, Kind::Diff));
        // Laid over something, it does what they do one after the other.
        let base = snapshot("b=9 d/b=8 x/y=7");
        let all: Vec<_> = std::iter::once(&base).chain(layers).collect();
        assert_eq!(
            words(&compose(&[&base, &one]).unwrap()),
            words(&compose(&all).unwrap())
        );
    }
}

#[test]
fn manifests_that_do_not_go_together_are_told_apart() {
    assert_eq!(
        compose(&[]).unwrap_err().to_string(),
        "these manifests cannot be put together: there are none"
    );
    let absolute = ManifestBuilder::draft(Kind::Snapshot, Base::Absolute)
        .finish()
        .unwrap();
    let message = compose(&[&old("a=1"), &absolute]).unwrap_err().to_string();
    assert!(
        message.contains("number 0 has Relative paths and number 1 has not"),
        "{message}"
    );
    let chunked = |size| {
        let hashes = [Hash::of(b"a"), Hash::of(b"b")];
        let mut builder =
            ManifestBuilder::draft(Kind::Snapshot, Base::Relative).chunk_size(ChunkSize::Bytes(size));
        let kind = FileKind::Regular {
            size: 12,
            mtime: 0,
            runnable: false,
            content: Content::Chunks(&hashes),
        };
        let path = ManifestPath::new(b"big");
        builder.file(&FileEntry { path, kind }).unwrap();
        builder.finish().unwrap()
    };
    let message = compose(&[&old("a=1"), &chunked(10), &chunked(9)])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("numbers 1 and 2 cut files into chunks of different sizes"),
        "{message}"
    );
    // One size, and any number of manifests without chunks.
    let composed = compose(&[&old("a=1"), &snapshot("b=2"), &chunked(10), &chunked(10)]).unwrap();
    assert_eq!(
        (composed.chunk_size(), composed.files().len()),
        (ChunkSize::Bytes(10), 3)
    );
}
