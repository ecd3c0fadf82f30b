//! Runs that write.

use std::time::Duration;

use forebay_log::metadata::TopicConfig;
use forebay_log::{NewRecord, Producer, ProducerOptions};
use forebay_types::Clock;

use super::super::sample::{Done, Stopwatch};
use super::values::Values;
use super::work::Bench;
use super::{Result, topic as named};

/// Partitions of the spread cases.
pub(super) const PARTITIONS: u32 = 1000;
/// Bytes of values a second that the spread case writes.
const SPREAD_RATE: f64 = 2e6;
/// How long it writes.
const SPREAD_FOR: Duration = Duration::from_secs(8);

/// As fast as it goes into one partition.
pub(super) async fn one(bench: &Bench<'_>) -> Result<Done> {
    let topic = named("one")?;
    bench.log.create_topic(&topic, 1, &TopicConfig::default()).await?;
    let before = bench.log.source().meter.writes();
    let options = ProducerOptions {
        codec: bench.spec.shape.codec,
        ..ProducerOptions::default()
    };
    let mut values = Values::new(bench.spec.shape.value);
    let records = bench.spec.records();
    let watch = Stopwatch::start(&bench.clock);
    let producer = Producer::new(&bench.log, options);
    for _ in 0..records {
        let record = NewRecord::value(values.next()).partition(0);
        producer.send(&topic, &record).await?;
    }
    producer.close().await?;
    let took = watch.took();
    Ok(Done {
        took,
        served: records * bench.spec.shape.value as u64,
        records: Some(records),
        puts: Some(bench.log.source().meter.writes() - before),
        ..Done::default()
    })
}

/// A little into each of many partitions.
pub(super) async fn spread(bench: &Bench<'_>) -> Result<Done> {
    let topic = bench.spec.topic()?;
    let made = bench
        .log
        .create_topic(&topic, PARTITIONS, &TopicConfig::default())
        .await;
    made?;
    let before = bench.log.source().meter.writes();
    let options = ProducerOptions {
        codec: bench.spec.shape.codec,
        ..ProducerOptions::default()
    };
    let mut values = Values::new(bench.spec.shape.value);
    let watch = Stopwatch::start(&bench.clock);
    let producer = Producer::new(&bench.log, options);
    let (began, mut records) = (bench.clock.now(), 0_u64);
    loop {
        let since = bench.clock.now() - began;
        if since >= SPREAD_FOR {
            break;
        }
        let due = (since.as_secs_f64() * SPREAD_RATE) as u64 / bench.spec.shape.value as u64;
        while records < due {
            let partition = (records % u64::from(PARTITIONS)) as u32;
            let record = NewRecord::value(values.next()).partition(partition);
            producer.send(&topic, &record).await?;
            records += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    producer.close().await?;
    let took = watch.took();
    let served = records * bench.spec.shape.value as u64;
    let allowed = 4.0 * took.wall.as_secs_f64() + served as f64 / f64::from(8 << 20);
    Ok(Done {
        took,
        served,
        records: Some(records),
        puts: Some(bench.log.source().meter.writes() - before),
        puts_allowed: Some(allowed),
        ..Done::default()
    })
}
