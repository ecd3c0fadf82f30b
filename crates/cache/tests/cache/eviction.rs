//! The budget: kept, whoever uses the directory, and what is used stays.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use forebay_cache::{Accounting, Cache, Stored};
use forebay_types::{BLOCK, ByteRange, ObjectId};

use crate::rig::*;

fn on_disk(rig: &Rig) -> u64 {
    rig.files()
        .iter()
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.blocks() * 512)
        .sum()
}

fn kept(cache: &Cache, ids: &[ObjectId]) -> usize {
    ids.iter()
        .filter(|id| {
            cache
                .lookup(&id.origin, &id.key)
                .is_some_and(|found| found.id == **id && found.complete)
        })
        .count()
}

#[test]
fn the_disk_never_holds_more_than_the_budget() {
    for budget in [MIB, 10 * MIB, 33 * MIB] {
        let rig = Rig::new();
        let cache = rig.open(budget);
        let mut random = fastrand::Rng::with_seed(budget);
        for n in 0..100 {
            let id = id(&format!("{n}"), 1, random.u64(1..3 * MIB));
            store_all(&cache, &id);
            // What is being sealed just now could not leave.
            cache.flush();
            assert!(
                on_disk(&rig) <= budget,
                "after {n}: {} of {budget}",
                on_disk(&rig)
            );
        }
        cache.flush();
        let stats = cache.stats();
        assert_eq!(stats.current_size, on_disk(&rig));
        assert!(stats.current_size > budget / 4 || budget == MIB, "{stats:?}");
        assert!(stats.evictions > 20, "{stats:?}");
    }
}

#[test]
fn a_scan_does_not_push_out_what_is_used() {
    let rig = Rig::new();
    let cache = rig.open(20 * MIB);
    let hot: Vec<ObjectId> = (0..10).map(|n| id(&format!("hot {n}"), 1, MIB)).collect();
    for _ in 0..3 {
        for id in &hot {
            if read_all(&cache, id) == 0 {
                store_all(&cache, id);
            }
        }
    }
    for n in 0..60 {
        let id = id(&format!("scanned {n}"), 1, MIB);
        // Opened once, as a reader does.
        let handle = cache.object(&id);
        store(&handle, ByteRange::new(0, MIB));
        assert_eq!(read(&handle, ByteRange::new(0, MIB)), MIB);
    }
    assert_eq!(kept(&cache, &hot), 10);
}

#[test]
fn what_others_use_gets_a_second_chance() {
    let rig = Rig::new();
    let clock = TestClock::new();
    let open_with = |clock: &TestClock| Cache::open(rig.options(10 * MIB), Arc::new(clock.clone())).unwrap();
    let (one, two) = (open_with(&clock), open_with(&clock));
    let ids: Vec<ObjectId> = (0..4).map(|n| id(&format!("{n}"), 1, 2 * MIB)).collect();
    for id in &ids {
        store_all(&one, id);
    }
    one.flush();
    // The other process reads the oldest, and lets it go again.
    read_all(&two, &ids[0]);
    clock.advance(Duration::from_secs(60));
    two.flush();
    store_all(&one, &id("new", 1, 3 * MIB));
    assert_eq!(kept(&one, &ids[..1]), 1, "it was used a moment ago");
    assert!(kept(&one, &ids[1..]) < 3);
}

#[test]
fn what_somebody_has_open_stays() {
    let rig = Rig::new();
    let (one, two) = rig.open_two(10 * MIB);
    let held = id("held", 1, 4 * MIB);
    store_all(&one, &held);
    let reader = two.object(&held);
    assert_eq!(read(&reader, ByteRange::new(0, held.size)), held.size);
    for n in 0..10 {
        store_all(&one, &id(&format!("{n}"), 1, 3 * MIB));
    }
    assert_eq!(kept(&one, std::slice::from_ref(&held)), 1);
    assert_eq!(read(&reader, ByteRange::new(0, held.size)), held.size);
    // Own handles count as well, idle memory of them does not.
    drop(reader);
    drop(two);
    let own = one.object(&held);
    read(&own, ByteRange::new(0, held.size));
    for n in 10..20 {
        store_all(&one, &id(&format!("{n}"), 1, 3 * MIB));
    }
    assert_eq!(kept(&one, std::slice::from_ref(&held)), 1);
    drop(own);
    for n in 20..50 {
        let id = id(&format!("{n}"), 1, 3 * MIB);
        store_all(&one, &id);
        read_all(&one, &id);
    }
    assert_eq!(kept(&one, &[held]), 0, "others are used as well");
    assert!(on_disk(&rig) <= 10 * MIB);
}

