//! Ranges, conditions, and files that change under their reader.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use object_store::GetRange;

use super::super::pieces::WARM_PIECE;
use super::*;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

async fn range(store: &FileStore, path: &str, range: GetRange) -> Result<Bytes> {
    store
        .get_opts(&key(path), GetOptions::new().with_range(Some(range)))
        .await?
        .bytes()
        .await
}

#[tokio::test]
async fn ranges_at_every_border() {
    let (dir, store) = store();
    let piece = WARM_PIECE as usize;
    for size in [1, 10, piece - 1, piece, piece + 1, 3 * piece + 7, 9 * piece] {
        let data = bytes(size);
        std::fs::write(dir.path().join("f"), &data).unwrap();
        let last = size as u64;
        for start in [0, 1, last / 2, last - 1, last, last + 1] {
            let got = range(&store, "f", GetRange::Offset(start)).await;
            match data.get(start as usize..) {
                Some(expected) if !expected.is_empty() => {
                    assert_eq!(got.unwrap(), expected, "{size} {start}");
                }
                _ => assert!(matches!(own(&got.unwrap_err()), FileStoreError::Range { .. })),
            }
            for len in [1, 5, WARM_PIECE, WARM_PIECE + 1, u64::MAX - start] {
                let got = range(&store, "f", GetRange::Bounded(start..start + len)).await;
                let end = (start + len).min(last) as usize;
                match data.get(start as usize..end) {
                    Some(expected) if !expected.is_empty() => {
                        assert_eq!(got.unwrap(), expected, "{size} {start}+{len}");
                    }
                    _ => assert!(got.is_err(), "{size} {start}+{len}"),
                }
            }
        }
        for len in [1, 5, last, last + 1, u64::MAX] {
            let expected = &data[size.saturating_sub(usize::try_from(len).unwrap())..];
            assert_eq!(
                range(&store, "f", GetRange::Suffix(len)).await.unwrap(),
                expected,
                "{size} -{len}"
            );
        }
        assert!(
            range(&store, "f", GetRange::Bounded(3..3)).await.is_err(),
            "an empty range is an error"
        );
    }
}

#[tokio::test]
async fn an_empty_file_is_a_whole_object_and_has_no_ranges() {
    let (dir, store) = store();
    std::fs::write(dir.path().join("f"), "").unwrap();
    let got = store.get(&key("f")).await.unwrap();
    assert_eq!((got.meta.size, got.range.clone()), (0, 0..0));
    assert_eq!(got.bytes().await.unwrap(), "");
    assert!(range(&store, "f", GetRange::Offset(0)).await.is_err());
    assert!(range(&store, "f", GetRange::Bounded(0..1)).await.is_err());
    assert_eq!(range(&store, "f", GetRange::Suffix(5)).await.unwrap(), "");
}

#[tokio::test]
async fn several_ranges_are_one_open_of_one_version() {
    let (dir, store) = store();
    let data = bytes(100_000);
    std::fs::write(dir.path().join("f"), &data).unwrap();
    let ranges = [50_000..60_000, 0..10, 5..15, 99_999..200_000];
    let got = store.get_ranges(&key("f"), &ranges).await.unwrap();
    let expected: Vec<&[u8]> = vec![&data[50_000..60_000], &data[0..10], &data[5..15], &data[99_999..]];
    assert_eq!(got, expected);
    assert!(store.get_ranges(&key("missing"), &[]).await.unwrap().is_empty());
    let error = store
        .get_ranges(&key("f"), &[0..1, 100_000..100_001])
        .await
        .unwrap_err();
    assert!(matches!(own(&error), FileStoreError::Range { .. }), "{error}");
}

