//! Writes that appear whole or not at all.

use object_store::{Attributes, PutMode};

use super::*;

#[tokio::test]
async fn a_payload_of_many_slices_is_written_in_order() {
    let (_dir, store) = store();
    let slices: Vec<Bytes> = (0..300usize)
        .map(|i| Bytes::from(vec![i as u8; i % 7 * 1000]))
        .collect();
    let expected = slices.concat();
    store.put(&key("f"), slices.into_iter().collect()).await.unwrap();
    assert_eq!(
        store.get(&key("f")).await.unwrap().bytes().await.unwrap(),
        expected
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_creators_one_wins_and_readers_see_only_whole_objects() {
    let (dir, store) = store();
    let tasks: Vec<_> = (0..16u8)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .put_opts(&key("a/f"), vec![i; 100_000].into(), PutMode::Create.into())
                    .await
                    .map(|_| i)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(i) => winners.push(i),
            Err(error) => assert!(
                matches!(error, object_store::Error::AlreadyExists { .. }),
                "{error}"
            ),
        }
    }
    assert_eq!(winners.len(), 1);
    let got = store.get(&key("a/f")).await.unwrap().bytes().await.unwrap();
    assert_eq!(got, vec![winners[0]; 100_000]);
    assert_eq!(temporaries(dir.path()), 0);
}

#[tokio::test]
async fn a_file_in_the_way_of_a_directory_is_said() {
    let (dir, store) = store();
    store.put(&key("a"), "x".into()).await.unwrap();
    let error = store.put(&key("a/b/c"), "y".into()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&dir.path().join("a/b/c").display().to_string()),
        "{error}"
    );
    store.put(&key("d/e"), "x".into()).await.unwrap();
    let error = store.put(&key("d"), "y".into()).await.unwrap_err();
    assert!(matches!(own(&error), FileStoreError::Io { .. }), "{error}");
    assert_eq!(listed(&store, "").await, ["a", "d/e"]);
    assert_eq!(temporaries(dir.path()), 0);
}

#[tokio::test]
async fn a_copy_shares_nothing_with_its_source() {
    let (dir, store) = store();
    store.put(&key("a"), "old".into()).await.unwrap();
    store.copy(&key("a"), &key("b/c")).await.unwrap();
    // In place, as a foreign program would.
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join("a"))
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"new", 0).unwrap();
    assert_eq!(
        store.get(&key("b/c")).await.unwrap().bytes().await.unwrap(),
        "old"
    );
    store.copy(&key("a"), &key("a")).await.unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap().bytes().await.unwrap(), "new");
}

#[tokio::test]
async fn a_rename_leaves_no_source_whatever_names_the_file_has() {
    let (dir, store) = store();
    store.put(&key("a"), "x".into()).await.unwrap();
    store.rename(&key("a"), &key("a")).await.unwrap();
    let error = store
        .rename_if_not_exists(&key("a"), &key("a"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, object_store::Error::AlreadyExists { .. }),
        "{error}"
    );
    // rename(2) between two names of one file does nothing and says it went well.
    std::fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
    store.rename(&key("a"), &key("b")).await.unwrap();
    assert_eq!(listed(&store, "").await, ["b"]);
    store.rename_if_not_exists(&key("b"), &key("c/d")).await.unwrap();
    store.put(&key("e"), "y".into()).await.unwrap();
    let error = store
        .rename_if_not_exists(&key("e"), &key("c/d"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, object_store::Error::AlreadyExists { .. }),
        "{error}"
    );
    assert_eq!(listed(&store, "").await, ["c/d", "e"]);
    assert_eq!(store.get(&key("c/d")).await.unwrap().bytes().await.unwrap(), "x");
    assert_eq!(temporaries(dir.path()), 0);
}

#[tokio::test]
async fn deletes_answer_for_each_key_in_order() {
    let (dir, store) = store();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    store.put(&key("a/x"), "x".into()).await.unwrap();
    store.put(&key("b"), "x".into()).await.unwrap();
    let keys = ["a/x", "missing", "d", "no/dir", "b/below", "b"].map(key);
    let results: Vec<_> = store
        .delete_stream(futures::stream::iter(keys.clone()).map(Ok).boxed())
        .collect()
        .await;
    let deleted: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(deleted, [true, false, false, false, false, true]);
    for result in &results {
        assert!(
            matches!(result, Ok(_) | Err(object_store::Error::NotFound { .. })),
            "{result:?}"
        );
    }
    assert!(dir.path().join("a").is_dir(), "directories stay");
}

