//! Answers that come in another order than their questions were asked.

use std::ffi::OsStr;
use std::time::Duration;

use forebay_types::{ManualClock, Version};
use forebay_vfs::{Attr, DirSnapshot, Ino, Kind, Node, Notice, Tree, TreeOptions, VfsError};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::world::{
    LATER, Question, SECOND, absent, entry, entry_notice, file, heard, oracle, shown, stale, try_lookup,
    within,
};

type Asked = UnboundedReceiver<Question>;
type Reading = JoinHandle<Result<std::sync::Arc<DirSnapshot>, VfsError>>;

/// A lookup under way, and its question.
async fn looking(
    tree: &Tree,
    asked: &mut Asked,
    name: &'static str,
) -> (JoinHandle<Result<Attr, VfsError>>, Question) {
    let waiting = tokio::spawn({
        let tree = tree.clone();
        async move { tree.lookup(Ino::ROOT, OsStr::new(name)).await }
    });
    (waiting, within(asked.recv()).await.unwrap())
}

/// A listing under way, and its question.
async fn reading(tree: &Tree, asked: &mut Asked) -> (Reading, Question) {
    let waiting = tokio::spawn({
        let tree = tree.clone();
        async move { tree.read_dir(Ino::ROOT).await }
    });
    (waiting, within(asked.recv()).await.unwrap())
}

async fn done<T>(waiting: JoinHandle<T>) -> T {
    within(waiting).await.unwrap()
}

fn tag(attr: &Attr) -> &str {
    match &attr.version {
        Version::ETag(tag) => tag,
        Version::Modified(_) | Version::Unknown => panic!("{attr:?}"),
    }
}

#[tokio::test]
async fn a_look_that_was_asked_later_is_believed_over_a_listing() {
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(TreeOptions::default(), &clock);
    let (listing, list) = reading(&tree, &mut asked).await;
    let (lookup, look) = looking(&tree, &mut asked, "changed").await;
    look.look("changed", Some(file("new")));
    let changed = done(lookup).await.unwrap();
    let (lookup, look) = looking(&tree, &mut asked, "made").await;
    look.look("made", Some(file("new")));
    let made = done(lookup).await.unwrap();
    let (lookup, look) = looking(&tree, &mut asked, "removed").await;
    look.look("removed", None);
    assert!(absent(&done(lookup).await));
    let (lookup, look) = looking(&tree, &mut asked, "turned").await;
    look.look("turned", Some(Node::Dir));
    let turned = done(lookup).await.unwrap();
    let mut changes = tree.changes();
    // What the listing saw before all that.
    list.list(vec![
        entry("changed", file("old")),
        entry("removed", file("old")),
        entry("turned", file("old")),
    ]);
    done(listing).await.unwrap();
    assert_eq!(heard(&mut changes), []);
    let now = |name| try_lookup(&tree, Ino::ROOT, name).unwrap();
    assert_eq!(tag(&now("changed").unwrap()), "new");
    assert_eq!(now("changed").unwrap().ino, changed.ino);
    assert_eq!(now("made").unwrap().ino, made.ino);
    assert!(absent(&now("removed")));
    assert_eq!(now("turned").unwrap().ino, turned.ino);
    assert_eq!(now("turned").unwrap().kind, Kind::Dir);
}

#[tokio::test]
async fn a_listing_that_was_asked_later_is_believed_over_a_look() {
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(TreeOptions::default(), &clock);
    let (lookup, look) = looking(&tree, &mut asked, "a").await;
    let (gone, look_gone) = looking(&tree, &mut asked, "b").await;
    let (listing, list) = reading(&tree, &mut asked).await;
    list.list(vec![entry("a", file("new"))]);
    let snapshot = done(listing).await.unwrap();
    look.look("a", Some(file("old")));
    let attr = done(lookup).await.unwrap();
    assert_eq!((tag(&attr), attr.ino), ("new", snapshot.get(0).unwrap().ino));
    // It was there when it was asked for: that is not wrong, and it is asked again when it is due.
    look_gone.look("b", Some(file("old")));
    assert!(done(gone).await.is_ok());
    // The listing is not the last word any more.
    assert!(tree.try_read_dir(Ino::ROOT).is_none());
}

