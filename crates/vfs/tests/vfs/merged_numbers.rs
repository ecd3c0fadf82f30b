//! What the kernel holds, and what it is told of changes below.

use std::ffi::OsStr;

use forebay_vfs::merged::MergedSet;
use forebay_vfs::overlay::SetAttrs;
use forebay_vfs::{Ino, Notice};

use crate::merged_world::{Layers, WRITE};
use crate::world::within;

#[tokio::test(flavor = "multi_thread")]
async fn a_number_stays_when_the_thing_comes_up_and_goes_when_the_kernel_forgets_it() {
    let layers = Layers::with(&[("d/a", "a"), ("d/b", "b")]);
    let mount = layers.mount();
    let before = mount.walk("d/a").await.unwrap().ino;
    let dir = mount.walk("d").await.unwrap().ino;
    drop(mount.open("d/a", WRITE).await.unwrap());
    assert_eq!(mount.walk("d/a").await.unwrap().ino, before);
    assert_eq!(mount.walk("d").await.unwrap().ino, dir);
    assert!(!mount.merged.still_lower(before) && !mount.merged.still_lower(dir));
    let listed = within(mount.merged.read_dir(dir)).await.unwrap();
    assert_eq!(listed.get(0).unwrap().ino, before);
    let referred = mount.took(mount.merged.refer(&listed, 0).unwrap());
    assert_eq!(referred.ino, before);
    let b = mount.took(mount.merged.refer(&listed, 1).unwrap());
    assert!(mount.merged.still_lower(b.ino));
    mount.forget_all();
    // Forgotten, it has the number of its node.
    let after = mount.walk("d/a").await.unwrap().ino;
    let id = mount.merged.node(after).unwrap();
    assert_eq!(after.0, 1 << 62 | id.get());
    assert_eq!(mount.walk("d/b").await.unwrap().nlink, 1);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn readdirplus_tells_what_became_of_a_name_meanwhile() {
    let layers = Layers::with(&[("d/a", "a"), ("d/b", "b"), ("d/c", "c")]);
    let mount = layers.mount();
    let dir = mount.walk("d").await.unwrap().ino;
    let listed = within(mount.merged.read_dir(dir)).await.unwrap();
    assert_eq!((listed.len(), listed.parent()), (3, Ino::ROOT));
    mount.unlink("d/a").await.unwrap();
    mount.write("d/b", "above").await.unwrap();
    assert!(mount.merged.refer(&listed, 0).is_none());
    let b = mount.took(mount.merged.refer(&listed, 1).unwrap());
    assert_eq!((b.ino, b.size), (mount.walk("d/b").await.unwrap().ino, 5));
    mount.took(mount.merged.refer(&listed, 2).unwrap());
    assert!(mount.merged.refer(&listed, 3).is_none());
    let again = within(mount.merged.read_dir(dir)).await.unwrap();
    mount.mv("d/b", "d/e").await.unwrap();
    assert!(mount.merged.refer(&again, 0).is_none(), "it has another name");
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_over_a_lower_one_is_found_again_and_again() {
    let layers = Layers::with(&[("d/e/a", "a"), ("x", "x")]);
    let mount = layers.mount();
    mount.mv("d/e", "moved").await.unwrap();
    for round in 0..3 {
        mount.forget_all();
        assert_eq!(mount.ls("moved").await.len(), 1 + round);
        assert_eq!(mount.text("moved/a").await, "a");
        let ino = mount.walk("moved/a").await.unwrap().ino;
        assert!(mount.merged.still_lower(ino));
        assert_eq!(mount.merged.path(ino).unwrap(), b"moved/a");
        mount.create(&format!("moved/new-{round}")).await.unwrap();
    }
    // What is in it is known by its place below, wherever the directory is.
    let ino = mount.walk("moved/a").await.unwrap().ino;
    let set = SetAttrs {
        mode: Some(0o600),
        ..SetAttrs::default()
    };
    let set = MergedSet {
        attrs: set,
        size: None,
    };
    assert_eq!(
        within(mount.merged.set_attrs(ino, set)).await.unwrap().mode,
        0o600
    );
    assert_eq!(mount.walk("moved/a").await.unwrap().mode, 0o600);
    assert_eq!(mount.walk("moved/a").await.unwrap().ino, ino);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_are_for_what_is_seen_of_the_lower_tree() {
    let layers = Layers::with(&[("d/a", "a"), ("d/b", "b"), ("e/a", "a")]);
    let mount = layers.mount();
    let entry = |parent: Ino, name: &str| Notice::Entry {
        parent,
        name: name.into(),
    };
    let dir = mount.walk("d").await.unwrap().ino;
    let (a, b) = (
        mount.walk("d/a").await.unwrap().ino,
        mount.walk("d/b").await.unwrap().ino,
    );
    let other = mount.walk("e").await.unwrap().ino;
    mount.write("d/a", "above").await.unwrap();
    for (notice, expected) in [
        (Notice::Content { ino: a }, None),
        (Notice::Content { ino: b }, Some(Notice::Content { ino: b })),
        (entry(dir, "a"), None),
        (entry(dir, "b"), Some(entry(dir, "b"))),
        (entry(other, "a"), Some(entry(other, "a"))),
        (entry(Ino::ROOT, "d"), None),
        (entry(Ino::ROOT, "e"), Some(entry(Ino::ROOT, "e"))),
    ] {
        assert_eq!(mount.merged.seen(notice.clone()), expected, "{notice:?}");
    }
    mount.forget_all();
    // Found from above, the directory has another number than the lower one behind it.
    let again = mount.walk("d").await.unwrap().ino;
    let b = mount.walk("d/b").await.unwrap().ino;
    assert_ne!(again, dir);
    let lower = within(mount.merged.lower().lookup(Ino::ROOT, OsStr::new("d")))
        .await
        .unwrap();
    assert_eq!(mount.merged.seen(entry(lower.ino, "b")), Some(entry(again, "b")));
    assert!(mount.merged.still_lower(b) && !mount.merged.still_lower(lower.ino));
    mount.merged.forget(lower.ino, 1);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_without_changes_costs_what_the_tree_costs() {
    let layers = Layers::new();
    layers.world.put_many("d/", 500);
    let mount = layers.mount();
    let dir = mount.walk("d").await.unwrap().ino;
    layers.world.asked();
    let listed = within(mount.merged.read_dir(dir)).await.unwrap();
    for index in 0..listed.len() {
        mount.took(mount.merged.refer(&listed, index).unwrap());
    }
    assert_eq!((listed.len(), layers.world.asked()), (500, (0, 1)));
    assert_eq!(mount.merged.held(), 0);
    // Opened for writing, one comes up: the tree is not asked for the others.
    drop(mount.open("d/000007", WRITE).await.unwrap());
    assert_eq!(mount.merged.held(), 2);
    mount.forget_all();
}
