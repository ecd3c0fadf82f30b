//! Whose turn it is, and how a server that complains is spared.

use std::sync::Arc;
use std::time::Duration;

use forebay_range::{EngineOptions, Gate, GateOptions, RangeEngineConfig};
use forebay_testkit::{FaultKind, Lab, Rule};
use forebay_types::{Intent, ManualClock};
use futures::FutureExt;
use futures::future::join_all;

use crate::world::{Door, FORMS, KIB, MIB, WHOLE, World, small_parts, within};

fn patient() -> RangeEngineConfig {
    RangeEngineConfig {
        max_retries: 8,
        stall_timeout: Duration::from_secs(10),
        ..small_parts()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_throttles_gets_fewer_requests_and_later_more_again() {
    let options = EngineOptions {
        gate: GateOptions { max: 16, min: 2 },
        ..EngineOptions::default()
    };
    let world = World::with(Lab::builder(), patient(), options, |_| {});
    let content = world.put("object", 1, 64 * KIB);
    assert_eq!(world.engine.gate().limit(), 16);
    world.lab.faults().add(
        Rule::new(FaultKind::Status {
            code: 503,
            retry_after: None,
        })
        .times(30),
    );
    let reads = (0..40).map(|_| world.take(Door::S3, FORMS[1], "object", WHOLE));
    let mut throttles = 0;
    for taken in within(join_all(reads)).await {
        taken.version_of(std::slice::from_ref(&content));
        throttles += taken.outcome.unwrap().throttles;
    }
    assert_eq!(throttles, 30);
    assert_eq!(world.engine.stats().throttles, 30);
    let cut = world.engine.gate().limit();
    assert!(cut < 16, "{cut}");
    for _ in 0..10 {
        let reads = (0..40).map(|_| world.take(Door::S3, FORMS[1], "object", WHOLE));
        within(join_all(reads)).await;
    }
    assert_eq!(world.engine.gate().limit(), 16);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_bounds_the_requests_of_all_reads_together() {
    let options = EngineOptions {
        gate: GateOptions { max: 3, min: 1 },
        ..EngineOptions::default()
    };
    let world = World::with(Lab::builder(), patient(), options, |_| {});
    let content = world.put("object", 1, MIB);
    world
        .lab
        .faults()
        .add(Rule::new(FaultKind::Latency(Duration::from_millis(5))));
    let reads = (0..6).map(|n| world.take(Door::S3, FORMS[n % 3], "object", WHOLE));
    for taken in within(join_all(reads)).await {
        taken.version_of(std::slice::from_ref(&content));
        taken.outcome.unwrap();
    }
    // Three, and those that were asked for while the last bytes of another came.
    let most = world.lab.counts().max_concurrent_requests;
    assert!(most <= 6, "{most} at a time");
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_go_before_read_ahead_and_read_ahead_before_warming() {
    let options = EngineOptions {
        gate: GateOptions { max: 1, min: 1 },
        ..EngineOptions::default()
    };
    let config = RangeEngineConfig {
        ask_early: false,
        ..patient()
    };
    let world = World::with(Lab::builder(), config, options, |_| {});
    for key in ["blocker", "warm", "ahead", "demand"] {
        world.put(key, 1, 1000);
    }
    world
        .lab
        .faults()
        .add(Rule::new(FaultKind::Latency(Duration::from_millis(100))).key_prefix("blocker"));
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let read = |key: &'static str, intent: Intent| {
        let (engine, order) = (world.engine.clone(), order.clone());
        let target = world.target(Door::S3, key).intent(intent);
        async move {
            engine.read(target, WHOLE).await.unwrap();
            order.lock().unwrap().push(key);
        }
    };
    // Polled in this order while the first one has the only turn.
    let reads = [
        read("blocker", Intent::Demand).boxed(),
        read("warm", Intent::Warm).boxed(),
        read("ahead", Intent::Ahead).boxed(),
        read("demand", Intent::Demand).boxed(),
    ];
    within(join_all(reads)).await;
    assert_eq!(*order.lock().unwrap(), ["blocker", "demand", "ahead", "warm"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_comes_one_by_one_where_that_is_wanted() {
    let most = async |ahead_in_order, intent| {
        let config = RangeEngineConfig {
            ask_early: false,
            ahead_in_order,
            ..patient()
        };
        let world = World::with(Lab::builder(), config, EngineOptions::default(), |_| {});
        world.put("object", 1, MIB);
        world
            .lab
            .faults()
            .add(Rule::new(FaultKind::Latency(Duration::from_millis(20))));
        let target = world.target(Door::S3, "object").intent(intent);
        within(world.engine.read(target, WHOLE)).await.unwrap();
        world.lab.counts().max_concurrent_requests
    };
    assert_eq!(most(true, Intent::Ahead).await, 1);
    assert_eq!(most(true, Intent::Warm).await, 1);
    assert!(most(true, Intent::Demand).await > 1);
    assert!(most(false, Intent::Ahead).await > 1);
}

#[tokio::test]
async fn a_hundred_thousand_who_gave_up_waiting_are_passed_over() {
    let gate = Gate::new(GateOptions { max: 1, min: 1 }, Arc::new(ManualClock::default()));
    let first = gate.enter(Intent::Demand).await;
    for _ in 0..100_000 {
        assert!(gate.enter(Intent::Ahead).now_or_never().is_none());
    }
    let last = gate.enter(Intent::Warm);
    let mut last = Box::pin(last);
    assert!((&mut last).now_or_never().is_none());
    drop(first);
    assert!(last.now_or_never().is_some());
    assert_eq!(gate.in_flight(), 0);
}
