//! Symbolic links: followed inside, refused outwards, never written through, never walked in circles.

use std::os::unix::fs::symlink;

use super::*;

/// A store in `root`, and beside it an `outside` with a secret.
struct Scene {
    dir: TempDir,
    store: FileStore,
}

impl Scene {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir_all(dir.path().join("outside/sub")).unwrap();
        std::fs::write(dir.path().join("outside/secret"), "secret").unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        std::fs::write(root.join("real/file"), "inside").unwrap();
        let store = FileStore::open(&root, FileStoreOptions::default()).unwrap();
        Self { dir, store }
    }

    fn link(&self, target: &str, name: &str) {
        symlink(target, self.store.root().join(name)).unwrap();
    }

    fn outside(&self) -> String {
        self.dir.path().join("outside").to_str().unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> Result<Bytes> {
        self.store.get(&key(path)).await?.bytes().await
    }

    fn assert_outside_untouched(&self) {
        let outside = self.dir.path().join("outside");
        assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"secret");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 2);
        assert_eq!(std::fs::read_dir(outside.join("sub")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn links_that_stay_inside_are_read_and_listed_as_their_target() {
    let scene = Scene::new();
    scene.link("real/file", "plain");
    scene.link("../real/../real/file", "real/winding");
    scene.link("plain", "chain");
    for path in ["plain", "chain"] {
        assert_eq!(scene.get(path).await.unwrap(), "inside", "{path}");
    }
    let all: Vec<_> = scene.store.list(None).try_collect().await.unwrap();
    let sizes: Vec<u64> = all.iter().map(|meta| meta.size).collect();
    assert_eq!(sizes, [6; 4], "{all:?}");
    for meta in &all {
        assert_eq!(*meta, scene.store.head(&meta.location).await.unwrap());
    }
    assert_eq!(scene.store.skipped(), 0);
}

#[tokio::test]
async fn links_out_of_the_tree_are_refused_everywhere() {
    let scene = Scene::new();
    let outside = scene.outside();
    scene.link(&format!("{outside}/secret"), "file-absolute");
    scene.link("../outside/secret", "file-relative");
    scene.link(&outside, "dir-absolute");
    scene.link("../outside", "dir-relative");
    scene.link("dir-relative/secret", "chain");
    scene.link("../../outside/secret", "real/deeper");
    // Absolute, though it leads inside: whether it does depends on who looks (a chroot, a container), so it is refused.
    scene.link(
        scene.store.root().join("real/file").to_str().unwrap(),
        "absolute-inside",
    );
    let ways = [
        "file-absolute",
        "file-relative",
        "dir-absolute/secret",
        "dir-relative/secret",
        "chain",
        "real/deeper",
        "absolute-inside",
    ];
    for path in ways {
        for error in [
            scene.get(path).await.unwrap_err(),
            scene.store.head(&key(path)).await.unwrap_err(),
            scene
                .store
                .get_ranges(&key(path), std::slice::from_ref(&(0..1)))
                .await
                .unwrap_err(),
            scene.store.copy(&key(path), &key("stolen")).await.unwrap_err(),
            scene.store.rename(&key(path), &key("stolen")).await.unwrap_err(),
        ] {
            assert!(
                matches!(error, object_store::Error::PermissionDenied { .. }),
                "{path}: {error}"
            );
        }
    }
    assert_eq!(listed(&scene.store, "").await, ["real/file"]);
    assert_eq!(
        scene.store.skipped(),
        7,
        "five links to files and two to directories"
    );
    for prefix in ["dir-absolute", "dir-relative", "dir-relative/sub"] {
        let error = scene.store.list(Some(&key(prefix))).try_next().await.unwrap_err();
        assert!(
            matches!(error, object_store::Error::PermissionDenied { .. }),
            "{prefix}: {error}"
        );
        assert!(scene.store.list_with_delimiter(Some(&key(prefix))).await.is_err());
    }
    scene.assert_outside_untouched();
}

#[tokio::test]
async fn nothing_is_written_through_a_link() {
    let scene = Scene::new();
    scene.link(&scene.outside(), "absolute");
    scene.link("../outside", "relative");
    scene.link("real", "inside");
    scene.store.put(&key("source"), "x".into()).await.unwrap();
    for parent in ["absolute", "relative", "inside"] {
        for below in ["new", "sub/new", "made/new"] {
            let path = key(&format!("{parent}/{below}"));
            let errors = [
                scene.store.put(&path, "x".into()).await.unwrap_err(),
                scene
                    .store
                    .put_opts(&path, "x".into(), object_store::PutMode::Create.into())
                    .await
                    .unwrap_err(),
                scene.store.put_multipart(&path).await.unwrap_err(),
                scene.store.copy(&key("source"), &path).await.unwrap_err(),
                scene
                    .store
                    .copy_if_not_exists(&key("source"), &path)
                    .await
                    .unwrap_err(),
                scene.store.rename(&key("source"), &path).await.unwrap_err(),
                scene
                    .store
                    .rename_if_not_exists(&key("source"), &path)
                    .await
                    .unwrap_err(),
                scene.store.delete(&path).await.unwrap_err(),
            ];
            for error in errors {
                assert!(
                    matches!(own(&error), FileStoreError::Link { .. }),
                    "{path}: {error}"
                );
                assert!(
                    matches!(error, object_store::Error::PermissionDenied { .. }),
                    "{path}: {error}"
                );
            }
        }
    }
    for path in ["absolute/secret", "relative/secret", "inside/file"] {
        assert!(scene.store.delete(&key(path)).await.is_err());
    }
    scene.assert_outside_untouched();
    assert_eq!(listed(&scene.store, "").await, ["real/file", "source"]);
}

#[tokio::test]
async fn a_put_replaces_a_link_and_a_delete_removes_it() {
    let scene = Scene::new();
    for (target, name) in [
        ("../outside/secret", "out"),
        ("real/file", "in"),
        ("nowhere", "dangling"),
    ] {
        scene.link(target, name);
        let error = scene
            .store
            .put_opts(&key(name), "x".into(), object_store::PutMode::Create.into())
            .await
            .unwrap_err();
        assert!(
            matches!(error, object_store::Error::AlreadyExists { .. }),
            "{name}: {error}"
        );
        scene.store.put(&key(name), "new".into()).await.unwrap();
        assert_eq!(scene.get(name).await.unwrap(), "new");
        scene.store.delete(&key(name)).await.unwrap();
        scene.link(target, name);
        scene.store.delete(&key(name)).await.unwrap();
        assert!(std::fs::symlink_metadata(scene.store.root().join(name)).is_err());
    }
    assert_eq!(scene.get("real/file").await.unwrap(), "inside");
    scene.assert_outside_untouched();
}

#[tokio::test]
async fn a_renamed_link_becomes_the_file_it_leads_to() {
    let scene = Scene::new();
    scene.link("file", "real/link");
    scene
        .store
        .rename(&key("real/link"), &key("elsewhere/moved"))
        .await
        .unwrap();
    assert_eq!(scene.get("elsewhere/moved").await.unwrap(), "inside");
    assert_eq!(listed(&scene.store, "").await, ["elsewhere/moved", "real/file"]);
}

#[tokio::test]
async fn linked_directories_are_readable_but_not_walked() {
    let scene = Scene::new();
    scene.link("real", "alias");
    scene.link(".", "real/self");
    scene.link("../..", "real/deep/up");
    scene.link("loop-b", "loop-a");
    scene.link("loop-a", "loop-b");
    assert_eq!(scene.get("alias/file").await.unwrap(), "inside");
    assert_eq!(scene.get("real/self/self/file").await.unwrap(), "inside");
    assert!(scene.get("loop-a").await.is_err());
    assert_eq!(listed(&scene.store, "").await, ["real/file"]);
    assert_eq!(scene.store.skipped(), 5);
    assert_eq!(
        listed(&scene.store, "alias").await,
        ["alias/file"],
        "a prefix may lead through a link"
    );
    let level = scene.store.list_with_delimiter(None).await.unwrap();
    assert_eq!(level.common_prefixes, [key("real")]);
}

#[tokio::test]
async fn the_root_itself_may_be_a_link() {
    let scene = Scene::new();
    scene.link("real", "root");
    let root = scene.store.root().join("root");
    let store = FileStore::open(&root, FileStoreOptions::default()).unwrap();
    store.put(&key("a/b"), "x".into()).await.unwrap();
    assert_eq!(listed(&store, "").await, ["a/b", "file"]);
    // It was resolved once: the store stays where it was opened.
    std::fs::remove_file(&root).unwrap();
    symlink(scene.outside(), &root).unwrap();
    assert_eq!(listed(&store, "").await, ["a/b", "file"]);
}
