//! Read-ahead on a real source: what it fetches, and that it ends.

use std::time::Duration;

use forebay_readahead::ReadAheadConfig;
use forebay_testkit::{Face, Profile};

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
