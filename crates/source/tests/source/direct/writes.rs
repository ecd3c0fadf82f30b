//! Puts past the page cache: every byte in its place, whole or not at all.

use std::path::Path;

use bytes::Bytes;
use forebay_source::{DirectStore, DirectStoreOptions};
use forebay_types::ErrorKind;
use futures::future::try_join_all;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use proptest::prelude::*;

use super::mounted::Mounted;
use super::world::*;
use crate::world::{kind, within};

/// Both ways to see a file: as other programs do, and as the store does.
async fn assert_holds(store: &DirectStore, dir: &Path, name: &str, expected: &[u8]) {
    let got = store.get(&key(name)).await.unwrap();
    assert_eq!(got.meta.size, expected.len() as u64, "{name}");
    assert!(got.bytes().await.unwrap() == expected, "{name}: other bytes");
    assert!(
        std::fs::read(dir.join(name)).unwrap() == expected,
        "{name}: other bytes"
    );
}

/// `bytes` in slices of `len`.
fn sliced(bytes: &Bytes, len: usize) -> PutPayload {
    (0..bytes.len())
        .step_by(len)
        .map(|at| bytes.slice(at..bytes.len().min(at + len)))
        .collect()
}

/// `all` in parts of these lengths, which begin to be written in the order of `first`.
async fn upload(upload: &mut dyn MultipartUpload, all: &Bytes, lens: &[usize], first: impl Fn(usize) -> u64) {
    let mut at = 0;
    let mut parts = Vec::new();
    for (nth, len) in lens.iter().enumerate() {
        let payload = sliced(&all.slice(at..at + len), 8 * KIB as usize);
        parts.push((first(nth), upload.put_part(payload)));
        at += len;
    }
    parts.sort_by_key(|(first, _)| *first);
    try_join_all(parts.into_iter().map(|(_, part)| part))
        .await
        .unwrap();
    upload.complete().await.unwrap();
}

