//! Objects larger than their share: their longest-unused extents go, and a read never sees the hole as bytes.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};

use forebay_cache::Stored;
use forebay_types::{BlockRange, ByteRange};

use crate::rig::*;

/// Bytes of the one data file on disk.
fn on_disk(rig: &Rig) -> u64 {
    rig.files()
        .iter()
        .map(|file| file.metadata().unwrap().blocks() * 512)
        .sum()
}

#[test]
fn an_object_larger_than_the_cache_keeps_what_was_used_last() {
    let rig = Rig::new();
    let budget = 80 * MIB;
    let cache = rig.open(budget);
    let id = id("larger", 1, 200 * MIB + 123);
    let object = cache.object(&id);
    let mut at = 0;
    while at < id.size {
        let range = ByteRange::at(at, 8 * MIB).clamp_to(id.size);
        assert_eq!(store(&object, range), Stored::Written);
        assert_eq!(read(&object, range), range.len());
        assert!(on_disk(&rig) <= budget);
        at = range.end();
        // The stamps of extents are 16 ms apart.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    cache.flush();
    let stats = cache.stats();
    assert!(
        stats.shrinks > 0 && stats.drops == 0 && stats.evictions == 0,
        "{stats:?}"
    );
    assert_eq!(stats.current_size, on_disk(&rig));
    let tail = ByteRange::new(id.size - 40 * MIB, id.size);
    assert_eq!(read(&object, tail), tail.len());
    assert_eq!(read(&object, ByteRange::new(0, 100)), 0);
    assert!(!object.is_complete());
    drop((object, cache));
    // The next process sees the same.
    let cache = rig.open(budget);
    let object = cache.object(&id);
    assert_eq!(read(&object, tail), tail.len());
    assert_eq!(
        object.presence(BlockRange::new(0, 1)),
        [(BlockRange::new(0, 1), false)]
    );
}

#[test]
fn a_sealed_object_that_is_made_smaller_is_sealed_no_more() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    let large = id("sealed", 1, 80 * MIB);
    store_all(&cache, &large);
    cache.flush();
    assert!(cache.lookup(&large.origin, &large.key).unwrap().complete);
    // Idle, and more than half of the cache: it gives an extent, not all of it.
    for n in 0..3 {
        assert_eq!(
            store_all(&cache, &id(&format!("{n}"), 1, 10 * MIB)),
            Stored::Written
        );
    }
    cache.flush();
    let stats = cache.stats();
    assert!(stats.shrinks > 0 && stats.current_size <= 100 * MIB, "{stats:?}");
    drop(cache);
    let cache = rig.open(100 * MIB);
    let found = cache.lookup(&large.origin, &large.key).unwrap();
    assert!(!found.complete);
    let mut there = 0;
    let object = cache.object(&large);
    for (blocks, present) in object.presence(BlockRange::of_size(large.size)) {
        let range = blocks.bytes(large.size);
        assert_eq!(read(&object, range), if present { range.len() } else { 0 });
        there += if present { range.len() } else { 0 };
    }
    assert!(there >= 40 * MIB, "{there}");
    // Filled again it is whole again, and sealed again.
    drop(cache);
    let cache = rig.open(200 * MIB);
    assert_eq!(store_all(&cache, &large), Stored::Written);
    cache.flush();
    assert_eq!(read_all(&cache, &large), large.size);
    assert!(cache.object(&large).hand_out().is_some());
}

#[test]
fn readers_see_right_bytes_or_none_while_extents_go() {
    let rig = Rig::new();
    let cache = rig.open(70 * MIB);
    let id = id("contended", 1, 160 * MIB);
    let object = cache.object(&id);
    let done = AtomicBool::new(false);
    let hits = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3u64)
            .map(|seed| {
                let (object, id, done) = (&object, &id, &done);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mut hits = 0u64;
                    while !done.load(Ordering::Relaxed) {
                        let len = [4096, 100_000, 2 * MIB][random.usize(0..3)];
                        let range = ByteRange::at(random.u64(0..id.size), len).clamp_to(id.size);
                        hits += u64::from(read(object, range) > 0);
                    }
                    hits
                })
            })
            .collect();
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..80 {
            let extent = random.u64(0..40);
            let range = ByteRange::at(extent * 4 * MIB, 4 * MIB);
            store(&object, range);
        }
        done.store(true, Ordering::Relaxed);
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum::<u64>()
    });
    cache.flush();
    let stats = cache.stats();
    assert!(hits > 100, "{hits} hits");
    assert!(stats.shrinks > 10, "{stats:?}");
    assert_eq!(stats.corrupt, 0);
    assert!(on_disk(&rig) <= 70 * MIB);
}

#[test]
fn a_file_that_was_handed_out_is_never_made_smaller() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    let large = id("handed out", 1, 80 * MIB);
    let object = cache.object(&large);
    store(&object, ByteRange::new(0, large.size));
    cache.flush();
    let handed_out = object.hand_out().unwrap();
    drop(object);
    for n in 0..3 {
        store_all(&cache, &id(&format!("{n}"), 1, 15 * MIB));
    }
    cache.flush();
    assert_eq!(cache.stats().shrinks, 0);
    let whole = |file: rustix::fd::BorrowedFd<'_>| {
        let mut bytes = vec![0; large.size as usize];
        let mut done = 0;
        while done < bytes.len() {
            done += rustix::io::pread(file, &mut bytes[done..], done as u64).unwrap();
        }
        content(&large).check(0, &bytes).unwrap();
    };
    whole(handed_out.file());
    assert!(
        cache.lookup(&large.origin, &large.key).unwrap().complete,
        "nor removed, while it is out"
    );
    // Afterwards it may go, but only whole: somebody may have it mapped still.
    let file = handed_out.file().try_clone_to_owned().unwrap();
    drop(handed_out);
    for n in 3..9 {
        store_all(&cache, &id(&format!("{n}"), 1, 15 * MIB));
    }
    cache.flush();
    assert_eq!(
        (cache.stats().shrinks, cache.lookup(&large.origin, &large.key)),
        (0, None)
    );
    whole(rustix::fd::AsFd::as_fd(&file));
}

#[test]
fn another_process_that_has_it_open_keeps_it_whole() {
    let rig = Rig::new();
    let (one, two) = rig.open_two(70 * MIB);
    let large = id("shared", 1, 64 * MIB);
    store_all(&one, &large);
    one.flush();
    let theirs = two.object(&large);
    assert_eq!(read(&theirs, ByteRange::new(0, large.size)), large.size);
    assert_eq!(store_all(&one, &id("more", 1, 20 * MIB)), Stored::Dropped);
    assert_eq!(read(&theirs, ByteRange::new(0, large.size)), large.size);
    // After the failed attempt to have it alone, the first one still holds it too.
    assert_eq!(read_all(&one, &large), large.size);
    drop(theirs);
    drop(two);
    assert_eq!(store_all(&one, &id("more", 1, 20 * MIB)), Stored::Written);
    assert!(on_disk(&rig) <= 70 * MIB);
    assert_eq!(
        one.object(&large).presence(BlockRange::of_size(large.size)).len(),
        2
    );
    assert_eq!(one.stats().corrupt, 0);
}
