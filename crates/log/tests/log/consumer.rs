//! Following partitions.

use std::sync::Arc;
use std::time::Duration;

use forebay_log::{
    Consumer, ConsumerOptions, LogError, LogOptions, NewRecord, PartitionRecords, Producer, Start,
    TopicPartition,
};
use forebay_testkit::{FaultKind, Rule};
use forebay_types::ErrorKind;

use crate::records::{
    assert_records, create, first, fixture, quick, segments, send_batches, topic, value, write,
};
use crate::spy::Spy;
use crate::world::{World, within};

fn group(name: &str) -> ConsumerOptions {
    ConsumerOptions {
        group: Some(name.to_owned()),
        ..ConsumerOptions::default()
    }
}

fn from(start: Start) -> ConsumerOptions {
    ConsumerOptions {
        start,
        ..ConsumerOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_where_it_is_told() {
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "orders", 1).await;
    let at = [first(&topic)];
    let producer = Producer::new(&log, quick());
    for n in 0..100 {
        let mut record = NewRecord::value(value(n)).partition(0);
        record.timestamp = Some(1000 + n as i64);
        within(producer.send(&topic, &record)).await.unwrap();
    }
    within(producer.flush()).await.unwrap();
    within(log.metadata().advance_log_start(&at[0], 20))
        .await
        .unwrap();
    for (start, position) in [
        (Start::Earliest, 20),
        (Start::Latest, 100),
        (Start::Offset(50), 50),
        (Start::Timestamp(0), 20),
        (Start::Timestamp(1033), 33),
        (Start::Timestamp(1_000_000), 100),
    ] {
        let mut consumer = within(Consumer::assign(&log, &at, &from(start))).await.unwrap();
        assert_eq!(consumer.position(), position, "{start:?}");
        let end = (position + 10).min(100);
        let polled = within(consumer.poll(10)).await.unwrap();
        assert_records(&polled, position, end);
        assert_eq!(consumer.position(), end);
    }
    // An offset that is none is told by the first poll, and a seek mends it.
    let mut consumer = within(Consumer::assign(&log, &at, &from(Start::Offset(19))))
        .await
        .unwrap();
    for _ in 0..2 {
        let error = within(consumer.poll(10)).await.unwrap_err();
        assert!(
            matches!(
                error,
                LogError::OffsetNotFound {
                    offset: 19,
                    log_start: 20,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(consumer.position(), 19);
    }
    consumer.seek(95);
    assert_records(&within(consumer.poll(10)).await.unwrap(), 95, 100);
    consumer.seek_partition(&at[0], 20).unwrap();
    assert_records(&within(consumer.poll(3)).await.unwrap(), 20, 23);
    within(producer.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_where_it_committed() {
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "orders", 1).await;
    let at = [first(&topic)];
    let producer = Producer::new(&log, quick());
    write(&producer, &topic, 0, 100).await;
    within(producer.close()).await.unwrap();
    let spy = Spy::on(world.metadata().await);
    let log = world.log_with("reader", spy.clone(), LogOptions::default());

    let mut consumer = within(Consumer::assign(&log, &at, &group("g"))).await.unwrap();
    assert_records(&within(consumer.poll(30)).await.unwrap(), 0, 30);
    within(consumer.commit_with(Some("thirty"))).await.unwrap();
    assert_records(&within(consumer.poll(30)).await.unwrap(), 30, 60);
    drop(consumer);
    // What was not committed comes again.
    let mut consumer = within(Consumer::assign(&log, &at, &group("g"))).await.unwrap();
    assert_eq!((consumer.position(), consumer.group()), (30, Some("g")));
    assert_records(&within(consumer.poll(10)).await.unwrap(), 30, 40);
    within(consumer.commit()).await.unwrap();
    // A commit of nothing new asks nobody.
    let before = spy.calls();
    within(consumer.commit()).await.unwrap();
    assert_eq!(spy.calls(), before);
    // A commit that failed is made good by the next.
    within(consumer.poll(10)).await.unwrap();
    spy.fail();
    within(consumer.commit()).await.unwrap_err();
    spy.clear();
    within(consumer.commit()).await.unwrap();
    let committed = within(log.metadata().committed_offsets("g", &at)).await.unwrap();
    assert_eq!(committed[0].as_ref().unwrap().offset, 50);
    // Another group begins anew; one that does not care for what was committed, too.
    let other = within(Consumer::assign(&log, &at, &group("h"))).await.unwrap();
    assert_eq!(other.position(), 0);
    let ignoring = ConsumerOptions {
        ignore_committed: true,
        start: Start::Latest,
        ..group("g")
    };
    let ignoring = within(Consumer::assign(&log, &at, &ignoring)).await.unwrap();
    assert_eq!(ignoring.position(), 100);
    // Committed below the log start: the first record that is there.
    within(log.metadata().advance_log_start(&at[0], 80))
        .await
        .unwrap();
    let mut late = within(Consumer::assign(&log, &at, &group("g"))).await.unwrap();
    assert_eq!(late.position(), 80);
    assert_records(&within(late.poll(100)).await.unwrap(), 80, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_told() {
    let world = World::new();
    let log = world.log("log").await;
    let orders = create(&log, "orders", 2).await;
    let other_log = world.log("other").await;
    let reader = Arc::new(log.partition(orders.clone(), 0));
    let metadata = log.metadata().clone();
    let new = |topic: &'static str, n, metadata| Consumer::new(topic, n, None, reader.clone(), metadata);
    let options = ConsumerOptions::default();
    let errors = [
        within(new("orders", 1, metadata.clone())).await.unwrap_err(),
        within(new("no such name", 0, metadata)).await.unwrap_err(),
        within(new("orders", 0, other_log.metadata().clone()))
            .await
            .unwrap_err(),
        within(Consumer::assign(&log, &[], &options)).await.unwrap_err(),
        within(Consumer::assign(
            &log,
            &[first(&orders), first(&orders)],
            &options,
        ))
        .await
        .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let none = [TopicPartition::new(orders.clone(), 2)];
    let error = within(Consumer::assign(&log, &none, &options)).await.unwrap_err();
    assert!(error.to_string().contains("it has 2"), "{error}");
    let error = within(Consumer::of_topic(&log, &topic("none"), &options))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let mut two = within(Consumer::of_topic(&log, &orders, &options)).await.unwrap();
    let error = within(two.poll(1)).await.unwrap_err();
    assert!(error.to_string().contains("poll_partitions"), "{error}");
    two.seek_partition(&none[0], 1).unwrap_err();
    assert_eq!(within(two.poll_partitions(0)).await.unwrap(), []);
}

fn count(polled: &[PartitionRecords]) -> usize {
    polled.iter().map(|part| part.records.len()).sum()
}

/// Partitions with much do not keep those with little waiting.
#[tokio::test(flavor = "multi_thread")]
async fn every_partition_has_its_turn() {
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "orders", 50).await;
    let producer = Producer::new(&log, quick());
    for partition in 0..50 {
        // The first ten have a hundred times as much.
        let records = if partition < 10 { 1000 } else { 10 };
        for n in 0..records {
            let record = NewRecord::value(value(n)).partition(partition);
            within(producer.send(&topic, &record)).await.unwrap();
        }
    }
    within(producer.close()).await.unwrap();
    let mut consumer = within(Consumer::of_topic(&log, &topic, &ConsumerOptions::default()))
        .await
        .unwrap();
    let mut got = vec![0; 50];
    for round in 1.. {
        let polled = within(consumer.poll_partitions(64)).await.unwrap();
        for part in &polled {
            let p = part.at.partition as usize;
            assert_records(&part.records, got[p], got[p] + part.records.len() as u64);
            got[p] += part.records.len() as u64;
            assert_eq!(consumer.position_of(&part.at).unwrap(), got[p]);
            assert_eq!(part.high_watermark, if p < 10 { 1000 } else { 10 });
        }
        if round == 10 {
            // Two records of each of 32 in a turn: the small ones are done by now, or nearly.
            assert!(got.iter().all(|got| *got >= 10), "{got:?}");
        }
        if polled.is_empty() {
            break;
        }
        assert!(count(&polled) <= 64);
    }
    let all: Vec<u64> = (0..50).map(|p| if p < 10 { 1000 } else { 10 }).collect();
    assert_eq!(got, all);
}

/// One partition that cannot be read neither takes the records of others away nor is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_loses_nothing_of_others() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 3).await;
    for partition in 0..3 {
        // Each in an object of its own.
        let producer = Producer::new(&log, quick());
        for n in 0..100 {
            let record = NewRecord::value(value(n)).partition(partition);
            within(producer.send(&topic, &record)).await.unwrap();
        }
        within(producer.close()).await.unwrap();
    }
    let broken = TopicPartition::new(topic.clone(), 1);
    let key = segments(&log, &broken).await[0].key.to_string();
    let status = FaultKind::Status {
        code: 500,
        retry_after: None,
    };
    world.lab.faults().add(Rule::new(status).key_prefix(&*key));
    let log = world.log("reader").await;
    let mut consumer = within(Consumer::of_topic(&log, &topic, &ConsumerOptions::default()))
        .await
        .unwrap();
    let (mut got, mut errors) = ([0; 3], 0);
    for round in 0..20 {
        if round == 10 {
            assert_eq!(got, [100, 0, 100]);
            assert!(errors > 0);
            world.lab.faults().clear();
        }
        match within(consumer.poll_partitions(60)).await {
            Ok(polled) => {
                for part in polled {
                    let p = part.at.partition as usize;
                    assert_records(&part.records, got[p], got[p] + part.records.len() as u64);
                    got[p] += part.records.len() as u64;
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                assert!(error.to_string().contains("orders"), "{error}");
                errors += 1;
            }
        }
    }
    assert_eq!(got, [100; 3]);
}

/// Waiting costs nothing, and ends at once when another process commits something.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_is_idle_and_woken_by_another_process() {
    let world = World::new();
    let writer = world.log("writer").await;
    let topic = create(&writer, "orders", 3).await;
    let spy = Spy::on(world.metadata().await);
    let log = world.log_with("reader", spy.clone(), LogOptions::default());
    let mut one = within(Consumer::assign(
        &log,
        &[first(&topic)],
        &ConsumerOptions::default(),
    ))
    .await
    .unwrap();
    let mut all = within(Consumer::of_topic(&log, &topic, &ConsumerOptions::default()))
        .await
        .unwrap();
    // Nothing comes: the time passes, and the metadata was asked once by each.
    let before = spy.calls();
    let wait = Duration::from_millis(600);
    let began = tokio::time::Instant::now();
    assert_eq!(within(one.poll_wait(10, wait)).await.unwrap(), []);
    assert_eq!(within(all.poll_partitions_wait(10, wait)).await.unwrap(), []);
    assert!(began.elapsed() >= 2 * wait);
    assert!(spy.calls() - before <= 2, "{spy:?}");
    // Something comes, by another process (its metadata is another connection).
    let long = Duration::from_secs(30);
    let (task, began) = (
        tokio::spawn(async move {
            let records = within(one.poll_wait(10, long)).await.unwrap();
            (one, records, tokio::time::Instant::now())
        }),
        tokio::time::Instant::now(),
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    let producer = Producer::new(&writer, quick());
    let write_began = began.elapsed();
    write(&producer, &topic, 0, 5).await;
    let written = tokio::time::Instant::now();
    let (mut one, records, seen) = within(task).await.unwrap();
    assert_records(&records, 0, 5);
    assert!(write_began < Duration::from_secs(10));
    assert!(
        seen.saturating_duration_since(written) < Duration::from_secs(2),
        "woken late"
    );
    let polled = within(all.poll_partitions_wait(10, long)).await.unwrap();
    assert_eq!(count(&polled), 5);
    // What was committed just before the wait is not waited for.
    write(&producer, &topic, 5, 10).await;
    assert_records(&within(one.poll_wait(10, long)).await.unwrap(), 5, 10);
    within(producer.close()).await.unwrap();
}

/// A poll that is dropped at any point loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_poll_loses_nothing() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 4).await;
    let producer = Producer::new(&log, quick());
    for _ in 0..3 {
        for n in 0..4000_u64 {
            let record = NewRecord::value(vec![b'x'; 100]).partition((n % 4) as u32);
            within(producer.send(&topic, &record)).await.unwrap();
        }
        within(producer.flush()).await.unwrap();
    }
    within(producer.close()).await.unwrap();
    let far = FaultKind::Latency(Duration::from_millis(3));
    world.lab.faults().add(Rule::new(far));
    let log = world.log("reader").await;
    let mut consumer = within(Consumer::of_topic(&log, &topic, &ConsumerOptions::default()))
        .await
        .unwrap();
    let (mut next, mut dropped) = ([0; 4], 0);
    let mut rng = fastrand::Rng::with_seed(7);
    loop {
        let patience = Duration::from_micros(rng.u64(100..8000));
        let Ok(polled) = tokio::time::timeout(patience, consumer.poll_partitions(500)).await else {
            dropped += 1;
            assert!(dropped < 10_000, "no progress: {next:?}");
            continue;
        };
        let polled = polled.unwrap();
        if polled.is_empty() {
            break;
        }
        for part in polled {
            for record in part.records {
                assert_eq!(record.offset, next[part.at.partition as usize]);
                next[part.at.partition as usize] += 1;
            }
        }
    }
    assert_eq!(next, [3000; 4]);
    assert!(dropped > 0);
}

/// Forty partitions that hold nothing but marks of transactions, and one with records: the poll gets to it, and does not
/// take "no records" for "nothing there".
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_record_does_not_hide_others() {
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "orders", 41).await;
    let producer = Producer::new(&log, quick());
    for partition in 0..40 {
        let at = TopicPartition::new(topic.clone(), partition);
        within(producer.send_batch(&at, fixture("control")))
            .await
            .unwrap();
    }
    let record = NewRecord::value(value(0)).partition(40);
    within(producer.send(&topic, &record)).await.unwrap();
    within(producer.close()).await.unwrap();
    let mut consumer = within(Consumer::of_topic(&log, &topic, &ConsumerOptions::default()))
        .await
        .unwrap();
    let polled = within(consumer.poll_partitions(100)).await.unwrap();
    assert_eq!(count(&polled), 1);
    assert_eq!(polled[0].at.partition, 40);
    assert_eq!(within(consumer.poll_partitions(100)).await.unwrap(), []);
    // The positions are behind the marks: a commit keeps them out of the way for good.
    let control = TopicPartition::new(topic.clone(), 3);
    assert_eq!(consumer.position_of(&control).unwrap(), 1);
    // One partition with marks alone between records.
    let other = create(&log, "other", 1).await;
    let batches = ["none", "control", "control", "lz4"].map(fixture);
    send_batches(&log, &first(&other), &batches).await;
    let mut one = within(Consumer::assign(
        &log,
        &[first(&other)],
        &ConsumerOptions::default(),
    ))
    .await
    .unwrap();
    let mut offsets = Vec::new();
    loop {
        let polled = within(one.poll(3)).await.unwrap();
        if polled.is_empty() {
            break;
        }
        offsets.extend(polled.iter().map(|record| record.offset));
    }
    assert_eq!(offsets, (0..7).chain(9..16).collect::<Vec<_>>());
    assert_eq!(one.position(), 16);
}

/// Every call of a reading program can be made in a task of its own.
#[tokio::test(flavor = "multi_thread")]
async fn its_futures_can_be_spawned() {
    fn spawnable<T: Send>(future: T) -> T {
        future
    }
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "orders", 2).await;
    let which = [first(&topic)];
    let by_time = from(Start::Timestamp(0));
    within(spawnable(Consumer::of_topic(&log, &topic, &by_time)))
        .await
        .unwrap();
    let mut consumer = within(spawnable(Consumer::assign(&log, &which, &group("g"))))
        .await
        .unwrap();
    within(spawnable(consumer.poll(1))).await.unwrap();
    within(spawnable(consumer.poll_partitions(1))).await.unwrap();
    within(spawnable(consumer.commit())).await.unwrap();
    let reader = log.partition(topic, 0);
    within(spawnable(reader.read(0, 1))).await.unwrap();
    within(spawnable(reader.read_batches(0, 1))).await.unwrap();
    within(spawnable(reader.offset_for_timestamp(0))).await.unwrap();
    let which = [(&reader, 0)];
    within(spawnable(forebay_log::read_multiple_partitions(&which, 1)))
        .await
        .unwrap();
}
