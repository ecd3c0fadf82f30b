//! Read-ahead on a real source: what it fetches, and that it ends.

use std::time::Duration;

use forebay_readahead::ReadAheadConfig;
use forebay_reader::OpenOptions;
use forebay_testkit::{Face, Profile};
use forebay_types::ByteRange;

use crate::world::{KIB, MIB, Setup, World, check, settled, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_sequential_reader_starves_only_at_the_start_and_wastes_nothing() {
    let world = World::at(Profile::STANDARD, Face::Fast, Setup::default());
    let size = 64 * MIB;
    let content = world.put("object", 1, size);
    for reader in [world.reader(), world.uncached()] {
        let sent = world.lab.counts().bytes_sent;
        let handle = world.open(&reader, "object").await;
        let mut at = 0;
        while at < size {
            check(&handle, &content, at, 128 * KIB).await;
            at += 128 * KIB;
            // 65 MB/s: slower than the source.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let stats = handle.stats();
        drop(handle);
        settled(&world, &reader).await;
        let ahead = stats.read_ahead;
        assert!(ahead.starved < 25, "{ahead:?}");
        assert!(ahead.wasted <= size / 50, "{ahead:?}");
        assert!(
            world.lab.counts().bytes_sent - sent < size + size / 20,
            "{stats:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_readers_cause_no_read_ahead() {
    let world = World::new(Setup::default());
    let size = 200 * MIB;
    let content = world.put("object", 1, size);
    let reader = world.reader();
    let handle = world.open(&reader, "object").await;
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..200 {
        check(
            &handle,
            &content,
            random.u64(0..size / (256 * KIB)) * 256 * KIB,
            256 * KIB,
        )
        .await;
    }
    let stats = handle.stats();
    assert_eq!(stats.read_ahead.asked_ahead, 0, "{stats:?}");
    assert!(stats.range.bytes_fetched <= stats.served + 2 * MIB, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_handle_ends_its_read_ahead() {
    let setup = Setup::default().read_ahead(ReadAheadConfig {
        size: 128 * MIB,
        ..ReadAheadConfig::default()
    });
    let world = World::at(Profile::STANDARD, Face::Fast, setup);
    let size = 512 * MIB;
    let content = world.put("object", 1, size);
    for reader in [world.reader(), world.uncached()] {
        let handle = world.open(&reader, "object").await;
        for i in 0..64 {
            check(&handle, &content, i * 128 * KIB, 128 * KIB).await;
        }
        assert!(handle.stats().read_ahead.asked_ahead > 8 * MIB);
        drop(handle);
        settled(&world, &reader).await;
        let sent = world.lab.counts().bytes_sent;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(world.lab.counts().bytes_sent, sent, "nothing comes any more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_is_here_before_it_is_opened() {
    let world = World::new(Setup::default());
    let first = world.put("part-1", 1, 3 * MIB);
    let second = world.put("part-2", 2, 3 * MIB);
    let reader = world.reader();
    let handle = world.open(&reader, "part-1").await;
    handle.followed_by(&reader, world.target("part-2"));
    let mut at = 0;
    while at < first.size() {
        check(&handle, &first, at, 128 * KIB).await;
        at += 128 * KIB;
    }
    within(async {
        while world.gets("part-2") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let sent = world.lab.counts().bytes_sent;
    let next = world.open(&reader, "part-2").await;
    check(&next, &second, 0, 128 * KIB).await;
    assert!(world.lab.counts().bytes_sent - sent < 64 * KIB, "it was here");
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_it_fetches_what_is_read() {
    let world = World::new(Setup::default().no_read_ahead());
    let content = world.put("object", 1, 16 * MIB);
    let reader = world.reader();
    let handle = world.open(&reader, "object").await;
    for i in 0..32 {
        check(&handle, &content, i * 128 * KIB, 128 * KIB).await;
    }
    let stats = handle.stats();
    assert_eq!(stats.read_ahead.asked_ahead, 0);
    assert!(stats.range.bytes_fetched <= 4 * MIB + 64 * KIB, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_sections_is_read_ahead_across_its_joints_and_no_further() {
    let world = World::new(Setup::small_parts());
    let names = ["s-1", "s-2", "s-3", "s-4"];
    let contents: Vec<_> = (1..)
        .zip(names)
        .map(|(n, name)| world.put(name, n, 3 * MIB))
        .collect();
    let reader = world.reader();
    // Of each object the middle MiB.
    let section = ByteRange::new(MIB, 2 * MIB);
    let mut handles = Vec::new();
    for name in names {
        let options = OpenOptions::default()
            .first(64 * KIB)
            .read_ahead_to(section.end());
        handles.push(within(reader.open(world.target(name), options)).await.unwrap());
    }
    for pair in handles.windows(2) {
        pair[0].continues_in(&pair[1], section);
    }
    handles[0].will_read(section);
    check(&handles[0], &contents[0], MIB, 64 * KIB).await;
    // Everything is asked for by now: the window is larger than all of it.
    within(async {
        let mut sent = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let counts = world.lab.counts();
            // Between two requests there may be none under way.
            if counts.bytes_sent >= 4 * MIB && counts.bytes_sent == sent && counts.concurrent_requests == 0 {
                break;
            }
            sent = counts.bytes_sent;
        }
    })
    .await;
    let before = world.lab.counts().gets;
    for (handle, content) in handles.iter().zip(&contents) {
        for at in (MIB..2 * MIB).step_by(64 * KIB as usize) {
            check(handle, content, at, 64 * KIB).await;
        }
    }
    let counts = world.lab.counts();
    assert_eq!(counts.gets, before, "all of it was here");
    assert!(counts.bytes_sent <= 4 * (MIB + 128 * KIB), "{counts:?}");
    drop(handles);
    settled(&world, &reader).await;
}
