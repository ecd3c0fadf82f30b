//! What other implementations wrote is read, and written again byte for byte: `fixtures/v2023` by the reference, PyPI
//! deadline-job-attachments (`fixtures/make.py`), `fixtures/draft` by the crate openjd-snapshots (`fixtures/openjd`).

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use forebay_manifest::{
    Base, ChunkSize, Content, FileKind, Hash, Kind, Limits, Manifest, ManifestError, ManifestPath, Version,
    compose, diff,
};

fn fixtures(kind: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/fixtures", kind]
        .iter()
        .collect()
}

fn bytes_of(kind: &str, name: &str) -> Vec<u8> {
    fs::read(fixtures(kind).join(name)).unwrap()
}

fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    Manifest::decode(bytes, &Limits::default())
}

fn draft(name: &str) -> Manifest {
    decode(&bytes_of("draft", name)).unwrap()
}

/// All manifests of a kind that are not made to be refused.
fn all(kind: &str) -> BTreeMap<String, Vec<u8>> {
    let names = fs::read_dir(fixtures(kind))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.ends_with(".json") && !name.starts_with("trap-"))
        .map(|name| (name.clone(), bytes_of(kind, &name)))
        .collect()
}

#[test]
fn what_the_reference_wrote_is_written_byte_for_byte() {
    let hashes = String::from_utf8(bytes_of("v2023", "hashes.txt")).unwrap();
    let hashes: BTreeMap<_, _> = hashes
        .lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(h, n)| (n, h))
        .collect();
    let all = all("v2023");
    assert_eq!(all.len(), hashes.len());
    for (name, bytes) in &all {
        let manifest = decode(bytes).unwrap();
        assert_eq!(
            String::from_utf8(manifest.encode()).unwrap(),
            String::from_utf8_lossy(bytes),
            "{name}"
        );
        assert_eq!(manifest.hash().to_string(), hashes[name.as_str()], "{name}");
        assert_eq!(manifest.version(), Version::V2023);
    }
}

#[test]
fn names_of_the_reference_are_the_bytes_of_the_files() {
    let tree = decode(&bytes_of("v2023", "tree.json")).unwrap();
    assert_eq!(tree.files().len(), 24);
    let all: [(&[u8], &[u8], i64); 12] = [
        (b"a.txt", b"abc", 1_700_000_000_000_001),
        (b"dir with space/\xc3\xa9.txt", b"e", 1_700_000_000_000_004),
        (b"before 1970", b"old", -5_000_001),
        (b"much before", b"older", -2_000_000_000_000_000),
        (b"quote\"back\\slash\x7f\x01\x1f\n\r\t\x08\x0c", b"odd", 1),
        (b"latin-1 caf\xe9/b\xff\xfe\x80", b"no UTF-8", 2),
        (b"half \xe2\x82", b"half a character", 3),
        (b"half \xe2\x82\xac", b"a whole one", 4),
        (b"\xff", b"a lone DCFF", 9),
        ("e\u{301}".as_bytes(), b"decomposed", 10),
        (b"C:\\share", b"a name like any other here", 12),
        (b"empty", b"", 0),
    ];
    for (path, content, time) in all {
        let file = tree
            .find(ManifestPath::new(path))
            .and_then(|number| tree.file(number))
            .unwrap();
        let expected = FileKind::Regular {
            size: content.len() as u64,
            mtime: time,
            runnable: false,
            content: Content::Hash(Hash::of(content)),
        };
        assert_eq!(file.kind, expected, "{}", file.path);
    }
}

