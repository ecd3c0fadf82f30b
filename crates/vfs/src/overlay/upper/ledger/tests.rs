use std::path::Path;

use super::*;
use crate::overlay::tests::{BASE, Rig, attrs, clock, dump, new, origin, write};
use crate::overlay::{Changed, ContentChange, DIR_VERSION, NodeKind, Rename};

fn open(rig: &Rig) -> Upper {
    Upper::open_with_ledger(&rig.path(), BASE, clock()).unwrap()
}

fn hidden(upper: &Upper) -> Vec<(String, String)> {
    let hidden = upper.hidden_versions().into_iter();
    hidden
        .map(|(path, version)| (path.into(), version.into()))
        .collect()
}

fn pair(path: &str, version: &str) -> (String, String) {
    (path.to_owned(), version.to_owned())
}

fn at(path: &str, version: &str, size: u64) -> Origin {
    Origin {
        version: version.into(),
        ..origin(path, size)
    }
}

/// All attributes are as the lower tree shows them.
fn settle(upper: &Upper) -> u64 {
    upper.settle(|_, _| true).unwrap()
}

#[test]
fn what_goes_is_known() {
    let rig = Rig::new();
    let upper = open(&rig);
    let root = upper.root();
    upper.hide_file(root, b"hidden", "v1").unwrap();
    upper.hide_file(root, b"dir", DIR_VERSION).unwrap();
    let dir = upper.adopt_dir(root, b"d", "d", attrs(0o755)).unwrap();
    for name in ["removed", "moved", "replaced", "stays"] {
        let origin = at(&format!("d/{name}"), name, 3);
        upper
            .adopt_file(dir, name.as_bytes(), &origin, attrs(0o644))
            .unwrap();
    }
    assert_eq!(hidden(&upper).len(), 2);
    upper.unlink(dir, b"removed", true).unwrap();
    upper
        .rename((dir, b"moved"), (root, b"here"), Rename::Replace, true)
        .unwrap();
    let (file, _) = upper.create(root, b"new", new(0o644)).unwrap();
    upper
        .rename((root, b"new"), (dir, b"replaced"), Rename::Replace, false)
        .unwrap();
    upper.create(root, b"other", new(0o644)).unwrap();
    // Onto a lower file of which nothing is above.
    upper
        .rename_over(
            (root, b"other"),
            (dir, b"below"),
            Rename::Replace,
            false,
            Some("v2"),
        )
        .unwrap();
    upper
        .rename((root, b"d"), (root, b"e"), Rename::Replace, true)
        .unwrap();
    // In a directory that was moved it is the lower path that counts.
    upper.hide_file(dir, b"last", "v3").unwrap();
    let expected = [
        pair("d", DIR_VERSION),
        pair("d/below", "v2"),
        pair("d/last", "v3"),
        pair("d/moved", "moved"),
        pair("d/removed", "removed"),
        pair("d/replaced", "replaced"),
        pair("dir", DIR_VERSION),
        pair("hidden", "v1"),
    ];
    assert_eq!(hidden(&upper), expected);
    let seen = dump(&upper);
    drop(upper);
    let upper = open(&rig);
    assert_eq!(hidden(&upper), expected);
    upper.shared.rewrite().unwrap();
    drop(upper);
    let upper = open(&rig);
    assert_eq!((hidden(&upper).as_slice(), dump(&upper)), (&expected[..], seen));
    for (path, found) in [
        ("e/stays", None),
        ("e/replaced", Some(Found::Node(file))),
        ("d/stays", Some(Found::Hidden)),
        ("hidden", Some(Found::Hidden)),
        (
            "x/y",
            Some(Found::Below {
                dir: root,
                name: b"x"[..].into(),
            }),
        ),
        // Its directory shows another one's names.
        ("e/unknown", Some(Found::Hidden)),
    ] {
        match found {
            Some(found) => assert_eq!(upper.find(path), found, "{path}"),
            None => assert!(matches!(upper.find(path), Found::Node(_)), "{path}"),
        }
    }
}

#[test]
fn without_a_ledger_the_journal_is_as_it_ever_was() {
    let rig = Rig::new();
    let upper = rig.open();
    upper.hide_file(upper.root(), b"a", "v1").unwrap();
    let id = upper
        .adopt_file(upper.root(), b"b", &origin("b", 3), attrs(0o644))
        .unwrap();
    upper.unlink(upper.root(), b"b", true).unwrap();
    assert!(upper.kind(id).is_err());
    assert!(!upper.has_ledger() && upper.hidden_versions().is_empty());
    drop(upper);
    let head = |rig: &Rig| std::fs::read(rig.names()).unwrap()[..16].to_vec();
    assert_eq!(head(&rig), b"forebay names 1\n");
    // Asked for later, it is not made up.
    let upper = open(&rig);
    assert!(!upper.has_ledger());
    assert_eq!(settle(&upper), 0);
    drop(upper);
    let with = Rig::new();
    drop(open(&with));
    assert_eq!(head(&with), b"forebay names 2\n");
    assert!(with.open().has_ledger());
}

