//! Retention and sweeping, beside writers.

use std::sync::Arc;
use std::time::Duration;

use forebay_log::metadata::TopicConfig;
use forebay_log::{LogError, LogOptions, MaintainOptions, NewRecord, Producer};
use forebay_types::{Clock, SystemClock};

use crate::maintain::{at_once, below, flushes, maintain};
use crate::records::{assert_records, create, read_all, send, short, topic, value};
use crate::spy::{Act, Spy};
use crate::world::{World, log_of, within};

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_kept_as_the_topic_says() {
    let world = World::new();
    let log = world.log("one").await;
    let (name, keep) = (topic("t"), 1000);
    let config = TopicConfig {
        retention_bytes: Some(keep),
        ..TopicConfig::default()
    };
    within(log.create_topic(&name, 1, &config)).await.unwrap();
    flushes(&log, &name, 0, 30).await;
    let few = MaintainOptions {
        min_segments: 1000,
        ..at_once()
    };
    // Two at once count no byte twice.
    let other = world.log("two").await;
    let (one, two) = tokio::join!(maintain(&log, &few), maintain(&other, &few));
    assert!(one.retained_away + two.retained_away > 0);
    let ends = log.metadata().partitions_of(&name).await.unwrap()[0].clone();
    let first = log
        .metadata()
        .segments_from(&[(ends.at.clone(), 0)], 1)
        .await
        .unwrap()[0][0]
        .clone();
    assert_eq!(first.base_offset, ends.log_start, "whole segments");
    assert!(ends.bytes >= keep && ends.bytes - first.length < keep, "{ends:?}");
    assert_eq!(ends.high_watermark, 300);
    assert_records(&read_all(&log, &name, 0).await, ends.log_start, 300);
    assert_eq!(maintain(&log, &few).await.retained_away, 0);
    let below = within(log.partition(name.clone(), 0).read(0, 1))
        .await
        .unwrap_err();
    assert!(matches!(below, LogError::OffsetNotFound { .. }), "{below}");
}

/// Wall time so far ahead.
#[derive(Debug)]
struct Ahead(SystemClock, Duration);

impl Clock for Ahead {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn wall(&self) -> Duration {
        self.0.wall() + self.1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_kept_as_long_as_the_topic_says() {
    const HOUR: i64 = 3_600_000;
    let world = World::new();
    let log = world.log("one").await;
    let name = topic("t");
    let config = TopicConfig {
        retention_ms: Some(HOUR as u64),
        ..TopicConfig::default()
    };
    within(log.create_topic(&name, 3, &config)).await.unwrap();
    let producer = Producer::new(&log, short());
    let now = SystemClock::new().wall().as_millis() as i64;
    let flush = async |partition: u32, times: &[i64]| {
        for time in times {
            let record = NewRecord {
                timestamp: Some(*time),
                ..NewRecord::value("v").partition(partition)
            };
            within(producer.send(&name, &record)).await.unwrap();
        }
        within(producer.flush()).await.unwrap();
    };
    // Old, old, in part young, old: the last one stays, since what is before it does.
    flush(0, &[now - 3 * HOUR]).await;
    flush(0, &[now - 2 * HOUR, now - 5 * HOUR]).await;
    flush(0, &[now - 2 * HOUR, now]).await;
    flush(0, &[now - 2 * HOUR]).await;
    // A producer whose clock is ahead, and one that has none.
    flush(1, &[now + 10 * HOUR]).await;
    flush(2, &[-1]).await;
    let starts = async || -> Vec<u64> {
        let ends = log.metadata().partitions_of(&name).await.unwrap();
        ends.iter().map(|ends| ends.log_start).collect()
    };
    assert_eq!(maintain(&log, &at_once()).await.retained_away, 2);
    assert_eq!(starts().await, [3, 0, 0]);
    let later = |hours: u64| {
        let clock = Ahead(SystemClock::new(), Duration::from_millis(hours * HOUR as u64));
        log_of(
            &world,
            "later",
            world.source(),
            log.metadata().clone(),
            Arc::new(clock),
        )
    };
    maintain(&later(2), &at_once()).await;
    // Without a timestamp it is as old as its commit.
    assert_eq!(starts().await, [6, 0, 1]);
    maintain(&later(12), &at_once()).await;
    assert_eq!(starts().await, [6, 1, 1]);
    assert_eq!(below(&world, "flush/"), Vec::<String>::new());
    within(send(&producer, &name, 1, "on").await.wait())
        .await
        .unwrap();
    assert_eq!(read_all(&log, &name, 1).await[0].offset, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dead_stays_for_a_while_and_what_is_on_its_way_for_good() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("one", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    flushes(&log, &topic, 0, 4).await;
    let patient = MaintainOptions {
        grace: Duration::from_millis(700),
        ..at_once()
    };
    let done = maintain(&log, &patient).await;
    assert_eq!((done.compacted, done.deleted), (1, 0));
    assert_eq!(below(&world, "flush/").len(), 4);
    tokio::time::sleep(Duration::from_millis(750)).await;
    assert_eq!(maintain(&log, &patient).await.deleted, 4);

    let producer = Producer::new(&log, short());
    let (go, wait) = tokio::sync::watch::channel(false);
    metadata.trap("commit_upload", Act::Wait(wait), 1);
    let sent = send(&producer, &topic, 0, &value(40)).await;
    metadata.until_trapped(1).await;
    assert_eq!(
        (
            maintain(&log, &at_once()).await.deleted,
            below(&world, "flush/").len()
        ),
        (0, 1)
    );
    go.send(true).unwrap();
    assert_eq!(within(sent.wait()).await.unwrap().offset, Some(40));

    // One that takes longer than uploads may: it is told, and what was uploaded is gone.
    let (go, wait) = tokio::sync::watch::channel(false);
    metadata.trap("commit_upload", Act::Wait(wait), 1);
    let late = send(&producer, &topic, 0, "late").await;
    metadata.until_trapped(2).await;
    let hurry = MaintainOptions {
        upload_timeout: Duration::ZERO,
        ..at_once()
    };
    let done = maintain(&log, &hurry).await;
    assert_eq!((done.expired, done.deleted), (1, 1));
    go.send(true).unwrap();
    let error = within(late.wait()).await.unwrap_err();
    assert!(matches!(error, LogError::NotWritten(_)), "{error}");
    assert!(
        error.to_string().contains("took longer than uploads may"),
        "{error}"
    );
    let again = send(&producer, &topic, 0, &value(41)).await;
    assert_eq!(within(again.wait()).await.unwrap().offset, Some(41));
    assert_records(&read_all(&log, &topic, 0).await, 0, 42);
}