#[tokio::test]
async fn a_head_has_no_bytes_and_the_same_description() {
    let (dir, store) = store();
    std::fs::write(dir.path().join("f"), "hello").unwrap();
    let head = store
        .get_opts(&key("f"), GetOptions::new().with_head(true))
        .await
        .unwrap();
    let got = store.get(&key("f")).await.unwrap();
    assert_eq!(head.meta, got.meta);
    assert_eq!(head.meta.size, 5);
    assert_eq!(head.bytes().await.unwrap(), "");
    let tag = got.meta.e_tag.clone().unwrap();
    assert!(
        tag.starts_with('"') && tag.ends_with('"') && !tag.contains(','),
        "{tag}"
    );
    for head in [false, true] {
        let options = GetOptions::new()
            .with_head(head)
            .with_if_none_match(Some(tag.clone()));
        let error = store.get_opts(&key("f"), options).await.unwrap_err();
        assert!(
            matches!(error, object_store::Error::NotModified { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn there_are_no_versions_to_ask_for() {
    let (_dir, store) = store();
    store.put(&key("f"), "x".into()).await.unwrap();
    let error = store
        .get_opts(&key("f"), GetOptions::new().with_version(Some("1")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, object_store::Error::NotSupported { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_put_answers_the_etag_that_a_head_finds() {
    let (_dir, store) = store();
    let put = store.put(&key("f"), "x".into()).await.unwrap();
    assert_eq!(put.e_tag, store.head(&key("f")).await.unwrap().e_tag);
    let again = store.put(&key("f"), "y".into()).await.unwrap();
    assert_ne!(put.e_tag, again.e_tag, "same size, other inode");
}

/// Something done to a file while it is read.
type Change = fn(&std::path::Path) -> std::io::Result<()>;

/// Reads the first piece of a file of eight, lets `change` happen, and collects the rest.
async fn read_across(change: Change) -> (Vec<u8>, Option<object_store::Error>) {
    let (dir, store) = store();
    let file = dir.path().join("f");
    std::fs::write(&file, bytes(8 * WARM_PIECE as usize)).unwrap();
    // Kernels before 6.13 step their file times by up to 10 ms, and the change comes sooner.
    open(&file).set_modified(std::time::UNIX_EPOCH).unwrap();
    let mut stream = store.get(&key("f")).await.unwrap().into_stream();
    let mut got = stream.next().await.unwrap().unwrap().to_vec();
    change(&file).unwrap();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => got.extend_from_slice(&piece),
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error ends the stream");
                return (got, Some(error));
            }
        }
    }
    (got, None)
}

/// To be changed in place, as a foreign program would.
fn open(file: &std::path::Path) -> std::fs::File {
    OpenOptions::new().write(true).open(file).unwrap()
}

#[tokio::test]
async fn a_file_that_changes_under_its_reader_ends_in_an_error_of_its_own() {
    let changes: [(&str, Change); 4] = [
        ("append", |file| open(file).write_all_at(b"more", 8 * WARM_PIECE)),
        ("truncate", |file| open(file).set_len(WARM_PIECE + 5)),
        ("empty", |file| open(file).set_len(0)),
        ("overwrite", |file| {
            open(file).write_all_at(b"other", 7 * WARM_PIECE)
        }),
    ];
    for (name, change) in changes {
        let (got, error) = read_across(change).await;
        let error = error.unwrap_or_else(|| panic!("{name} was not noticed"));
        assert!(
            matches!(own(&error), FileStoreError::Changed { .. }),
            "{name}: {error}"
        );
        assert_eq!(own(&error).kind(), forebay_types::ErrorKind::Changed);
        assert_eq!(
            got,
            bytes(WARM_PIECE as usize),
            "{name}: bytes after the change were handed out"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_or_deleted_is_read_to_its_old_end() {
    let changes: [Change; 2] = [
        |file| {
            let other = file.with_extension("new");
            std::fs::write(&other, "new").unwrap();
            std::fs::rename(other, file)
        },
        |file| std::fs::remove_file(file),
    ];
    for change in changes {
        let (got, error) = read_across(change).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(got, bytes(8 * WARM_PIECE as usize));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_version_while_writers_replace_it() {
    let (dir, store) = store();
    let len = 2 * WARM_PIECE as usize + 1;
    store.put(&key("f"), vec![0; len].into()).await.unwrap();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for version in 1..30u8 {
                store.put(&key("f"), vec![version; len].into()).await.unwrap();
            }
        }
    });
    while !writer.is_finished() {
        let got = store.get(&key("f")).await.unwrap().bytes().await.unwrap();
        assert_eq!(got.len(), len);
        assert!(got.iter().all(|byte| *byte == got[0]), "mixed bytes");
    }
    writer.await.unwrap();
    assert_eq!(temporaries(dir.path()), 0);
}

#[tokio::test]
async fn directories_are_no_objects() {
    let (dir, store) = store();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    for path in ["d", "d/x", "missing"] {
        for error in [
            store.get(&key(path)).await.unwrap_err(),
            store.head(&key(path)).await.unwrap_err(),
        ] {
            assert!(
                matches!(error, object_store::Error::NotFound { .. }),
                "{path}: {error}"
            );
            assert!(
                error
                    .to_string()
                    .contains(&dir.path().join(path).display().to_string()),
                "{error}"
            );
        }
    }
    std::fs::write(dir.path().join("f"), "x").unwrap();
    let error = store.get(&key("f/below")).await.unwrap_err();
    assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
    let error = store.get(&key(&"n".repeat(300))).await.unwrap_err();
    assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn special_files_are_refused_unopened_and_never_hang() {
    let (dir, store) = store();
    let fifo = dir.path().join("fifo");
    let status = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(status.success());
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let mut special = vec!["fifo", "socket"];
    let device = std::process::Command::new("mknod")
        .arg(dir.path().join("device"))
        .args(["c", "1", "3"])
        .output();
    if device.is_ok_and(|made| made.status.success()) {
        special.push("device");
    } else {
        eprintln!("device skipped: only root can make one");
    }
    std::os::unix::fs::symlink("fifo", dir.path().join("to-fifo")).unwrap();
    special.push("to-fifo");

    // Opening a FIFO for reading would let this writer through.
    let woken = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (woken, fifo) = (Arc::clone(&woken), fifo.clone());
        move || {
            let file = OpenOptions::new().write(true).open(fifo);
            woken.store(true, Ordering::SeqCst);
            file
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    for name in &special {
        let limit = Duration::from_secs(10);
        let got = tokio::time::timeout(limit, store.get(&key(name)))
            .await
            .expect("it hangs");
        let error = got.unwrap_err();
        assert!(
            matches!(own(&error), FileStoreError::NotAFile { .. }),
            "{name}: {error}"
        );
        assert!(store.head(&key(name)).await.is_err());
        assert!(store.copy(&key(name), &key("copy")).await.is_err());
        if *name != "to-fifo" {
            assert!(
                store.delete(&key(name)).await.is_err(),
                "{name} is not ours to delete"
            );
        }
    }
    assert!(listed(&store, "").await.is_empty());
    assert_eq!(store.skipped(), special.len() as u64);
    assert!(store.list_with_delimiter(None).await.unwrap().objects.is_empty());
    assert_eq!(store.skipped(), 2 * special.len() as u64);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!woken.load(Ordering::SeqCst), "somebody opened the FIFO");
    let reader = OpenOptions::new().read(true).open(&fifo).unwrap();
    writer.join().unwrap().unwrap();
    drop(reader);
}
