//! What a commit puts, copies and removes, and what of it is seen where it is not.

use std::time::Duration;

use crate::commit_bucket::{again, bucket, commit, commits, is_empty, layers, mount, same, tree};

/// Nothing that was known of a directory is believed any more.
async fn later() {
    tokio::time::sleep(Duration::from_millis(1100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_where_a_directory_was_is_not_seen_where_it_went() {
    for is_mounted_again in [false, true] {
        let layers = layers(&[("d/x", "x"), ("d/e/y", "y")]);
        let mut mount = mount(&layers);
        mount.mv("d", "g").await.unwrap();
        if is_mounted_again {
            mount = again(&layers, mount);
        }
        mount.mkdir("d").await.unwrap();
        mount.write("d/new", "new").await.unwrap();
        mount.mkdir("d/e").await.unwrap();
        mount.write("d/e/new", "new").await.unwrap();
        commit(&layers, &mount).await;
        // Nothing that was known of the directory is believed any more.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let mount = commits(&layers, mount).await;
        let files: Vec<String> = tree(&mount).await.into_keys().collect();
        assert_eq!(files, ["d/e/new", "d/new", "g/e/y", "g/x"]);
        is_empty(&mount);
        mount.forget_all();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_take_the_place_of_one_whose_directory_was_moved() {
    let layers = layers(&[("d/x", "x")]);
    let mount = mount(&layers);
    mount.mv("d", "g").await.unwrap();
    mount.mkdir("d").await.unwrap();
    mount.write("d/x", "another").await.unwrap();
    // The object is known by a file that is elsewhere: it is copied, then replaced.
    let mount = commits(&layers, mount).await;
    assert_eq!(bucket(&layers)["g/x"], b"x");
    is_empty(&mount);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_into_a_new_directory_does_not_stay_where_that_was() {
    let layers = layers(&[("stays", "stays")]);
    let first = mount(&layers);
    first.mkdir("g").await.unwrap();
    first.write("g/x", "x").await.unwrap();
    commit(&layers, &first).await;
    first.mv("g", "f").await.unwrap();
    let second = again(&layers, first);
    assert_eq!(
        tree(&second).await.into_keys().collect::<Vec<_>>(),
        ["f/x", "stays"]
    );
    let second = commits(&layers, second).await;
    assert_eq!(bucket(&layers).into_keys().collect::<Vec<_>>(), ["f/x", "stays"]);
    second.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_right_after_it_was_put_does_not_come_back() {
    let layers = layers(&[("d/x", "x")]);
    let mount = mount(&layers);
    // Its lower directory comes with what is put into it.
    mount.unlink("d/x").await.unwrap();
    commit(&layers, &mount).await;
    later().await;
    mount.write("d/y", "y").await.unwrap();
    mount.write("z", "z").await.unwrap();
    commit(&layers, &mount).await;
    mount.unlink("d/y").await.unwrap();
    mount.unlink("z").await.unwrap();
    later().await;
    assert!(tree(&mount).await.is_empty());
    let mount = commits(&layers, mount).await;
    assert!(bucket(&layers).is_empty());
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_two_names_outlives_each_object_of_it() {
    for gone in ["a", "b"] {
        let layers = layers(&[("a", "content")]);
        let mount = mount(&layers);
        mount.link("a", "b").await.unwrap();
        commit(&layers, &mount).await;
        mount.unlink(gone).await.unwrap();
        let done = commit(&layers, &mount).await;
        assert_eq!((done.deleted, done.conflicts.len()), (1, 0));
        // Read where it still is.
        let left: Vec<Vec<u8>> = tree(&mount).await.into_values().collect();
        assert_eq!(left, [b"content"], "{gone} is gone");
        let done = commit(&layers, &mount).await;
        assert_eq!(done.deleted, 0, "it is not known by what is gone any more");
        let mount = commits(&layers, mount).await;
        is_empty(&mount);
        mount.forget_all();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_removed_too_may_be_made_anew() {
    let layers = layers(&[("both", "theirs"), ("mine", "theirs")]);
    let mount = mount(&layers);
    mount.unlink("both").await.unwrap();
    mount.unlink("mine").await.unwrap();
    assert!(layers.world.lab.objects().delete(crate::world::BUCKET, "both"));
    mount.write("both", "new").await.unwrap();
    mount.write("mine", "new").await.unwrap();
    let done = commit(&layers, &mount).await;
    assert_eq!((done.put, done.conflicts.len()), (2, 0));
    same(&bucket(&layers), &tree(&mount).await);
    mount.forget_all();
}