fn part() -> impl Strategy<Value = usize> {
    prop_oneof![
        3 => 1..9000usize,
        1 => (1..20usize).prop_map(|units| units * 4096),
        2 => 1..3 * MIB as usize,
        1 => 9 * MIB as usize - 9000..9 * MIB as usize,
        1 => (0..3usize).prop_map(|more| 4 * MIB as usize - 1 + more),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parts_of_any_length_that_end_in_any_order_are_the_bytes_given(
        lens in prop::collection::vec(part(), 0..7),
        order in any::<u64>(),
        alignment in prop_oneof![Just(None), Just(Some(512)), Just(Some(64 * KIB)), Just(Some(MIB))],
        min_io_size in prop_oneof![Just(1), Just(4096)],
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(within(async {
            let dir = on_disk();
            let store = store_with(dir.path(), DirectStoreOptions { alignment, min_io_size, ..DirectStoreOptions::default() });
            let len: usize = lens.iter().sum();
            let all = contents(len as u64);
            let mut parts = store.put_multipart(&key("parts")).await.unwrap();
            upload(&mut *parts, &all, &lens, |nth| order.rotate_left(nth as u32 * 9)).await;
            store.put(&key("whole"), sliced(&all, 100_003)).await.unwrap();
            for name in ["parts", "whole"] {
                assert_eq!(cached_pages(&dir.path().join(name)), 0, "{name} is in the page cache");
                assert_holds(&store, dir.path(), name, &all).await;
            }
            let stats = store.disk().stats();
            assert_eq!(stats.direct_written + stats.buffered_written, 2 * len as u64, "{stats:?}");
            let unit = alignment.unwrap_or(512).max(4096);
            assert!(stats.buffered_written < 2 * unit, "more than the ends: {stats:?}");
            assert_eq!((stats.refused_files, stats.pool.in_use + stats.pool.apart), (0, 0), "{stats:?}");
            assert_eq!(temporaries(dir.path()), 0);
        }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_puts_nor_gets_of_any_length_fill_the_page_cache() {
    let (dir, store) = fresh();
    for len in [
        0,
        1,
        511,
        512,
        4095,
        4096,
        4097,
        4 * MIB - 1,
        4 * MIB,
        9 * MIB + 5,
    ] {
        let (name, all) = (format!("f{len}"), contents(len));
        let path = dir.path().join(&name);
        store.put(&key(&name), all.clone().into()).await.unwrap();
        assert_eq!(cached_pages(&path), 0, "{len} bytes were put");
        let got = store.get(&key(&name)).await.unwrap().bytes().await.unwrap();
        assert!(got == all, "{len}: other bytes");
        assert_eq!(cached_pages(&path), 0, "{len} bytes were read");
    }
    assert_eq!(store.disk().stats().refused_files, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_share_a_unit_may_come_in_any_order() {
    let (dir, store) = fresh();
    let all = contents(40_000);
    let lens = [700, 0, 3396, 1, 4095, 9000, 4000, 4000, 1, 1, 5, 14_801];
    assert_eq!(lens.iter().sum::<usize>(), all.len());
    type Order = fn(usize) -> u64;
    let orders: [(&str, Order); 3] = [
        ("forward", |nth| nth as u64),
        ("backward", |nth| 100 - nth as u64),
        ("odd-first", |nth| nth as u64 + 100 * (nth as u64 % 2)),
    ];
    for (name, first) in orders {
        let mut parts = store.put_multipart(&key(name)).await.unwrap();
        let mut at = 0;
        let mut futures: Vec<_> = lens
            .iter()
            .enumerate()
            .map(|(nth, len)| {
                at += len;
                (first(nth), parts.put_part(all.slice(at - len..at).into()))
            })
            .collect();
        futures.sort_by_key(|(first, _)| *first);
        // One after the other, so that the order is this one.
        for (_, part) in futures {
            part.await.unwrap();
        }
        parts.complete().await.unwrap();
        assert_holds(&store, dir.path(), name, &all).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_small_parts_at_once_are_one_file() {
    let (dir, store) = fresh();
    let all = contents(1_234_567);
    let lens = [vec![1234; 1000], vec![567]].concat();
    let mut parts = store.put_multipart(&key("f")).await.unwrap();
    within(upload(&mut *parts, &all, &lens, |nth| (nth * 7919 % 1001) as u64)).await;
    assert_holds(&store, dir.path(), "f", &all).await;
    // No unit was written twice.
    let stats = store.disk().stats();
    assert_eq!(stats.direct_written + stats.buffered_written, 1_234_567);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_again_is_replaced_and_readers_see_only_whole_objects() {
    let (dir, store) = fresh();
    let len = 5 * MIB as usize + 77;
    store.put(&key("f"), vec![0; len].into()).await.unwrap();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for version in 1..8u8 {
                let put = store.put(&key("f"), vec![version; len].into()).await.unwrap();
                assert_eq!(put.e_tag, store.head(&key("f")).await.unwrap().e_tag);
            }
        }
    });
    while !writer.is_finished() {
        let got = store.get(&key("f")).await.unwrap().bytes().await.unwrap();
        assert!(got.len() == len && got.iter().all(|byte| *byte == got[0]));
    }
    writer.await.unwrap();
    assert_holds(&store, dir.path(), "f", &vec![7; len]).await;
    assert_eq!(temporaries(dir.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_creators_one_wins() {
    let (dir, store) = fresh();
    let puts = (0..8u8).map(|n| {
        let store = store.clone();
        let payload = vec![n; 20_000].into();
        async move {
            let create = PutMode::Create.into();
            store.put_opts(&key("a/f"), payload, create).await.map(|_| n)
        }
    });
    let ended = futures::future::join_all(puts.map(tokio::spawn)).await;
    let (won, lost): (Vec<_>, Vec<_>) = ended.into_iter().map(Result::unwrap).partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for error in lost {
        assert_eq!(kind(&error.unwrap_err()), ErrorKind::Conflict);
    }
    let winner = *won[0].as_ref().unwrap();
    assert_holds(&store, dir.path(), "a/f", &[winner; 20_000]).await;
    assert_eq!(temporaries(dir.path()), 0);
}

#[test]
fn what_is_aborted_or_dropped_leaves_no_file_and_no_memory() {
    let (dir, store) = fresh();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for abort in [true, false] {
            let mut parts = store.put_multipart(&key("a/f")).await.unwrap();
            parts.put_part(contents(5 * MIB + 1).into()).await.unwrap();
            parts.put_part(contents(1).into()).await.unwrap();
            assert_eq!(temporaries(dir.path()), 1);
            if abort {
                parts.abort().await.unwrap();
                assert_eq!(temporaries(dir.path()), 0);
            }
        }
        let mut parts = store.put_multipart(&key("a/f")).await.unwrap();
        drop(parts.put_part("never polled".into()));
        parts.put_part("written".into()).await.unwrap();
        let error = parts.complete().await.unwrap_err();
        assert!(error.to_string().contains("1 of 2 parts"), "{error}");
        assert_eq!(kind(&error), ErrorKind::LocalIo);
        let error = parts.put_part("late".into()).await.unwrap_err();
        assert!(error.to_string().contains("over"), "{error}");
    });
    // Also when the runtime ends right away.
    drop(runtime);
    assert_eq!(temporaries(dir.path()), 0);
    assert!(!dir.path().join("a/f").exists());
    let pool = store.disk().stats().pool;
    assert_eq!((pool.in_use, pool.apart), (0, 0));
}

#[test]
fn a_put_needs_no_runtime() {
    use futures::FutureExt;
    let (dir, store) = fresh();
    let all = contents(700_001);
    let put = store.put(&key("a/b"), all.clone().into()).now_or_never();
    put.unwrap().unwrap();
    assert!(std::fs::read(dir.path().join("a/b")).unwrap() == all);
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_io_can_be_switched_off() {
    let dir = on_disk();
    let options = DirectStoreOptions {
        direct_io: false,
        ..DirectStoreOptions::default()
    };
    let store = store_with(dir.path(), options);
    let all = contents(MIB + 1);
    store.put(&key("put"), all.clone().into()).await.unwrap();
    assert!(cached_pages(&dir.path().join("put")) > 0);
    assert_holds(&store, dir.path(), "put", &all).await;
    let stats = store.disk().stats();
    assert_eq!((stats.direct_written, stats.direct_bytes), (0, 0), "{stats:?}");
    assert_eq!(stats.refused_files, 0, "nobody asked: {stats:?}");
}

/// Puts and uploads more than fits, and expects an error that says so, and no trace.
async fn overfill(store: &DirectStore, dir: &Path, len: u64) {
    let large: PutPayload = contents(len).into();
    let mut errors = vec![
        store.put(&key("a/f"), large.clone()).await.unwrap_err(),
        store
            .put_opts(&key("a/f"), large.clone(), PutMode::Create.into())
            .await
            .unwrap_err(),
    ];
    let mut parts = store.put_multipart(&key("a/f")).await.unwrap();
    parts.put_part("fits".into()).await.unwrap();
    errors.push(parts.put_part(large).await.unwrap_err());
    let incomplete = parts.complete().await.unwrap_err();
    assert!(incomplete.to_string().contains("1 of 2 parts"), "{incomplete}");
    for error in errors {
        assert_eq!(kind(&error), ErrorKind::NoSpace, "{error}");
        assert!(error.to_string().contains("a/f"), "{error}");
    }
    assert_eq!(temporaries(dir), 0);
    assert!(!dir.join("a/f").exists());
    assert_eq!(store.disk().stats().refused_files, 0);
    store.put(&key("small"), contents(5000).into()).await.unwrap();
    assert_holds(store, dir, "small", &contents(5000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_leaves_nothing_behind() {
    let Some(mounted) = Mounted::ext4(12 * MIB, "rw") else {
        return;
    };
    let store = store(&mounted.path());
    overfill(&store, &mounted.path(), 32 * MIB).await;
}

#[test]
fn a_write_over_the_file_size_limit_leaves_nothing_behind() {
    // The limit is this process's own, and its signal must be ignored first.
    run_limited("trap '' XFSZ; ulimit -f 65", "direct::writes::over_the_limit");
}

#[tokio::test]
#[ignore = "run by a_write_over_the_file_size_limit_leaves_nothing_behind, in a limited process"]
async fn over_the_limit() {
    let (dir, store) = fresh();
    overfill(&store, dir.path(), 512 * KIB).await;
}
