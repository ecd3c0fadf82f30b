//! Flipped bits and cut files: never wrong bytes, never an error to a reader.

use std::fs::File;
use std::os::unix::fs::FileExt;

use forebay_cache::Stored;
use forebay_types::{BLOCK, BlockRange, ByteRange, ObjectId};

use crate::rig::*;

/// A large object, complete but not sealed as far as the next process can tell, and a small one.
fn filled(rig: &Rig) -> (ObjectId, ObjectId) {
    let (large, small) = (id("large", 1, 10 * BLOCK + 99), id("small", 1, 2 * BLOCK + 7));
    let cache = rig.open(100 * MIB);
    // Without its last block it is never sealed.
    assert_eq!(
        store(&cache.object(&large), ByteRange::new(0, 10 * BLOCK)),
        Stored::Written
    );
    assert_eq!(store_all(&cache, &small), Stored::Written);
    (large, small)
}

#[test]
fn a_flipped_bit_in_the_data_is_a_missing_block() {
    let rig = Rig::new();
    let (large, small) = filled(&rig);
    flip(&rig.data()[0], 3 * BLOCK + 1000, 3);
    let small_map = map_of(&rig, &small);
    let data_at = small_map.metadata().unwrap().len() - small.size;
    flip(&small_map, data_at + BLOCK + 5, 0);
    let cache = rig.open(100 * MIB);
    assert_eq!(read_all(&cache, &small), BLOCK);
    let object = cache.object(&large);
    // A small read in the bad block, and a large one across it.
    assert_eq!(read(&object, ByteRange::at(3 * BLOCK + 5, 100)), 0);
    assert_eq!(read(&object, ByteRange::new(0, 8 * BLOCK)), 3 * BLOCK);
    assert_eq!(read(&object, ByteRange::new(4 * BLOCK, 10 * BLOCK)), 6 * BLOCK);
    assert_eq!(cache.stats().corrupt, 2);
    assert_eq!(
        object.presence(BlockRange::new(2, 5)),
        [
            (BlockRange::new(2, 3), true),
            (BlockRange::new(3, 4), false),
            (BlockRange::new(4, 5), true)
        ]
    );
    // It is fetched again, and that is that.
    store(&object, ByteRange::new(0, large.size));
    assert_eq!(read(&object, ByteRange::new(0, large.size)), large.size);
}

/// The map of an object: found by its name inside.
fn map_of(rig: &Rig, id: &ObjectId) -> std::path::PathBuf {
    let key = id.key.as_bytes();
    rig.maps()
        .into_iter()
        .find(|map| {
            std::fs::read(map)
                .unwrap()
                .windows(key.len())
                .any(|window| window == key)
        })
        .unwrap()
}

#[test]
fn every_bit_of_a_small_map_can_be_flipped() {
    let rig = Rig::new();
    let small = id("flip", 1, 300);
    store_all(&rig.open(100 * MIB), &small);
    let map = map_of(&rig, &small);
    let good = std::fs::read(&map).unwrap();
    let cache = rig.open(100 * MIB);
    cache.flush();
    for byte in 0..good.len() {
        // The file anew: a damaged one is removed.
        std::fs::write(&map, &good).unwrap();
        flip(&map, byte as u64, (byte % 8) as u8);
        // Another cache each time: what a process checked once it trusts while it has the file open.
        let in_file = File::open(&map).unwrap();
        let fresh = rig.open(100 * MIB);
        let got = read_all(&fresh, &small);
        assert!(got == 0 || got == small.size, "byte {byte}: {got}");
        let in_data = byte >= good.len() - small.size as usize;
        if in_data {
            assert_eq!(got, 0, "byte {byte} of the data");
        }
        drop(in_file);
    }
}

#[test]
fn a_flipped_bit_in_the_table_is_a_missing_block() {
    let rig = Rig::new();
    let (large, _) = filled(&rig);
    let map = map_of(&rig, &large);
    let table = map.metadata().unwrap().len() - 11 * 8;
    flip(&map, table + 4 * 8 + 1, 2);
    flip(&map, table + 6 * 8 + 6, 2);
    let cache = rig.open(100 * MIB);
    let object = cache.object(&large);
    assert_eq!(read(&object, ByteRange::new(0, large.size)), 4 * BLOCK);
    assert_eq!(read(&object, ByteRange::new(5 * BLOCK, large.size)), BLOCK);
    assert_eq!(read(&object, ByteRange::new(7 * BLOCK, large.size)), 3 * BLOCK);
}

