//! The store through its trait, as any caller sees it: the ecosystem's conformance suite, then what it does not ask.

use std::os::unix::ffi::OsStrExt;

use futures::TryStreamExt;
use object_store::{ObjectStoreExt, integration};
use tempfile::TempDir;

use super::*;

mod links;
mod read;
mod write;

/// A store over a fresh directory, which lives as long as the first of the pair.
pub(super) fn store() -> (TempDir, FileStore) {
    store_with(FileStoreOptions::default())
}

pub(super) fn store_with(options: FileStoreOptions) -> (TempDir, FileStore) {
    let dir = TempDir::new().unwrap();
    let store = FileStore::open(dir.path(), options).unwrap();
    (dir, store)
}

pub(super) fn key(text: &str) -> Path {
    Path::parse(text).unwrap()
}

/// The store's own error inside the trait's.
pub(super) fn own(error: &object_store::Error) -> &FileStoreError {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(own) = error.downcast_ref() {
            return own;
        }
        source = error.source();
    }
    panic!("no FileStoreError in {error:?}")
}

pub(super) async fn listed(store: &FileStore, prefix: &str) -> Vec<String> {
    let prefix = key(prefix);
    let mut keys: Vec<String> = store
        .list(Some(&prefix))
        .map_ok(|meta| meta.location.to_string())
        .try_collect()
        .await
        .unwrap();
    keys.sort();
    keys
}

/// Names that begin like temporary files, anywhere beneath `dir`.
pub(super) fn temporaries(dir: &std::path::Path) -> usize {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let mine = entry
                .file_name()
                .as_bytes()
                .starts_with(meta::TEMPORARY.as_bytes());
            usize::from(mine)
                + if entry.file_type().unwrap().is_dir() {
                    temporaries(&entry.path())
                } else {
                    0
                }
        })
        .sum()
}

/// One test per suite, so that a failure says which.
macro_rules! conformance {
    ($($name:ident => $call:expr;)*) => {
        mod conformance {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() {
                    let (dir, store) = store();
                    let call: fn(FileStore) -> futures::future::BoxFuture<'static, ()> = $call;
                    call(store.clone()).await;
                    assert_eq!(temporaries(dir.path()), 0, "temporary files stay behind");
                    assert_eq!(store.skipped(), 0);
                }
            )*
        }
    };
}

conformance! {
    put_get_delete_list => |s| Box::pin(async move { integration::put_get_delete_list(&s).await });
    put_get_attributes => |s| Box::pin(async move { integration::put_get_attributes(&s).await });
    get_opts => |s| Box::pin(async move { integration::get_opts(&s).await });
    put_opts => |s| Box::pin(async move { integration::put_opts(&s, false).await });
    stream_get => |s| Box::pin(async move { integration::stream_get(&s).await });
    list_uses_directories_correctly => |s| Box::pin(async move { integration::list_uses_directories_correctly(&s).await });
    list_with_delimiter => |s| Box::pin(async move { integration::list_with_delimiter(&s).await });
    rename_and_copy => |s| Box::pin(async move { integration::rename_and_copy(&s).await });
    copy_if_not_exists => |s| Box::pin(async move { integration::copy_if_not_exists(&s).await });
    copy_rename_nonexistent_object => |s| Box::pin(async move { integration::copy_rename_nonexistent_object(&s).await });
    multipart_race_condition => |s| Box::pin(async move { integration::multipart_race_condition(&s, true).await });
    multipart_out_of_order => |s| Box::pin(async move { integration::multipart_out_of_order(&s).await });
    list_with_offset_exclusivity => |s| Box::pin(async move { integration::list_with_offset_exclusivity(&s).await });
    get_nonexistent_object => |s| Box::pin(async move {
        let error = integration::get_nonexistent_object(&s, None).await.unwrap_err();
        assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
    });
}

#[test]
fn create_root_makes_the_directory_and_without_it_there_must_be_one() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("a/b");
    let error = FileStore::open(&root, FileStoreOptions::default()).unwrap_err();
    assert_eq!(error.kind(), forebay_types::ErrorKind::NotFound);
    assert!(error.to_string().contains("a/b"), "{error}");
    let store = FileStore::open(
        &root,
        FileStoreOptions {
            create_root: true,
            ..Default::default()
        },
    )
    .unwrap();
    assert_eq!(store.root(), root);
    assert!(store.options().create_root && root.is_dir());
}

#[test]
fn a_file_is_no_root() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = FileStore::open(file.path(), FileStoreOptions::default()).unwrap_err();
    assert!(error.to_string().contains("Not a directory"), "{error}");
}

