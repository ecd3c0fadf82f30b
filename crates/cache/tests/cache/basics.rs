//! Storing and reading, in one process.

use std::sync::mpsc;

use bytes::Bytes;
use forebay_cache::{Fill, ReadOutcome, Stored, Wait};
use forebay_types::{BLOCK, BlockRange, ByteRange};

use crate::rig::*;

/// Sizes on both sides of every border: of blocks, of pages, of what lives in its map, of direct writes.
const SIZES: [u64; 12] = [
    0,
    1,
    4095,
    BLOCK - 1,
    BLOCK,
    BLOCK + 1,
    256 * 1024,
    256 * 1024 + 1,
    MIB,
    3 * MIB + 4097,
    5 * MIB + 1,
    33 * MIB + 4096,
];

#[test]
fn what_is_stored_is_read_again_at_once_and_after_a_restart() {
    let rig = Rig::new();
    let ids: Vec<_> = SIZES
        .iter()
        .map(|size| id(&format!("of {size}"), 1, *size))
        .collect();
    {
        let cache = rig.open(200 * MIB);
        for id in &ids {
            assert_eq!(cache.lookup(&id.origin, &id.key), None);
            assert_eq!(read_all(&cache, id), 0);
            assert_eq!(store_all(&cache, id), Stored::Written, "{id}");
            assert_eq!(read_all(&cache, id), id.size, "{id}");
        }
    }
    let cache = rig.open(200 * MIB);
    for id in &ids {
        let found = cache.lookup(&id.origin, &id.key).unwrap();
        assert_eq!((&found.id, found.complete), (id, true));
        let object = cache.object(id);
        assert!(object.is_complete());
        assert_eq!(read(&object, ByteRange::new(0, id.size)), id.size, "{id}");
        for at in [0, 1, BLOCK - 1, BLOCK, id.size / 2, id.size.saturating_sub(1)] {
            let range = ByteRange::at(at, 100).clamp_to(id.size);
            assert_eq!(read(&object, range), range.len(), "{range:?} of {id}");
        }
    }
    assert_eq!(cache.stats().entry_count, SIZES.len() as u64);
}

#[test]
fn presence_tells_which_blocks_are_there() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    let id = id("holes", 1, 20 * BLOCK + 5);
    let object = cache.object(&id);
    let all = BlockRange::of_size(id.size);
    assert_eq!(object.presence(all), [(all, false)]);
    assert_eq!(
        rig.path().join("objects").read_dir().unwrap().count(),
        0,
        "nothing is made before the first store"
    );

    store(&object, ByteRange::new(2 * BLOCK, 5 * BLOCK));
    store(&object, ByteRange::new(20 * BLOCK, id.size));
    let expected = [
        (BlockRange::new(0, 2), false),
        (BlockRange::new(2, 5), true),
        (BlockRange::new(5, 20), false),
        (BlockRange::new(20, 21), true),
        (BlockRange::new(21, 30), false),
    ];
    assert_eq!(object.presence(BlockRange::new(0, 30)), expected);
    assert_eq!(
        object.presence(BlockRange::new(3, 4)),
        [(BlockRange::new(3, 4), true)]
    );
    assert_eq!(object.presence(BlockRange::new(3, 3)), []);
    assert!(!object.is_complete());
    // Reads stop at the first byte that is not there.
    assert_eq!(
        read(&object, ByteRange::new(3 * BLOCK + 7, 9 * BLOCK)),
        2 * BLOCK - 7
    );
    assert_eq!(read(&object, ByteRange::new(0, BLOCK)), 0);
    assert_eq!(
        read(&object, ByteRange::new(20 * BLOCK, 21 * BLOCK)),
        5,
        "the object ends"
    );

    drop((object, cache));
    let cache = rig.open(100 * MIB);
    assert_eq!(cache.object(&id).presence(BlockRange::new(0, 30)), expected);
    assert!(!cache.lookup(&id.origin, &id.key).unwrap().complete);
}

#[test]
fn one_object_for_one_id() {
    let rig = Rig::new();
    let cache = rig.open(MIB);
    let clone = cache.clone();
    let first = cache.object(&id("a", 1, 10));
    assert!(std::sync::Arc::ptr_eq(&first, &clone.object(&id("a", 1, 10))));
    assert!(!std::sync::Arc::ptr_eq(&first, &cache.object(&id("a", 2, 10))));
    assert!(!std::sync::Arc::ptr_eq(&first, &cache.object(&id("b", 1, 10))));
}

