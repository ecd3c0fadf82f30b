//! What becomes of keys.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use forebay_range::RangeEngine;
use forebay_testkit::{Content, Face, FaultKind, Op, Profile, Rule};
use forebay_types::{ErrorKind, RangeSpec, Version};
use forebay_vfs::{BadName, BucketNamespace, Ino, Kind, TreeOptions, VfsError};

use crate::world::{
    BUCKET, LATER, SECOND, World, absent, config, lookup, ls, namespace, shown, walk, within,
};

#[tokio::test(flavor = "multi_thread")]
async fn names_are_the_segments_of_keys_exactly() {
    for face in [Face::Fast, Face::Full] {
        let world = World::at(Profile::LOOPBACK, face);
        let names = [
            " ",
            "*?\"<>|\\^`{}~#%",
            "...",
            "a b",
            "a%2Fb",
            "b%20c",
            "e & <f>",
            "m\u{301}",
            "\u{65e5}\u{672c}",
        ];
        for (n, name) in names.iter().enumerate() {
            let content = Content::pattern(n as u64, 1000 + n as u64);
            world
                .lab
                .objects()
                .put(BUCKET, &format!("top dir/{name}"), content);
        }
        let tree = world.tree();
        let engine = RangeEngine::new((*config()).clone());
        let dir = lookup(&tree, Ino::ROOT, "top dir").await.unwrap().ino;
        // Found by name, without the listing.
        for (n, name) in names.iter().enumerate() {
            let attr = lookup(&tree, dir, name).await.unwrap();
            assert_eq!(
                (attr.kind, attr.size, attr.nlink),
                (Kind::File, 1000 + n as u64, 1)
            );
            let open = tree.file(attr.ino).unwrap();
            assert_eq!(open.target.path.as_ref(), format!("top dir/{name}"));
            let known = open.target.known.clone().unwrap();
            assert_eq!((known.size, &known.version), (attr.size, &attr.version));
            assert!(matches!(attr.version, Version::ETag(_)));
            let (read, _) = within(engine.read(open.target, RangeSpec::From(0)))
                .await
                .unwrap();
            Content::pattern(n as u64, known.size).check(0, &read).unwrap();
        }
        let mut sorted = names;
        sorted.sort_unstable();
        assert_eq!(ls(&tree, dir).await, sorted, "{face:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_hides_the_file_of_its_name() {
    let world = World::new();
    world.put_all(&["a", "a/b", "c"]);
    let tree = world.tree();
    let attr = lookup(&tree, Ino::ROOT, "a").await.unwrap();
    assert_eq!((attr.kind, attr.size, attr.nlink), (Kind::Dir, 0, 2));
    assert_eq!(ls(&tree, Ino::ROOT).await, ["a/", "c"]);
    assert_eq!(tree.stats().shadowed_keys, 1);
    assert!(matches!(tree.file(attr.ino), Err(VfsError::NotAFile { .. })));
    // Without what is below it, the file is seen.
    world.delete("a/b");
    world.clock.advance(LATER);
    let file = lookup(&tree, Ino::ROOT, "a").await.unwrap();
    assert_eq!(file.kind, Kind::File);
    assert_ne!(file.ino, attr.ino);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_directory_is_there_by_its_marker() {
    for face in [Face::Fast, Face::Full] {
        let world = World::at(Profile::LOOPBACK, face);
        world.put("empty/", "");
        world.put("full/", "");
        world.put("full/a", "x");
        world.put("bare/a", "x");
        let tree = world.tree();
        for name in ["empty", "full", "bare"] {
            assert_eq!(lookup(&tree, Ino::ROOT, name).await.unwrap().kind, Kind::Dir);
        }
        let dir = |name| lookup(&tree, Ino::ROOT, name);
        assert_eq!(
            ls(&tree, Ino::ROOT).await,
            ["bare/", "empty/", "full/"],
            "{face:?}"
        );
        let empty = dir("empty").await.unwrap().ino;
        assert_eq!(ls(&tree, empty).await, [""; 0]);
        let full = dir("full").await.unwrap().ino;
        assert_eq!(ls(&tree, full).await, ["a"]);
        // The last file goes: with a marker the directory stays, without it does not.
        world.delete("full/a");
        world.delete("bare/a");
        world.clock.advance(LATER);
        assert_eq!(dir("full").await.unwrap().ino, full);
        assert_eq!(ls(&tree, full).await, [""; 0]);
        assert!(absent(&dir("bare").await));
        assert_eq!(ls(&tree, Ino::ROOT).await, ["empty/", "full/"], "{face:?}");
        world.delete("empty/");
        world.clock.advance(LATER);
        assert!(absent(&within(tree.read_dir(empty)).await));
        assert!(absent(&dir("empty").await));
        assert_eq!(tree.stats().skipped_names, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_file_can_have_are_left_out_and_counted() {
    let world = World::new();
    let long = "l".repeat(256);
    let just = "j".repeat(255);
    for key in [
        "a",
        "d//x",
        "d//e/y",
        "d/z",
        "../up",
        "./here",
        "/abs",
        "only//this",
        &format!("{long}/below"),
        &format!("{just}/below"),
        &long,
    ] {
        world.lab.objects().put(BUCKET, key, "x");
    }
    let tree = world.tree();
    let below = format!("{just}/");
    assert_eq!(ls(&tree, Ino::ROOT).await, ["a", "d/", &below, "only/"]);
    // The last two are cut out here, the three with dots and without a name by the source.
    assert_eq!(tree.stats().skipped_names, 5);
    let d = lookup(&tree, Ino::ROOT, "d").await.unwrap().ino;
    assert_eq!(ls(&tree, d).await, ["z"]);
    // A directory of which nothing can be shown is empty; and it is there when it is looked for by its name, before
    // any listing and after.
    let only = lookup(&tree, Ino::ROOT, "only").await.unwrap().ino;
    assert_eq!(ls(&tree, only).await, [""; 0]);
    world.clock.advance(LATER);
    assert_eq!(lookup(&tree, Ino::ROOT, "only").await.unwrap().ino, only);
    let unlisted = world.tree();
    assert_eq!(
        lookup(&unlisted, Ino::ROOT, "only").await.unwrap().kind,
        Kind::Dir
    );
    world.asked();
    assert!(absent(&lookup(&unlisted, Ino::ROOT, "neither").await));
    assert_eq!(world.asked(), (2, 1));

    world.asked();
    let other = world.tree();
    for (name, why) in [
        ("", BadName::Empty),
        (".", BadName::Dots),
        ("..", BadName::Dots),
        ("a/b", BadName::Separator),
        ("a\0", BadName::Separator),
        (&long, BadName::TooLong),
    ] {
        let error = lookup(&other, Ino::ROOT, name).await.unwrap_err();
        assert!(
            matches!(&error, VfsError::BadName { why: is, .. } if *is == why),
            "{error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().len() < 120, "{error}");
    }
    assert!(absent(&lookup(&other, Ino::ROOT, "bell\u{7}").await));
    let latin = OsStr::from_bytes(b"caf\xe9");
    assert!(absent(&other.try_lookup(Ino::ROOT, latin).unwrap()));
    assert!(absent(&other.lookup(Ino::ROOT, latin).await));
    assert_eq!(world.asked(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_a_slash_may_be_an_object_or_a_prefix() {
    let world = World::new();
    world.put_all(&["object", "prefix/a", "both", "both/b"]);
    world.put("marker/", "");
    let find = |key: &str| BucketNamespace::find(world.source(key), None, config());
    for (key, expected) in [
        ("object", ["object"].as_slice()),
        ("prefix", &["a"]),
        ("prefix/", &["a"]),
        ("both", &["b"]),
        ("marker", &[]),
        ("", &["both/", "marker/", "object", "prefix/"]),
    ] {
        let tree = world.tree_of(within(find(key)).await.unwrap(), TreeOptions::default());
        assert_eq!(ls(&tree, Ino::ROOT).await, expected, "{key}");
    }
    let error = within(find("nothing")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::NotFound, "'nothing' does not exist")
    );
    // A prefix may be mounted before there is anything in it.
    let tree = world.tree_of(within(find("later/")).await.unwrap(), TreeOptions::default());
    assert_eq!(ls(&tree, Ino::ROOT).await, [""; 0]);
    world.put("later/x", "x");
    world.clock.advance(LATER);
    assert_eq!(ls(&tree, Ino::ROOT).await, ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_gives_one_file_with_the_name_that_it_is_called() {
    let world = World::new();
    world
        .lab
        .objects()
        .put(BUCKET, "a dir/b%c.bin", Content::pattern(1, 77));
    let url = format!("{}/{BUCKET}/a%20dir/b%25c.bin", world.lab.endpoint());
    let location: forebay_source::Location = url.parse().unwrap();
    let source = world.opener.open(&location).unwrap();
    let name = location.file_name();
    let found = within(BucketNamespace::find(source, name.as_deref(), config()))
        .await
        .unwrap();
    let tree = world.tree_of(found, TreeOptions::default());
    assert_eq!(ls(&tree, Ino::ROOT).await, ["b%c.bin"]);
    let attr = lookup(&tree, Ino::ROOT, "b%c.bin").await.unwrap();
    assert_eq!(attr.size, 77);
    let engine = RangeEngine::new((*config()).clone());
    let target = tree.file(attr.ino).unwrap().target;
    let (read, _) = within(engine.read(target, RangeSpec::From(0))).await.unwrap();
    Content::pattern(1, 77).check(0, &read).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_found_where_listing_is_not_permitted() {
    let world = World::new();
    world.put_all(&["a", "d/b"]);
    let refused = FaultKind::Status {
        code: 403,
        retry_after: None,
    };
    world.lab.faults().add(Rule::new(refused).op(Op::List));
    let tree = world.tree();
    assert_eq!(lookup(&tree, Ino::ROOT, "a").await.unwrap().kind, Kind::File);
    let denied = |error: VfsError| assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    denied(lookup(&tree, Ino::ROOT, "d").await.unwrap_err());
    denied(within(tree.read_dir(Ino::ROOT)).await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_as_new_as_its_newest_file() {
    let world = World::new();
    world.put("dir/old", "x");
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.put("dir/new", "x");
    let tree = world.tree();
    let dir = lookup(&tree, Ino::ROOT, "dir").await.unwrap();
    // The manual clock begins fifty years after 1970.
    let born = Duration::from_secs(50 * 365 * 24 * 3600);
    assert_eq!(dir.modified, born);
    let snapshot = within(tree.read_dir(dir.ino)).await.unwrap();
    let newest = tree.refer(&snapshot, 0).unwrap();
    let oldest = tree.refer(&snapshot, 1).unwrap();
    assert_eq!(shown(&snapshot), ["new", "old"]);
    assert!(newest.modified > oldest.modified);
    assert_eq!(tree.try_attr(dir.ino).unwrap().unwrap().modified, newest.modified);
    let root = tree.try_attr(Ino::ROOT).unwrap().unwrap();
    assert_eq!((root.modified, root.valid, root.nlink), (born, SECOND, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_does_not_move_between_a_listing_and_a_look() {
    let world = World::new();
    world.put("a", "x");
    let tree = world.tree();
    let snapshot = within(tree.read_dir(Ino::ROOT)).await.unwrap();
    let listed = tree.refer(&snapshot, 0).unwrap();
    world.clock.advance(LATER);
    let mut changes = tree.changes();
    // A HEAD has whole seconds only.
    let looked = within(tree.attr(listed.ino)).await.unwrap();
    assert_eq!(
        (looked.modified, looked.version),
        (listed.modified, listed.version)
    );
    assert_eq!(changes.try_recv(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_nothing_below_it() {
    let world = World::new();
    world.put("a", "x");
    let tree = world.tree_of(namespace(world.source("")), TreeOptions::default());
    let file = lookup(&tree, Ino::ROOT, "a").await.unwrap().ino;
    assert!(matches!(
        lookup(&tree, file, "b").await,
        Err(VfsError::NotADirectory { .. })
    ));
    assert!(matches!(
        tree.read_dir(file).await,
        Err(VfsError::NotADirectory { .. })
    ));
    assert!(matches!(tree.link_target(file), Err(VfsError::NotALink { .. })));
    assert!(absent(&walk(&tree, "b").await));
}
