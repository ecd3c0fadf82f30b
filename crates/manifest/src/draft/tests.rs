use crate::{
    Base, ChunkSize, Content, DirEntry, FileEntry, FileKind, Hash, Kind, Limits, Manifest, ManifestBuilder,
    ManifestPath, Version,
};

fn path(bytes: &[u8]) -> ManifestPath<'_> {
    ManifestPath::new(bytes)
}

fn hashed(hash: &str) -> FileKind<'static> {
    FileKind::Regular {
        size: 1,
        mtime: 2,
        runnable: false,
        content: Content::Hash(hash.parse().unwrap()),
    }
}

#[test]
fn every_kind_of_entry_is_written_as_the_draft_says() {
    let parent = Hash::from_u128(7);
    let mut builder = ManifestBuilder::draft(Kind::Diff, Base::Relative)
        .chunk_size(ChunkSize::Bytes(10))
        .parent(Some(parent.clone()));
    let chunks = ["aa".parse().unwrap(), "bb".parse().unwrap()];
    let files = [
        (
            &b"z/run"[..],
            FileKind::Regular {
                size: 1,
                mtime: -2,
                runnable: true,
                content: Content::Unhashed,
            },
        ),
        (
            b"big",
            FileKind::Regular {
                size: 11,
                mtime: 2,
                runnable: false,
                content: Content::Chunks(&chunks),
            },
        ),
        (
            b"link",
            FileKind::Symlink {
                target: path(b"far/away/x"),
            },
        ),
        (b"root", FileKind::Symlink { target: path(b".") }),
        (b"gone/y", FileKind::Deleted),
        (b"z/\x7f\xff", hashed("cc")),
    ];
    for (at, kind) in files {
        builder.file(&FileEntry { path: path(at), kind }).unwrap();
    }
    for (at, deleted) in [
        (&b"gone"[..], true),
        ("\u{1F600}".as_bytes(), false),
        ("\u{FB33}".as_bytes(), false),
    ] {
        let path = path(at);
        builder.dir(DirEntry { path, deleted }).unwrap();
    }
    let manifest = builder.finish().unwrap();
    // Directories in the order of code points, U+FB33 first.
    let expected = concat!(
        r#"{"dirs":[{"name":"far"},{"name":"$0/away"},{"delete":true,"name":"gone"},{"name":"z"},{"name":"\ufb33"},{"name":"\ud83d\ude00"}],"#,
        r#""fileChunkSizeBytes":10,"files":[{"chunkhashes":["aa","bb"],"mtime":2,"name":"big","size":11},"#,
        r#"{"delete":true,"name":"$2/y"},{"name":"link","symlink":{"name":"$1/x"}},{"name":"root","symlink":{"name":"."}},"#,
        r#"{"mtime":-2,"name":"$3/run","runnable":true,"size":1},{"hash":"cc","mtime":2,"name":"$3/\u007f\udcff","size":1}],"#,
        r#""hashAlg":"xxh128","parentManifestHash":"00000000000000000000000000000007","#,
        r#""specificationVersion":"relative-manifest-diff-beta-2025-12","totalSize":13}"#,
    );
    // 0x7F sorts after `r`.
    assert_eq!(String::from_utf8(manifest.encode()).unwrap(), expected);
    let read = Manifest::decode(expected.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(read.encode(), expected.as_bytes());
    assert_eq!(
        (read.version(), read.kind(), read.base()),
        (Version::Beta2025, Kind::Diff, Base::Relative)
    );
    assert_eq!(
        (read.parent(), read.chunk_size(), read.total_size()),
        (Some(&parent), ChunkSize::Bytes(10), 13)
    );
    assert!(read.files().eq(manifest.files()) && read.dirs().eq(manifest.dirs()));
}

#[test]
fn the_four_specifications_say_base_and_kind() {
    for (base, kind, name, at) in [
        (
            Base::Absolute,
            Kind::Diff,
            "absolute-manifest-diff-beta-2025-12",
            "/f",
        ),
        (
            Base::Absolute,
            Kind::Snapshot,
            "absolute-manifest-snapshot-beta-2025-12",
            "/f",
        ),
        (
            Base::Relative,
            Kind::Diff,
            "relative-manifest-diff-beta-2025-12",
            "f",
        ),
        (
            Base::Relative,
            Kind::Snapshot,
            "relative-manifest-snapshot-beta-2025-12",
            "f",
        ),
    ] {
        let mut builder = ManifestBuilder::draft(kind, base);
        let file = FileEntry {
            path: path(at.as_bytes()),
            kind: hashed("aa"),
        };
        builder.file(&file).unwrap();
        let text = String::from_utf8(builder.finish().unwrap().encode()).unwrap();
        assert_eq!(
            text,
            format!(
                r#"{{"dirs":[],"files":[{{"hash":"aa","mtime":2,"name":"{at}","size":1}}],"hashAlg":"xxh128","specificationVersion":"{name}","totalSize":1}}"#
            )
        );
        let read = Manifest::decode(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!((read.base(), read.kind()), (base, kind));
        let unknown = text.replace("beta-2025-12", "beta-2026-01");
        let error = Manifest::decode(unknown.as_bytes(), &Limits::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the four of the draft beta-2025-12 are read"),
            "{error}"
        );
    }
}

#[test]
fn chunks_of_the_last_size_that_fits_and_none_that_does_not() {
    let hashes = vec![Hash::of(b"a"); 3];
    let chunked = |size, count: usize| FileEntry {
        path: path(b"f"),
        kind: FileKind::Regular {
            size,
            mtime: 0,
            runnable: false,
            content: Content::Chunks(&hashes[..count]),
        },
    };
    for (chunk, size, count, fits) in [
        (ChunkSize::Bytes(10), 11, 2, true),
        (ChunkSize::Bytes(10), 20, 2, true),
        (ChunkSize::Bytes(10), 21, 3, true),
        (ChunkSize::Bytes(10), 21, 2, false),
        (ChunkSize::Bytes(10), 10, 1, false),
        (ChunkSize::Unwritten, (256 << 20) + 1, 2, true),
        (ChunkSize::Unwritten, 256 << 20, 1, false),
        (ChunkSize::Never, 1 << 40, 2, false),
        (ChunkSize::Bytes(0), 3, 3, false),
        (ChunkSize::Bytes(u64::MAX), 3, 1, false),
    ] {
        let mut builder = ManifestBuilder::draft(Kind::Snapshot, Base::Relative).chunk_size(chunk);
        let built = builder
            .file(&chunked(size, count))
            .and_then(|()| builder.finish());
        assert_eq!(built.is_ok(), fits, "{chunk:?} {size} {count}");
    }
}

#[test]
fn keys_come_in_any_order_and_false_is_as_good_as_nothing() {
    let text = r#"{"totalSize":1,"specificationVersion":"relative-manifest-diff-beta-2025-12","hashAlg":"xxh128",
        "files":[{"symlink":{"name":"$0/b"},"runnable":false,"name":"c"},{"size":1,"delete":false,"name":"$0/b","mtime":2}],
        "dirs":[{"delete":false,"name":"a"}]}"#;
    let manifest = Manifest::decode(text.as_bytes(), &Limits::default()).unwrap();
    let expected = r#"{"dirs":[{"name":"a"}],"files":[{"mtime":2,"name":"$0/b","size":1},{"name":"c","symlink":{"name":"$0/b"}}],"hashAlg":"xxh128","specificationVersion":"relative-manifest-diff-beta-2025-12","totalSize":1}"#;
    assert_eq!(String::from_utf8(manifest.encode()).unwrap(), expected);
}
