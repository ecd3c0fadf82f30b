//! Late requests get a second one, sparingly.

use std::sync::Arc;
use std::time::Duration;

use forebay_range::{Discard, RangeEngineConfig};
use forebay_testkit::{FaultKind, Point, Profile, Rule};

use crate::world::{Door, FORMS, KIB, MIB, WHOLE, World, bounded, small_parts, usual, within};

const NEAR: Profile = Profile::of("near", Duration::from_millis(3), None);

fn hedged() -> RangeEngineConfig {
    RangeEngineConfig {
        hedge: true,
        stall_timeout: Duration::from_secs(10),
        ..small_parts()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_answers_are_overtaken_by_a_second_request_on_another_connection() {
    let world = World::at(NEAR, hedged());
    let content = world.put("object", 1, 4 * MIB);
    let read = async |i: u64| {
        let start = (i * 7919 * 13) % (4 * MIB - 4 * KIB);
        let target = world.target(Door::S3, "object");
        let (bytes, stats) = world
            .engine
            .read(target, bounded(start, start + 4 * KIB))
            .await
            .unwrap();
        content.check(start, &bytes).unwrap();
        stats
    };
    for i in 0..300 {
        within(read(i)).await;
    }
    assert!(world.engine.usual_latency().unwrap() >= Duration::from_millis(3));
    // Ten seconds late: without a second request the read would end only then.
    let before = world.lab.counts();
    world
        .lab
        .faults()
        .add(Rule::new(FaultKind::Latency(Duration::from_secs(9))).times(1));
    let stats = within(read(7)).await;
    assert_eq!(
        (stats.requests, stats.hedges, stats.retries),
        (2, 1, 0),
        "{stats:?}"
    );
    assert!(stats.elapsed < Duration::from_secs(5), "{stats:?}");
    let after = world.lab.counts();
    assert_eq!(after.gets - before.gets, 2);
    assert!(
        after.connections > before.connections,
        "a hedge does not ride a pooled connection"
    );
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hedge_saves_a_read_whose_first_connection_is_dead() {
    let world = World::at(NEAR, hedged());
    let content = world.put("object", 1, 64 * KIB);
    for form in FORMS {
        for _ in 0..40 {
            within(world.take(Door::Http, form, "object", WHOLE))
                .await
                .outcome
                .unwrap();
        }
        let stall = FaultKind::Stall {
            at: Point::BeforeHeaders,
            resume: None,
        };
        world.lab.faults().add(Rule::new(stall).times(1));
        let taken = within(world.take(Door::Http, form, "object", WHOLE)).await;
        taken.version_of(std::slice::from_ref(&content));
        let stats = taken.outcome.unwrap();
        assert_eq!((stats.hedges, stats.retries), (1, 0), "{form:?} {stats:?}");
        world.lab.faults().clear();
        world.settled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_one_request_in_twenty_is_hedged_in_an_outage() {
    let world = World::at(NEAR, hedged());
    world.put("object", 1, 64 * KIB);
    for _ in 0..40 {
        within(world.take(Door::S3, FORMS[1], "object", WHOLE))
            .await
            .outcome
            .unwrap();
    }
    world
        .lab
        .faults()
        .add(Rule::new(FaultKind::Latency(Duration::from_millis(60))));
    let reads = (0..200).map(|_| world.take(Door::S3, FORMS[1], "object", WHOLE));
    let mut hedges = 0;
    for taken in within(futures::future::join_all(reads)).await {
        hedges += taken.outcome.unwrap().hedges;
    }
    // Ten saved, and a twentieth of what was sent.
    assert!(hedges <= 10 + (240 + hedges) / 20 + 1, "{hedges} hedges");
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_reads_are_not_hedged() {
    // Every connection of the read is busy, so a second request would only take from the first.
    let world = World::at(
        NEAR,
        RangeEngineConfig {
            hedge: true,
            max_concurrent_ranges: 4,
            ..usual()
        },
    );
    world.put("object", 1, 200 * MIB);
    world
        .lab
        .faults()
        .add(Rule::slow_tail(0.3, Duration::from_millis(50), 5));
    for _ in 0..2 {
        let target = world.target(Door::S3, "object");
        let source = world.source(Door::S3, "object");
        let meta = object_store::ObjectStoreExt::head(&source.store, &source.path)
            .await
            .unwrap();
        let stats = within(
            world
                .engine
                .read_to(target.known(&meta), WHOLE, Arc::new(Discard)),
        )
        .await
        .unwrap();
        // At the tail of a read connections are free again.
        assert!(stats.hedges <= 3, "{stats:?}");
    }
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_option_nothing_is_hedged() {
    let world = World::at(
        NEAR,
        RangeEngineConfig {
            hedge: false,
            ..hedged()
        },
    );
    world.put("object", 1, 64 * KIB);
    for _ in 0..40 {
        within(world.take(Door::S3, FORMS[1], "object", WHOLE))
            .await
            .outcome
            .unwrap();
    }
    world
        .lab
        .faults()
        .add(Rule::new(FaultKind::Latency(Duration::from_millis(100))).times(2));
    let stats = within(world.take(Door::S3, FORMS[1], "object", WHOLE))
        .await
        .outcome
        .unwrap();
    assert_eq!((stats.requests, stats.hedges), (1, 0));
}