#[test]
fn fills_of_another_cache_show() {
    let rig = Rig::new();
    let (one, two) = rig.open_two(100 * MIB);
    let id = id("shared", 1, 40 * BLOCK);
    let (a, b) = (one.object(&id), two.object(&id));
    store(&a, ByteRange::new(0, 10 * BLOCK));
    assert_eq!(read(&b, ByteRange::new(0, id.size)), 10 * BLOCK);
    store(&b, ByteRange::new(10 * BLOCK, 40 * BLOCK));
    assert!(a.is_complete());
    assert_eq!(read(&a, ByteRange::new(0, id.size)), id.size);
    // Figures are posted once a second, or now.
    one.flush();
    let stats = two.stats();
    assert_eq!((stats.entry_count, stats.bytes_stored), (1, id.size));
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    let id = id("twice", 1, 10 * BLOCK);
    let object = cache.object(&id);
    store(&object, ByteRange::new(BLOCK, 3 * BLOCK));
    assert_eq!(store(&object, ByteRange::new(0, 5 * BLOCK)), Stored::Written);
    assert_eq!(store(&object, ByteRange::new(0, 5 * BLOCK)), Stored::Written);
    assert_eq!(cache.stats().bytes_stored, 5 * BLOCK);
}

#[test]
fn a_fill_may_come_in_pieces_of_any_size() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    for (number, piece) in [1000, 4096, 65_537, 3 * MIB].into_iter().enumerate() {
        let id = id("pieces", number as u64, 3 * MIB + 11);
        let (told, tell) = mpsc::channel();
        let mut chunks = vec![Bytes::new()];
        let mut at = 0;
        while at < id.size {
            chunks.extend(content(&id).slice(ByteRange::at(at, piece).clamp_to(id.size)));
            at += piece;
        }
        let object = cache.object(&id);
        let fill = Fill {
            chunks,
            ..fill(&id, ByteRange::new(0, 0), move |stored| {
                told.send(stored).unwrap();
            })
        };
        object.store(fill).unwrap();
        assert_eq!(tell.recv(), Ok(Stored::Written));
        assert_eq!(read(&object, ByteRange::new(0, id.size)), id.size);
    }
}

#[test]
fn a_fill_that_is_not_made_of_whole_blocks_is_dropped() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    let id = id("crooked", 1, 3 * BLOCK + 9);
    let object = cache.object(&id);
    for range in [
        ByteRange::new(1, BLOCK),
        ByteRange::new(0, BLOCK - 1),
        ByteRange::new(BLOCK, 3 * BLOCK + 8),
        ByteRange::new(BLOCK, BLOCK),
    ] {
        assert_eq!(store(&object, range), Stored::Dropped, "{range:?}");
    }
    let mut beyond = fill(&id, ByteRange::new(0, 0), |stored| {
        assert_eq!(stored, Stored::Dropped);
    });
    beyond.at = 3 * BLOCK;
    beyond.chunks = vec![Bytes::from(vec![0; 10])];
    object.store(beyond).unwrap();
    cache.flush();
    assert_eq!(cache.stats().drops, 5);
    assert_eq!(
        object.presence(BlockRange::of_size(id.size)),
        [(BlockRange::of_size(id.size), false)]
    );
}

#[test]
fn memory_is_given_back_after_the_owner_was_told() {
    struct Noted(Holds);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.note("hold");
        }
    }
    let rig = Rig::new();
    let cache = rig.open(MIB);
    let id = id("held", 1, 100);
    let noted = Holds::default();
    let done = noted.clone();
    let fill = Fill {
        hold: Box::new(Noted(noted.clone())),
        ..fill(&id, ByteRange::new(0, 100), move |_| done.note("done"))
    };
    cache.object(&id).store(fill).unwrap();
    cache.flush();
    assert_eq!(noted.all(), ["done", "hold"]);
}

#[test]
fn a_callback_that_panics_stops_nothing() {
    let rig = Rig::new();
    let cache = rig.open(MIB);
    let id = id("rude", 1, 100);
    cache
        .object(&id)
        .store(fill(&id, ByteRange::new(0, 100), |_| {
            panic!("this panic is part of the test")
        }))
        .unwrap();
    cache.flush();
    assert_eq!(read_all(&cache, &id), 100);
    assert_eq!(cache.backlog(), 0);
}

