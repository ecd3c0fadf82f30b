//! Figures: of all processes together, and true.

use forebay_cache::CacheStats;
use forebay_types::ByteRange;

use crate::rig::*;

#[test]
fn the_figures_are_those_of_all_processes() {
    let rig = Rig::new();
    let (one, two) = rig.open_two(100 * MIB);
    one.count_hit(10);
    one.count_hit(20);
    two.count_hit(5);
    two.count_miss(7);
    store_all(&one, &id("a", 1, 1000));
    store_all(&two, &id("b", 1, 2000));
    one.flush();
    two.flush();
    for cache in [&one, &two, &rig.open(100 * MIB)] {
        let stats = cache.stats();
        assert_eq!(
            (stats.hits, stats.misses, stats.bytes_hit, stats.bytes_missed),
            (3, 1, 35, 7)
        );
        assert_eq!(
            (stats.entry_count, stats.bytes_stored, stats.max_size),
            (2, 3000, 100 * MIB)
        );
        assert!((stats.hit_rate - 0.75).abs() < 1e-9);
    }
}

#[test]
fn figures_are_posted_within_a_second_or_two() {
    let rig = Rig::new();
    let (one, two) = rig.open_two(100 * MIB);
    one.count_hit(1);
    for _ in 0..300 {
        if two.stats().hits == 1 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{:?}", two.stats());
}

#[test]
fn figures_are_posted_when_the_cache_is_closed() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    cache.count_miss(3);
    let id = id("a", 1, 5000);
    cache
        .object(&id)
        .store(fill(&id, ByteRange::new(0, 5000), |_| {}))
        .unwrap();
    drop(cache);
    let stats = rig.open(100 * MIB).stats();
    assert_eq!(
        (stats.misses, stats.bytes_stored, stats.entry_count),
        (1, 5000, 1)
    );
}

#[test]
fn figures_have_names_that_scripts_can_use() {
    let rig = Rig::new();
    let json = serde_json::to_value(rig.open(100 * MIB).stats()).unwrap();
    for name in [
        "current_size",
        "max_size",
        "entry_count",
        "hits",
        "misses",
        "hit_rate",
        "drops",
        "evictions",
    ] {
        assert!(
            json.get(name).is_some_and(serde_json::Value::is_number),
            "{name} in {json}"
        );
    }
    assert_eq!(json["hit_rate"], 0.0);
    let CacheStats { max_size, .. } = rig.open(7).stats();
    assert_eq!(max_size, 7);
}

#[test]
fn a_ledger_whose_lock_is_held_for_good_stops_nobody() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    let kept = id("kept", 1, 1000);
    store_all(&cache, &kept);
    cache.flush();
    let lock = std::fs::File::open(rig.path().join("ledger")).unwrap();
    lock.lock().unwrap();
    // Reads go on; what would have to be accounted for is dropped.
    assert_eq!(read_all(&cache, &kept), 1000);
    cache.count_hit(1000);
    assert_eq!(
        store_all(&cache, &id("new", 1, 1000)),
        forebay_cache::Stored::Dropped
    );
    assert_eq!(cache.stats().entry_count, 1, "what this process knows");
    drop(lock);
    assert_eq!(
        store_all(&cache, &id("new", 1, 1000)),
        forebay_cache::Stored::Written
    );
    cache.flush();
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.drops, stats.entry_count), (1, 1, 2));
}
