//! When a producer says that something is written, and what it says at its end.

use std::time::Duration;

use forebay_log::{Acks, LogError, LogOptions, NewRecord, Producer, ProducerOptions, TopicPartition};
use forebay_testkit::{FaultKind, Op, Rule};
use forebay_types::{Clock, SystemClock};
use tokio::sync::watch;

use crate::producing::{batch, by_bytes, flushes};
use crate::records::{assert_values, create, quick, read_all, send, value, values};
use crate::spy::{Act, Spy};
use crate::world::{World, within};

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_durable_is_acknowledged() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("writer", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(&log, quick());
    let (go, wait) = watch::channel(false);
    metadata.trap("commit_upload", Act::Wait(wait), 1);
    let sent = [
        send(&producer, &topic, 0, "a").await,
        send(&producer, &topic, 0, "b").await,
    ];
    metadata.until_trapped(1).await;
    assert_eq!(flushes(&world), 1, "it is in the bucket");
    for sent in &sent {
        let early = tokio::time::timeout(Duration::from_millis(50), sent.wait()).await;
        assert!(early.is_err(), "told before it was committed");
    }
    go.send(true).unwrap();
    for sent in &sent {
        within(sent.wait()).await.unwrap();
    }
    // The bucket is slow: not before it has the object.
    world
        .lab
        .faults()
        .add(Rule::new(FaultKind::Latency(Duration::from_millis(400))).op(Op::Put));
    let clock = SystemClock::new();
    within(send(&producer, &topic, 0, "c").await.wait())
        .await
        .unwrap();
    assert!(clock.now() >= Duration::from_millis(400));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acks_nobody_waits_but_it_is_written() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("writer", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    let options = ProducerOptions {
        acks: Acks::None,
        ..quick()
    };
    let producer = Producer::new(&log, options);
    let (go, wait) = watch::channel(false);
    metadata.trap("commit_upload", Act::Wait(wait), 1);
    let one = send(&producer, &topic, 0, "one").await;
    assert_eq!(within(one.wait()).await.unwrap().offset, None);
    let at = TopicPartition::new(topic.clone(), 0);
    let whole = within(producer.send_batch(&at, batch(&["two"]))).await.unwrap();
    assert_eq!(within(whole.wait()).await.unwrap().offset, None);
    metadata.until_trapped(1).await;
    assert_eq!(read_all(&log, &topic, 0).await, []);
    go.send(true).unwrap();
    within(producer.flush()).await.unwrap();
    assert_values(&read_all(&log, &topic, 0).await, 0, &["one".into(), "two".into()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_a_late_answer() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("writer", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    let options = ProducerOptions {
        delivery_timeout: Duration::from_millis(300),
        lease: Duration::from_secs(1),
        ..quick()
    };
    let producer = Producer::new(&log, options);
    for (call, unknown) in [
        ("acquire", false),
        ("register_upload", false),
        ("commit_upload", true),
    ] {
        metadata.trap(call, Act::Hang, 1);
        let error = within(send(&producer, &topic, 0, "x").await.wait())
            .await
            .unwrap_err();
        assert_eq!(matches!(error, LogError::Unknown(_)), unknown, "{call}: {error}");
    }
    // Neither is the end of it.
    within(send(&producer, &topic, 0, &value(0)).await.wait())
        .await
        .unwrap();
    within(producer.close()).await.unwrap();
    assert_values(&read_all(&log, &topic, 0).await, 0, &values(0..1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_producer_has_resolved_everything_and_says_so() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 3).await;
    let producer = Producer::new(&log, by_bytes(1 << 20));
    within(producer.flush()).await.unwrap();
    let mut sent = Vec::new();
    for n in 0..300 {
        sent.push(send(&producer, &topic, n % 3, "x").await);
    }
    within(futures::future::try_join(producer.close(), producer.close()))
        .await
        .unwrap();
    within(producer.close()).await.unwrap();
    for (n, sent) in (0..).zip(sent) {
        let delivered = tokio::time::timeout(Duration::ZERO, sent.wait())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(delivered.offset, Some(n / 3));
    }
    let record = NewRecord::value("late");
    assert!(matches!(
        producer.send(&topic, &record).await,
        Err(LogError::Closed)
    ));
    // Its leases were given back: another one need not wait.
    let other = Producer::new(&log, quick());
    let clock = SystemClock::new();
    within(send(&other, &topic, 0, "y").await.wait()).await.unwrap();
    assert!(clock.now() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_producer_writes_what_is_left() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(&log, by_bytes(1 << 20));
    let delivery = send(&producer, &topic, 0, "left").await;
    drop(producer);
    assert_eq!(within(delivery.wait()).await.unwrap().offset, Some(0));
}

#[test]
fn nobody_waits_for_a_producer_whose_runtime_is_gone() {
    let tests = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let own = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (world, log, metadata) = tests.block_on(async {
        let world = World::new();
        let metadata = Spy::on(world.metadata().await);
        let log = world.log_with("writer", metadata.clone(), LogOptions::default());
        (world, log, metadata)
    });
    let topic = tests.block_on(create(&log, "t", 1));
    metadata.trap("commit_upload", Act::Hang, 1);
    let options = ProducerOptions {
        buffer_memory: 200,
        ..quick()
    };
    let producer = {
        let _own = own.enter();
        Producer::new(&log, options)
    };
    let cut = tests.block_on(send(&producer, &topic, 0, "cut"));
    tests.block_on(metadata.until_trapped(1));
    let uncut = tests.block_on(send(&producer, &topic, 0, "uncut"));
    tests.block_on(async {
        let full = NewRecord::value(vec![0; 200]);
        let waits = producer.send(&topic, &full);
        tokio::pin!(waits);
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waits).await;
        assert!(early.is_err(), "there is no room");
        own.shutdown_background();
        assert!(matches!(within(waits).await, Err(LogError::Closed)));
        let cut = within(cut.wait()).await.unwrap_err();
        assert!(matches!(cut, LogError::Unknown(_)), "{cut}");
        assert!(within(uncut.wait()).await.is_err());
        within(producer.flush()).await.unwrap();
        assert!(within(producer.close()).await.is_err());
        assert!(matches!(
            producer.send(&topic, &NewRecord::value("x")).await,
            Err(LogError::Closed)
        ));
    });
    drop(world);
}