#[test]
fn what_was_put_counts_as_unchanged_until_it_is_changed() {
    let rig = Rig::new();
    let upper = open(&rig);
    let root = upper.root();
    let (id, data) = upper.create(root, b"file", new(0o644)).unwrap();
    write(&data, 0, b"content");
    let stamp = upper.stamp(id).unwrap();
    let put = upper.record_put(id, &at("file", "v1", 7), Some(stamp)).unwrap();
    assert_eq!(put, Recorded::Put);
    assert_eq!(upper.content_change(id).unwrap(), ContentChange::Same);
    drop((data, upper));
    let upper = open(&rig);
    upper.shared.rewrite().unwrap();
    drop(upper);
    let upper = open(&rig);
    assert_eq!(upper.content_change(id).unwrap(), ContentChange::Same);
    // Past us, as the kernel does it.
    let path = |rig: &Rig| {
        let data = rig.path().join("data");
        let name = rig.files().remove(0);
        walk(&data)
            .into_iter()
            .find(|path| path.ends_with(&name))
            .unwrap()
    };
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(path(&rig), "CONTENT").unwrap();
    assert_eq!(upper.content_change(id).unwrap(), ContentChange::Whole { len: 7 });
    // Under another name it is there as well.
    let stamp = upper.stamp(id).unwrap();
    upper.record_put(id, &at("file", "v2", 7), Some(stamp)).unwrap();
    upper.link(id, root, b"second").unwrap();
    let stamp = upper.stamp(id).unwrap();
    upper.record_put(id, &at("file", "v3", 7), Some(stamp)).unwrap();
    upper.record_put(id, &at("second", "v4", 7), Some(stamp)).unwrap();
    let known = |upper: &Upper| {
        let names = upper.survey().names;
        let known = names.into_iter().find_map(|name| match name.thing {
            crate::overlay::Thing::File { known, .. } => Some(known),
            _ => None,
        });
        known.unwrap()
    };
    let expected = [("second".into(), "v4".into()), ("file".into(), "v3".into())];
    assert_eq!(known(&upper), expected);
    upper.shared.rewrite().unwrap();
    drop(upper);
    let upper = open(&rig);
    assert_eq!(known(&upper), expected);
    upper.unlink(root, b"file", true).unwrap();
    assert_eq!(hidden(&upper), [pair("file", "v3"), pair("second", "v4")]);
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let shards = std::fs::read_dir(dir).unwrap();
    shards
        .flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

#[test]
fn what_left_its_place_while_it_was_put_is_hidden() {
    let rig = Rig::new();
    let upper = open(&rig);
    let root = upper.root();
    let (id, data) = upper.create(root, b"file", new(0o644)).unwrap();
    write(&data, 0, b"content");
    let stamp = upper.stamp(id).unwrap();
    upper.unlink(root, b"file", false).unwrap();
    drop(data);
    let put = upper.record_put(id, &at("file", "v1", 7), Some(stamp)).unwrap();
    assert_eq!(put, Recorded::Changed);
    assert_eq!(upper.find("file"), Found::Hidden);
    assert_eq!(hidden(&upper), [pair("file", "v1")]);
    // A lower file that was copied and written to meanwhile still comes from where it came from.
    let lower = upper
        .adopt_file(root, b"lower", &origin("lower", 10), attrs(0o644))
        .unwrap();
    upper
        .rename((root, b"lower"), (root, b"copy"), Rename::Replace, true)
        .unwrap();
    let data = upper.data(lower).unwrap();
    assert!(matches!(
        data.write_at(0, b"0123456789").unwrap(),
        Changed::Done(10)
    ));
    let put = upper.record_put(lower, &at("copy", "v2", 10), None).unwrap();
    assert_eq!(put, Recorded::Changed);
    assert_eq!(&*upper.content(lower).unwrap().0.unwrap().path, "lower");
    assert!(hidden(&upper).contains(&pair("copy", "v2")));
}

#[test]
fn what_is_below_is_let_go_of_and_nothing_else() {
    let rig = Rig::new();
    let upper = open(&rig);
    let root = upper.root();
    let put = |id: NodeId, path: &str| {
        let stamp = upper.stamp(id).unwrap();
        upper.record_put(id, &at(path, "v", 3), Some(stamp)).unwrap();
    };
    let made = upper.mkdir(root, b"made", new(0o755)).unwrap();
    let empty = upper.mkdir(root, b"empty", new(0o755)).unwrap();
    let half = upper.mkdir(root, b"half", new(0o755)).unwrap();
    for (dir, name, path) in [
        (made, "file", "made/file"),
        (half, "put", "half/put"),
        (half, "not", ""),
        (root, "file", "file"),
    ] {
        let (id, data) = upper.create(dir, name.as_bytes(), new(0o644)).unwrap();
        write(&data, 0, b"abc");
        drop(data);
        if !path.is_empty() {
            put(id, path);
        }
    }
    upper.hide_file(root, b"waits", "v").unwrap();
    upper.hide_file(root, b"deleted", "v").unwrap();
    upper.record_hidden("deleted", None).unwrap();
    for (dir, path) in [(root, ""), (made, "made"), (half, "half")] {
        upper.record_settled(dir, Some(path)).unwrap();
    }
    upper.record_settled(empty, None).unwrap();
    drop(upper);
    let killed = rig.killed();
    let upper = open(&rig);
    assert_eq!(settle(&upper), 5);
    let names: Vec<_> = dump(&upper).into_keys().collect();
    assert_eq!(names, ["/empty", "/half", "/half/not", "/waits"]);
    assert_eq!(upper.find("waits"), Found::Hidden);
    assert!(matches!(upper.find("half/put"), Found::Below { .. }));
    assert!(matches!(upper.find("made/file"), Found::Below { dir, .. } if dir == root));
    assert_eq!(upper.kind(half).unwrap(), NodeKind::Dir);
    assert_eq!(settle(&upper), 0);
    drop(upper);
    assert_eq!(open(&rig).stats().nodes, 4);
    // Nothing is let go of that the lower tree shows in another way.
    let upper = open(&killed);
    assert_eq!(upper.settle(|kind, _| kind == NodeKind::Dir).unwrap(), 1);
}

/// Whatever beginning of the journal there is: what is to be seen is above or said to be below.
#[test]
fn a_killed_settling_leaves_the_same_tree() {
    let rig = Rig::new();
    let upper = open(&rig);
    let root = upper.root();
    let dir = upper.adopt_dir(root, b"old", "old", attrs(0o755)).unwrap();
    upper
        .adopt_file(dir, b"file", &at("old/file", "v1", 3), attrs(0o644))
        .unwrap();
    upper
        .rename((root, b"old"), (root, b"new"), Rename::Replace, true)
        .unwrap();
    let id = match upper.find("new/file") {
        Found::Node(id) => id,
        found => panic!("{found:?}"),
    };
    upper.record_put(id, &at("new/file", "v2", 3), None).unwrap();
    upper.record_hidden("old/file", None).unwrap();
    upper.record_hidden("old", None).unwrap();
    upper.record_settled(root, Some("")).unwrap();
    upper.record_settled(dir, Some("new")).unwrap();
    drop(upper);
    let before = std::fs::read(rig.names()).unwrap().len();
    let whole = rig.killed();
    let upper = open(&whole);
    assert_eq!(settle(&upper), 3);
    drop(upper);
    let names = std::fs::read(whole.names()).unwrap();
    for cut in before..=names.len() {
        let copy = rig.killed();
        std::fs::write(copy.names(), &names[..cut]).unwrap();
        let upper = open(&copy);
        let found = upper.find("new/file");
        assert!(!matches!(found, Found::Hidden), "cut at {cut}");
        settle(&upper);
        assert_eq!(upper.stats().nodes, 1, "cut at {cut}");
    }
}

#[test]
fn what_was_sent_is_known_until_it_is_known_what_became_of_it() {
    let rig = Rig::new();
    let upper = open(&rig);
    let sent = |upper: &Upper, path: &str| {
        upper
            .sent(path)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    upper.record_sent("put", "one").unwrap();
    upper.record_sent("put", "two").unwrap();
    upper.record_sent("put", "one").unwrap();
    assert_eq!(sent(&upper, "put"), ["two", "one"]);
    for n in 0..20 {
        upper.record_sent("often", &n.to_string()).unwrap();
    }
    assert_eq!(sent(&upper, "often").first().unwrap(), "12");
    upper.record_sent("hidden", "one").unwrap();
    drop(upper);
    let upper = open(&rig);
    assert_eq!(sent(&upper, "put"), ["two", "one"]);
    assert_eq!(sent(&upper, "often").len(), 8);
    let root = upper.root();
    let (file, _) = upper.create(root, b"put", new(0o644)).unwrap();
    write(&upper.data(file).unwrap(), 0, b"bytes");
    let stamp = upper.stamp(file).unwrap();
    upper.record_put(file, &at("put", "v1", 5), Some(stamp)).unwrap();
    assert_eq!(upper.sent("put"), []);
    upper.record_hidden("hidden", Some("v1")).unwrap();
    assert_eq!(sent(&upper, "hidden"), ["one"]);
    upper.record_hidden("hidden", None).unwrap();
    assert_eq!(upper.sent("hidden"), []);
    drop(upper);
    let upper = open(&rig);
    assert_eq!((upper.sent("put").len(), upper.sent("hidden").len()), (0, 0));
    assert_eq!(sent(&upper, "often").len(), 8);
}