#[test]
fn when_nothing_can_leave_the_fill_is_dropped_and_counted() {
    let rig = Rig::new();
    let cache = rig.open(4 * MIB);
    let held = id("held", 1, 3 * MIB);
    let handle = cache.object(&held);
    store(&handle, ByteRange::new(0, held.size));
    assert_eq!(store_all(&cache, &id("more", 1, 2 * MIB)), Stored::Dropped);
    assert_eq!(
        store_all(&cache, &id("larger than all", 1, 5 * MIB)),
        Stored::Dropped
    );
    cache.flush();
    let stats = cache.stats();
    assert_eq!(
        (stats.drops, stats.dropped_bytes, stats.entry_count),
        (2, 7 * MIB, 1)
    );
    assert_eq!(read(&handle, ByteRange::new(0, held.size)), held.size);
}

#[test]
fn bytes_of_other_processes_are_found_and_leave_too() {
    let rig = Rig::new();
    let one = rig.open(10 * MIB);
    // Its scan at the start finds nothing.
    one.flush();
    std::thread::sleep(Duration::from_millis(50));
    {
        let two = rig.open(10 * MIB);
        for n in 0..9 {
            store_all(&two, &id(&format!("theirs {n}"), 1, MIB));
        }
    }
    for n in 0..9 {
        assert_eq!(
            store_all(&one, &id(&format!("ours {n}"), 1, MIB)),
            Stored::Written,
            "{n}"
        );
    }
    assert!(on_disk(&rig) <= 10 * MIB);
}

#[test]
fn open_files_are_bounded() {
    let rig = Rig::new();
    let mut options = rig.options(100 * MIB);
    options.max_open = 16;
    let cache = open(options);
    let ids: Vec<ObjectId> = (0..200).map(|n| id(&format!("{n}"), 1, 300_000)).collect();
    let handles: Vec<_> = ids.iter().map(|id| cache.object(id)).collect();
    let descriptors = || {
        let own = std::fs::read_dir("/proc/self/fd").unwrap();
        own.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
            .filter(|file| file.starts_with(rig.path().join("objects")))
            // Data files; maps are as many.
            .filter(|file| file.extension().is_some_and(|instance| instance.len() == 16))
            .count()
    };
    for handle in &handles {
        store(handle, ByteRange::new(0, 300_000));
        // What three threads have in hand, and are just closing, comes on top.
        assert!(descriptors() <= 16 + 8, "{}", descriptors());
    }
    // All of them can still be read.
    for handle in &handles {
        assert_eq!(read(handle, ByteRange::new(0, 300_000)), 300_000);
        assert!(descriptors() <= 16 + 8, "{}", descriptors());
    }
    cache.flush();
    assert_eq!(cache.stats().io_errors, 0);
}

#[test]
fn what_is_idle_is_closed_and_what_is_known_of_it_stays() {
    let rig = Rig::new();
    let clock = TestClock::new();
    let cache = Cache::open(rig.options(100 * MIB), Arc::new(clock.clone())).unwrap();
    let id = id("idle", 1, 10 * BLOCK);
    let handle = cache.object(&id);
    store(&handle, ByteRange::new(0, 9 * BLOCK));
    let is_open = || {
        let own = std::fs::read_dir("/proc/self/fd").unwrap();
        own.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
            .any(|file| file == rig.data()[0])
    };
    assert!(is_open());
    clock.advance(Duration::from_secs(11));
    cache.flush();
    assert!(!is_open());
    assert_eq!(read(&handle, ByteRange::new(0, id.size)), 9 * BLOCK);
    assert!(is_open());
}

#[test]
fn content_is_counted_to_the_byte() {
    let rig = Rig::new();
    let mut options = rig.options(1_000_000);
    options.accounting = Accounting::Content;
    let cache = open(options.clone());
    let part = id("part", 1, 10 * BLOCK + 1);
    store(&cache.object(&part), ByteRange::new(0, BLOCK));
    store(&cache.object(&part), ByteRange::new(10 * BLOCK, part.size));
    store_all(&cache, &id("empty", 1, 0));
    store_all(&cache, &id("nine", 1, 9));
    cache.flush();
    assert_eq!(cache.stats().current_size, BLOCK + 1 + 9);
    assert_eq!(cache.stats().entry_count, 3);
    drop(cache);
    // A scan comes to the same.
    std::fs::remove_file(rig.path().join("ledger")).unwrap();
    let cache = open(options);
    store_all(&cache, &id("one", 1, 1));
    cache.flush();
    assert_eq!(
        (cache.stats().current_size, cache.stats().entry_count),
        (BLOCK + 1 + 9 + 1, 4)
    );
}

