//! Several processes in one directory with a budget that is far too small.

use std::os::unix::fs::MetadataExt;

use forebay_types::{BLOCK, BlockRange, ByteRange};

use crate::rig::*;

const BUDGET: u64 = 12 * MIB;

/// The child: stores and reads at random for a number of rounds; every byte it reads is checked.
#[test]
#[ignore = "a process that other tests start"]
fn a_user() {
    let Some(dir) = order() else { return };
    let seed: u64 = order().unwrap().parse().unwrap();
    let rounds: u64 = order().unwrap().parse().unwrap();
    let mut options = forebay_cache::CacheOptions::new(dir, BUDGET);
    options.keep_free = 0;
    options.max_open = 8;
    let cache = open(options);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut hits, mut total) = (0u64, 0u64);
    for _ in 0..rounds {
        let key = random.u64(0..30);
        let size = [500, 70_000, 400_000, 2 * MIB + 3, 40 * MIB][(key % 5) as usize];
        // Now and then a new version.
        let version = u64::from(random.u32(0..40) == 0);
        let id = id(&format!("{key}"), version, size);
        let object = cache.object(&id);
        let start = random.u64(0..size) / BLOCK * BLOCK;
        let range = ByteRange::at(start, random.u64(1..9) * BLOCK).clamp_to(size);
        total += range.len();
        hits += read(&object, range);
        if random.bool() {
            store(&object, range);
        } else {
            object.store(fill(&id, range, |_| {})).unwrap();
        }
        if let Some(found) = cache.lookup(&id.origin, &id.key) {
            assert_eq!(found.id.key, id.key);
        }
        for (blocks, _) in object.presence(BlockRange::of_size(size)) {
            assert!(!blocks.is_empty());
        }
    }
    cache.flush();
    println!("hits {hits} of {total}");
}

#[test]
fn all_of_them_read_right_bytes_and_keep_the_budget() {
    let rig = Rig::new();
    // So that all three find it there.
    drop(rig.open(BUDGET));
    let mut users: Vec<Process> = (0..3u64)
        .map(|seed| Process::start("processes::a_user", &[&rig.path().display(), &seed, &400u64]))
        .collect();
    let hits: Vec<String> = users.iter_mut().map(|user| user.hear("hits ")).collect();
    for user in users {
        user.finish();
    }
    let on_disk: u64 = rig
        .files()
        .iter()
        .map(|file| file.metadata().unwrap().blocks() * 512)
        .sum();
    assert!(on_disk <= BUDGET, "{on_disk}");
    let cache = rig.open(BUDGET);
    let stats = cache.stats();
    assert_eq!((stats.corrupt, stats.io_errors), (0, 0), "{stats:?}");
    assert!(stats.evictions > 10, "{stats:?}");
    assert!(hits.iter().any(|hits| !hits.starts_with("0 ")), "{hits:?}");
    // What remains is whole.
    let verified = cache.verify(&mut |_| {}).unwrap();
    assert_eq!((verified.bad_blocks, verified.removed), (0, 0));
}
