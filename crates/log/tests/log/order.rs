//! The order of a partition, with uploads that end in any order.

use std::time::Duration;

use forebay_log::{LogOptions, NewRecord, Producer, ProducerOptions};
use forebay_testkit::{FaultKind, Op, RetryAfter, Rule};

use crate::records::{assert_values, create, read_all, value, values};
use crate::spy::{Act, Spy};
use crate::world::{World, within};

/// Small objects, one after the other.
fn many_objects() -> ProducerOptions {
    ProducerOptions {
        batch_bytes: 500,
        linger: Duration::from_millis(2),
        ..ProducerOptions::default()
    }
}

const RECORDS: u64 = 400;

/// Sends records to four partitions, with pauses that cut them into many objects; each has its own numbers.
async fn produce(producer: &Producer, topic: &forebay_log::TopicName) {
    let mut sent = Vec::new();
    for n in 0..RECORDS {
        for partition in 0..4 {
            let record = NewRecord::value(value(n)).partition(partition);
            let delivery = within(producer.send(topic, &record)).await.unwrap();
            sent.push((n, partition, delivery));
        }
        if n % 4 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    within(producer.close()).await.unwrap();
    for (n, partition, delivery) in sent {
        let delivered = within(delivery.wait()).await.unwrap();
        assert_eq!((delivered.at.partition, delivered.offset), (partition, Some(n)));
    }
}

async fn check(world: &World, topic: &forebay_log::TopicName) {
    let other = world.log("reader").await;
    for partition in 0..4 {
        assert_values(&read_all(&other, topic, partition).await, 0, &values(0..RECORDS));
    }
    assert_eq!(within(other.check()).await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_end_in_any_order_records_stay_in_theirs() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 4).await;
    for (seed, late) in (1..).zip([5, 20, 60, 120]) {
        let late = FaultKind::Latency(Duration::from_millis(late));
        world
            .lab
            .faults()
            .add(Rule::new(late).op(Op::Put).probability(0.3, seed));
    }
    world.lab.reset_counts();
    let producer = Producer::new(&log, many_objects());
    produce(&producer, &topic).await;
    let counts = world.lab.counts();
    assert!(counts.max_concurrent_requests > 3, "{counts:?}");
    check(&world, &topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_refusals_costs_time_and_nothing_else() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 4).await;
    let now = Some(RetryAfter::Seconds(0));
    let refused = |code, retry_after| Rule::new(FaultKind::Status { code, retry_after }).op(Op::Put);
    world.lab.faults().add(refused(503, now).probability(0.4, 1));
    world
        .lab
        .faults()
        .add(refused(503, Some(RetryAfter::Seconds(1))).skip_first(5).times(3));
    world
        .lab
        .faults()
        .add(refused(429, None).probability(0.05, 2).times(5));
    world
        .lab
        .faults()
        .add(refused(500, None).probability(0.1, 3).times(10));
    let producer = Producer::new(&log, many_objects());
    produce(&producer, &topic).await;
    check(&world, &topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_metadata_that_forgets_to_answer_is_asked_again() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("writer", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 4).await;
    for call in ["register_upload", "commit_upload", "acquire"] {
        metadata.trap(call, Act::LoseAnswer, 3);
        metadata.trap(call, Act::Fail, 3);
    }
    let producer = Producer::new(&log, many_objects());
    produce(&producer, &topic).await;
    assert!(metadata.trapped() >= 13);
    check(&world, &topic).await;
}