#[test]
fn clearing_removes_everything_and_starts_the_counters_anew() {
    let rig = Rig::new();
    let (one, two) = rig.open_two(100 * MIB);
    let ids: Vec<ObjectId> = (0..20).map(|n| id(&format!("{n}"), 1, 1 + n * 50_000)).collect();
    for id in &ids {
        store_all(&one, id);
    }
    let (here, there) = (one.object(&ids[19]), two.object(&ids[18]));
    assert_eq!(read(&here, ByteRange::new(0, ids[19].size)), ids[19].size);
    assert_eq!(read(&there, ByteRange::new(0, ids[18].size)), ids[18].size);
    one.count_hit(10);
    one.flush();
    let before = one.stats();
    let cleared = one.clear().unwrap();
    assert_eq!((cleared.entries, cleared.bytes), (20, before.current_size));
    assert!(rig.files().is_empty());
    let stats = one.stats();
    assert_eq!(
        (
            stats.current_size,
            stats.entry_count,
            stats.hits,
            stats.bytes_stored
        ),
        (0, 0, 0, 0)
    );
    assert_eq!(read(&here, ByteRange::new(0, ids[19].size)), 0);
    // The other process learns of it when it next looks at the ledger.
    two.flush();
    assert_eq!(read(&there, ByteRange::new(0, ids[18].size)), 0);
    for (handle, id) in [(&here, &ids[19]), (&there, &ids[18])] {
        assert_eq!(store(handle, ByteRange::new(0, id.size)), Stored::Written);
        assert_eq!(read(handle, ByteRange::new(0, id.size)), id.size);
    }
    one.flush();
    two.flush();
    assert_eq!(one.stats().current_size, on_disk(&rig));
    assert_eq!(one.stats().entry_count, 2);
}

#[test]
fn clearing_while_others_write_harms_nobody() {
    let rig = Rig::new();
    let (one, two) = rig.open_two(50 * MIB);
    std::thread::scope(|scope| {
        for (cache, seed) in [(&one, 1u64), (&one, 2), (&two, 3)] {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..60 {
                    let id = id(&format!("{}", random.u32(0..8)), 1, 700_000);
                    let start = random.u64(0..10) * BLOCK;
                    let object = cache.object(&id);
                    store(&object, ByteRange::new(start, start + BLOCK));
                    read(&object, ByteRange::new(0, id.size));
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..10 {
                one.clear().unwrap();
                std::thread::sleep(Duration::from_millis(3));
            }
        });
    });
    one.clear().unwrap();
    assert!(rig.files().is_empty(), "{:?}", rig.files());
}

#[test]
fn files_that_belong_to_nobody_are_swept_when_they_are_old() {
    let rig = Rig::new();
    let kept = id("kept", 1, MIB);
    store_all(&rig.open(100 * MIB), &kept);
    let data = rig.data().remove(0);
    let map = rig.maps().remove(0);
    let shard = map.parent().unwrap();
    let other = |name: &str| shard.join(name);
    let name = map.file_name().unwrap().to_str().unwrap().to_owned();
    let orphans = [
        other(&format!("{name}.00000000000000aa")),
        other("0123456789abcdef0123456789abcd.0000000000000001"),
        other("0123456789abcdef0123456789abcd.0000000000000001.new"),
        other("0123456789abcdef0123456789abcd.0000000000000001.out"),
    ];
    let young = other("0123456789abcdef0123456789abcd.0000000000000002");
    let locked = other("0123456789abcdef0123456789abcd.0000000000000003");
    let foreign = other("notes.txt");
    let hour_ago = std::fs::FileTimes::new()
        .set_modified(data.metadata().unwrap().modified().unwrap() - Duration::from_secs(3600));
    for file in orphans.iter().chain([&young, &locked, &foreign]) {
        std::fs::write(file, b"left behind").unwrap();
        if *file != young {
            std::fs::File::options()
                .write(true)
                .open(file)
                .unwrap()
                .set_times(hour_ago)
                .unwrap();
        }
    }
    // Data with a map is no orphan, however old.
    std::fs::File::options()
        .write(true)
        .open(&data)
        .unwrap()
        .set_times(hour_ago)
        .unwrap();
    let lock = std::fs::File::open(&locked).unwrap();
    lock.lock_shared().unwrap();
    let cache = rig.open(100 * MIB);
    for _ in 0..200 {
        if cache.stats().swept == 4 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(orphans.iter().all(|file| !file.exists()));
    assert!(young.exists() && locked.exists() && foreign.exists());
    assert_eq!(read_all(&cache, &kept), kept.size);
    assert_eq!(cache.stats().swept, 4);
}
