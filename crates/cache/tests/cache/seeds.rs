//! The faults of the first plan (seed 001), each as a test that fails with it.

use bytes::Bytes;
use forebay_cache::SegmentCache;
use forebay_types::ByteRange;

use crate::rig::*;

/// Runs it on a runtime of its own.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn segments(rig: &Rig, max_size: u64) -> SegmentCache {
    SegmentCache::new(rig.path(), max_size).unwrap()
}

#[test]
fn a_hundred_bytes_hold_two_values_of_fifty() {
    let rig = Rig::new();
    run(async {
        let cache = segments(&rig, 100);
        cache.put("key1", Bytes::from(vec![0u8; 50])).await.unwrap();
        cache.put("key2", Bytes::from(vec![1u8; 50])).await.unwrap();
        cache.put("key3", Bytes::from(vec![2u8; 50])).await.unwrap();
        assert!(cache.get("key1").await.unwrap().is_none());
        assert_eq!(cache.get("key2").await.unwrap().unwrap(), vec![1u8; 50]);
        assert_eq!(cache.get("key3").await.unwrap().unwrap(), vec![2u8; 50]);
        let stats = cache.stats().await;
        assert_eq!(
            (stats.current_size, stats.max_size, stats.entry_count),
            (100, 100, 2)
        );
        assert_eq!((stats.hits, stats.misses, stats.evictions), (2, 1, 1));
        assert!((stats.hit_rate - 2.0 / 3.0).abs() < 1e-9);
    });
}

#[test]
fn keys_that_run_into_each_other_are_two_keys() {
    let rig = Rig::new();
    run(async {
        let cache = segments(&rig, 1000);
        // topic "a-1", partition 2 and topic "a", partition "1-2" were one file.
        for (key, value) in [
            ("a-1/2", "one"),
            ("a/1-2", "two"),
            ("../a", "three"),
            ("a\0b", "four"),
            ("", "five"),
        ] {
            cache.put(key, bytes(value)).await.unwrap();
        }
        for (key, value) in [
            ("a-1/2", "one"),
            ("a/1-2", "two"),
            ("../a", "three"),
            ("a\0b", "four"),
            ("", "five"),
        ] {
            assert_eq!(cache.get(key).await.unwrap().unwrap(), value, "{key:?}");
        }
    });
    assert_eq!(
        rig.dir.path().read_dir().unwrap().count(),
        1,
        "nothing outside the directory"
    );
}

#[test]
fn the_limit_holds_after_a_restart() {
    let rig = Rig::new();
    run(async {
        let cache = segments(&rig, 500);
        for n in 0..5 {
            cache
                .put(&format!("old{n}"), Bytes::from(vec![n; 100]))
                .await
                .unwrap();
        }
        drop(cache);
        let cache = segments(&rig, 500);
        for n in 0..3 {
            cache
                .put(&format!("new{n}"), Bytes::from(vec![n; 100]))
                .await
                .unwrap();
        }
        let stats = cache.stats().await;
        assert_eq!((stats.current_size, stats.entry_count), (500, 5));
        let mut kept = 0;
        for key in (0..5)
            .map(|n| format!("old{n}"))
            .chain((0..3).map(|n| format!("new{n}")))
        {
            kept += u32::from(cache.get(&key).await.unwrap().is_some());
        }
        assert_eq!(kept, 5);
        // A smaller limit than before is kept with the first value that comes.
        drop(cache);
        let cache = segments(&rig, 250);
        cache.put("last", Bytes::from(vec![9; 100])).await.unwrap();
        assert_eq!(cache.stats().await.current_size, 200);
    });
}

#[test]
fn ten_thousand_and_one_entries_leak_no_file() {
    let rig = Rig::new();
    let cache = {
        let mut options = rig.options(10_000);
        options.accounting = forebay_cache::Accounting::Content;
        open(options)
    };
    for n in 0..10_100 {
        let id = id(&format!("{n}"), 1, 1);
        cache
            .object(&id)
            .store(fill(&id, ByteRange::new(0, 1), |_| {}))
            .unwrap();
    }
    cache.flush();
    let stats = cache.stats();
    assert_eq!(
        (stats.entry_count, stats.current_size, stats.drops),
        (10_000, 10_000, 0),
        "{stats:?}"
    );
    assert_eq!(rig.files().len(), 10_000);
}

#[test]
fn a_value_larger_than_the_cache_pushes_nothing_out() {
    let rig = Rig::new();
    run(async {
        let cache = segments(&rig, 100);
        cache.put("small", Bytes::from(vec![7; 60])).await.unwrap();
        cache.put("huge", Bytes::from(vec![8; 101])).await.unwrap();
        assert!(cache.get("huge").await.unwrap().is_none());
        assert!(cache.get("small").await.unwrap().is_some());
        let stats = cache.stats().await;
        assert_eq!((stats.drops, stats.dropped_bytes, stats.evictions), (1, 101, 0));
        // Nor is the value before it taken for it.
        cache.put("small", Bytes::from(vec![9; 101])).await.unwrap();
        assert!(cache.get("small").await.unwrap().is_none());
    });
}

#[test]
fn a_hit_reads_what_was_asked_for() {
    let rig = Rig::new();
    run(async {
        let cache = segments(&rig, 64 * MIB);
        let value = Bytes::from(vec![5; 32 << 20]);
        cache.put("large", value.clone()).await.unwrap();
        drop(cache);
        let cache = segments(&rig, 64 * MIB);
        let read = || {
            let io = std::fs::read_to_string("/proc/self/io").unwrap();
            let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
            line.parse::<u64>().unwrap()
        };
        // What the first calls of a process read otherwise.
        cache.get("other").await.unwrap();
        let before = read();
        let range = ByteRange::at((7 << 20) + 100, 4096);
        assert_eq!(
            cache.get_range("large", range).await.unwrap().unwrap(),
            value.slice(0..4096)
        );
        let cost = read() - before;
        assert!(cost < 128 << 10, "{cost} bytes read for 4 KiB");
    });
}

#[test]
fn a_value_that_is_put_again_takes_the_place_of_the_old_one() {
    let rig = Rig::new();
    run(async {
        let cache = segments(&rig, 2 * MIB);
        for size in [10, 1000, 600_000, 1, 0, 300_000, 20] {
            for value in 0..3u8 {
                let value = Bytes::from(vec![value; size]);
                cache.put("key", value.clone()).await.unwrap();
                assert_eq!(cache.get("key").await.unwrap().unwrap(), value);
            }
        }
        let stats = cache.stats().await;
        assert_eq!((stats.current_size, stats.entry_count, stats.drops), (20, 1, 0));
    });
    assert_eq!(rig.files().len(), 1);
}