#[tokio::test]
async fn parts_of_any_length_land_in_the_order_they_were_given() {
    let (_dir, store) = store();
    let mut upload = store.put_multipart(&key("f")).await.unwrap();
    let parts = [3usize, 1_000_000, 0, 17, 500_000];
    let mut futures: Vec<_> = parts
        .iter()
        .enumerate()
        .map(|(i, len)| upload.put_part(vec![i as u8; *len].into()))
        .collect();
    futures.reverse();
    futures::future::try_join_all(futures).await.unwrap();
    upload.complete().await.unwrap();
    let expected: Vec<u8> = parts
        .iter()
        .enumerate()
        .flat_map(|(i, len)| vec![i as u8; *len])
        .collect();
    assert_eq!(
        store.get(&key("f")).await.unwrap().bytes().await.unwrap(),
        expected
    );
    for error in [
        upload.put_part("x".into()).await.unwrap_err(),
        upload.complete().await.unwrap_err(),
        upload.abort().await.unwrap_err(),
    ] {
        assert!(matches!(own(&error), FileStoreError::Over { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_upload_with_a_part_missing_publishes_nothing() {
    let (dir, store) = store();
    let mut upload = store.put_multipart(&key("f")).await.unwrap();
    drop(upload.put_part("never polled".into()));
    upload.put_part("written".into()).await.unwrap();
    let error = upload.complete().await.unwrap_err();
    assert!(
        matches!(
            own(&error),
            FileStoreError::Incomplete {
                missing: 1,
                parts: 2,
                ..
            }
        ),
        "{error}"
    );
    assert!(listed(&store, "").await.is_empty());
    assert_eq!(temporaries(dir.path()), 0);
}

#[tokio::test]
async fn an_upload_without_parts_is_an_empty_object() {
    let (_dir, store) = store();
    store
        .put_multipart(&key("f"))
        .await
        .unwrap()
        .complete()
        .await
        .unwrap();
    assert_eq!(store.head(&key("f")).await.unwrap().size, 0);
}

#[test]
fn an_upload_dropped_or_aborted_leaves_no_file() {
    let (dir, store) = store();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut upload = store.put_multipart(&key("a/f")).await.unwrap();
        upload.put_part("part".into()).await.unwrap();
        assert_eq!(temporaries(dir.path()), 1);
        upload.abort().await.unwrap();
        assert_eq!(temporaries(dir.path()), 0);

        let mut upload = store.put_multipart(&key("a/f")).await.unwrap();
        upload.put_part("part".into()).await.unwrap();
        assert_eq!(temporaries(dir.path()), 1);
        drop(upload);
    });
    // Also when the runtime ends right away.
    drop(runtime);
    assert_eq!(temporaries(dir.path()), 0);
}

/// Puts and uploads more than fits, and expects an error of `kind` and no trace.
async fn overfill(store: &FileStore, kind: forebay_types::ErrorKind) {
    let large: PutPayload = vec![1; 512 * 1024].into();
    let mut errors = vec![
        store.put(&key("a/f"), large.clone()).await.unwrap_err(),
        store
            .put_opts(&key("a/f"), large.clone(), PutMode::Create.into())
            .await
            .unwrap_err(),
    ];
    let mut upload = store.put_multipart(&key("a/f")).await.unwrap();
    errors.push(upload.put_part(large).await.unwrap_err());
    let incomplete = upload.complete().await.unwrap_err();
    assert!(
        matches!(own(&incomplete), FileStoreError::Incomplete { .. }),
        "{incomplete}"
    );
    for error in errors {
        assert_eq!(own(&error).kind(), kind, "{error}");
        assert!(error.to_string().contains("a/f"), "{error}");
    }
    assert_eq!(temporaries(store.root()), 0);
    assert!(listed(store, "").await.is_empty());

    // A name that is taken is found before its bytes are written: this is not an error of space.
    store.put(&key("taken"), "x".into()).await.unwrap();
    let create = PutMode::Create.into();
    let error = store
        .put_opts(&key("taken"), vec![1; 512 * 1024].into(), create)
        .await
        .unwrap_err();
    assert!(
        matches!(error, object_store::Error::AlreadyExists { .. }),
        "{error}"
    );
}

/// Unmounts also when the test fails.
struct Mounted(TempDir);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"])
        .arg(dir.path())
        .output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        return eprintln!("skipped: only root can mount a small disk");
    }
    let mounted = Mounted(dir);
    let store = FileStore::open(mounted.0.path(), FileStoreOptions::default()).unwrap();
    overfill(&store, forebay_types::ErrorKind::NoSpace).await;
    store.put(&key("small"), "fits".into()).await.unwrap();
    drop(store);
}

#[test]
fn a_write_over_the_file_size_limit_leaves_nothing_behind() {
    // The limit is this process's own and its signal must be ignored first, so a shell prepares a child.
    let name = format!("{}::over_the_limit", module_path!().split_once("::").unwrap().1);
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact \"$1\" --ignored --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
#[ignore = "run by a_write_over_the_file_size_limit_leaves_nothing_behind, in a limited process"]
async fn over_the_limit() {
    let (_dir, store) = store();
    overfill(&store, forebay_types::ErrorKind::NoSpace).await;
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_said() {
    let (_dir, store) = store();
    let attributes = Attributes::from_iter([(object_store::Attribute::ContentType, "text/html")]);
    let error = store
        .put_opts(&key("f"), "x".into(), attributes.into())
        .await
        .unwrap_err();
    assert!(
        matches!(error, object_store::Error::NotImplemented { .. }),
        "{error}"
    );
    let version = object_store::UpdateVersion {
        e_tag: None,
        version: None,
    };
    let error = store
        .put_opts(&key("f"), "x".into(), PutMode::Update(version).into())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("compare-and-swap"), "{error}");
    assert!(listed(&store, "").await.is_empty());
}
