//! Every option changes what it says.

use std::sync::mpsc;

use forebay_cache::{CacheOptions, Stored, WriteMode};
use forebay_types::{BLOCK, ByteRange};

use crate::rig::*;

#[test]
fn write_says_how_fills_reach_the_disk() {
    let sizes = [1000, 200_000, 300_000, 4 * MIB + 5];
    for (mode, direct) in [
        (WriteMode::Auto, 1),
        (WriteMode::Direct, 3),
        (WriteMode::Buffered, 0),
    ] {
        let rig = Rig::new();
        let mut options = rig.options(100 * MIB);
        options.write = mode;
        let cache = open(options);
        // The third comes in two fills, each below the size from which Auto goes direct.
        for (n, size) in sizes.into_iter().enumerate() {
            let id = id(&format!("{n}"), 1, size);
            let object = cache.object(&id);
            let middle = if n == 2 { 2 * BLOCK } else { 0 };
            if middle > 0 {
                store(&object, ByteRange::new(0, middle));
            }
            store(&object, ByteRange::new(middle, size));
            assert_eq!(read(&object, ByteRange::new(0, size)), size, "{mode:?}");
        }
        cache.flush();
        let stats = cache.stats();
        if stats.refused_direct > 0 {
            println!(
                "skipped: the file system of {} knows no O_DIRECT",
                rig.path().display()
            );
            assert_eq!(stats.direct_writes, 0);
            continue;
        }
        assert_eq!(
            (stats.direct_writes, stats.buffered_writes),
            (direct, 5 - direct),
            "{mode:?}"
        );
    }
}

#[test]
fn where_direct_writes_are_refused_they_are_counted_and_made_all_the_same() {
    let dir = match tempfile::tempdir_in("/proc/self/fd").or_else(|_| tempfile::tempdir_in("/sys/fs")) {
        Ok(dir) => dir,
        // The usual case: there is no directory of such a file system. An old tmpfs refuses too.
        Err(_) => match tempfile::tempdir_in("/dev/shm") {
            Ok(dir) => dir,
            Err(error) => {
                println!("skipped: {error}");
                return;
            }
        },
    };
    let mut options = CacheOptions::new(dir.path().join("cache"), 100 * MIB);
    options.keep_free = 0;
    let cache = open(options);
    for n in 0..3 {
        let id = id("a", n, 3 * MIB + 77);
        assert_eq!(store_all(&cache, &id), Stored::Written);
        assert_eq!(read_all(&cache, &id), id.size);
    }
    cache.flush();
    let stats = cache.stats();
    assert_eq!(stats.direct_writes + stats.buffered_writes, 3);
    assert!(stats.refused_direct == 0 || (stats.refused_direct, stats.direct_writes) == (3, 0));
}

#[test]
fn write_behind_bounds_what_impatient_fills_may_leave_waiting() {
    let rig = Rig::new();
    let mut options = rig.options(100 * MIB);
    options.write_behind = 2 * BLOCK;
    let cache = open(options);
    let (start, started) = mpsc::channel();
    let mut releases = Vec::new();
    // Both writers are kept busy in a callback.
    for n in 0..2 {
        let id = id("busy", n, BLOCK);
        let start = start.clone();
        let (release, released) = mpsc::channel::<()>();
        releases.push(release);
        let busy = fill(&id, ByteRange::new(0, BLOCK), move |_| {
            start.send(()).unwrap();
            let _ = released.recv();
        });
        cache.object(&id).store(busy).unwrap();
        started.recv().unwrap();
    }
    assert_eq!(cache.backlog(), 2 * BLOCK);
    let late = id("late", 1, 10);
    let impatient = |patient| forebay_cache::Fill {
        patient,
        ..fill(&late, ByteRange::new(0, 10), |_| {})
    };
    let back = cache.object(&late).store(impatient(false)).unwrap_err();
    assert_eq!((back.at, back.chunks.len()), (0, 1), "it is given back whole");
    cache.object(&late).store(impatient(true)).unwrap();
    assert_eq!(cache.backlog(), 2 * BLOCK + 10);
    drop(releases);
    cache.flush();
    assert_eq!(cache.backlog(), 0);
    assert_eq!(read_all(&cache, &late), 10);
    cache.object(&late).store(impatient(false)).unwrap();
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let options = CacheOptions::new("dir", 5);
    assert_eq!(options.max_size, 5);
    assert_eq!(options.dir, std::path::Path::new("dir"));
    assert_eq!((options.write, options.verify_sealed), (WriteMode::Auto, false));
    assert_eq!(
        (options.max_open, options.write_behind, options.keep_free),
        (256, 128 * MIB, 256 * MIB)
    );
}
