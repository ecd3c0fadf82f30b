use crate::{
    Base, ChunkSize, Content, DirEntry, FileEntry, FileKind, Hash, Kind, Limits, Manifest, ManifestBuilder,
    ManifestPath, Version,
};

/// Produced by the reference from four entries in another order; docs/manifest.md has it too.
const GOLDEN: &str = r#"{"hashAlg":"xxh128","manifestVersion":"2023-03-03","paths":[{"hash":"dd","mtime":3,"path":"bad\udcff","size":1},{"hash":"aa","mtime":-5,"path":"d/\u007f\"\\.txt","size":1},{"hash":"bb","mtime":1,"path":"d/\ud83d\ude00","size":2},{"hash":"cc","mtime":2,"path":"d/\ufb33","size":3}],"totalSize":7}"#;

fn regular(path: &[u8], hash: &str, size: u64, mtime: i64) -> FileEntry<'static> {
    FileEntry {
        path: ManifestPath::new(path.to_vec().leak()),
        kind: FileKind::Regular {
            size,
            mtime,
            runnable: false,
            content: Content::Hash(hash.parse().unwrap()),
        },
    }
}

fn four() -> [FileEntry<'static>; 4] {
    [
        regular(b"d/\x7f\"\\.txt", "aa", 1, -5),
        regular("d/\u{1F600}".as_bytes(), "bb", 2, 1),
        regular("d/\u{FB33}".as_bytes(), "cc", 3, 2),
        regular(b"bad\xff", "dd", 1, 3),
    ]
}

#[test]
fn the_vector_of_the_format_is_built_byte_for_byte() {
    let mut builder = ManifestBuilder::v2023();
    four().iter().try_for_each(|file| builder.file(file)).unwrap();
    let manifest = builder.finish().unwrap();
    assert_eq!(String::from_utf8(manifest.encode()).unwrap(), GOLDEN);
    assert_eq!(manifest.hash().to_string(), "f41cf4cc380fd9b8cc8cfa47a4770726");
    assert_eq!(manifest.total_size(), 7);
    assert_eq!(
        (manifest.kind(), manifest.base()),
        (Kind::Snapshot, Base::Relative)
    );
    // The name that the package gives to a manifest of this root.
    assert_eq!(
        Hash::of(b"/projects/demo").to_string(),
        "f2765d23651dfe235cd69642758872e6"
    );
}

#[test]
fn the_vector_of_the_format_is_read() {
    let manifest = Manifest::decode(GOLDEN.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(manifest.encode(), GOLDEN.as_bytes());
    for file in four() {
        let number = manifest.find(file.path).unwrap();
        assert_eq!(manifest.file(number), Some(file));
    }
    assert_eq!(manifest.find(ManifestPath::new(b"d")), None);
    assert_eq!(manifest.file(4), None);
}

#[test]
fn any_order_of_keys_and_entries_is_read_and_the_canonical_one_written() {
    let other = r#" { "totalSize": 7, "paths": [
        {"path": "d/LIGATURE", "size": 3, "hash": "cc", "mtime": 2}, {"path": "d/😀", "size": 2, "hash": "bb", "mtime": 1},
        {"size": 1, "path": "d\/\u007F\"\\.txt", "hash": "aa", "mtime": -5},
        {"size": 1, "path": "bad\uDCFF", "hash": "dd", "mtime": 3}
    ], "manifestVersion": "2023-03-03", "hashAlg": "xxh128" } "#;
    // Written out here, an editor would take it apart.
    let other = other.replace("LIGATURE", "\u{FB33}");
    let manifest = Manifest::decode(other.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(String::from_utf8(manifest.encode()).unwrap(), GOLDEN);
}

#[test]
fn what_it_cannot_hold_is_said_with_the_entry() {
    let file = regular(b"a/f", "aa", 3, 1);
    let with = |kind: Option<FileKind<'_>>, dir: Option<DirEntry<'_>>, how: Kind| {
        let mut builder = ManifestBuilder::draft(how, Base::Relative).chunk_size(ChunkSize::Bytes(2));
        builder.file(&file).unwrap();
        if let Some(kind) = kind {
            let path = ManifestPath::new(b"x\n");
            builder.file(&FileEntry { path, kind }).unwrap();
        }
        dir.into_iter().for_each(|dir| builder.dir(dir).unwrap());
        builder.finish().unwrap()
    };
    let kind = |runnable, content| FileKind::Regular {
        size: 3,
        mtime: 1,
        runnable,
        content,
    };
    let dir = |path, deleted| DirEntry {
        path: ManifestPath::new(path),
        deleted,
    };
    let hashes = [Hash::of(b"a"), Hash::of(b"b")];
    let target = ManifestPath::new(b"a");
    let snapshot = |kind| with(Some(kind), None, Kind::Snapshot);
    for (manifest, expected) in [
        (
            snapshot(kind(true, Content::Hash(Hash::of(b"")))),
            "paths \"x\\u{a}\": a v2023-03-03 manifest cannot hold an executable file: write the draft",
        ),
        (
            snapshot(kind(false, Content::Unhashed)),
            "paths \"x\\u{a}\": a v2023-03-03 manifest cannot hold a file without a hash",
        ),
        (
            snapshot(kind(false, Content::Chunks(&hashes))),
            "paths \"x\\u{a}\": a v2023-03-03 manifest cannot hold a file in chunks",
        ),
        (
            snapshot(FileKind::Symlink { target }),
            "paths \"x\\u{a}\": a v2023-03-03 manifest cannot hold a symbolic link",
        ),
        (
            with(None, Some(dir(b"a/b", false)), Kind::Snapshot),
            "dirs \"a/b\": a v2023-03-03 manifest cannot hold an empty directory",
        ),
        (
            with(None, Some(dir(b"a/b", true)), Kind::Diff),
            "dirs \"a/b\": a v2023-03-03 manifest cannot hold a deletion",
        ),
        (
            with(None, None, Kind::Diff),
            "a v2023-03-03 manifest cannot hold a diff",
        ),
        (
            with(Some(FileKind::Deleted), None, Kind::Diff),
            "a v2023-03-03 manifest cannot hold a diff",
        ),
        (
            ManifestBuilder::draft(Kind::Snapshot, Base::Relative)
                .finish()
                .unwrap(),
            "it has no files",
        ),
    ] {
        let error = manifest.to_version(Version::V2023).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let absolute = ManifestBuilder::draft(Kind::Snapshot, Base::Absolute)
        .finish()
        .unwrap();
    assert!(absolute.to_version(Version::V2023).is_err());
}

#[test]
fn what_it_can_hold_goes_there_and_back() {
    let old = Manifest::decode(GOLDEN.as_bytes(), &Limits::default()).unwrap();
    let draft = old.to_version(Version::Beta2025).unwrap();
    assert_eq!(
        draft.dirs().map(|dir| dir.path).collect::<Vec<_>>(),
        [ManifestPath::new(b"d")]
    );
    assert_eq!(draft.chunk_size(), ChunkSize::Never);
    assert!(draft.files().eq(old.files()));
    assert_eq!(draft.to_version(Version::V2023).unwrap(), old);
    assert_eq!(old.to_version(Version::V2023).unwrap(), old);
}
