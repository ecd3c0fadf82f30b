//! What becomes of what was known when the source changes.

use forebay_types::{ErrorKind, Version};
use forebay_vfs::{Ino, Kind, Notice, Tree, TreeOptions};

use crate::world::{
    LATER, SECOND, World, absent, entry_notice, heard, lookup, ls, stale, try_lookup, within,
};

/// How a tree comes to ask again: by the name, by the number, by its directory.
#[derive(Clone, Copy, Debug)]
enum By {
    Name,
    Number,
    Listing,
}

const WAYS: [By; 3] = [By::Name, By::Number, By::Listing];

async fn ask(tree: &Tree, by: By, name: &str, ino: Ino) {
    match by {
        By::Name => match lookup(tree, Ino::ROOT, name).await {
            Ok(attr) => {
                tree.forget(attr.ino, 1);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        },
        By::Number => drop(within(tree.attr(ino)).await),
        By::Listing => drop(within(tree.read_dir(Ino::ROOT)).await.unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_new_content_keeps_its_number() {
    for by in WAYS {
        for listed in [false, true] {
            let world = World::new();
            world.put("a", "abc");
            let tree = world.tree();
            let mut changes = tree.changes();
            if listed {
                ls(&tree, Ino::ROOT).await;
            }
            let old = lookup(&tree, Ino::ROOT, "a").await.unwrap();
            world.put("a", "abcdef");
            // Not before it is due.
            assert_eq!(tree.try_attr(old.ino).unwrap().unwrap(), old);
            world.clock.advance(LATER);
            assert!(tree.try_attr(old.ino).is_none());
            ask(&tree, by, "a", old.ino).await;
            let new = tree.try_attr(old.ino).unwrap().unwrap();
            assert_eq!((new.ino, new.size), (old.ino, 6), "{by:?}");
            assert_ne!(new.version, old.version);
            let known = tree.file(new.ino).unwrap().target.known.unwrap();
            assert_eq!((known.size, known.version), (6, new.version));
            assert_eq!(heard(&mut changes), [Notice::Content { ino: old.ino }], "{by:?}");
            // What stays as it is, is not spoken of.
            world.clock.advance(LATER);
            ask(&tree, by, "a", old.ino).await;
            assert_eq!(heard(&mut changes), []);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_new_content_gets_another_number_while_it_is_open() {
    for by in WAYS {
        for listed in [false, true] {
            let world = World::new();
            world.put("a", "abc");
            let tree = world.tree();
            let mut changes = tree.changes();
            if listed {
                ls(&tree, Ino::ROOT).await;
            }
            let old = lookup(&tree, Ino::ROOT, "a").await.unwrap();
            assert!(
                !tree.opened(old.ino, &Version::Unknown),
                "that is not its version"
            );
            // Twice, and closed once.
            assert!(tree.opened(old.ino, &old.version));
            assert!(tree.opened(old.ino, &old.version));
            tree.closed(old.ino);
            world.put("a", "abcdef");
            world.clock.advance(LATER);
            ask(&tree, by, "a", old.ino).await;
            assert_eq!(heard(&mut changes), [entry_notice(Ino::ROOT, "a")], "{by:?}");
            assert!(stale(&tree.file(old.ino)), "{by:?}");
            assert!(!tree.opened(old.ino, &old.version), "it is gone");
            let new = lookup(&tree, Ino::ROOT, "a").await.unwrap();
            assert_ne!(new.ino, old.ino);
            assert_eq!(new.size, 6);
            // Closed, it changes as it is.
            assert!(tree.opened(new.ino, &new.version));
            tree.closed(new.ino);
            tree.closed(old.ino);
            world.put("a", "abc");
            world.clock.advance(LATER);
            ask(&tree, by, "a", new.ino).await;
            let last = lookup(&tree, Ino::ROOT, "a").await.unwrap();
            assert_eq!((last.ino, last.size), (new.ino, 3), "{by:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanished_is_gone_for_its_number_too() {
    for by in WAYS {
        for listed in [false, true] {
            let world = World::new();
            world.put_all(&["a", "b"]);
            let tree = world.tree();
            let mut changes = tree.changes();
            if listed {
                ls(&tree, Ino::ROOT).await;
            }
            let old = lookup(&tree, Ino::ROOT, "a").await.unwrap().ino;
            world.delete("a");
            world.clock.advance(LATER);
            ask(&tree, by, "a", old).await;
            assert!(stale(&tree.try_attr(old).unwrap()), "{by:?}");
            assert!(stale(&within(tree.attr(old)).await));
            assert!(stale(&tree.file(old)));
            assert!(absent(&lookup(&tree, Ino::ROOT, "a").await));
            assert_eq!(heard(&mut changes), [entry_notice(Ino::ROOT, "a")], "{by:?}");
            // It comes back as another one, though the kernel still has the old one.
            world.put("a", "abc");
            world.clock.advance(LATER);
            ask(&tree, by, "a", old).await;
            let new = lookup(&tree, Ino::ROOT, "a").await.unwrap().ino;
            assert!(new > old, "{by:?}");
            assert!(stale(&tree.try_attr(old).unwrap()));
            tree.forget(old, 1);
            tree.forget(new, 1);
            assert_eq!(tree.stats().nodes, 1);
            assert_eq!(heard(&mut changes), []);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_a_directory_is_something_else() {
    for by in WAYS {
        for (before, after, kind) in [("a", "a/b", Kind::Dir), ("a/b", "a", Kind::File)] {
            let world = World::new();
            world.put(before, "x");
            let tree = world.tree();
            let mut changes = tree.changes();
            let old = lookup(&tree, Ino::ROOT, "a").await.unwrap();
            assert_ne!(old.kind, kind);
            world.delete(before);
            world.put(after, "x");
            world.clock.advance(LATER);
            ask(&tree, by, "a", old.ino).await;
            assert!(stale(&tree.try_attr(old.ino).unwrap()), "{by:?}");
            assert_eq!(heard(&mut changes), [entry_notice(Ino::ROOT, "a")], "{by:?}");
            let new = lookup(&tree, Ino::ROOT, "a").await.unwrap();
            assert_eq!(new.kind, kind);
            assert_ne!(new.ino, old.ino);
            assert!(stale(&lookup(&tree, old.ino, "b").await));
            assert!(stale(&within(tree.read_dir(old.ino)).await));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_vanished_takes_its_names_with_it() {
    let world = World::new();
    world.put_all(&["dir/sub/a", "other"]);
    let tree = world.tree();
    let mut changes = tree.changes();
    let dir = lookup(&tree, Ino::ROOT, "dir").await.unwrap().ino;
    let sub = lookup(&tree, dir, "sub").await.unwrap().ino;
    let file = lookup(&tree, sub, "a").await.unwrap().ino;
    ls(&tree, sub).await;
    world.delete("dir/sub/a");
    world.clock.advance(LATER);
    assert!(absent(&within(tree.read_dir(sub)).await));
    assert_eq!(heard(&mut changes), [entry_notice(dir, "sub")]);
    assert!(stale(&lookup(&tree, sub, "a").await));
    assert!(stale(&within(tree.attr(file)).await));
    assert!(absent(&within(tree.read_dir(dir)).await));
    assert_eq!(ls(&tree, Ino::ROOT).await, ["other"]);
    for ino in [file, sub, dir] {
        tree.forget(ino, 1);
    }
    assert_eq!(tree.stats().nodes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_is_seen_when_its_absence_is_no_longer_believed() {
    let world = World::new();
    world.put("a", "x");
    let tree = world.tree_with(TreeOptions {
        negative_ttl: Some(10 * SECOND),
        ..TreeOptions::default()
    });
    let mut changes = tree.changes();
    assert!(absent(&lookup(&tree, Ino::ROOT, "b").await));
    world.put("b", "x");
    world.clock.advance(LATER);
    assert!(absent(&lookup(&tree, Ino::ROOT, "b").await));
    // Or when a listing shows it: then the kernel must hear of it.
    assert_eq!(ls(&tree, Ino::ROOT).await, ["a", "b"]);
    assert_eq!(heard(&mut changes), [entry_notice(Ino::ROOT, "b")]);
    assert!(try_lookup(&tree, Ino::ROOT, "b").unwrap().is_ok());
    // One that nobody asked for is no news.
    world.put("c", "x");
    world.clock.advance(LATER);
    assert_eq!(ls(&tree, Ino::ROOT).await, ["a", "b", "c"]);
    assert_eq!(heard(&mut changes), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_listing_did_not_have_makes_it_incomplete() {
    let world = World::new();
    world.put_all(&["a", "b"]);
    let tree = world.tree_with(TreeOptions {
        ttl: Some(10 * SECOND),
        negative_ttl: Some(SECOND),
        ..TreeOptions::default()
    });
    let old = lookup(&tree, Ino::ROOT, "a").await.unwrap();
    ls(&tree, Ino::ROOT).await;
    world.delete("a");
    // A reader finds out.
    tree.changed(old.ino);
    assert!(absent(&lookup(&tree, Ino::ROOT, "a").await));
    assert!(tree.try_read_dir(Ino::ROOT).is_none());
    assert_eq!(ls(&tree, Ino::ROOT).await, ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_found_out_is_asked_for() {
    let world = World::new();
    world.put("a", "abc");
    let tree = world.tree();
    let mut changes = tree.changes();
    let old = lookup(&tree, Ino::ROOT, "a").await.unwrap();
    ls(&tree, Ino::ROOT).await;
    world.put("a", "abcdef");
    tree.changed(old.ino);
    // The kernel is to forget it at once, and hears of it once.
    assert_eq!(heard(&mut changes), [Notice::Content { ino: old.ino }]);
    tree.changed(old.ino);
    assert!(tree.try_attr(old.ino).is_none());
    assert!(try_lookup(&tree, Ino::ROOT, "a").is_none());
    let new = within(tree.attr(old.ino)).await.unwrap();
    assert_eq!((new.ino, new.size), (old.ino, 6));
    assert_eq!(heard(&mut changes), []);
    // Nothing is believed of what is not held.
    tree.changed(Ino(999));
    tree.changed(Ino::ROOT);
    assert!(tree.try_attr(Ino::ROOT).unwrap().is_ok());
    assert_eq!(heard(&mut changes), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_of_what_the_kernel_forgot() {
    let world = World::new();
    world.put_all(&["a", "b"]);
    let tree = world.tree();
    ls(&tree, Ino::ROOT).await;
    let mut changes = tree.changes();
    for name in ["a", "b"] {
        let attr = try_lookup(&tree, Ino::ROOT, name).unwrap().unwrap();
        tree.forget(attr.ino, 1);
        // The listing keeps the number.
        let again = try_lookup(&tree, Ino::ROOT, name).unwrap().unwrap();
        assert_eq!(again, attr);
        tree.forget(attr.ino, 1);
    }
    world.put("a", "other");
    world.delete("b");
    world.clock.advance(LATER);
    ls(&tree, Ino::ROOT).await;
    assert_eq!(heard(&mut changes), []);
    assert_eq!(tree.stats().notices, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_never_used_again() {
    let world = World::new();
    world.put("a", "x");
    let tree = world.tree();
    let mut last = Ino::ROOT;
    for _ in 0..10 {
        let attr = lookup(&tree, Ino::ROOT, "a").await.unwrap();
        assert!(attr.ino > last);
        assert!(!matches!(attr.version, Version::Unknown));
        last = attr.ino;
        tree.forget(attr.ino, 1);
    }
    assert!(stale(&tree.try_attr(last).unwrap()));
    // More than was given does no harm.
    tree.forget(last, 5);
    tree.forget(Ino::ROOT, 5);
    assert!(tree.try_attr(Ino::ROOT).unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_names_stays_as_it_was_begun() {
    let world = World::new();
    world.put_all(&["a", "b", "c"]);
    let tree = world.tree();
    let stream = within(tree.read_dir(Ino::ROOT)).await.unwrap();
    let b = tree.refer(&stream, 1).unwrap();
    world.delete("a");
    world.put("aa", "x");
    world.clock.advance(LATER);
    assert_eq!(ls(&tree, Ino::ROOT).await, ["aa", "b", "c"]);
    let names: Vec<_> = stream.iter_from(1).map(|entry| entry.name).collect();
    assert_eq!((names, stream.len()), (vec!["b", "c"], 3));
    // A name that is gone gets no reference; the others are as they are now.
    assert_eq!(tree.refer(&stream, 0), None);
    assert_eq!(tree.refer(&stream, 1).unwrap().ino, b.ino);
    assert_eq!(tree.refer(&stream, 3), None);
    assert_eq!((stream.ino(), stream.parent()), (Ino::ROOT, Ino::ROOT));
}
