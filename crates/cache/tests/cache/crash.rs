//! `kill -9` at any moment: afterwards every block is right or missing, and the total is not too low.

use std::collections::BTreeSet;
use std::time::Duration;

use forebay_types::{BLOCK, BlockRange, ByteRange};

use crate::rig::*;

/// Objects that the child writes, over and over: tiny, small, of several files, with odd ends.
const SIZES: [u64; 6] = [100, 5000, 200_000, 300_000, 3 * MIB + 77, 9 * MIB];

fn object(key: u64, version: u64) -> forebay_types::ObjectId {
    id(&format!("object {key}"), version, SIZES[(key % 6) as usize])
}

/// The child: stores random blocks of random versions until it is killed.
#[test]
#[ignore = "a process that other tests start"]
fn a_writer() {
    let Some(dir) = order() else { return };
    let seed: u64 = order().unwrap().parse().unwrap();
    let max_size: u64 = order().unwrap().parse().unwrap();
    let mut options = forebay_cache::CacheOptions::new(dir, max_size);
    options.keep_free = 0;
    let cache = open(options);
    let mut random = fastrand::Rng::with_seed(seed);
    loop {
        let id = object(random.u64(0..20), random.u64(0..2));
        let blocks = BlockRange::of_size(id.size).len();
        let start = random.u64(0..blocks);
        let end = random.u64(start + 1..=blocks);
        let object = cache.object(&id);
        read(&object, ByteRange::new(0, id.size));
        let range = BlockRange::new(start, end).bytes(id.size);
        object.store(fill(&id, range, |_| println!("stored"))).unwrap();
        if cache.backlog() > 32 << 20 {
            cache.flush();
        }
    }
}

#[test]
fn a_killed_writer_leaves_right_bytes_or_none() {
    let rig = Rig::new();
    let mut random = fastrand::Rng::with_seed(1);
    let mut seen = BTreeSet::new();
    for round in 0..12u64 {
        let max_size = 200 * MIB;
        let mut writer = Process::start("crash::a_writer", &[&rig.path().display(), &round, &max_size]);
        for _ in 0..random.u32(1..60) {
            writer.hear("stored");
        }
        std::thread::sleep(Duration::from_micros(random.u64(0..5000)));
        writer.kill();
        let cache = rig.open(max_size);
        for key in 0..20 {
            for version in 0..2 {
                let id = object(key, version);
                let object = cache.object(&id);
                for (blocks, present) in object.presence(BlockRange::of_size(id.size)) {
                    let range = blocks.bytes(id.size);
                    let got = read(&object, range);
                    if present {
                        assert_eq!(got, range.len(), "{range:?} of {id}");
                        seen.insert((key, version));
                    }
                }
            }
        }
        let stats = cache.stats();
        assert_eq!((stats.corrupt, stats.io_errors), (0, 0), "{stats:?}");
    }
    assert!(
        seen.len() > 10,
        "the test shows something only if something was written: {seen:?}"
    );
}

#[test]
fn a_killed_writer_leaves_a_total_that_is_not_too_low_and_a_scan_sets_it_right() {
    let rig = Rig::new();
    for round in 0..4u64 {
        let mut writer = Process::start(
            "crash::a_writer",
            &[&rig.path().display(), &(100 + round), &(64 * MIB)],
        );
        for _ in 0..30 * (round + 1) {
            writer.hear("stored");
        }
        writer.kill();
        let on_disk = on_disk(&rig);
        // Read from the file: opening the cache starts the scan.
        let posted = std::fs::read(rig.path().join("ledger")).unwrap();
        let posted = u64::from_le_bytes(posted[8..16].try_into().unwrap());
        assert!(posted >= on_disk, "posted {posted}, on disk {on_disk}");
        let cache = rig.open(64 * MIB);
        // Stands behind the scan.
        cache.object(&id("large", round, 60 * MIB));
        store_all(&cache, &id("after", round, BLOCK));
        agree(&cache, &rig);
    }
}

fn on_disk(rig: &Rig) -> u64 {
    use std::os::unix::fs::MetadataExt;
    rig.files()
        .iter()
        .map(|file| file.metadata().unwrap().blocks() * 512)
        .sum()
}

/// Waits until the scan at the start has set the total right.
fn agree(cache: &forebay_cache::Cache, rig: &Rig) {
    cache.flush();
    for _ in 0..200 {
        if cache.stats().current_size == on_disk(rig) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!(
        "the ledger says {}, the disk {}",
        cache.stats().current_size,
        on_disk(rig)
    );
}

#[test]
fn a_block_that_was_half_written_is_not_there() {
    let rig = Rig::new();
    let id = id("torn", 1, 4 * BLOCK);
    let cache = rig.open(10 * MIB);
    store(&cache.object(&id), ByteRange::new(0, 2 * BLOCK));
    drop(cache);
    // The state between two writes of a process that was killed: bytes are there, the table does not say so.
    let map = &rig.maps()[0];
    let data_at = map.metadata().unwrap().len() - id.size;
    let file = std::fs::File::options().write(true).open(map).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xAB; 1000], data_at + 3 * BLOCK).unwrap();
    let cache = rig.open(10 * MIB);
    assert_eq!(read_all(&cache, &id), 2 * BLOCK);
    let expected = [(BlockRange::new(0, 2), true), (BlockRange::new(2, 4), false)];
    assert_eq!(cache.object(&id).presence(BlockRange::new(0, 4)), expected);
}
