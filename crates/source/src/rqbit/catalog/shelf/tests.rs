use std::collections::HashSet;

use object_store::path::Path;
use proptest::prelude::*;

use super::super::script::{file, hash, torrent_of};
use super::*;
use crate::rqbit::names::tests::hostile;
use crate::rqbit::{Details, TorrentFile};

fn details(name: &str, files: Vec<TorrentFile>) -> Details {
    Details {
        name: Some(name.to_owned()),
        files,
    }
}

/// The shelf of torrents in the order in which they were added.
fn shelf(torrents: &[Details]) -> Shelf {
    let mut taken = HashSet::new();
    let named: Vec<_> = torrents
        .iter()
        .enumerate()
        .map(|(n, details)| {
            let layout = Arc::new(Layout::new(hash(n as u8), None, details));
            let name: Arc<str> = layout.free_name(&taken).into();
            assert!(taken.insert(name.clone()));
            (name, layout)
        })
        .collect();
    Shelf::new(named, 0)
}

fn one(name: &str, paths: &[&str]) -> Shelf {
    shelf(&[details(name, paths.iter().map(|path| file(path)).collect())])
}

fn keys(shelf: &Shelf, prefix: &str) -> Vec<String> {
    shelf.below(prefix).map(|(key, _)| key).collect()
}

/// Keys by the indices of their files.
fn by_file(shelf: &Shelf) -> Vec<String> {
    let mut found: Vec<_> = shelf.below("").map(|(key, found)| (found.file, key)).collect();
    found.sort_unstable();
    found.into_iter().map(|(_, key)| key).collect()
}

#[test]
fn a_torrent_is_a_file_or_a_directory() {
    let padding = TorrentFile {
        padding: true,
        ..file(".pad/5")
    };
    let link = TorrentFile {
        symlink: true,
        ..file("link")
    };
    let program = TorrentFile {
        executable: true,
        ..file("d/run.sh")
    };
    let shelf = shelf(&[
        details("one.mkv", vec![file("one.mkv"), padding.clone()]),
        details(
            "two",
            vec![padding.clone(), program, link, file("d/e/x"), file("d b")],
        ),
        details("three", vec![file("other")]),
        details("empty", vec![padding]),
    ]);
    assert_eq!(
        keys(&shelf, ""),
        ["one.mkv", "three/other", "two/d b", "two/d/e/x", "two/d/run.sh"]
    );
    assert_eq!(shelf.skipped(), 4);
    let found = shelf.find("two/d/run.sh").unwrap();
    let expected = Found {
        hash: hash(1),
        file: 1,
        length: 9,
        before: 7,
        executable: true,
    };
    assert_eq!(*found, expected);
    let span = Span {
        before: 7,
        length: 9,
        total: 7 + 9 + 5 + 6 + 4,
    };
    assert_eq!(shelf.span(found), span);
    assert_eq!(keys(&shelf, "two/d"), ["two/d/e/x", "two/d/run.sh"]);
    assert_eq!(keys(&shelf, "two/d/e"), ["two/d/e/x"]);
    for none in [
        "two/d/e/x",
        "one.mkv",
        "tw",
        "two/",
        "two/d/",
        "/",
        "two//d",
        "empty",
    ] {
        assert_eq!(keys(&shelf, none), [""; 0], "{none}");
        assert!(!shelf.is_dir(none), "{none}");
        assert!(shelf.level(none).is_empty(), "{none}");
    }
    for directory in ["", "two", "two/d", "two/d/e", "three"] {
        assert!(shelf.is_dir(directory), "{directory}");
        assert!(shelf.find(directory).is_none(), "{directory}");
    }
    for none in ["two", "two/", "two/d", "one.mkv/", "one.mkv/one.mkv", "no", ""] {
        assert!(shelf.find(none).is_none(), "{none}");
    }
    assert_eq!(torrent_of(&shelf, "two/no/where"), Some(hash(1)));
    assert_eq!(torrent_of(&shelf, "no/where"), None);
}

