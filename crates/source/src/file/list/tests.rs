//! Walks: long ones, deep ones, odd names, and offsets against a plain filter.

use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;

use futures::{FutureExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;

use super::super::tests::{key, listed, store};
use super::super::{FileStore, FileStoreOptions};
use super::*;

#[tokio::test]
async fn ten_thousand_files_stream_without_being_collected() {
    let (dir, store) = store();
    for directory in 0..10 {
        let directory = dir.path().join(format!("d{directory}"));
        std::fs::create_dir(&directory).unwrap();
        for file in 0..1000 {
            std::fs::File::create(directory.join(format!("f{file}"))).unwrap();
        }
    }
    let all: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut keys: Vec<&str> = all.iter().map(|meta| meta.location.as_ref()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 10_000);

    let mut stream = store.list(None);
    stream.try_next().await.unwrap().unwrap();
    std::fs::remove_dir_all(dir.path()).unwrap();
    let rest = stream.try_collect::<Vec<_>>().await.unwrap().len();
    assert!(
        rest < 2 * FIRST_STEP,
        "{rest} objects were found before anybody asked for them"
    );
}

#[test]
fn a_visit_ends_also_when_it_finds_nothing() {
    let (dir, store) = store();
    for file in 0..LOOKS + 10 {
        std::fs::File::create(dir.path().join(format!("f{file}"))).unwrap();
    }
    let (inner, offset) = (Arc::clone(&store.inner), Some(key("g")));
    let mut walk = Walk {
        inner,
        offset,
        levels: Vec::new(),
        open: 0,
    };
    walk.enter(&Path::ROOT).unwrap();
    let (found, more) = walk.visit(1);
    assert!(found.is_empty() && more);
    let (found, more) = walk.visit(1);
    assert!(found.is_empty() && !more);
}

#[test]
fn a_deep_tree_keeps_few_directories_open() {
    let (dir, store) = store();
    let mut path = dir.path().to_owned();
    let depth = 4 * OPEN_DIRECTORIES;
    for level in 0..depth {
        for file in ["before", "zz"] {
            std::fs::write(path.join(format!("{file}{level}")), "x").unwrap();
        }
        std::fs::create_dir(path.join("side")).unwrap();
        std::fs::write(path.join("side/file"), "x").unwrap();
        path.push("d");
        std::fs::create_dir(&path).unwrap();
    }
    let mut walk = Walk {
        inner: Arc::clone(&store.inner),
        offset: None,
        levels: Vec::new(),
        open: 0,
    };
    walk.enter(&Path::ROOT).unwrap();
    let (mut found, mut most) = (0, 0);
    loop {
        match walk.step().unwrap() {
            Step::Object(_) => found += 1,
            Step::On => {}
            Step::End => break,
        }
        let open = walk.levels.iter().filter(|level| level.entries.is_some()).count();
        assert_eq!(open, walk.open);
        most = most.max(open);
    }
    assert_eq!(found, 3 * depth);
    assert_eq!((most, walk.open), (OPEN_DIRECTORIES, 0));
}

#[tokio::test]
async fn odd_names_are_listed_raw_or_skipped_but_never_fail() {
    let (dir, store) = store();
    let good = [
        "a b",
        "a%20b",
        "%2E%2E",
        "<>|\\\"*?~`^[]{}#",
        "naïve 日本 🙀",
        ".hidden",
        "-rf",
        "...",
        "x#1",
    ];
    for name in good {
        std::fs::write(dir.path().join(name), name).unwrap();
    }
    let bad: [&[u8]; 5] = [
        b"not\xffutf8",
        b"new\nline",
        b"bell\x07",
        b"esc\x1b[2J",
        b"del\x7f",
    ];
    for name in bad {
        std::fs::write(dir.path().join(OsStr::from_bytes(name)), "x").unwrap();
    }
    std::fs::create_dir_all(dir.path().join(OsStr::from_bytes(b"dir\x01/sub"))).unwrap();
    std::fs::write(dir.path().join(OsStr::from_bytes(b"dir\x01/sub/file")), "x").unwrap();
    let mut expected = good.map(str::to_owned);
    expected.sort();
    assert_eq!(listed(&store, "").await, expected);
    assert_eq!(store.skipped(), 6);
    let level = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(level.objects.len(), good.len());
    assert!(level.common_prefixes.is_empty());
    for name in good {
        let got = store.get(&key(name)).await.unwrap().bytes().await.unwrap();
        assert_eq!(got, name, "a listed key is a key that can be read");
    }
}

#[tokio::test]
async fn over_long_keys_are_skipped() {
    let (dir, store) = store();
    let mut at = cap_std::fs::Dir::from_std_file(std::fs::File::open(dir.path()).unwrap());
    let name = "n".repeat(250);
    for _ in 0..20 {
        at.create_dir(&name).unwrap();
        at = at.open_dir(&name).unwrap();
    }
    at.write("deep", "x").unwrap();
    std::fs::write(dir.path().join("shallow"), "x").unwrap();
    assert_eq!(listed(&store, "").await, ["shallow"]);
    assert_eq!(store.skipped(), 1);
}

#[tokio::test]
async fn an_empty_directory_is_a_prefix_and_holds_nothing() {
    let (dir, store) = store();
    std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
    assert!(listed(&store, "").await.is_empty());
    assert_eq!(
        store.list_with_delimiter(None).await.unwrap().common_prefixes,
        [key("a")]
    );
    assert_eq!(
        store
            .list_with_delimiter(Some(&key("a")))
            .await
            .unwrap()
            .common_prefixes,
        [key("a/b")]
    );
    for nothing in ["missing", "missing/below", "a/b"] {
        assert!(listed(&store, nothing).await.is_empty());
        let level = store.list_with_delimiter(Some(&key(nothing))).await.unwrap();
        assert!(level.objects.is_empty() && level.common_prefixes.is_empty());
    }
}

/// Counts warnings and keeps their text.
struct Heard(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Heard {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn what_is_skipped_is_said_once_for_each_reason() {
    let (dir, store) = store();
    for name in ["esc\x1b[2J", "bell\x07"] {
        std::fs::write(dir.path().join(name), "x").unwrap();
    }
    for name in ["dangling-1", "dangling-2"] {
        std::os::unix::fs::symlink("nowhere", dir.path().join(name)).unwrap();
    }
    let heard = Arc::new(Mutex::new(Vec::new()));
    // Without a runtime the work runs on this thread, where the subscriber is.
    tracing::subscriber::with_default(Heard(Arc::clone(&heard)), || {
        for _ in 0..3 {
            store.list_with_delimiter(None).now_or_never().unwrap().unwrap();
        }
    });
    assert_eq!(store.skipped(), 12);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(
        heard
            .iter()
            .all(|text| text.starts_with("WARN") && !text.contains(['\x1b', '\x07'])),
        "{heard:?}"
    );
    assert!(heard.iter().any(|text| text.contains("\\u{")), "{heard:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_directory_that_cannot_be_read_is_an_error_and_the_rest_is_listed() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, store) = store();
    for name in ["a", "b", "c"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("f"), "x").unwrap();
    }
    std::fs::set_permissions(dir.path().join("b"), std::fs::Permissions::from_mode(0o0)).unwrap();
    if std::fs::read_dir(dir.path().join("b")).is_ok() {
        return eprintln!("skipped: root reads everything");
    }
    let found: Vec<_> = store.list(None).collect().await;
    assert_eq!(found.iter().filter(|found| found.is_ok()).count(), 2);
    assert!(
        found
            .iter()
            .any(|found| matches!(found, Err(object_store::Error::PermissionDenied { .. })))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn an_offset_is_a_filter_over_the_whole_listing(
        names in prop::collection::vec("[ab]{1,2}[ .0]?[ab]?(/[ab0-]{1,2}){0,3}", 1..25),
        offsets in prop::collection::vec("[ab]{1,2}[ .0]?[ab]?(/[ab0-]{0,2}[ab]){0,3}", 8),
    ) {
        let dir = tempfile::TempDir::new().unwrap();
        let store = FileStore::open(dir.path(), FileStoreOptions::default()).unwrap();
        for name in &names {
            // A file in the way of a directory: whichever came first stays.
            let _ = store.put(&key(name), "x".into()).now_or_never().unwrap();
        }
        let all = |offset: Option<&Path>| {
            let stream = match offset {
                Some(offset) => store.list_with_offset(None, offset),
                None => store.list(None),
            };
            let mut keys: Vec<Path> =
                stream.map_ok(|meta| meta.location).try_collect().now_or_never().unwrap().unwrap();
            keys.sort();
            keys
        };
        let whole = all(None);
        for offset in whole.iter().cloned().chain(offsets.iter().map(|offset| key(offset))) {
            let expected: Vec<Path> = whole.iter().filter(|key| **key > offset).cloned().collect();
            prop_assert_eq!(all(Some(&offset)), expected, "{}", offset);
        }
    }
}
