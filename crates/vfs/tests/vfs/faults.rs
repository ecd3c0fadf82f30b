//! Sources that are slow, busy or dead.

use std::ffi::OsStr;
use std::time::Duration;

use forebay_testkit::{FaultKind, Op, Point, Rule};
use forebay_types::ErrorKind;
use forebay_vfs::Ino;
use futures::future::join;

use crate::world::{BUCKET, LATER, World, absent, lookup, ls, try_lookup, within};

fn busy() -> FaultKind {
    FaultKind::Status {
        code: 503,
        retry_after: None,
    }
}

/// Nothing is left of what was given up.
async fn settled(world: &World) {
    for _ in 0..500 {
        let counts = world.lab.counts();
        if (counts.concurrent_requests, world.opener.budget().in_use()) == (0, 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!(
        "left behind: {} at the lab, {} permits",
        world.lab.counts().concurrent_requests,
        world.opener.budget().in_use()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again() {
    let world = World::new();
    world.put_all(&["a", "b"]);
    for op in [Op::Head, Op::List] {
        world.lab.faults().add(Rule::new(busy()).op(op).times(2));
    }
    let tree = world.tree();
    assert!(lookup(&tree, Ino::ROOT, "a").await.is_ok());
    assert_eq!(ls(&tree, Ino::ROOT).await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_and_not_remembered() {
    let world = World::new();
    world.put("a", "x");
    let tree = world.tree();
    world.lab.faults().add(Rule::new(busy()).any_op());
    let (looked, listed) = within(join(
        tree.lookup(Ino::ROOT, OsStr::new("a")),
        tree.read_dir(Ino::ROOT),
    ))
    .await;
    for error in [looked.unwrap_err(), listed.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("503"), "{error}");
    }
    assert_eq!(tree.stats().nodes, 1);
    world.lab.faults().clear();
    assert!(lookup(&tree, Ino::ROOT, "a").await.is_ok());
    // What is known stays known as long as it is believed, and then there is an error, not an absence.
    world.lab.objects().deny_bucket(BUCKET, true);
    let attr = try_lookup(&tree, Ino::ROOT, "a").unwrap().unwrap();
    world.clock.advance(LATER);
    let error = within(tree.attr(attr.ino)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let error = within(tree.read_dir(Ino::ROOT)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    world.lab.objects().deny_bucket(BUCKET, false);
    assert_eq!(within(tree.attr(attr.ino)).await.unwrap().ino, attr.ino);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_no_empty_directory() {
    let world = World::new();
    let source = world.opener.open(&"s3://none/".parse().unwrap()).unwrap();
    let tree = world.tree_of(crate::world::namespace(source), Default::default());
    for _ in 0..2 {
        let error = within(tree.read_dir(Ino::ROOT)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(!absent::<()>(&Err(error)));
        let error = lookup(&tree, Ino::ROOT, "a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(try_lookup(&tree, Ino::ROOT, "a").is_none());
    }
    assert!(tree.try_attr(Ino::ROOT).unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_ends_in_an_error() {
    let world = World::new();
    world.put("a", "x");
    let tree = world.tree();
    lookup(&tree, Ino::ROOT, "a").await.unwrap();
    let World { lab, clock, .. } = world;
    drop(lab);
    clock.advance(LATER);
    let error = lookup(&tree, Ino::ROOT, "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_given_up_leaves_nothing_behind() {
    let world = World::new();
    world.put_all(&["a", "dir/b"]);
    let silent = FaultKind::Stall {
        at: Point::BeforeHeaders,
        resume: None,
    };
    world.lab.faults().add(Rule::new(silent).any_op());
    let tree = world.tree();
    let patience = Duration::from_millis(100);
    let looked = tokio::time::timeout(patience, tree.lookup(Ino::ROOT, OsStr::new("a"))).await;
    let listed = tokio::time::timeout(patience, tree.read_dir(Ino::ROOT)).await;
    assert!(looked.is_err() && listed.is_err());
    settled(&world).await;
    assert_eq!(tree.stats().nodes, 1);
    world.lab.faults().clear();
    assert!(lookup(&tree, Ino::ROOT, "a").await.is_ok());
    assert_eq!(ls(&tree, Ino::ROOT).await, ["a", "dir/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_with_another_is_not_let_down_when_that_one_gives_up() {
    let world = World::new();
    world.put_all(&["a", "dir/b"]);
    let slow = FaultKind::Latency(Duration::from_millis(500));
    world.lab.faults().add(Rule::new(slow).any_op());
    let tree = world.tree();
    for listing in [false, true] {
        let ask = |tree: forebay_vfs::Tree| async move {
            match listing {
                false => tree.lookup(Ino::ROOT, OsStr::new("a")).await.map(drop),
                true => tree.read_dir(Ino::ROOT).await.map(drop),
            }
        };
        world.asked();
        let first = tokio::spawn(ask(tree.clone()));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let second = tokio::spawn(ask(tree.clone()));
        let third = tokio::spawn(ask(tree.clone()));
        tokio::time::sleep(Duration::from_millis(50)).await;
        first.abort();
        drop(first.await);
        tokio::time::sleep(Duration::from_millis(50)).await;
        third.abort();
        within(second).await.unwrap().unwrap();
        let expected = if listing { (0, 1) } else { (1, 1) };
        assert_eq!(world.asked(), expected, "listing: {listing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_breaks_off_is_no_listing() {
    let world = World::new();
    world.put_many("", 2500);
    let tree = world.tree();
    // The third page, every time.
    world
        .lab
        .faults()
        .add(Rule::new(busy()).op(Op::List).skip_first(2));
    let error = within(tree.read_dir(Ino::ROOT)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(tree.try_read_dir(Ino::ROOT).is_none());
    assert!(try_lookup(&tree, Ino::ROOT, "000001").is_none());
    world.lab.faults().clear();
    assert_eq!(ls(&tree, Ino::ROOT).await.len(), 2500);
}