#[test]
fn a_torrent_goes_by_its_info_hash_too() {
    let shelf = shelf(&[
        details("one.mkv", vec![file("one.mkv")]),
        details("two", vec![file("d/x")]),
    ]);
    let [one, two] = [0, 1].map(|n| hash(n).to_string());
    assert_eq!(shelf.find(&one), shelf.find("one.mkv"));
    assert!(shelf.find(&one).is_some());
    assert_eq!(shelf.find(&format!("{two}/d/x")), shelf.find("two/d/x"));
    assert_eq!(keys(&shelf, &two), [format!("{two}/d/x")]);
    assert_eq!(keys(&shelf, &format!("{two}/d")), [format!("{two}/d/x")]);
    assert!(shelf.is_dir(&two) && !shelf.is_dir(&one));
    assert_eq!(torrent_of(&shelf, &two), Some(hash(1)));
    assert_eq!(shelf.find(&hash(9).to_string()), None);
}

#[test]
fn nobody_is_called_like_anothers_info_hash() {
    let (own, other) = (hash(0).to_string(), hash(1).to_string());
    let shelf = shelf(&[
        details(&other, vec![file("a")]),
        details("victim", vec![file("b")]),
        Details {
            name: None,
            files: vec![file("c")],
        },
    ]);
    let third = hash(2).to_string();
    assert_eq!(
        keys(&shelf, ""),
        [
            format!("{other} [{}]/a", &own[..8]),
            format!("{third}/c"),
            "victim/b".to_owned()
        ]
    );
    assert_eq!(torrent_of(&shelf, &other), Some(hash(1)));
}

#[test]
fn duplicates_of_files_are_numbered() {
    let shelf = one(
        "t",
        &[
            "a.x", "a.x", "a (2).x", "a.x", "A.x", "s/n", "s/n", "a\0.x", "a_.x",
        ],
    );
    assert_eq!(
        by_file(&shelf),
        [
            "t/a.x",
            "t/a (2).x",
            "t/a (2) (2).x",
            "t/a (3).x",
            "t/A.x",
            "t/s/n",
            "t/s/n (2)",
            "t/a_.x",
            "t/a_ (2).x"
        ]
    );
}

#[test]
fn a_file_is_no_directory() {
    let shelf = one("t", &["a", "a/b", "a/c", "a (2)", "d.x/e", "d.x", "a/b/c"]);
    assert_eq!(
        by_file(&shelf),
        [
            "t/a",
            "t/a (2)/b",
            "t/a (2)/c",
            "t/a (2) (2)",
            "t/d.x/e",
            "t/d (2).x",
            "t/a (2)/b (2)/c"
        ]
    );
}

#[test]
fn too_deep_and_too_long_is_left_out() {
    let deep = |depth: usize| "d/".repeat(depth) + "x";
    let long = |names: usize| format!("{}/", "n".repeat(250)).repeat(names) + "x";
    let shelf = one("t", &[&deep(127), &deep(128), &deep(5000), &long(15), &long(16)]);
    assert_eq!(shelf.below("").count(), 2);
    assert_eq!(shelf.skipped(), 3);
    assert!(shelf.find(&format!("t/{}", deep(127))).is_some());
}

#[test]
fn no_components_are_a_name_too() {
    let nameless = TorrentFile {
        components: Vec::new(),
        ..file("x")
    };
    let shelf = shelf(&[details("t", vec![nameless.clone(), nameless])]);
    assert_eq!(keys(&shelf, ""), ["t/_", "t/_ (2)"]);
}

#[test]
fn many_duplicates_take_no_square_of_steps() {
    // 50,000 names that differ past what is kept, each twice, and 50,000 of one name: of each other's forms, too.
    let mut files = Vec::new();
    for n in 0..50_000 {
        let name = format!("{}{n}", "x".repeat(250));
        files.extend([file(&name), file(&name), file("same.txt")]);
        files.push(file(&format!("same ({n}).txt")));
    }
    let count = files.len();
    let shelf = shelf(&[details("t", files)]);
    let keys: HashSet<String> = shelf.below("").map(|(key, _)| key).collect();
    assert_eq!(keys.len(), count);
}