#[tokio::test]
async fn a_name_found_while_its_directory_is_listed_keeps_its_number() {
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(TreeOptions::default(), &clock);
    let (lookup, look) = looking(&tree, &mut asked, "a").await;
    let (listing, list) = reading(&tree, &mut asked).await;
    look.look("a", Some(file("1")));
    let attr = done(lookup).await.unwrap();
    list.list(vec![entry("a", file("1")), entry("b", Node::Dir)]);
    let snapshot = done(listing).await.unwrap();
    assert_eq!(shown(&snapshot), ["a", "b/"]);
    assert_eq!(snapshot.get(0).unwrap().ino, attr.ino);
    assert_eq!(try_lookup(&tree, Ino::ROOT, "a").unwrap().unwrap().ino, attr.ino);
}

#[tokio::test]
async fn who_doubts_an_answer_does_not_get_one_that_was_asked_for_before() {
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(TreeOptions::default(), &clock);
    let (lookup, look) = looking(&tree, &mut asked, "a").await;
    look.look("a", Some(file("1")));
    let attr = done(lookup).await.unwrap();
    clock.advance(LATER);
    let (early, early_look) = looking(&tree, &mut asked, "a").await;
    // A reader finds that it changed, after that was asked.
    tree.changed(attr.ino);
    let (late, late_look) = looking(&tree, &mut asked, "a").await;
    late_look.look("a", Some(file("2")));
    assert_eq!(tag(&done(late).await.unwrap()), "2");
    early_look.look("a", Some(file("1")));
    assert_eq!(tag(&done(early).await.unwrap()), "2");
    assert_eq!(tag(&tree.try_attr(attr.ino).unwrap().unwrap()), "2");
}

#[tokio::test]
async fn an_old_absence_does_not_remove_what_came_later() {
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(TreeOptions::default(), &clock);
    let mut changes = tree.changes();
    let (lookup, look) = looking(&tree, &mut asked, "a").await;
    let (listing, list) = reading(&tree, &mut asked).await;
    list.list(vec![entry("a", file("1"))]);
    let snapshot = done(listing).await.unwrap();
    let held = tree.refer(&snapshot, 0).unwrap();
    look.look("a", None);
    // It waited for an answer that is out of date by now.
    assert_eq!(done(lookup).await.unwrap().ino, held.ino);
    assert_eq!(heard(&mut changes), []);
    assert!(tree.try_read_dir(Ino::ROOT).is_some());
}

#[tokio::test]
async fn a_link_is_told_when_it_points_elsewhere() {
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(TreeOptions::default(), &clock);
    let mut changes = tree.changes();
    let link = |target: &str| Node::Symlink {
        target: target.into(),
    };
    let (lookup, look) = looking(&tree, &mut asked, "l").await;
    look.look("l", Some(link("../some/where")));
    let attr = done(lookup).await.unwrap();
    assert_eq!((attr.kind, attr.size, attr.nlink), (Kind::Symlink, 13, 1));
    assert_eq!(&*tree.link_target(attr.ino).unwrap(), "../some/where");
    clock.advance(LATER);
    let (lookup, look) = looking(&tree, &mut asked, "l").await;
    look.look("l", Some(link("elsewhere")));
    assert_eq!(done(lookup).await.unwrap().ino, attr.ino);
    assert_eq!(&*tree.link_target(attr.ino).unwrap(), "elsewhere");
    assert_eq!(heard(&mut changes), [Notice::Content { ino: attr.ino }]);
    clock.advance(LATER);
    let (lookup, look) = looking(&tree, &mut asked, "l").await;
    look.look("l", Some(file("1")));
    assert_ne!(done(lookup).await.unwrap().ino, attr.ino);
    assert!(stale(&tree.link_target(attr.ino)));
    assert_eq!(heard(&mut changes), [entry_notice(Ino::ROOT, "l")]);
}

