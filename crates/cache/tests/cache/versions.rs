//! A new version takes the place of the old one; who reads the old one reads on.

use std::time::Duration;

use forebay_cache::Stored;
use forebay_types::{BLOCK, ByteRange, ObjectId, Version};

use crate::rig::*;

#[test]
fn a_new_version_replaces_the_old_one_and_its_readers_go_on() {
    for size in [1000, 5 * MIB] {
        let rig = Rig::new();
        let (cache, other) = rig.open_two(100 * MIB);
        let (old, new) = (id("key", 1, size), id("key", 2, size + 10));
        store_all(&cache, &old);
        let (reader, elsewhere) = (cache.object(&old), other.object(&old));
        assert_eq!(read(&reader, ByteRange::new(0, size)), size);
        assert_eq!(read(&elsewhere, ByteRange::new(0, size)), size);

        store_all(&cache, &new);
        assert_eq!(cache.lookup(&new.origin, &new.key).unwrap().id, new);
        assert_eq!(read_all(&cache, &new), new.size);
        assert_eq!(read(&reader, ByteRange::new(0, size)), size);
        assert_eq!(read(&elsewhere, ByteRange::new(0, size)), size);
        assert_eq!(cache.object(&old).id(), &old);
        cache.flush();
        assert_eq!(cache.stats().entry_count, 1);
        assert_eq!(rig.files().len(), if size > BLOCK { 2 } else { 1 });
    }
}

#[test]
fn a_reader_of_the_old_version_does_not_bring_it_back() {
    let rig = Rig::new();
    let (one, two) = rig.open_two(100 * MIB);
    let (old, new) = (id("key", 1, 5 * MIB), id("key", 2, 5 * MIB));
    let reader = one.object(&old);
    store(&reader, ByteRange::new(0, MIB));
    std::thread::sleep(Duration::from_millis(1));
    assert_eq!(store_all(&two, &new), Stored::Written);
    assert_eq!(store(&reader, ByteRange::new(MIB, 2 * MIB)), Stored::Dropped);
    assert_eq!(store(&reader, ByteRange::new(2 * MIB, 3 * MIB)), Stored::Dropped);
    assert_eq!(one.lookup(&new.origin, &new.key).unwrap().id, new);
    assert_eq!(read_all(&one, &new), new.size);
    // Unless the server says that it is the right one again.
    reader.validated();
    assert_eq!(store(&reader, ByteRange::new(MIB, 2 * MIB)), Stored::Written);
    assert_eq!(one.lookup(&old.origin, &old.key).unwrap().id, old);
}

#[test]
fn every_kind_of_version_is_kept_apart() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    let versions = [
        Version::Unknown,
        Version::ETag("".into()),
        Version::ETag("W/\"weak\"".into()),
        Version::ETag("\"weak\"".into()),
        Version::Modified(0),
        Version::Modified(-1),
        Version::Modified(i64::MAX),
        Version::ETag("0".into()),
    ];
    for version in versions {
        let id = ObjectId {
            version,
            ..id("key", 0, 70_000)
        };
        assert_eq!(read_all(&cache, &id), 0);
        assert_eq!(store_all(&cache, &id), Stored::Written);
        assert_eq!(cache.lookup(&id.origin, &id.key).unwrap().id, id);
        assert_eq!(read_all(&cache, &id), id.size);
    }
    assert_eq!(rig.files().len(), 1);
}

#[test]
fn another_size_is_another_version() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    let sized = |size| ObjectId {
        version: Version::Unknown,
        ..id("key", 0, size)
    };
    store_all(&cache, &sized(100));
    assert_eq!(read_all(&cache, &sized(101)), 0);
    store_all(&cache, &sized(101));
    assert_eq!(read_all(&cache, &sized(100)), 0);
}

#[test]
fn names_that_are_too_long_are_not_kept() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    let long = id(&"k".repeat(5000), 1, 100);
    assert_eq!(store_all(&cache, &long), Stored::Dropped);
    let just_so = id(&"k".repeat(4096), 1, 100);
    assert_eq!(store_all(&cache, &just_so), Stored::Written);
    drop(cache);
    let cache = rig.open(100 * MIB);
    assert_eq!(read_all(&cache, &just_so), 100);
    assert_eq!((cache.stats().drops, cache.stats().io_errors), (1, 0));
}

#[test]
fn two_processes_that_replace_each_other_leave_one_version_and_no_other_file() {
    let rig = Rig::new();
    let caches: Vec<_> = (0..3).map(|_| rig.open(100 * MIB)).collect();
    std::thread::scope(|scope| {
        for (n, cache) in caches.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..20 {
                    let id = id("contended", n as u64 * 100 + round, MIB + round);
                    store_all(cache, &id);
                    let got = read_all(cache, &id);
                    assert!(got == 0 || got == id.size);
                }
            });
        }
    });
    let found = caches[0].lookup(&origin(), "contended").unwrap();
    assert_eq!(read_all(&caches[0], &found.id), found.id.size);
    let data = rig.data();
    // A replacer that was itself replaced in the same instant may leave a file behind, which the next scans sweep.
    assert!(!data.is_empty() && data.len() <= 3, "{data:?}");
}