fn torrent() -> impl Strategy<Value = Details> {
    let file = (
        proptest::collection::vec(hostile(), 0..4),
        0_u64..1000,
        any::<(bool, bool, bool)>(),
    )
        .prop_map(|(components, length, (padding, odd, executable))| TorrentFile {
            components,
            length,
            padding: padding && odd,
            symlink: !padding && odd && length == 0,
            executable,
        });
    let name = proptest::option::of(hostile());
    (name, proptest::collection::vec(file, 1..12)).prop_map(|(name, files)| Details { name, files })
}

fn sorted(mut level: Vec<(String, Entry<'_>)>) -> Vec<(String, Option<Found>)> {
    level.sort_by(|(a, _), (b, _)| a.cmp(b));
    let found = |entry| match entry {
        Entry::File(found) => Some(Found::clone(found)),
        Entry::Dir => None,
    };
    level
        .into_iter()
        .map(|(key, entry)| (key, found(entry)))
        .collect()
}

/// The names right below `inside`, of all files there are.
fn level(all: &[(String, Found)], inside: &str) -> Vec<(String, Option<Found>)> {
    let below = all.iter().filter_map(|(key, found)| {
        let rest = key.strip_prefix(inside)?;
        Some(match rest.split_once('/') {
            Some((dir, _)) => (format!("{inside}{dir}"), None),
            None => (key.clone(), Some(found.clone())),
        })
    });
    let level: BTreeMap<_, _> = below.collect();
    level.into_iter().collect()
}

proptest! {
    #[test]
    fn any_torrents_make_a_bucket(torrents in proptest::collection::vec(torrent(), 0..8)) {
        let files: usize = torrents.iter().map(|torrent| torrent.files.len()).sum();
        let shelf = shelf(&torrents);
        let all: Vec<(String, Found)> = shelf.below("").map(|(key, found)| (key, found.clone())).collect();
        prop_assert_eq!(all.len() as u64 + shelf.skipped(), files as u64);
        // Sorted by bytes, and no two the same.
        prop_assert!(all.windows(2).all(|pair| pair[0].0.as_bytes() < pair[1].0.as_bytes()));
        let mut directories = HashSet::new();
        for (key, found) in &all {
            let path = Path::parse(key).unwrap();
            prop_assert_eq!(path.as_ref(), key);
            for component in key.split('/') {
                prop_assert!(!component.is_empty() && component.len() <= 255);
            }
            prop_assert_eq!(shelf.find(key), Some(found));
            prop_assert_eq!(torrent_of(&shelf, key), Some(found.hash));
            let wanted = &torrents.iter().enumerate().find(|(n, _)| hash(*n as u8) == found.hash).unwrap().1.files;
            prop_assert_eq!(wanted[found.file].length, found.length);
            let before: u64 = wanted[..found.file].iter().map(|file| file.length).sum();
            prop_assert_eq!(before, found.before);
            directories.extend(key.match_indices('/').map(|(at, _)| key[..at].to_owned()));
            // By its info hash.
            let rest = key.split_once('/').map(|(_, rest)| format!("/{rest}")).unwrap_or_default();
            prop_assert_eq!(shelf.find(&format!("{}{rest}", found.hash)), Some(found));
        }
        for (key, _) in &all {
            prop_assert!(!directories.contains(key));
            prop_assert!(!shelf.is_dir(key));
        }
        prop_assert_eq!(sorted(shelf.level("")), level(&all, ""));
        for directory in &directories {
            prop_assert!(shelf.is_dir(directory));
            prop_assert_eq!(sorted(shelf.level(directory)), level(&all, &format!("{directory}/")));
            prop_assert!(shelf.find(directory).is_none());
            let inside = format!("{directory}/");
            let expected: Vec<&String> = all.iter().map(|(key, _)| key).filter(|key| key.starts_with(&inside)).collect();
            let got: Vec<String> = shelf.below(directory).map(|(key, _)| key).collect();
            prop_assert_eq!(got.iter().collect::<Vec<_>>(), expected);
        }
        // The same again.
        let again = self::shelf(&torrents);
        let again: Vec<String> = again.below("").map(|(key, _)| key).collect();
        prop_assert_eq!(again, all.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
    }
}