#[tokio::test]
async fn what_a_lookup_found_may_be_forgotten_before_it_is_told() {
    // With no time to be believed, and so many names that those of no use go at once.
    let options = TreeOptions {
        ttl: Some(Duration::ZERO),
        negative_ttl: Some(10 * SECOND),
        max_entries: 0,
    };
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(options, &clock);
    for _ in 0..3 {
        let (lookup, look) = looking(&tree, &mut asked, "a").await;
        look.look("a", Some(file("1")));
        let attr = done(lookup).await.unwrap();
        let (lookup, look) = looking(&tree, &mut asked, "a").await;
        look.look("a", Some(file("1")));
        assert_eq!(done(lookup).await.unwrap().ino, attr.ino);
        tree.forget(attr.ino, 2);
        assert_eq!(tree.stats().nodes, 1);
    }
}

#[tokio::test]
async fn only_who_is_answered_gets_a_reference() {
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(TreeOptions::default(), &clock);
    let (first, look) = looking(&tree, &mut asked, "a").await;
    let join = || {
        let tree = tree.clone();
        tokio::spawn(async move { tree.lookup(Ino::ROOT, OsStr::new("a")).await })
    };
    let (second, third) = (join(), join());
    while tree.stats().joined < 2 {
        tokio::task::yield_now().await;
    }
    // The one that began it, and another.
    for waiting in [first, third] {
        waiting.abort();
        assert!(within(waiting).await.unwrap_err().is_cancelled());
    }
    look.look("a", Some(file("1")));
    let attr = done(second).await.unwrap();
    assert_eq!((tree.stats().looks, tree.stats().nodes), (1, 2));
    tree.forget(attr.ino, 1);
    assert_eq!(tree.stats().nodes, 1);
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_is_asked_again() {
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(TreeOptions::default(), &clock);
    let (lookup, given_up) = looking(&tree, &mut asked, "a").await;
    lookup.abort();
    assert!(within(lookup).await.unwrap_err().is_cancelled());
    assert!(given_up.is_given_up());
    let (lookup, look) = looking(&tree, &mut asked, "a").await;
    look.look("a", Some(file("1")));
    assert!(done(lookup).await.is_ok());
    assert_eq!((tree.stats().looks, tree.stats().joined), (2, 0));
}

/// Names of a directory, and a listing of it that took so long.
async fn listed_in(tree: &Tree, asked: &mut Asked, clock: &ManualClock, took: Duration) -> Vec<String> {
    let names: Vec<String> = (0..100).map(|n| format!("{n:02}")).collect();
    let (listing, list) = reading(tree, asked).await;
    clock.advance(took);
    list.list(names.iter().map(|name| entry(name, file("1"))).collect());
    done(listing).await.unwrap();
    names
}

#[tokio::test]
async fn a_slow_listing_is_believed_for_twice_the_time_that_it_took() {
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(TreeOptions::default(), &clock);
    let took = Duration::from_secs(5);
    listed_in(&tree, &mut asked, &clock, took).await;
    clock.advance(took + took - LATER);
    let attr = try_lookup(&tree, Ino::ROOT, "07").unwrap().unwrap();
    assert_eq!(attr.valid, LATER);
    assert!(tree.try_read_dir(Ino::ROOT).is_some());
    assert!(absent(&try_lookup(&tree, Ino::ROOT, "none").unwrap()));
    clock.advance(LATER);
    assert!(try_lookup(&tree, Ino::ROOT, "07").is_none());
    assert!(tree.try_read_dir(Ino::ROOT).is_none());
}

#[tokio::test]
async fn who_looks_at_every_file_again_gets_a_listing() {
    let clock = ManualClock::default();
    let (tree, mut asked) = oracle(TreeOptions::default(), &clock);
    let look_takes = Duration::from_millis(30);
    let names = listed_in(&tree, &mut asked, &clock, 5 * look_takes).await;
    clock.advance(LATER);
    for (n, name) in names.iter().enumerate() {
        let waiting = tokio::spawn({
            let (tree, name) = (tree.clone(), name.clone());
            async move { tree.lookup(Ino::ROOT, OsStr::new(&name)).await }
        });
        // As long as it is cheaper; then all the others are known.
        if n <= 5 {
            let question = within(asked.recv()).await.unwrap();
            clock.advance(look_takes);
            match n {
                5 => question.list(names.iter().map(|name| entry(name, file("1"))).collect()),
                _ => question.look(name, Some(file("1"))),
            }
        }
        done(waiting).await.unwrap();
    }
    assert_eq!((tree.stats().looks, tree.stats().lists), (5, 2));
}
