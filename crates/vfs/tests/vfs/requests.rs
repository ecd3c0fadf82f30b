//! What a question costs at the source.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use forebay_testkit::{Face, Profile};
use forebay_vfs::{BucketNamespace, Freshness, Ino, Tree, TreeOptions};
use futures::future::join_all;

use crate::world::{
    LATER, SECOND, World, absent, config, lookup, ls, namespace, stale, try_lookup, walk, within,
};

#[tokio::test(flavor = "multi_thread")]
async fn ls_and_stat_of_a_thousand_files_is_one_listing() {
    let world = World::new();
    world.put_many("dir/", 999);
    world.put("dir/sub/x", "x");
    let tree = world.tree();
    let dir = lookup(&tree, Ino::ROOT, "dir").await.unwrap().ino;
    // One look: is there an object, is there anything below it?
    world.asked();
    let snapshot = within(tree.read_dir(dir)).await.unwrap();
    assert_eq!(snapshot.len(), 1000);
    assert_eq!(world.asked(), (0, 1));
    for (index, entry) in snapshot.iter_from(0).enumerate() {
        let attr = try_lookup(&tree, dir, entry.name).unwrap().unwrap();
        assert_eq!((attr.ino, attr.kind), (entry.ino, entry.kind));
        if index < 999 {
            assert_eq!(attr.size, index as u64);
        }
        assert_eq!(tree.try_attr(attr.ino).unwrap().unwrap(), attr);
        assert_eq!(tree.refer(&snapshot, index).unwrap(), attr);
    }
    // The second time too.
    assert!(Arc::ptr_eq(&tree.try_read_dir(dir).unwrap().unwrap(), &snapshot));
    assert_eq!(world.asked(), (0, 0));
    assert_eq!((tree.stats().lists, tree.stats().looks), (1, 1));
    // What it does not have, is not there.
    assert!(absent(&try_lookup(&tree, dir, "other").unwrap()));
    assert_eq!(world.asked(), (0, 0));
    // Until it is not believed any more.
    world.clock.advance(LATER);
    assert!(tree.try_read_dir(dir).is_none());
    assert!(try_lookup(&tree, dir, "other").is_none());
    assert!(try_lookup(&tree, dir, "000001").is_none());
    assert!(tree.try_attr(snapshot.get(1).unwrap().ino).is_none());
    let again = within(tree.read_dir(dir)).await.unwrap();
    assert_eq!(world.asked(), (0, 1));
    let inos = |snapshot: &forebay_vfs::DirSnapshot| -> Vec<Ino> {
        snapshot.iter_from(0).map(|entry| entry.ino).collect()
    };
    assert_eq!(inos(&again), inos(&snapshot));
    // The listing was one of all its files.
    assert!(try_lookup(&tree, dir, "000001").unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_who_look_for_one_name_cost_one_look() {
    let world = World::at(Profile::STANDARD, Face::Fast);
    world.put("a", "abc");
    let tree = world.tree();
    let lookups = (0..50).map(|_| {
        tokio::spawn(with(
            &tree,
            |tree| async move { lookup(&tree, Ino::ROOT, "a").await },
        ))
    });
    for attr in within(join_all(lookups)).await {
        assert_eq!(attr.unwrap().unwrap().size, 3);
    }
    assert_eq!(world.asked(), (1, 1));
    let stats = tree.stats();
    assert_eq!((stats.looks, stats.lookups), (1, 50));
    // Each of them has a reference.
    let ino = try_lookup(&tree, Ino::ROOT, "a").unwrap().unwrap().ino;
    tree.forget(ino, 50);
    assert!(tree.try_attr(ino).unwrap().is_ok());
    tree.forget(ino, 1);
    assert!(stale(&tree.try_attr(ino).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_who_read_one_directory_cost_one_listing() {
    let world = World::at(Profile::STANDARD, Face::Fast);
    world.put_all(&["a", "b"]);
    let tree = world.tree();
    let reads =
        (0..50).map(|_| tokio::spawn(with(&tree, |tree| async move { tree.read_dir(Ino::ROOT).await })));
    for snapshot in within(join_all(reads)).await {
        assert_eq!(snapshot.unwrap().unwrap().len(), 2);
    }
    assert_eq!(world.asked(), (0, 1));
}

fn with<F>(tree: &Tree, question: impl FnOnce(Tree) -> F) -> F {
    question(tree.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_looked_for_without_listing_its_directory() {
    let world = World::new();
    world.put_many("big/", 3000);
    world.put("big/sub/deep/x", "x");
    let tree = world.tree();
    assert_eq!(walk(&tree, "big/002999").await.unwrap().size, 2999);
    // A HEAD and a page for each name.
    assert_eq!(world.asked(), (2, 2));
    walk(&tree, "big/sub").await.unwrap();
    assert_eq!(world.asked(), (1, 1));
    // A name that is not there costs a question for its marker too.
    assert!(absent(&walk(&tree, "big/none").await));
    assert_eq!(world.asked(), (2, 1));
    // And then nothing for a while.
    assert!(absent(&walk(&tree, "big/none").await));
    assert_eq!(world.asked(), (0, 0));
    // What was a directory and still is, costs one page.
    world.clock.advance(LATER);
    walk(&tree, "big").await.unwrap();
    assert_eq!(world.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_their_absence_are_believed_as_long_as_the_options_say() {
    let world = World::new();
    world.put("a", "abc");
    let times = |ttl: u64, negative: u64| TreeOptions {
        ttl: Some(Duration::from_secs(ttl)),
        negative_ttl: Some(Duration::from_secs(negative)),
        ..TreeOptions::default()
    };
    let tree = world.tree_with(times(60, 5));
    let attr = lookup(&tree, Ino::ROOT, "a").await.unwrap();
    assert_eq!(attr.valid, Duration::from_secs(60));
    let missing = lookup(&tree, Ino::ROOT, "b").await.unwrap_err();
    assert!(
        matches!(&missing, forebay_vfs::VfsError::NotFound { valid, path } if valid.as_secs() == 5 && **path == *"b"),
        "{missing:?}"
    );
    world.clock.advance(Duration::from_secs(4));
    assert!(absent(&try_lookup(&tree, Ino::ROOT, "b").unwrap()));
    world.clock.advance(Duration::from_secs(2));
    assert!(try_lookup(&tree, Ino::ROOT, "b").is_none());
    // What is left is told, not the whole again.
    assert_eq!(
        tree.try_attr(attr.ino).unwrap().unwrap().valid,
        Duration::from_secs(54)
    );
    world.clock.advance(Duration::from_secs(54));
    assert!(tree.try_attr(attr.ino).is_none());
    // With no time at all every question is asked.
    let tree = world.tree_with(times(0, 0));
    world.asked();
    for _ in 0..3 {
        let attr = lookup(&tree, Ino::ROOT, "a").await.unwrap();
        assert_eq!(attr.valid, Duration::ZERO);
        assert!(absent(&lookup(&tree, Ino::ROOT, "b").await));
    }
    assert_eq!((tree.stats().looks, tree.stats().hits), (6, 0));
    assert_eq!(tree.ttl(), Some(Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_changes_is_asked_once() {
    let world = World::new();
    world.put_all(&["a", "dir/b"]);
    let still = namespace(world.source("")).freshness(Freshness::Immutable);
    let tree = world.tree_of(still, TreeOptions::default());
    let attr = lookup(&tree, Ino::ROOT, "a").await.unwrap();
    assert_eq!((attr.valid, tree.ttl()), (Duration::MAX, None));
    assert!(absent(&lookup(&tree, Ino::ROOT, "b").await));
    let dir = lookup(&tree, Ino::ROOT, "dir").await.unwrap().ino;
    ls(&tree, dir).await;
    world.asked();
    world.clock.advance(Duration::from_secs(1 << 32));
    assert!(try_lookup(&tree, Ino::ROOT, "a").unwrap().is_ok());
    assert!(absent(&try_lookup(&tree, Ino::ROOT, "b").unwrap()));
    assert_eq!(ls(&tree, dir).await, ["b"]);
    assert_eq!(world.asked(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_files_are_a_hundred_pages_and_then_none() {
    let world = World::new();
    world.put_many("dir/", 100_000);
    let tree = world.tree();
    let dir = lookup(&tree, Ino::ROOT, "dir").await.unwrap().ino;
    world.asked();
    let snapshot = within(tree.read_dir(dir)).await.unwrap();
    assert_eq!(snapshot.len(), 100_000);
    assert_eq!(world.asked(), (0, 100));
    for index in 0..snapshot.len() {
        let attr = tree.refer(&snapshot, index).unwrap();
        assert_eq!(attr.size, index as u64);
        assert!(attr.valid > Duration::ZERO);
    }
    assert_eq!(ls(&tree, dir).await.len(), 100_000);
    assert_eq!(world.asked(), (0, 0));
    assert_eq!(tree.stats().nodes, 100_002);
    for entry in snapshot.iter_from(0) {
        tree.forget(entry.ino, 1);
    }
    assert_eq!(tree.stats().nodes, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_bounded() {
    let world = World::new();
    for dir in 0..20 {
        world.put_many(&format!("dir-{dir:02}/"), 10);
    }
    let tree = world.tree_with(TreeOptions {
        max_entries: 60,
        ttl: Some(60 * SECOND),
        ..TreeOptions::default()
    });
    let mut held = Vec::new();
    for dir in 0..20 {
        let dir = lookup(&tree, Ino::ROOT, &format!("dir-{dir:02}"))
            .await
            .unwrap()
            .ino;
        ls(&tree, dir).await;
        let file = try_lookup(&tree, dir, "000003").unwrap().unwrap().ino;
        held.push((dir, file));
        for n in 0..10 {
            assert!(absent(&lookup(&tree, dir, &format!("none-{n}")).await));
        }
    }
    let stats = tree.stats();
    // Each directory that the kernel holds counts one, and so does each of its files that is held.
    assert!(stats.cached <= 60 + 60 / 4 + 3 * 20, "{stats:?}");
    assert!(stats.evicted >= 10, "{stats:?}");
    assert_eq!(stats.nodes, 41);
    // What the kernel holds keeps its number.
    for (dir, file) in &held {
        assert_eq!(lookup(&tree, *dir, "000003").await.unwrap().ino, *file);
        assert!(tree.try_attr(*file).unwrap().is_ok());
    }
    // The one that was used last is there still.
    assert!(tree.try_read_dir(held[19].0).is_some());
    for (dir, file) in held {
        tree.forget(file, 2);
        tree.forget(dir, 1);
    }
    let stats = tree.stats();
    assert_eq!(stats.nodes, 1);
    assert!(stats.cached <= 40, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_larger_than_the_bound_is_kept_while_it_is_in_use() {
    let world = World::new();
    world.put_many("dir/", 300);
    world.put("other/x", "x");
    let tree = world.tree_with(TreeOptions {
        max_entries: 10,
        ..TreeOptions::default()
    });
    let dir = lookup(&tree, Ino::ROOT, "dir").await.unwrap().ino;
    ls(&tree, dir).await;
    world.asked();
    for n in 0..300 {
        let attr = lookup(&tree, dir, &format!("{n:06}")).await.unwrap();
        tree.forget(attr.ino, 1);
    }
    assert_eq!(world.asked(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_object_is_the_one_file_of_the_root() {
    let world = World::new();
    world.put_all(&["dir/object", "dir/other"]);
    let source = world.source("dir/object");
    let found = BucketNamespace::find(source, None, config()).await.unwrap();
    let tree = world.tree_of(found, TreeOptions::default());
    assert_eq!(ls(&tree, Ino::ROOT).await, ["object"]);
    world.clock.advance(LATER);
    world.asked();
    let attr = lookup(&tree, Ino::ROOT, "object").await.unwrap();
    assert_eq!((attr.size, world.asked()), (1, (1, 0)));
    assert!(absent(&lookup(&tree, Ino::ROOT, "other").await));
    world.delete("dir/object");
    world.clock.advance(LATER);
    assert_eq!(ls(&tree, Ino::ROOT).await, [""; 0]);
    assert!(stale(&tree.try_attr(attr.ino).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_threads_need_no_runtime() {
    let world = World::new();
    world.put("dir/a", "abc");
    let tree = world.tree();
    let dir = lookup(&tree, Ino::ROOT, "dir").await.unwrap().ino;
    let thread = std::thread::spawn({
        let tree = tree.clone();
        move || {
            assert!(tree.try_read_dir(dir).is_none());
            assert!(tree.try_lookup(dir, OsStr::new("a")).is_none());
            assert!(tree.try_attr(dir).unwrap().is_ok());
        }
    });
    thread.join().unwrap();
    ls(&tree, dir).await;
    let thread = std::thread::spawn(move || {
        assert_eq!(tree.try_read_dir(dir).unwrap().unwrap().len(), 1);
        let attr = tree.try_lookup(dir, OsStr::new("a")).unwrap().unwrap();
        assert_eq!(tree.file(attr.ino).unwrap().attr, attr);
        tree.changed(attr.ino);
        assert!(tree.try_attr(attr.ino).is_none());
        tree.forget(attr.ino, 1);
    });
    thread.join().unwrap();
}
