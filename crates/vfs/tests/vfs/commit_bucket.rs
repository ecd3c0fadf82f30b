//! A changed tree becomes the bucket's objects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay_testkit::{Face, FaultKind, ListQuery, Op, Point, Profile, Rule};
use forebay_types::ErrorKind;
use forebay_vfs::commit::{
    BucketCommitted, BucketOptions, BucketOrder, CommitError, CommitProgress, Conflict, ConflictWhy, LeftOut,
    ObjectPlace, SendOptions, commit_bucket,
};
use forebay_vfs::merged::MergedSet;
use forebay_vfs::overlay::{NodeKind, Rename, SetAttrs, UpperStats};

use crate::commit_world::all;
use crate::merged_world::{Layers, Mount, WRITE};
use crate::world::{BUCKET, World, namespace, within};

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A bucket with these objects, and an overlay.
pub(crate) fn layers(files: &[(&str, &'static str)]) -> Layers {
    let layers = Layers {
        world: World::at(Profile::LOOPBACK, Face::Full),
        dir: tempfile::tempdir().unwrap(),
    };
    for (key, content) in files {
        layers.world.put(key, content);
    }
    layers
}

pub(crate) fn mount(layers: &Layers) -> Mount {
    Mount::with_ledger(Arc::new(namespace(layers.world.source(""))), &layers.upper())
}

/// Ended and mounted once more.
pub(crate) fn again(layers: &Layers, old: Mount) -> Mount {
    old.forget_all();
    drop(old);
    mount(layers)
}

/// All objects.
pub(crate) fn bucket(layers: &Layers) -> Files {
    let objects = layers.world.lab.objects();
    let page = objects.list(BUCKET, &ListQuery::default()).unwrap();
    let found = page.objects.iter();
    found.map(|(key, object)| (key.clone(), all(object))).collect()
}

/// All files of a mounted tree.
pub(crate) async fn tree(mount: &Mount) -> Files {
    let mut files = Files::new();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        for name in mount.ls(&dir).await {
            let path = |name: &str| match dir.as_str() {
                "" => name.to_owned(),
                dir => format!("{dir}/{name}"),
            };
            if let Some(name) = name.strip_suffix('/') {
                dirs.push(path(name));
            } else if !name.ends_with('@') {
                let path = path(&name);
                let bytes = mount.read(&path).await.unwrap();
                files.insert(path, bytes);
            }
        }
    }
    files
}

pub(crate) fn order(layers: &Layers, options: BucketOptions) -> BucketOrder {
    let source = layers.world.source("");
    BucketOrder {
        place: ObjectPlace {
            store: source.store,
            path: source.path,
            url: format!("s3://{BUCKET}/").into(),
        },
        options,
    }
}

pub(crate) async fn commit_as(
    layers: &Layers,
    mount: &Mount,
    options: BucketOptions,
) -> Result<BucketCommitted, CommitError> {
    let progress = Arc::new(CommitProgress::default());
    let order = order(layers, options);
    within(Box::pin(commit_bucket(&mount.merged, &order, &progress))).await
}

pub(crate) async fn commit(layers: &Layers, mount: &Mount) -> BucketCommitted {
    commit_as(layers, mount, BucketOptions::default()).await.unwrap()
}

/// Put, copied, deleted.
fn counts(done: &BucketCommitted) -> (u64, u64, u64) {
    (done.put, done.copied, done.deleted)
}

#[track_caller]
pub(crate) fn same(one: &Files, other: &Files) {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(one), names(other));
    for (name, bytes) in one {
        assert!(*bytes == other[name], "{name}");
    }
}

/// Nothing is above: what is to be seen is what is below.
#[track_caller]
pub(crate) fn is_empty(mount: &Mount) {
    let UpperStats {
        nodes,
        files,
        whiteouts,
        ..
    } = mount.merged.upper().stats();
    assert_eq!((nodes, files, whiteouts), (1, 0, 0));
    assert_eq!(mount.merged.upper().hidden_versions(), []);
}

/// The tree is committed, is what the bucket is, and stays so.
pub(crate) async fn commits(layers: &Layers, mount: Mount) -> Mount {
    let before = tree(&mount).await;
    let done = commit(layers, &mount).await;
    assert_eq!(done.conflicts, []);
    same(&bucket(layers), &before);
    same(&tree(&mount).await, &before);
    let nothing = commit(layers, &mount).await;
    assert_eq!(counts(&nothing), (0, 0, 0));
    let mount = again(layers, mount);
    same(&tree(&mount).await, &before);
    mount
}