#[tokio::test]
async fn sync_writes_flushes_the_file_and_every_directory_with_a_new_name() {
    for (sync_writes, direct) in [(false, false), (true, false), (false, true), (true, true)] {
        let dir = TempDir::new().unwrap();
        let disk = forebay_disk::Disk::new(Default::default(), None).unwrap();
        let options = crate::DirectStoreOptions {
            sync_writes,
            direct_io: direct,
            ..Default::default()
        };
        let store = crate::DirectStore::open(dir.path(), options, &disk).unwrap();
        let names = store.files().clone();
        assert_eq!(names.options().sync_writes, sync_writes);
        let store: &dyn ObjectStore = if direct { &store } else { &names };
        let mut before = 0;
        let mut syncs = |expected: u64, what: &str| {
            let now = names.inner.syncs.load(Ordering::Relaxed);
            assert_eq!(now - before, if sync_writes { expected } else { 0 }, "{what}");
            before = now;
        };
        store.put(&key("a/b/c"), "x".into()).await.unwrap();
        syncs(4, "file, b, and the parents of the new a and b");
        store.put(&key("a/b/c"), "y".into()).await.unwrap();
        syncs(2, "file, b");
        store
            .put_opts(&key("a/b/d"), "y".into(), object_store::PutMode::Create.into())
            .await
            .unwrap();
        syncs(2, "file, b");
        let mut upload = store.put_multipart(&key("a/b/e")).await.unwrap();
        upload.put_part("z".into()).await.unwrap();
        upload.complete().await.unwrap();
        syncs(2, "file, b");
        store.copy(&key("a/b/c"), &key("a/f")).await.unwrap();
        syncs(2, "file, a");
        store.rename(&key("a/f"), &key("g")).await.unwrap();
        syncs(2, "the root and a");
        store.delete(&key("g")).await.unwrap();
        syncs(0, "deletes are not synced");
    }
}

#[test]
fn no_key_leads_out() {
    for bad in [
        "",
        "..",
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        "a/./b",
        "a/",
        "x\0y",
        ".forebay-tmp-1",
        "a/.forebay-tmp-1/b",
    ] {
        assert!(meta::why_not(bad).is_some(), "{bad:?}");
    }
    for good in [
        "a", "a/b", "...", "a/..b", "%2E%2E/x", ".hidden", "a b", "<~\\\"*", "日本",
    ] {
        assert!(meta::why_not(good).is_none(), "{good:?}");
    }
    assert!(
        Path::parse("../x").is_err(),
        "the ecosystem's Path should refuse it before we do"
    );
}

#[tokio::test]
async fn dots_in_a_key_are_a_name_like_any_other() {
    let (dir, store) = store();
    // From encodes them, so this is the file '%2E%2E/x' in the directory.
    let path = Path::from("../x");
    store.put(&path, "inside".into()).await.unwrap();
    assert_eq!(std::fs::read(dir.path().join("%2E%2E/x")).unwrap(), b"inside");
    assert!(!dir.path().parent().unwrap().join("x").exists());
}

#[tokio::test]
async fn names_of_unfinished_writes_are_not_keys() {
    let (dir, store) = store();
    std::fs::create_dir(dir.path().join(".forebay-tmp-dir")).unwrap();
    std::fs::write(dir.path().join(".forebay-tmp-dir/x"), "x").unwrap();
    std::fs::write(dir.path().join(".forebay-tmp-1"), "x").unwrap();
    let path = key(".forebay-tmp-1");
    let error = store.put(&path, "y".into()).await.unwrap_err();
    assert!(matches!(own(&error), FileStoreError::Key { .. }), "{error}");
    for error in [
        store.get(&path).await.unwrap_err(),
        store.head(&path).await.unwrap_err(),
        store.delete(&path).await.unwrap_err(),
    ] {
        assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
    }
    assert!(listed(&store, "").await.is_empty());
    assert!(listed(&store, ".forebay-tmp-dir").await.is_empty());
    assert!(
        store
            .list_with_delimiter(None)
            .await
            .unwrap()
            .common_prefixes
            .is_empty()
    );
    assert_eq!(store.skipped(), 0);
}

#[test]
fn it_works_without_a_runtime() {
    use futures::FutureExt;
    let (_dir, store) = store();
    let data = vec![7u8; 700_000];
    store
        .put(&key("a/b"), data.clone().into())
        .now_or_never()
        .unwrap()
        .unwrap();
    let got = store.get(&key("a/b")).now_or_never().unwrap().unwrap();
    assert_eq!(got.bytes().now_or_never().unwrap().unwrap(), data);
    let keys: Vec<_> = store.list(None).try_collect().now_or_never().unwrap().unwrap();
    assert_eq!(keys.len(), 1);
    drop(store.put_multipart(&key("c")).now_or_never().unwrap().unwrap());
    assert_eq!(temporaries(store.root()), 0);
}

#[test]
fn it_shows_its_directory_safely() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("a\x1b[2Jb");
    let store = FileStore::open(
        &root,
        FileStoreOptions {
            create_root: true,
            ..Default::default()
        },
    )
    .unwrap();
    assert!(store.to_string().contains("a\\u{1b}[2Jb"), "{store}");
    let error = futures::FutureExt::now_or_never(store.get(&key("x")))
        .unwrap()
        .unwrap_err();
    assert!(!error.to_string().contains('\x1b'), "{error}");
}
