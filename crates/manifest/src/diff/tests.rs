use std::collections::BTreeSet;

use proptest::prelude::*;

use super::diff;
use crate::{
    Base, ChunkSize, Content, DirEntry, FileEntry, FileKind, Hash, Kind, Manifest, ManifestBuilder,
    ManifestPath, Version, compose,
};

/// What may be at a path of a small tree.
#[derive(Clone, Debug)]
enum Node {
    Dir,
    File(u8),
    Runnable(u8),
    Chunks(u8),
    Link(&'static str),
}

fn trees() -> impl Strategy<Value = Vec<(String, Node)>> {
    let name = proptest::sample::select(&["a", "b", "a.b", "\u{1F600}", "\u{FB33}"][..]);
    let path = proptest::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let node = prop_oneof![
        1 => Just(Node::Dir),
        4 => any::<u8>().prop_map(|hash| Node::File(hash % 3)),
        1 => any::<u8>().prop_map(|hash| Node::Runnable(hash % 2)),
        1 => any::<u8>().prop_map(|hash| Node::Chunks(hash % 2)),
        1 => proptest::sample::select(&["a", "b/x", "."][..]).prop_map(Node::Link),
    ];
    proptest::collection::vec((path, node), 0..12)
}

/// A snapshot with as much of `tree` as fits together.
fn snapshot(tree: &[(String, Node)]) -> Manifest {
    let mut files: BTreeSet<&str> = BTreeSet::new();
    let mut dirs: BTreeSet<String> = BTreeSet::new();
    let mut explicit: BTreeSet<&str> = BTreeSet::new();
    let mut builder = ManifestBuilder::draft(Kind::Snapshot, Base::Relative).chunk_size(ChunkSize::Bytes(10));
    let above = |path: &str| -> Vec<String> {
        path.match_indices('/')
            .map(|(at, _)| path[..at].to_owned())
            .collect()
    };
    for (at, node) in tree {
        let target = match node {
            Node::Link(target) => above(target),
            _ => Vec::new(),
        };
        let needed: Vec<_> = above(at).into_iter().chain(target).collect();
        let taken = files.contains(at.as_str()) || (dirs.contains(at) && !matches!(node, Node::Dir));
        if taken || needed.iter().any(|dir| files.contains(dir.as_str()) || dir == at) {
            continue;
        }
        dirs.extend(needed);
        let path = ManifestPath::new(at.as_bytes());
        let hashes = |hash: &u8| [Hash::of(&[*hash]), Hash::of(b"end")];
        let chunks;
        let regular = |size, runnable, content| FileKind::Regular {
            size,
            mtime: -1,
            runnable,
            content,
        };
        let kind = match node {
            Node::Dir => {
                if !explicit.insert(at) {
                    continue;
                }
                dirs.insert(at.clone());
                builder.dir(DirEntry { path, deleted: false }).unwrap();
                continue;
            }
            Node::File(hash) => regular(5, false, Content::Hash(Hash::of(&[*hash]))),
            Node::Runnable(hash) => regular(5, true, Content::Hash(Hash::of(&[*hash]))),
            Node::Chunks(hash) => {
                chunks = hashes(hash);
                regular(11, false, Content::Chunks(&chunks))
            }
            Node::Link(target) => FileKind::Symlink {
                target: ManifestPath::new(target.as_bytes()),
            },
        };
        files.insert(at);
        builder.file(&FileEntry { path, kind }).unwrap();
    }
    builder.finish().unwrap()
}

proptest! {
    #[test]
    fn the_diff_of_two_makes_the_second_of_the_first(old in trees(), new in trees()) {
        let (old, new) = (snapshot(&old), snapshot(&new));
        let between = diff(&old, &new, Some(old.hash())).unwrap();
        prop_assert_eq!(between.parent(), Some(&old.hash()));
        let again = compose(&[&old, &between]).unwrap();
        prop_assert_eq!(again.encode(), new.encode());
        // And what is written of it is read as the same.
        let read = Manifest::decode(&between.encode(), &crate::Limits::default()).unwrap();
        prop_assert_eq!(compose(&[&old, &read]).unwrap().encode(), new.encode());
    }

    #[test]
    fn diffs_on_each_other_are_the_diff_of_the_ends(
        one in trees(), two in trees(), three in trees(), base in trees()
    ) {
        let all = [base, one, two, three].map(|tree| snapshot(&tree));
        let diffs: Vec<_> = all.windows(2).map(|pair| diff(&pair[0], &pair[1], None).unwrap()).collect();
        let together = compose(&diffs.iter().collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(together.kind(), Kind::Diff);
        prop_assert_eq!(compose(&[&all[0], &together]).unwrap().encode(), all[3].encode());
    }

    #[test]
    fn nothing_changed_is_an_empty_diff(tree in trees()) {
        let tree = snapshot(&tree);
        let none = diff(&tree, &tree, None).unwrap();
        prop_assert_eq!((none.files().len(), none.dirs().len()), (0, 0));
    }
}

#[test]
fn v2023_manifests_can_be_compared() {
    let of = |paths: &[&str], mtime| {
        let mut builder = ManifestBuilder::v2023();
        for path in paths {
            let file = FileEntry {
                path: ManifestPath::new(path.as_bytes()),
                kind: FileKind::Regular {
                    size: 1,
                    mtime,
                    runnable: false,
                    content: Content::Hash(Hash::of(path.as_bytes())),
                },
            };
            builder.file(&file).unwrap();
        }
        builder.finish().unwrap()
    };
    let (old, new) = (of(&["a/b", "c", "d/e/f"], 1), of(&["a", "c", "g/h"], 1));
    let text = String::from_utf8(diff(&old, &new, None).unwrap().encode()).unwrap();
    let (a, h) = (Hash::of(b"a"), Hash::of(b"g/h"));
    assert_eq!(
        text,
        format!(
            r#"{{"dirs":[{{"delete":true,"name":"a"}},{{"delete":true,"name":"d"}},{{"delete":true,"name":"$1/e"}},{{"name":"g"}}],"files":[{{"hash":"{a}","mtime":1,"name":"a","size":1}},{{"delete":true,"name":"$0/b"}},{{"delete":true,"name":"$2/f"}},{{"hash":"{h}","mtime":1,"name":"$3/h","size":1}}],"hashAlg":"xxh128","specificationVersion":"relative-manifest-diff-beta-2025-12","totalSize":2}}"#
        )
    );
    // A time alone is a change.
    assert_eq!(
        diff(&old, &of(&["a/b", "c", "d/e/f"], 2), None)
            .unwrap()
            .files()
            .len(),
        3
    );
    let of_diff = diff(&old, &diff(&old, &new, None).unwrap(), None).unwrap_err();
    assert!(of_diff.to_string().contains("one of them is a diff"), "{of_diff}");
    assert_eq!(diff(&old, &new, None).unwrap().version(), Version::Beta2025);
}
