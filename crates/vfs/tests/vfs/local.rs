//! A local directory as a tree.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use forebay_source::{Opener, SourceOptions};
use forebay_types::{Clock, ErrorKind, ManualClock, SystemClock};
use forebay_vfs::{BucketNamespace, Ino, Kind, Tree, TreeOptions};
use tempfile::TempDir;

use crate::world::{LATER, absent, config, heard, lookup, ls, stale, walk, within};

async fn tree(path: &Path, clock: Arc<dyn Clock>) -> Tree {
    let opener = Opener::new(SourceOptions::default());
    let location = path.to_str().unwrap().parse().unwrap();
    let source = opener.open(&location).unwrap();
    let name = forebay_source::Location::file_name(&location);
    let namespace = within(BucketNamespace::find(source, name.as_deref(), config()))
        .await
        .unwrap();
    Tree::new(Arc::new(namespace), TreeOptions::default(), clock)
}

fn world() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join("tree").join(name);
    for name in ["", "sub", "empty", "sub/deep"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    for name in ["a", "sub/b", "sub/deep/c%20d"] {
        std::fs::write(at(name), name).unwrap();
    }
    std::fs::write(dir.path().join("secret"), "outside").unwrap();
    std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    symlink("sub/b", at("inside")).unwrap();
    symlink("../secret", at("outside")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("sub", at("to-dir")).unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_tree_shows_its_files_and_directories_and_nothing_else() {
    let world = world();
    let root = world.path().join("tree");
    let clock = ManualClock::default();
    for listed_first in [true, false] {
        let tree = tree(&root, Arc::new(clock.clone())).await;
        if listed_first {
            assert_eq!(ls(&tree, Ino::ROOT).await, ["a", "empty/", "inside", "sub/"]);
            clock.advance(LATER);
        }
        // By name it is the same.
        for (path, kind) in [
            ("a", Kind::File),
            ("inside", Kind::File),
            ("empty", Kind::Dir),
            ("sub", Kind::Dir),
            ("sub/deep/c%20d", Kind::File),
        ] {
            assert_eq!(walk(&tree, path).await.unwrap().kind, kind, "{path}");
        }
        for path in [
            "fifo", "socket", "outside", "dangling", "to-dir", "none", "sub/none",
        ] {
            let answer = walk(&tree, path).await;
            // A link that leads out is refused, not missed.
            let refused = answer
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::Denied);
            assert!(
                absent(&answer) || (path == "outside" && refused),
                "{path}: {answer:?}"
            );
        }
        let attr = walk(&tree, "a").await.unwrap();
        assert_eq!(attr.size, 1);
        let meta = std::fs::metadata(root.join("a")).unwrap();
        let modified = meta
            .modified()
            .unwrap()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        assert_eq!(attr.modified, modified);
        let empty = walk(&tree, "empty").await.unwrap().ino;
        assert_eq!(ls(&tree, empty).await, [""; 0]);
        assert!(tree.stats().skipped_names > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_local_tree_are_seen() {
    let world = world();
    let root = world.path().join("tree");
    let clock = ManualClock::default();
    let tree = tree(&root, Arc::new(clock.clone())).await;
    let mut changes = tree.changes();
    let a = walk(&tree, "a").await.unwrap();
    let sub = walk(&tree, "sub").await.unwrap().ino;
    let empty = walk(&tree, "empty").await.unwrap().ino;
    std::fs::write(root.join("a"), "longer").unwrap();
    std::fs::remove_dir(root.join("empty")).unwrap();
    std::fs::rename(root.join("sub/deep"), root.join("deeper")).unwrap();
    clock.advance(LATER);
    let now = within(tree.attr(a.ino)).await.unwrap();
    assert_eq!((now.size, now.ino), (6, a.ino));
    assert!(absent(&lookup(&tree, Ino::ROOT, "empty").await));
    assert!(stale(&tree.try_attr(empty).unwrap()));
    assert_eq!(ls(&tree, sub).await, ["b"]);
    assert_eq!(ls(&tree, Ino::ROOT).await, ["a", "deeper/", "inside", "sub/"]);
    assert_eq!(heard(&mut changes).len(), 2);
    // The directory that vanished is noticed by its listing too.
    std::fs::remove_file(root.join("sub/b")).unwrap();
    std::fs::remove_dir(root.join("sub")).unwrap();
    clock.advance(LATER);
    assert!(absent(&within(tree.read_dir(sub)).await));
    assert!(stale(&tree.try_attr(sub).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_file_is_the_one_file_of_the_root() {
    let world = world();
    let tree = tree(&world.path().join("tree/a"), Arc::new(SystemClock::new())).await;
    assert_eq!(ls(&tree, Ino::ROOT).await, ["a"]);
    assert_eq!(lookup(&tree, Ino::ROOT, "a").await.unwrap().size, 1);
    assert!(absent(&lookup(&tree, Ino::ROOT, "sub").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_local_files_are_asked_for_once() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..10_000 {
        std::fs::write(dir.path().join(format!("{n:05}")), "x").unwrap();
    }
    let tree = tree(dir.path(), Arc::new(ManualClock::default())).await;
    let snapshot = within(tree.read_dir(Ino::ROOT)).await.unwrap();
    for index in 0..10_000 {
        assert_eq!(tree.refer(&snapshot, index).unwrap().size, 1);
    }
    assert_eq!((tree.stats().lists, tree.stats().looks), (1, 0));
}
