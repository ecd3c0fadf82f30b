//! Encoding and decoding undo each other, whatever is in the manifest.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use forebay_manifest::{
    Base, ChunkSize, Content, DirEntry, FileEntry, FileKind, Hash, Kind, Limits, Manifest, ManifestBuilder,
    ManifestPath,
};
use proptest::prelude::*;

/// Components of any bytes that a Linux file name may have.
fn component() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        4 => proptest::sample::select(&b"ab.$0\\\"\x7f\n "[..]).prop_map(|byte| vec![byte]),
        2 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(pieces, 1..4).prop_map(|pieces| {
        let mut name = pieces.concat();
        name.retain(|byte| !matches!(byte, 0 | b'/'));
        if matches!(name.as_slice(), b"" | b"." | b"..") {
            name = b"name".to_vec();
        }
        name
    })
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(component(), 1..4).prop_map(|names| names.join(&b'/'))
}

fn hash() -> impl Strategy<Value = Hash> {
    prop_oneof![
        3 => any::<u128>().prop_map(Hash::from_u128),
        1 => "[a-zA-Z0-9]{1,40}".prop_map(|text| text.parse().unwrap()),
    ]
}

#[derive(Clone, Debug)]
enum Node {
    Regular {
        size: u64,
        mtime: i64,
        runnable: bool,
        hash: Option<Hash>,
    },
    Chunks(Vec<Hash>),
    Link(Vec<u8>),
    Deleted,
    Dir(bool),
}

fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        4 => (0..=1u64 << 40, any::<i64>(), any::<bool>(), proptest::option::of(hash()))
            .prop_map(|(size, mtime, runnable, hash)| Node::Regular { size, mtime, runnable, hash }),
        1 => proptest::collection::vec(hash(), 2..5).prop_map(Node::Chunks),
        1 => path().prop_map(Node::Link),
        1 => Just(Node::Deleted),
        1 => any::<bool>().prop_map(Node::Dir),
    ]
}

fn file<'a>(path: &'a [u8], node: &'a Node) -> Option<FileEntry<'a>> {
    let kind = match node {
        Node::Regular {
            size,
            mtime,
            runnable,
            hash,
        } => FileKind::Regular {
            size: *size,
            mtime: *mtime,
            runnable: *runnable,
            content: hash.clone().map_or(Content::Unhashed, Content::Hash),
        },
        Node::Chunks(hashes) => FileKind::Regular {
            size: hashes.len() as u64 * 100,
            mtime: 0,
            runnable: false,
            content: Content::Chunks(hashes),
        },
        Node::Link(target) => FileKind::Symlink {
            target: ManifestPath::new(target),
        },
        Node::Deleted => FileKind::Deleted,
        Node::Dir(_) => return None,
    };
    Some(FileEntry {
        path: ManifestPath::new(path),
        kind,
    })
}

fn there_and_back(manifest: &Manifest) {
    let bytes = manifest.encode();
    assert!(bytes.is_ascii());
    let again = Manifest::decode(&bytes, &Limits::default()).unwrap();
    assert_eq!(again.encode(), bytes);
    assert!(again.files().eq(manifest.files()) && again.dirs().eq(manifest.dirs()));
    assert_eq!(again.total_size(), manifest.total_size());
    assert_eq!(
        (again.kind(), again.base(), again.chunk_size()),
        (manifest.kind(), manifest.base(), manifest.chunk_size())
    );
    assert_eq!(again.parent(), manifest.parent());
    assert!(again.files().is_sorted_by(|a, b| a.path < b.path));
    for (number, file) in again.files().enumerate() {
        assert_eq!(again.find(file.path), Some(number));
    }
}

proptest! {
    #[test]
    fn of_v2023(entries in proptest::collection::btree_map(path(), (0..=1u64 << 40, any::<i64>(), hash()), 1..20)) {
        let mut builder = ManifestBuilder::v2023();
        for (path, (size, mtime, hash)) in &entries {
            let content = Content::Hash(hash.clone());
            let kind = FileKind::Regular { size: *size, mtime: *mtime, runnable: false, content };
            builder.file(&FileEntry { path: ManifestPath::new(path), kind }).unwrap();
        }
        // Refused only where one lies in the other.
        let clash = entries.keys().any(|path| {
            entries.keys().any(|other| ManifestPath::new(path).is_below(ManifestPath::new(other)))
        });
        let built = builder.finish();
        prop_assert_eq!(built.is_err(), clash);
        if let Ok(manifest) = built {
            prop_assert_eq!(manifest.files().len(), entries.len());
            there_and_back(&manifest);
        }
    }

    #[test]
    fn of_drafts(
        entries in proptest::collection::btree_map(path(), node(), 0..20),
        absolute: bool,
        parent in proptest::option::of(hash()),
    ) {
        let root: &[u8] = if absolute { b"/" } else { b"" };
        let base = if absolute { Base::Absolute } else { Base::Relative };
        let entries: BTreeMap<_, _> = entries
            .into_iter()
            .map(|(path, node)| {
                let node = match node {
                    Node::Link(target) => Node::Link([root, &target].concat()),
                    other => other,
                };
                ([root, &path].concat(), node)
            })
            .collect();
        let mut builder = ManifestBuilder::draft(Kind::Diff, base).chunk_size(ChunkSize::Bytes(100)).parent(parent);
        for (path, node) in &entries {
            match (file(path, node), node) {
                (Some(file), _) => builder.file(&file).unwrap(),
                (None, Node::Dir(deleted)) => {
                    builder.dir(DirEntry { path: ManifestPath::new(path), deleted: *deleted }).unwrap();
                }
                _ => {}
            }
        }
        if let Ok(manifest) = builder.finish() {
            there_and_back(&manifest);
        }
    }

    #[test]
    fn of_any_text_that_is_read(
        name in "(\\\\u(d[89a-f]|00|e0)[0-9a-f]{2}|[ab/.$0]|\\\\[\"\\\\nbt/]|[^\\x00-\\x1f\"\\\\]){1,6}",
        size in 0..1000u64,
    ) {
        let text = format!(
            r#"{{"hashAlg":"xxh128","manifestVersion":"2023-03-03","paths":[{{"hash":"aa","mtime":0,"path":"{name}","size":{size}}}],"totalSize":{size}}}"#
        );
        if let Ok(manifest) = Manifest::decode(text.as_bytes(), &Limits::default()) {
            there_and_back(&manifest);
        }
    }
}