fn large(seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..300_000).map(|_| random.lowercase()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bucket_becomes_what_the_tree_is() {
    let content: &'static str = Box::leak(large(1).into_boxed_str());
    let layers = layers(&[
        ("same", "same"),
        ("changed", "changed"),
        ("large", content),
        ("moved", "moved"),
        ("gone", "gone"),
        ("left", "the left one"),
        ("right", "the right one"),
        ("dir/a", "dir a"),
        ("dir/deep/b", "dir deep b"),
        ("dir/deep/c", "dir deep c"),
        ("tree/a", "tree a"),
        ("tree/b/c", "tree b c"),
        ("linked", "linked"),
    ]);
    let mount = mount(&layers);
    mount.write("new", "new").await.unwrap();
    mount.write("changed", "another").await.unwrap();
    let file = mount.open("large", WRITE).await.unwrap();
    within(file.write_at(100_001, b"in the middle")).await.unwrap();
    drop(file);
    mount.mv("moved", "elsewhere").await.unwrap();
    mount.unlink("gone").await.unwrap();
    mount.rename("left", "right", Rename::Exchange).await.unwrap();
    mount.mv("dir", "other").await.unwrap();
    mount.unlink("other/deep/c").await.unwrap();
    mount.unlink("tree/b/c").await.unwrap();
    mount.rmdir("tree/b").await.unwrap();
    mount.unlink("tree/a").await.unwrap();
    mount.rmdir("tree").await.unwrap();
    mount.mkdir("made").await.unwrap();
    mount.mkdir("made/here").await.unwrap();
    mount.write("made/here/file", "made here").await.unwrap();
    mount.link("linked", "second").await.unwrap();
    let before = tree(&mount).await;
    let done = commit(&layers, &mount).await;
    assert_eq!((done.conflicts.len(), done.left_out.len()), (0, 0), "{done:?}");
    // new, changed, large, made/here/file, and one of the two that were exchanged.
    assert_eq!(done.put, 5);
    // elsewhere, the other one, other/a, other/deep/b, second.
    assert_eq!(done.copied, 5);
    // moved, gone, dir/a, dir/deep/b, dir/deep/c, tree/a, tree/b/c.
    assert_eq!(done.deleted, 7);
    same(&bucket(&layers), &before);
    let mount = commits(&layers, mount).await;
    is_empty(&mount);
    // What others do is seen.
    layers.world.put("changed", "by somebody else");
    layers.world.put("made/here/too", "theirs");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(mount.text("changed").await, "by somebody else");
    assert_eq!(mount.text("made/here/too").await, "theirs");
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_tree_can_be_changed_and_committed_again() {
    let layers = layers(&[("a", "a"), ("d/x", "x")]);
    let mount = mount(&layers);
    mount.mkdir("new").await.unwrap();
    mount.write("new/file", "one").await.unwrap();
    mount.write("a", "one").await.unwrap();
    mount.mv("d", "e").await.unwrap();
    commit(&layers, &mount).await;
    // Without a new mount: what was put is changed, moved, removed with all that it lies in.
    mount.write("a", "two").await.unwrap();
    mount.mv("e/x", "y").await.unwrap();
    let before = tree(&mount).await;
    commit(&layers, &mount).await;
    same(&bucket(&layers), &before);
    mount.unlink("new/file").await.unwrap();
    mount.rmdir("new").await.unwrap();
    mount.mv("y", "e/x").await.unwrap();
    mount.mv("e", "d").await.unwrap();
    assert_eq!(mount.ls("").await, ["a", "d/"]);
    let mount = commits(&layers, mount).await;
    assert_eq!(bucket(&layers).keys().collect::<Vec<_>>(), ["a", "d/x"]);
    is_empty(&mount);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_become_directories_and_directories_files() {
    let layers = layers(&[("file", "file"), ("dir/a", "a"), ("dir/b/c", "c")]);
    let mount = mount(&layers);
    mount.mv("file", "tmp").await.unwrap();
    mount.mkdir("file").await.unwrap();
    mount.mv("tmp", "file/file").await.unwrap();
    mount.unlink("dir/a").await.unwrap();
    mount.unlink("dir/b/c").await.unwrap();
    mount.rmdir("dir/b").await.unwrap();
    mount.rmdir("dir").await.unwrap();
    mount.write("dir", "a file").await.unwrap();
    let mount = commits(&layers, mount).await;
    assert_eq!(bucket(&layers).keys().collect::<Vec<_>>(), ["dir", "file/file"]);
    is_empty(&mount);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_did_meanwhile_is_left_alone() {
    let layers = layers(&[
        ("changed", "lower"),
        ("removed", "lower"),
        ("deleted", "lower"),
        ("source", "lower"),
        ("fine", "lower"),
    ]);
    let mount = mount(&layers);
    mount.write("changed", "mine").await.unwrap();
    mount.write("removed", "mine").await.unwrap();
    mount.write("created", "mine").await.unwrap();
    mount.unlink("deleted").await.unwrap();
    mount.mv("source", "target").await.unwrap();
    mount.write("fine", "mine").await.unwrap();
    let before = tree(&mount).await;
    for key in ["changed", "created", "deleted", "source"] {
        layers.world.put(key, "theirs");
    }
    layers.world.delete("removed");
    let done = commit(&layers, &mount).await;
    let told = |path: &str, why| Conflict {
        path: path.into(),
        why,
    };
    let source = ConflictWhy::Source {
        path: "source".into(),
    };
    assert_eq!(
        done.conflicts,
        [
            told("changed", ConflictWhy::Changed),
            told("created", ConflictWhy::Created),
            told("deleted", ConflictWhy::Changed),
            told("removed", ConflictWhy::Removed),
            told("source", ConflictWhy::Waits),
            told("target", source.clone()),
        ]
    );
    assert_eq!(counts(&done), (1, 0, 0));
    let theirs = bucket(&layers);
    for key in ["changed", "created", "deleted", "source"] {
        assert_eq!(theirs[key], b"theirs", "{key}");
    }
    assert_eq!(theirs["fine"], b"mine");
    assert_eq!(theirs.len(), 5);
    // Once more the same; and after a new mount.
    mount.forget_all();
    drop(mount);
    let mount = self::mount(&layers);
    assert_eq!(commit(&layers, &mount).await.conflicts, done.conflicts);
    same(&bucket(&layers), &theirs);
    // Whoever wants it so has their own way, but for what is nowhere any more.
    let replace = BucketOptions {
        replace: true,
        ..BucketOptions::default()
    };
    let forced = commit_as(&layers, &mount, replace.clone()).await.unwrap();
    assert_eq!(
        forced.conflicts,
        [told("source", ConflictWhy::Waits), told("target", source)]
    );
    mount.unlink("target").await.unwrap();
    let forced = commit_as(&layers, &mount, replace).await.unwrap();
    assert_eq!(forced.conflicts, []);
    let mut expected = before;
    expected.remove("target");
    same(&bucket(&layers), &expected);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_and_stores_that_are_busy() {
    let layers = layers(&[("a", "a"), ("b", "b"), ("from", "from")]);
    let mount = mount(&layers);
    mount.write("a", "changed").await.unwrap();
    mount.unlink("b").await.unwrap();
    mount.mv("from", "to").await.unwrap();
    for n in 0..12 {
        mount.write(&format!("new{n}"), "new").await.unwrap();
    }
    let before = tree(&mount).await;
    let faults = layers.world.lab.faults();
    let reset = |op| Rule::new(FaultKind::Reset(Point::BeforeHeaders)).op(op);
    faults.add(reset(Op::Put).times(4));
    faults.add(reset(Op::Head).times(2));
    faults.add(
        Rule::new(FaultKind::Status {
            code: 503,
            retry_after: None,
        })
        .op(Op::Put)
        .skip_first(4)
        .times(3),
    );
    let done = commit(&layers, &mount).await;
    assert_eq!(done.conflicts, []);
    same(&bucket(&layers), &before);
    faults.clear();
    let mount = commits(&layers, mount).await;
    is_empty(&mount);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_keeps_all_that_is_needed() {
    let layers = layers(&[("a", "a"), ("b", "b")]);
    let mount = mount(&layers);
    mount.mv("a", "c").await.unwrap();
    mount.write("new", "new").await.unwrap();
    mount.unlink("b").await.unwrap();
    let before = tree(&mount).await;
    let refuse = FaultKind::Status {
        code: 403,
        retry_after: None,
    };
    layers
        .world
        .lab
        .faults()
        .add(Rule::new(refuse).op(Op::Put).key_prefix("new"));
    let error = commit_as(&layers, &mount, BucketOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("s3://bucket/new"), "{error}");
    let there = bucket(&layers);
    assert!(there.contains_key("a") && there.contains_key("b"), "{there:?}");
    layers.world.lab.faults().clear();
    assert_eq!(commit(&layers, &mount).await.conflicts, []);
    same(&bucket(&layers), &before);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_go_in_parts() {
    let layers = layers(&[("theirs", "lower")]);
    let mount = mount(&layers);
    let in_parts = BucketOptions {
        send: SendOptions {
            single_put: 64 << 10,
            part_size: 1 << 20,
            ..SendOptions::default()
        },
        ..BucketOptions::default()
    };
    let content: String = std::iter::repeat_n(large(3), 12).collect();
    mount.write("large", &content).await.unwrap();
    mount.write("theirs", &content).await.unwrap();
    layers.world.put("theirs", "theirs");
    let done = commit_as(&layers, &mount, in_parts.clone()).await.unwrap();
    assert_eq!((done.put, done.conflicts.len()), (1, 1));
    let there = bucket(&layers);
    assert!(there["large"] == content.as_bytes() && there["theirs"] == b"theirs");
    assert!(layers.world.lab.objects().uploads(BUCKET).is_empty());
    let replace = BucketOptions {
        replace: true,
        ..in_parts.clone()
    };
    commit_as(&layers, &mount, replace).await.unwrap();
    assert!(bucket(&layers)["theirs"] == content.as_bytes());
    // Changed by a byte it is sent as a whole, on condition that it is what was put.
    let file = mount.open("large", WRITE).await.unwrap();
    within(file.write_at(5, b"!")).await.unwrap();
    drop(file);
    let done = commit_as(&layers, &mount, in_parts).await.unwrap();
    assert_eq!((done.put, done.unchanged, done.conflicts.len()), (1, 1, 0));
    same(&bucket(&layers), &tree(&mount).await);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_while_it_is_put_does_not_come_back() {
    let layers = layers(&[("d/x", "x")]);
    let mount = mount(&layers);
    mount.write("gone", "gone").await.unwrap();
    mount.write("moved", "moved").await.unwrap();
    mount.mkdir("new").await.unwrap();
    mount.write("new/file", "file").await.unwrap();
    layers
        .world
        .lab
        .faults()
        .add(Rule::new(FaultKind::Latency(Duration::from_millis(400))).op(Op::Put));
    let during = async {
        while layers.world.lab.counts().puts < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        mount.unlink("gone").await.unwrap();
        mount.mv("moved", "away").await.unwrap();
        mount.unlink("new/file").await.unwrap();
        mount.rmdir("new").await.unwrap();
    };
    let (done, ()) = futures::future::join(commit(&layers, &mount), during).await;
    assert_eq!(done.conflicts, []);
    layers.world.lab.faults().clear();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(mount.ls("").await, ["away", "d/"]);
    let mount = commits(&layers, mount).await;
    assert_eq!(bucket(&layers).keys().collect::<Vec<_>>(), ["away", "d/x"]);
    is_empty(&mount);
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_bucket_can_hold_stays_above() {
    let layers = layers(&[("dir/only", "only"), ("file", "file"), ("named", "named")]);
    let mount = mount(&layers);
    mount.symlink("link", "file").await.unwrap();
    mount.mkdir("empty").await.unwrap();
    mount.unlink("dir/only").await.unwrap();
    // A name that no key can have, of a file whose content is below.
    mount.mv("named", "a\u{1}b").await.unwrap();
    let mode = MergedSet {
        attrs: SetAttrs {
            mode: Some(0o600),
            ..SetAttrs::default()
        },
        size: None,
    };
    let ino = mount.walk("file").await.unwrap().ino;
    within(mount.merged.set_attrs(ino, mode)).await.unwrap();
    let done = commit(&layers, &mount).await;
    let mut left: Vec<_> = done
        .left_out
        .iter()
        .map(|(path, what)| (std::str::from_utf8(path).unwrap(), *what))
        .collect();
    left.sort_by_key(|(path, _)| *path);
    assert_eq!(
        left,
        [
            ("a\u{1}b", LeftOut::Name),
            ("dir", LeftOut::EmptyDir),
            ("empty", LeftOut::EmptyDir),
            ("link", LeftOut::Symlink),
        ]
    );
    assert_eq!(bucket(&layers).keys().collect::<Vec<_>>(), ["file"]);
    mount.forget_all();
    drop(mount);
    let mount = self::mount(&layers);
    assert_eq!(mount.ls("").await, ["a\u{1}b", "dir/", "empty/", "file", "link@"]);
    assert_eq!(mount.ls("dir").await, [""; 0]);
    assert_eq!(mount.text("a\u{1}b").await, "named");
    let file = mount.walk("file").await.unwrap();
    assert_eq!((file.mode, file.kind), (0o600, NodeKind::File));
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_that_knows_not_what_it_hides_is_not_committed() {
    let layers = layers(&[("a", "a")]);
    let old = Mount::new(Arc::new(namespace(layers.world.source(""))), &layers.upper());
    old.unlink("a").await.unwrap();
    old.forget_all();
    drop(old);
    let mount = mount(&layers);
    let error = commit_as(&layers, &mount, BucketOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, CommitError::NoLedger));
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(bucket(&layers).len(), 1);
    mount.forget_all();
}
