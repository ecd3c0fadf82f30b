use std::fs;
use std::sync::Arc;

use forebay_types::{ObjectId, Origin, SystemClock, Version};

use super::*;
use crate::map::Head;
use crate::{Cache, CacheOptions};

fn id(n: u64) -> ObjectId {
    ObjectId {
        origin: Origin::new("s3://bucket", ""),
        key: format!("{n}").into(),
        version: Version::Unknown,
        size: 1,
    }
}

/// So many maps of objects without a byte, as cheaply as it goes: those of one shard are one file with many names. A scan does not look
/// inside.
fn make_maps(dir: &std::path::Path, count: u64) {
    let mut first: HashMap<u8, std::path::PathBuf> = HashMap::new();
    for n in 0..count {
        let id = id(n);
        let name = Name::of(&id.origin, &id.key);
        let shard = dir.join("objects").join(crate::name::shard_dir(name.shard()));
        let path = shard.join(name.map());
        match first.get(&name.shard()) {
            // The one that is looked up has its own.
            Some(first) if n != LOOKED_UP => fs::hard_link(first, &path).unwrap(),
            _ => {
                let head = Head::new(id, n + 1, Duration::from_secs(1)).unwrap();
                let mut bytes = head.encode();
                bytes.resize(head.file_len() as usize, 0);
                fs::create_dir_all(&shard).unwrap();
                fs::write(&path, bytes).unwrap();
                first.insert(name.shard(), path);
            }
        }
    }
}

const LOOKED_UP: u64 = 99_999;

/// The rule: opening does not wait for the scan.
#[test]
fn a_hundred_thousand_objects_are_opened_at_once_and_scanned_behind() {
    const COUNT: u64 = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache");
    let clock = SystemClock::new();
    let options = || CacheOptions::new(&path, 1 << 40);
    drop(Cache::open(options(), Arc::new(clock)).unwrap());
    make_maps(&path, COUNT);
    let lookup = |cache: &Cache| {
        let id = id(LOOKED_UP);
        cache.lookup(&id.origin, &id.key).unwrap()
    };
    use forebay_types::Clock;
    let start = clock.now();
    let cache = Cache::open(options(), Arc::new(clock)).unwrap();
    assert!(!lookup(&cache).complete);
    let opened = clock.now() - start;
    assert!(opened < Duration::from_millis(200), "{opened:?}");
    while cache.stats().entry_count < COUNT {
        std::thread::sleep(Duration::from_millis(5));
        assert!(
            clock.now() - start < Duration::from_secs(20),
            "{:?}",
            cache.stats()
        );
    }
    println!("opened in {opened:?}, scanned in {:?}", clock.now() - start);
    assert_eq!(cache.stats().current_size, COUNT * 4096);
    // Closing does not wait for a scan either.
    drop(cache);
    let start = clock.now();
    drop(Cache::open(options(), Arc::new(clock)).unwrap());
    let closed = clock.now() - start;
    assert!(closed < Duration::from_millis(200), "{closed:?}");
}