#[test]
fn a_table_of_another_instance_is_absence() {
    let rig = Rig::new();
    let (large, _) = filled(&rig);
    let map = map_of(&rig, &large);
    let len = map.metadata().unwrap().len();
    let mut table = vec![0; 11 * 8];
    File::open(&map)
        .unwrap()
        .read_exact_at(&mut table, len - 88)
        .unwrap();
    // The same object, made anew.
    rig.open(100 * MIB).clear().unwrap();
    let cache = rig.open(100 * MIB);
    store(&cache.object(&large), ByteRange::new(10 * BLOCK, large.size));
    drop(cache);
    let file = File::options().write(true).open(map_of(&rig, &large)).unwrap();
    file.write_all_at(&table[..80], len - 88).unwrap();
    let cache = rig.open(100 * MIB);
    assert_eq!(read_all(&cache, &large), 0);
    assert!(!cache.lookup(&large.origin, &large.key).unwrap().complete);
}

#[test]
fn a_seal_that_was_not_written_is_none() {
    let rig = Rig::new();
    let (large, _) = filled(&rig);
    let map = map_of(&rig, &large);
    // The value says sealed, the check does not.
    File::options()
        .write(true)
        .open(&map)
        .unwrap()
        .write_all_at(&1u64.to_le_bytes(), 128)
        .unwrap();
    let cache = rig.open(100 * MIB);
    assert!(!cache.lookup(&large.origin, &large.key).unwrap().complete);
    assert_eq!(read_all(&cache, &large), 10 * BLOCK);
}

#[test]
fn a_seal_is_trusted_until_somebody_verifies() {
    let rig = Rig::new();
    let large = id("sealed", 1, 20 * BLOCK);
    let cache = rig.open(100 * MIB);
    store_all(&cache, &large);
    store_all(&cache, &id("good", 1, 30 * BLOCK));
    cache.flush();
    drop(cache);
    flip(&data_of(&rig, &large), 7 * BLOCK, 1);

    // With the option, a sealed block is checked like any other.
    let mut careful = rig.options(100 * MIB);
    careful.verify_sealed = true;
    // Without it the bad bytes are not noticed: that is what the seal is for, and why this reads around the helper.
    let trusting = rig.open(100 * MIB);
    let mut bytes = vec![0; BLOCK as usize];
    let outcome = trusting
        .object(&large)
        .read(7 * BLOCK, &mut bytes, forebay_cache::Wait::Yes);
    assert_eq!(outcome, forebay_cache::ReadOutcome::Done);
    assert!(content(&large).check(7 * BLOCK, &bytes).is_err());
    drop(trusting);
    {
        let cache = open(careful);
        assert_eq!(read_all(&cache, &large), 7 * BLOCK);
        store_all(&cache, &large);
        cache.flush();
        drop(cache);
        let cache = rig.open(100 * MIB);
        assert_eq!(read_all(&cache, &large), large.size);
    }

    flip(&data_of(&rig, &large), 9 * BLOCK, 1);
    let cache = rig.open(100 * MIB);
    let mut told = Vec::new();
    let verified = cache.verify(&mut |progress| told.push(progress)).unwrap();
    assert_eq!(
        (
            verified.objects,
            verified.blocks,
            verified.bad_blocks,
            verified.removed
        ),
        (2, 50, 1, 0)
    );
    assert_eq!(verified.bad.len(), 1);
    assert_eq!(verified.bad[0].object, "s3://bucket@test/sealed");
    assert_eq!(
        told.last()
            .map(|progress| (progress.objects, progress.of_objects)),
        Some((2, 2))
    );
    assert_eq!(read_all(&cache, &large), 9 * BLOCK);
    drop(cache);
    let cache = rig.open(100 * MIB);
    assert_eq!(
        read_all(&cache, &large),
        9 * BLOCK,
        "the seal is gone for the next process too"
    );
    assert_eq!(cache.verify(&mut |_| {}).unwrap().bad_blocks, 0);
}

fn data_of(rig: &Rig, id: &ObjectId) -> std::path::PathBuf {
    let map = map_of(rig, id);
    let name = map.file_name().unwrap().to_str().unwrap().to_owned();
    let own = |file: &std::path::PathBuf| file.file_name().unwrap().to_str().unwrap().starts_with(&name);
    rig.data().into_iter().find(own).unwrap()
}

#[test]
fn verify_names_no_control_characters_and_counts_what_it_removes() {
    let rig = Rig::new();
    let rude = id("rude\x1b[2J\n", 1, 100);
    let cut = id("cut", 1, 5 * MIB);
    let garbled = id("garbled", 1, 50);
    let cache = rig.open(100 * MIB);
    for id in [&rude, &cut, &garbled] {
        store_all(&cache, id);
    }
    cache.flush();
    drop(cache);
    let map = map_of(&rig, &rude);
    flip(&map, map.metadata().unwrap().len() - 50, 0);
    File::options()
        .write(true)
        .open(data_of(&rig, &cut))
        .unwrap()
        .set_len(MIB)
        .unwrap();
    flip(&map_of(&rig, &garbled), 3, 3);
    let cache = rig.open(100 * MIB);
    let verified = cache.verify(&mut |_| {}).unwrap();
    assert_eq!(
        (verified.objects, verified.bad_blocks, verified.removed),
        (3, 1, 2),
        "{verified:?}"
    );
    assert_eq!(verified.bad[0].object, "s3://bucket@test/rude\\u{1b}[2J\\u{a}");
    assert_eq!(rig.files().len(), 1);
}