#[test]
fn the_last_owner_may_go_on_a_thread_of_the_cache() {
    let rig = Rig::new();
    let cache = rig.open(MIB);
    let id = id("last", 1, 100);
    let object = cache.object(&id);
    let (told, tell) = mpsc::channel();
    let mut one = fill(&id, ByteRange::new(0, 100), |_| {});
    one.done = Box::new(move |_| {
        drop(cache);
        told.send(()).unwrap();
    });
    object.store(one).unwrap();
    tell.recv().unwrap();
    // The cache is closed; its objects can still be read, and what they are given is dropped.
    assert_eq!(read(&object, ByteRange::new(0, 100)), 100);
    let two = crate::rig::id("last", 1, 100);
    assert_eq!(store(&object, ByteRange::new(0, two.size)), Stored::Dropped);
}

#[test]
fn a_read_that_must_not_wait_says_so() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    let id = id("cold", 1, 8 * MIB);
    store_all(&cache, &id);
    cache.flush();
    let object = cache.object(&id);
    let file = std::fs::File::open(&rig.data()[0]).unwrap();
    file.sync_all().unwrap();
    let mut bytes = vec![0; 65_536];
    // The kernel keeps pages that it is busy with, on a loaded machine for a while.
    let mut cold = (0..200).map(|_| {
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let outcome = object.read(MIB, &mut bytes, Wait::No);
        if outcome == ReadOutcome::Done {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        outcome
    });
    assert_eq!(
        cold.find(|outcome| *outcome != ReadOutcome::Done),
        Some(ReadOutcome::WouldBlock { done: 0 })
    );
    assert_eq!(object.read(MIB, &mut bytes, Wait::Yes), ReadOutcome::Done);
    assert_eq!(object.read(MIB, &mut bytes, Wait::No), ReadOutcome::Done);
    content(&id).check(MIB, &bytes).unwrap();
    // One that reaches from memory into what is not there says how far it came.
    let mut bytes = vec![0; 7 * MIB as usize];
    match object.read(MIB, &mut bytes, Wait::No) {
        ReadOutcome::WouldBlock { done } => content(&id).check(MIB, &bytes[..done]).unwrap(),
        // The kernel read on by itself.
        ReadOutcome::Done => content(&id).check(MIB, &bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_time_of_confirmation_is_kept() {
    let rig = Rig::new();
    let clock = TestClock::new();
    let cache = forebay_cache::Cache::open(rig.options(MIB), std::sync::Arc::new(clock.clone())).unwrap();
    let id = id("fresh", 1, 100);
    cache.object(&id).validated();
    assert_eq!(
        cache.lookup(&id.origin, &id.key),
        None,
        "a confirmation makes nothing"
    );
    store_all(&cache, &id);
    let first = cache.lookup(&id.origin, &id.key).unwrap().validated;
    clock.advance(std::time::Duration::from_secs(3600));
    cache.object(&id).validated();
    let second = cache.lookup(&id.origin, &id.key).unwrap().validated;
    assert!(second - first >= std::time::Duration::from_secs(3600));
    drop(cache);
    assert_eq!(
        rig.open(MIB).lookup(&id.origin, &id.key).unwrap().validated,
        second
    );
}

#[test]
fn a_sealed_file_can_be_handed_out() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    let (large, small) = (id("large", 1, 3 * MIB + 5), id("small", 1, 1000));
    let object = cache.object(&large);
    store(&object, ByteRange::new(0, MIB));
    cache.flush();
    assert!(object.hand_out().is_none(), "not complete");
    store(&object, ByteRange::new(MIB, large.size));
    cache.flush();
    let handed_out = object.hand_out().unwrap();
    let mut bytes = vec![0; large.size as usize + 1];
    let len = rustix::io::pread(handed_out.file(), &mut bytes, 0).unwrap();
    assert_eq!(len as u64, large.size);
    content(&large).check(0, &bytes[..len]).unwrap();
    store_all(&cache, &small);
    cache.flush();
    assert!(
        cache.object(&small).hand_out().is_none(),
        "its file is not the object alone"
    );
}
