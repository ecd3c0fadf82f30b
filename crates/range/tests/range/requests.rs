//! What is sent: no HEAD before a GET, and no GET too many.

use std::sync::Arc;
use std::time::Duration;

use forebay_range::{Discard, RangeEngineConfig};
use forebay_testkit::{FaultKind, Lab, Rule};
use forebay_types::{ErrorKind, RangeSpec};
use object_store::ObjectStoreExt;

use crate::world::{BUCKET, DOORS, Door, FORMS, KIB, MIB, WHOLE, World, bounded, small_parts, usual, within};

#[tokio::test(flavor = "multi_thread")]
async fn each_object_takes_as_many_gets_as_it_has_parts_and_no_head() {
    // 100 MiB: 12 at once, then 88 in parts of 8.
    for (size, gets) in [
        (0, 2),
        (1, 1),
        (64 * KIB, 1),
        (12 * MIB, 1),
        (12 * MIB + 1, 2),
        (100 * MIB, 12),
    ] {
        for door in DOORS {
            for form in FORMS {
                let world = World::new(usual());
                let content = world.put("object", 1, size);
                let taken = within(world.take(door, form, "object", WHOLE)).await;
                taken.version_of(&[content]);
                let stats = taken.outcome.unwrap();
                let counts = world.lab.counts();
                assert_eq!((counts.gets, counts.heads), (gets, 0), "{size} {door:?} {form:?}");
                assert_eq!(stats.requests, gets, "{size} {door:?} {form:?}");
                assert_eq!(stats.bytes_downloaded, size, "{size} {door:?} {form:?}");
                assert_eq!(stats.bytes_fetched, size, "{size} {door:?} {form:?}");
                world.settled().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_object_is_asked_for_in_all_parts_at_once() {
    // All four parts must be at the lab before the first byte of any of them comes. On a busy machine that may be late
    // enough to count as a stall, which is asked for again.
    for door in DOORS {
        let config = RangeEngineConfig {
            stall_timeout: Duration::from_secs(10),
            ..small_parts()
        };
        let world = World::new(config);
        let content = world.put("object", 1, 512 * KIB);
        let source = world.source(door, "object");
        let meta = source.store.head(&source.path).await.unwrap();
        world.lab.reset_counts();
        world
            .lab
            .faults()
            .add(Rule::new(FaultKind::Latency(Duration::from_secs(1))));
        let target = world.target(door, "object").known(&meta);
        let (bytes, stats) = within(world.engine.read(target, WHOLE)).await.unwrap();
        content.check(0, &bytes).unwrap();
        let counts = world.lab.counts();
        assert_eq!((counts.gets, counts.heads, stats.requests), (4, 0, 4), "{door:?}");
        assert_eq!(counts.max_concurrent_requests, 4, "{door:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_object_that_has_changed_meanwhile_is_not_read() {
    for door in DOORS {
        for form in FORMS {
            let world = World::new(small_parts());
            world.put("object", 1, 512 * KIB);
            let source = world.source(door, "object");
            let meta = source.store.head(&source.path).await.unwrap();
            world.put("object", 2, 512 * KIB);
            let target = world.target(door, "object").known(&meta);
            let taken = within(crate::world::take(&world.engine, target, form, WHOLE)).await;
            assert!(taken.pieces.is_empty());
            assert_eq!(
                taken.outcome.unwrap_err().kind(),
                ErrorKind::Changed,
                "{door:?} {form:?}"
            );
            world.settled().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn later_parts_insist_on_the_version_of_the_first() {
    // The lab compares If-Match itself: a new version behind the first answer gives 412, not other bytes.
    let world = World::new(small_parts());
    world.put("object", 1, MIB);
    let opened = within(world.engine.open(world.target(Door::S3, "object"), WHOLE))
        .await
        .unwrap();
    // What was asked for ahead is of the first version, and comes to its end.
    while world.lab.counts().concurrent_requests > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let before = world.lab.counts();
    world.put("object", 2, MIB);
    let error = within(opened.into_bytes()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    let after = world.lab.counts();
    assert!(after.gets > before.gets);
    // Refusals, and no bytes of the second version.
    assert!(after.bytes_sent - before.bytes_sent <= 4 * KIB * (after.gets - before.gets));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_tail_is_read_in_parts_without_a_head() {
    for door in DOORS {
        let world = World::new(small_parts());
        let content = world.put("object", 1, 4 * MIB);
        let taken = within(world.take(door, FORMS[1], "object", RangeSpec::Last(3 * MIB))).await;
        taken.version_of(&[content]);
        let stats = taken.outcome.unwrap();
        assert!(stats.ranges_processed > 10, "{door:?}: {stats:?}");
        assert_eq!(world.lab.counts().heads, 0, "{door:?}");
        world.settled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_used_again() {
    let world = World::new(small_parts());
    world.put("object", 1, 4 * MIB);
    for _ in 0..5 {
        within(
            world
                .engine
                .read_to(world.target(Door::S3, "object"), WHOLE, Arc::new(Discard)),
        )
        .await
        .unwrap();
    }
    // Four at a time, and those that ask early.
    let counts = world.lab.counts();
    assert!(
        counts.connections <= 8,
        "{} connections for {} GETs",
        counts.connections,
        counts.gets
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_closed_meanwhile_are_no_error() {
    for door in DOORS {
        let mut world = World::new(small_parts());
        let content = world.put("object", 1, MIB);
        within(world.engine.read(world.target(door, "object"), WHOLE))
            .await
            .unwrap();
        let target = world.target(door, "object");
        // The same server again at the same address: every pooled connection is dead now.
        let (addr, objects) = (world.lab.addr(), world.lab.objects().clone());
        world.lab = Lab::builder().start().unwrap();
        world.lab = Lab::builder()
            .bind(addr)
            .objects(&objects)
            .bucket(BUCKET)
            .start()
            .unwrap();
        let (bytes, stats) = within(world.engine.read(target, WHOLE)).await.unwrap();
        content.check(0, &bytes).unwrap();
        assert_eq!(stats.retries, 0, "{door:?}");
        world.settled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_below_the_reads_own_is_waited_for_and_taken_for_no_stall() {
    // One connection for four parts: each waits for the others, for longer than the deadline.
    let config = RangeEngineConfig {
        stall_timeout: Duration::from_millis(1800),
        ..small_parts()
    };
    let world = World::with(Lab::builder(), config, Default::default(), |options| {
        options.max_connections = 1;
    });
    let content = world.put("object", 1, MIB);
    world
        .lab
        .faults()
        .add(Rule::new(FaultKind::Latency(Duration::from_millis(700))));
    let (bytes, stats) = within(world.engine.read(world.target(Door::S3, "object"), WHOLE))
        .await
        .unwrap();
    content.check(0, &bytes).unwrap();
    assert_eq!(stats.retries, 0, "{stats:?}");
    assert_eq!(world.lab.counts().max_concurrent_requests, 1);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_reads_at_once_go_through() {
    let world = World::new(usual());
    let content = world.put("object", 1, 4 * MIB);
    let reads = (0..200_u64).map(|i| {
        let (world, content) = (&world, &content);
        async move {
            let start = (i * 7919 * 13) % (4 * MIB - 64 * KIB);
            let target = world.target(Door::S3, "object");
            let (bytes, _) = world
                .engine
                .read(target, bounded(start, start + 64 * KIB))
                .await
                .unwrap();
            content.check(start, &bytes).unwrap();
        }
    });
    within(futures::future::join_all(reads)).await;
    assert_eq!(world.lab.counts().gets, 200);
    assert!(world.lab.counts().max_concurrent_requests <= 64);
    world.settled().await;
}
