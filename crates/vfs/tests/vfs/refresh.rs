//! The root asked anew though it is believed: names that come and go without anybody looking.

use forebay_types::{ErrorKind, ManualClock};
use forebay_vfs::{Freshness, Ino, Notice, TreeOptions};

use crate::world::{
    BUCKET, SECOND, World, absent, entry, entry_notice, file, heard, lookup, ls, namespace, oracle, stale,
    try_lookup, within,
};

/// Long after the test.
const LONG: std::time::Duration = std::time::Duration::from_secs(3600);

fn believing() -> TreeOptions {
    TreeOptions {
        ttl: Some(LONG),
        ..TreeOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_and_went_is_known_at_once() {
    let world = World::new();
    world.put_all(&["film/a.mkv", "gone/x", "stays"]);
    let tree = world.tree_with(believing());
    let mut changes = tree.changes();
    assert_eq!(ls(&tree, Ino::ROOT).await, ["film/", "gone/", "stays"]);
    let gone = lookup(&tree, Ino::ROOT, "gone").await.unwrap();
    let stays = lookup(&tree, Ino::ROOT, "stays").await.unwrap();
    assert!(absent(&lookup(&tree, Ino::ROOT, "new").await));
    world.delete("gone/x");
    world.put("new", "x");
    assert_eq!(
        ls(&tree, Ino::ROOT).await,
        ["film/", "gone/", "stays"],
        "it is believed"
    );
    assert_eq!(heard(&mut changes), []);

    within(tree.refresh_root()).await.unwrap();
    world.asked();
    assert_eq!(ls(&tree, Ino::ROOT).await, ["film/", "new", "stays"]);
    assert!(
        try_lookup(&tree, Ino::ROOT, "new").unwrap().is_ok(),
        "it is known"
    );
    assert!(absent(&try_lookup(&tree, Ino::ROOT, "gone").unwrap()));
    assert!(stale(&tree.try_attr(gone.ino).unwrap()));
    assert_eq!(tree.try_attr(stays.ino).unwrap().unwrap().ino, stays.ino);
    assert_eq!(world.asked(), (0, 0), "one listing told all of it");
    // The kernel held the one name, and may have been told that there is no other.
    let notices = ["new", "gone"].map(|name| entry_notice(Ino::ROOT, name));
    assert_eq!(heard(&mut changes), notices);

    // Nothing new is no news, and costs one listing.
    within(tree.refresh_root()).await.unwrap();
    assert_eq!(world.asked(), (0, 1));
    assert_eq!(heard(&mut changes), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absence_that_the_kernel_believes_is_ended() {
    let world = World::new();
    world.put("a", "x");
    let tree = world.tree_with(believing());
    let mut changes = tree.changes();
    // Asked for alone, before anything was listed.
    assert!(absent(&lookup(&tree, Ino::ROOT, "new").await));
    world.put("new", "x");
    within(tree.refresh_root()).await.unwrap();
    assert_eq!(heard(&mut changes), [entry_notice(Ino::ROOT, "new")]);
    assert!(try_lookup(&tree, Ino::ROOT, "new").unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_file_stays_as_it_was_opened() {
    let world = World::new();
    world.put_all(&["changed", "removed"]);
    let tree = world.tree_with(believing());
    let mut changes = tree.changes();
    let mut open = Vec::new();
    for name in ["changed", "removed"] {
        let attr = lookup(&tree, Ino::ROOT, name).await.unwrap();
        assert!(tree.opened(attr.ino, &attr.version));
        open.push(attr);
    }
    world.put("changed", "of another length");
    world.delete("removed");
    within(tree.refresh_root()).await.unwrap();
    // Each is gone as a name: the number stands for the version that was opened, or for nothing.
    let mut notices = heard(&mut changes);
    notices.sort_by_key(|notice| match notice {
        Notice::Entry { name, .. } => name.clone(),
        Notice::Content { ino } => panic!("{ino} is open: its pages are right"),
    });
    let expected = ["changed", "removed"].map(|name| entry_notice(Ino::ROOT, name));
    assert_eq!(notices, expected);
    assert_eq!(
        tree.path(open[1].ino).as_deref(),
        Some("removed"),
        "who has it open may still be told"
    );
    let new = try_lookup(&tree, Ino::ROOT, "changed").unwrap().unwrap();
    assert_ne!(new.ino, open[0].ino);
    for attr in &open {
        tree.closed(attr.ino);
        tree.forget(attr.ino, 1);
    }
    tree.forget(new.ino, 1);
    assert_eq!(tree.stats().nodes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_and_changes_nothing() {
    let world = World::new();
    world.put("a", "x");
    let tree = world.tree_of(
        namespace(world.source("")).freshness(Freshness::Ttl(LONG)),
        TreeOptions::default(),
    );
    let mut changes = tree.changes();
    assert_eq!(ls(&tree, Ino::ROOT).await, ["a"]);
    world.put("b", "x");
    world.lab.objects().deny_bucket(BUCKET, true);
    let error = within(tree.refresh_root()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(ls(&tree, Ino::ROOT).await, ["a"]);
    assert_eq!(heard(&mut changes), []);
    world.lab.objects().deny_bucket(BUCKET, false);
    within(tree.refresh_root()).await.unwrap();
    assert_eq!(ls(&tree, Ino::ROOT).await, ["a", "b"]);
}

#[tokio::test]
async fn a_listing_under_way_is_too_old_to_be_shared() {
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(TreeOptions::default(), &clock);
    let reading = tokio::spawn({
        let tree = tree.clone();
        async move { tree.read_dir(Ino::ROOT).await }
    });
    let first = within(asked.recv()).await.unwrap();
    let refresh = || {
        let tree = tree.clone();
        tokio::spawn(async move { tree.refresh_root().await })
    };
    let refreshing = refresh();
    let second = within(asked.recv()).await.unwrap();
    // The later question is answered first, and is the one that counts.
    second.list(vec![entry("new", file("1"))]);
    within(refreshing).await.unwrap().unwrap();
    first.list(vec![entry("old", file("1"))]);
    within(reading).await.unwrap().unwrap();
    assert!(try_lookup(&tree, Ino::ROOT, "new").unwrap().is_ok());
    // Given up, it asks for nothing any more.
    clock.advance(SECOND);
    let refreshing = refresh();
    let third = within(asked.recv()).await.unwrap();
    refreshing.abort();
    assert!(within(refreshing).await.unwrap_err().is_cancelled());
    assert!(third.is_given_up());
}