#[test]
fn what_openjd_wrote_is_written_byte_for_byte() {
    let all = all("draft");
    assert_eq!(all.len(), 8);
    for (name, bytes) in &all {
        let manifest = decode(bytes).unwrap();
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(String::from_utf8(manifest.encode()).unwrap(), text, "{name}");
        assert_eq!(manifest.version(), Version::Beta2025);
        assert_eq!(
            manifest.base() == Base::Absolute,
            name.starts_with("absolute-"),
            "{name}"
        );
        assert_eq!(
            manifest.kind() == Kind::Diff,
            name.ends_with("diff.json"),
            "{name}"
        );
        // The prototype in Python writes the same without the size of the chunks, which is 256 MiB then.
        if manifest.chunk_size() == ChunkSize::Never || manifest.kind() == Kind::Diff {
            let size = if name.ends_with("diff.json") {
                "2097152"
            } else {
                "-1"
            };
            let without = text.replace(&format!(r#""fileChunkSizeBytes":{size},"#), "");
            let manifest = decode(without.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(manifest.encode()).unwrap(), without);
            assert_eq!(manifest.chunk_size().bytes(), Some(256 << 20));
        }
    }
}

#[test]
fn a_draft_of_openjd_says_what_was_put_in() {
    let manifest = draft("snapshot.json");
    assert_eq!(manifest.chunk_size(), ChunkSize::Bytes(2 << 20));
    assert_eq!(manifest.total_size(), 5_244_250);
    let kind = |path: &str| {
        let number = manifest.find(ManifestPath::new(path.as_bytes())).unwrap();
        manifest.file(number).unwrap().kind
    };
    let target = |path: &'static str| FileKind::Symlink {
        target: ManifestPath::new(path.as_bytes()),
    };
    let hash = |digit: &str| digit.repeat(32).parse::<Hash>().unwrap();
    let regular = |size, mtime, runnable, content| FileKind::Regular {
        size,
        mtime,
        runnable,
        content,
    };
    let chunks = [hash("1"), hash("2"), hash("3")];
    // From the root of the manifest on, not from the directory of the link.
    assert_eq!(kind("scene/latest"), target("scene/shot.blend"));
    assert_eq!(kind("here"), target("elsewhere/that/is/not there"));
    assert_eq!(
        kind("scene/not hashed.tmp"),
        regular(77, 7, false, Content::Unhashed)
    );
    assert_eq!(
        kind("cache/big.vdb"),
        regular(5_242_881, 6, false, Content::Chunks(&chunks))
    );
    assert_eq!(kind("$0"), regular(1, 5, false, Content::Hash(hash("0"))));
    assert_eq!(
        kind("scene/bin/render.sh"),
        regular(20, 1_700_000_000_000_002, true, Content::Hash(hash("b")))
    );
    assert_eq!(
        draft("absolute-top.json").file(0).unwrap().path.as_bytes(),
        b"/link"
    );
}

#[test]
fn openjd_and_we_agree_what_a_diff_is_and_does() {
    let (old, new, theirs) = (
        draft("snapshot.json"),
        draft("snapshot-after.json"),
        draft("diff.json"),
    );
    let ours = diff(&old, &new, theirs.parent().cloned()).unwrap();
    assert_eq!(
        String::from_utf8(ours.encode()).unwrap(),
        String::from_utf8(bytes_of("draft", "diff.json")).unwrap()
    );
    let composed = compose(&[&old, &theirs]).unwrap();
    assert_eq!(
        String::from_utf8(composed.encode()).unwrap(),
        String::from_utf8(bytes_of("draft", "composed.json")).unwrap()
    );
    let absolute = compose(&[&draft("absolute-snapshot.json"), &draft("absolute-diff.json")]).unwrap();
    let paths = |manifest: &Manifest| {
        let of =
            |file: forebay_manifest::FileEntry<'_>| String::from_utf8(file.path.as_bytes().to_vec()).unwrap();
        manifest.files().map(of).collect::<Vec<_>>()
    };
    let below: Vec<_> = paths(&new)
        .iter()
        .map(|path| format!("/projects/demo/{path}"))
        .collect();
    assert_eq!(paths(&absolute), below);
}

/// openjd-snapshots 0.1.10 differs from the reference, and from what may be used.
#[test]
fn where_openjd_differs() {
    // 0x7F is written raw: read as it is, written as Python writes it, so the bytes and the manifest's hash differ.
    for name in ["trap-del.json", "trap-del-v2023.json"] {
        let bytes = bytes_of("draft", name);
        let written = decode(&bytes).unwrap().encode();
        assert_ne!(written, bytes);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            text.replace('\x7f', "\\u007f")
        );
    }
    // The sum of sizes is stored as given.
    let error = decode(&bytes_of("draft", "trap-total.json")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("its totalSize is 6, and its files have 5 bytes together"),
        "{error}"
    );
    // A link out of the root.
    let error = decode(&bytes_of("draft", "trap-escape.json")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("files[0] \"a\": it is a link to \"..\""),
        "{error}"
    );
    // Negative times and lone surrogates, which it refuses and Python writes, are in `v2023/tree.json`. A file that became
    // a directory, which it refuses in one diff, is in the tests of `check`.
}

/// What godobyte/rusty-attachments writes under the name of the draft has other keys, and is refused for that.
#[test]
fn other_drafts_are_told_apart() {
    let good = String::from_utf8(bytes_of("draft", "diff.json")).unwrap();
    for (from, to, expected) in [
        (
            r#""name":"new""#,
            r#""path":"new""#,
            "dirs[0]: the key `path` is not known",
        ),
        (
            r#""delete":true,"name":"becomes a directory""#,
            r#""deleted":true,"name":"x""#,
            "files[0] \"x\": the key `deleted`",
        ),
        (
            r#""specificationVersion":"relative-manifest-diff-beta-2025-12""#,
            r#""manifestVersion":"2025-12-04-beta""#,
            "manifestVersion is 2025-12-04-beta",
        ),
    ] {
        let error = decode(good.replace(from, to).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