#[test]
fn a_cut_data_file_is_a_miss_and_goes() {
    let rig = Rig::new();
    let (large, _) = filled(&rig);
    File::options()
        .write(true)
        .open(&rig.data()[0])
        .unwrap()
        .set_len(5 * BLOCK)
        .unwrap();
    let cache = rig.open(100 * MIB);
    assert_eq!(read_all(&cache, &large), 0);
    assert_eq!(cache.stats().broken, 1);
    assert!(rig.data().is_empty());
    assert_eq!(store_all(&cache, &large), Stored::Written);
    assert_eq!(read_all(&cache, &large), large.size);
}

#[test]
fn a_data_file_that_is_cut_while_it_is_read_is_a_miss() {
    let rig = Rig::new();
    let (large, _) = filled(&rig);
    let cache = rig.open(100 * MIB);
    let object = cache.object(&large);
    assert_eq!(read(&object, ByteRange::new(0, 10 * BLOCK)), 10 * BLOCK);
    File::options()
        .write(true)
        .open(&rig.data()[0])
        .unwrap()
        .set_len(5 * BLOCK)
        .unwrap();
    assert_eq!(read(&object, ByteRange::new(6 * BLOCK, 10 * BLOCK)), 0);
    assert_eq!(read(&object, ByteRange::new(0, 10 * BLOCK)), 0);
    assert_eq!(cache.stats().broken, 1);
}

#[test]
fn a_lost_data_file_is_a_miss_and_a_lost_map_too() {
    let rig = Rig::new();
    let (large, small) = filled(&rig);
    std::fs::remove_file(&rig.data()[0]).unwrap();
    let cache = rig.open(100 * MIB);
    assert_eq!(read_all(&cache, &large), 0);
    assert_eq!(cache.stats().broken, 1);
    drop(cache);
    std::fs::remove_file(map_of(&rig, &small)).unwrap();
    let cache = rig.open(100 * MIB);
    assert_eq!(read_all(&cache, &small), 0);
    assert_eq!(store_all(&cache, &small), Stored::Written);
}

#[test]
fn a_map_that_is_cut_anywhere_is_a_miss() {
    let rig = Rig::new();
    let small = id("cut", 1, 3000);
    store_all(&rig.open(100 * MIB), &small);
    let map = map_of(&rig, &small);
    let good = std::fs::read(&map).unwrap();
    for len in (0..good.len()).step_by(97) {
        std::fs::write(&map, &good[..len]).unwrap();
        let cache = rig.open(100 * MIB);
        assert_eq!(read_all(&cache, &small), 0, "{len} bytes");
        assert_eq!(cache.lookup(&small.origin, &small.key), None);
    }
}

#[test]
fn a_map_of_another_object_under_the_name_is_that_of_another_object() {
    let rig = Rig::new();
    let (one, two) = (id("one", 1, 100), id("two", 1, 100));
    store_all(&rig.open(MIB), &one);
    let of_one = map_of(&rig, &one);
    store_all(&rig.open(MIB), &two);
    let of_two = map_of(&rig, &two);
    // As if both names had one hash.
    std::fs::copy(&of_one, &of_two).unwrap();
    let cache = rig.open(MIB);
    assert_eq!(cache.lookup(&two.origin, &two.key), None);
    assert_eq!(read_all(&cache, &two), 0);
    assert_eq!(store_all(&cache, &two), Stored::Written);
    assert_eq!(read_all(&cache, &two), 100);
    assert_eq!(read_all(&cache, &one), 100);
}

#[test]
fn a_damaged_ledger_is_made_anew_from_what_is_there() {
    let rig = Rig::new();
    filled(&rig);
    let before = rig.open(100 * MIB).stats();
    for damage in ["flip", "cut", "empty", "gone"] {
        let ledger = rig.path().join("ledger");
        match damage {
            "flip" => flip(&ledger, 10, 3),
            "cut" => File::options()
                .write(true)
                .open(&ledger)
                .unwrap()
                .set_len(100)
                .unwrap(),
            "empty" => std::fs::write(&ledger, b"").unwrap(),
            _ => std::fs::remove_file(&ledger).unwrap(),
        }
        let cache = rig.open(100 * MIB);
        let small = id(damage, 1, 10);
        // Waits for the scan: without it nobody knows whether there is room.
        assert_eq!(store_all(&cache, &small), Stored::Written);
        cache.flush();
        let after = cache.stats();
        assert!(
            after.entry_count > before.entry_count && after.current_size > before.current_size,
            "{damage}: {after:?}"
        );
        assert_eq!(after.bytes_stored, 10, "the counters start anew");
    }
}
