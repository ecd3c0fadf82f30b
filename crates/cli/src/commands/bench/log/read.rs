//! Runs that read.

use std::time::Duration;

use forebay_log::metadata::SegmentInfo;
use forebay_log::{Consumer, ConsumerOptions, PartitionReader};
use forebay_range::Target;
use forebay_types::{ByteRange, Clock, RangeSpec};
use futures::{StreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::super::sample::{CacheFigures, Done, Stopwatch};
use super::super::server::EXACT;
use super::prepare::{CROWD, CROWD_RECORDS, crowd_partition};
use super::work::Bench;
use super::{Result, failed};
use crate::exit::CliError;
use crate::parallel;

/// Records of one poll, where a case is not about polls.
const POLL: usize = 1000;
/// Records of one poll of the cases that are.
const SMALL_POLL: usize = 500;
/// Records of a cold poll, of 1 KiB each.
const COLD_POLL: usize = 100;
/// Cold polls, and how many at a time.
const COLD_POLLS: usize = 1000;
const SIDE_BY_SIDE: usize = 8;
/// Look-ups of a run.
const LOOKUPS: usize = 20_000;

impl Bench<'_> {
    fn reader(&self) -> Result<PartitionReader> {
        Ok(self.log.partition(self.spec.topic()?, 0))
    }

    fn done(&self, watch: &Stopwatch<'_>, served: u64, records: u64) -> Done {
        let took = watch.took();
        let stats = self.log.reader().stats();
        Done {
            took,
            served,
            records: Some(records),
            fetched: stats.range.bytes_fetched,
            requests: stats.range.requests,
            cache: CacheFigures {
                hit_rate: (stats.reads > 0).then(|| stats.hits as f64 / stats.reads as f64),
                ..CacheFigures::default()
            },
            ..Done::default()
        }
    }
}

/// All records of the partition, looked at.
async fn read_to(reader: &PartitionReader, end: u64) -> Result<u64> {
    let (mut at, mut bytes) = (0, 0);
    while at < end {
        let read = reader.read(at, POLL).await?;
        for record in &read.records {
            if record.offset != at {
                return Err(failed(&format!("offset {} where {at} should be", record.offset)));
            }
            at += 1;
            bytes += record.value.len() as u64;
        }
        if read.records.is_empty() {
            return Err(failed(&format!("the partition ends at {at}")));
        }
    }
    Ok(bytes)
}

pub(super) async fn all(bench: &Bench<'_>) -> Result<Done> {
    let reader = bench.reader()?;
    let records = bench.spec.records();
    let watch = Stopwatch::start(&bench.clock);
    let bytes = read_to(&reader, records).await?;
    Ok(bench.done(&watch, bytes, records))
}

/// Batches as they are; what is served is their stored bytes.
pub(super) async fn verbatim(bench: &Bench<'_>) -> Result<Done> {
    let reader = bench.reader()?;
    let records = bench.spec.records();
    let watch = Stopwatch::start(&bench.clock);
    let (mut at, mut bytes) = (0, 0);
    while at < records {
        let read = reader.read_batches(at, 1 << 20).await?;
        bytes += read.batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
        if read.next_offset <= at {
            return Err(failed(&format!("the partition ends at {at}")));
        }
        at = read.next_offset;
    }
    Ok(bench.done(&watch, bytes, records))
}

/// One object of the size through the same reader, cold.
pub(super) async fn object(bench: &Bench<'_>) -> Result<Done> {
    let watch = Stopwatch::start(&bench.clock);
    let target = Target::at(&bench.lab, Path::from(EXACT), bench.config.clone());
    let mut stream = bench.log.reader().stream(target, RangeSpec::From(0)).await?;
    let mut served = 0;
    while let Some(chunk) = stream.next().await {
        served += chunk?.len() as u64;
    }
    let done = bench.done(&watch, served, 0);
    Ok(Done {
        records: None,
        ..done
    })
}

/// One poll after the other; at most so many bytes a second, if that is said.
pub(super) async fn polls(bench: &Bench<'_>, bytes_per_second: Option<f64>) -> Result<Done> {
    let reader = bench.reader()?;
    let records = bench.spec.records();
    let watch = Stopwatch::start(&bench.clock);
    let (began, mut at, mut bytes, mut latencies) = (bench.clock.now(), 0, 0_u64, Vec::new());
    while at < records {
        let asked = bench.clock.now();
        let read = reader.read(at, SMALL_POLL).await?;
        latencies.push(bench.clock.now() - asked);
        bytes += read
            .records
            .iter()
            .map(|record| record.value.len() as u64)
            .sum::<u64>();
        at = read.next_offset;
        if let Some(rate) = bytes_per_second {
            let due = began + Duration::from_secs_f64(bytes as f64 / rate);
            tokio::time::sleep(due.saturating_sub(bench.clock.now())).await;
        }
    }
    Ok(Done {
        latencies,
        ..bench.done(&watch, bytes, records)
    })
}

/// Each by a reader that knows nothing.
pub(super) async fn cold_polls(bench: &Bench<'_>) -> Result<Done> {
    let last = bench.spec.records().saturating_sub(COLD_POLL as u64).max(1);
    let mut random = fastrand::Rng::with_seed(3);
    let offsets: Vec<_> = (0..COLD_POLLS).map(|_| random.u64(..last)).collect();
    let topic = bench.spec.topic()?;
    let watch = Stopwatch::start(&bench.clock);
    let jobs = stream::iter(offsets).map(|offset| {
        let (log, topic, clock) = (bench.log.clone(), topic.clone(), bench.clock);
        Ok(async move {
            let reader = log.partition(topic, 0);
            let asked = clock.now();
            let read = reader.read(offset, COLD_POLL).await?;
            let bytes: u64 = read.records.iter().map(|record| record.value.len() as u64).sum();
            Ok::<_, CliError>((clock.now() - asked, bytes, read.records.len() as u64))
        })
    });
    let (mut latencies, mut bytes, mut records) = (Vec::new(), 0, 0);
    parallel::for_each(jobs, SIDE_BY_SIDE, |(took, some, count)| {
        latencies.push(took);
        bytes += some;
        records += count;
    })
    .await?;
    Ok(Done {
        latencies,
        ..bench.done(&watch, bytes, records)
    })
}

/// As many requests of as many bytes, at random places of one object whose version is known.
pub(super) async fn requests(bench: &Bench<'_>) -> Result<Done> {
    let path = Path::from(EXACT);
    let meta = bench
        .lab
        .store
        .head(&path)
        .await
        .map_err(|e| CliError::store(EXACT, &e))?;
    let target = Target::at(&bench.lab, path, bench.config.clone()).known(&meta);
    let length = (COLD_POLL * bench.spec.shape.value) as u64;
    let mut random = fastrand::Rng::with_seed(3);
    let places: Vec<_> = (0..COLD_POLLS)
        .map(|_| random.u64(..meta.size.saturating_sub(length).max(1)))
        .collect();
    let watch = Stopwatch::start(&bench.clock);
    let jobs = stream::iter(places).map(|at| {
        let (engine, target, clock) = (bench.log.reader().engine().clone(), target.clone(), bench.clock);
        Ok(async move {
            let asked = clock.now();
            let range = RangeSpec::Bounded(ByteRange::at(at, length));
            let (bytes, _) = engine.read(target, range).await?;
            Ok::<_, CliError>((clock.now() - asked, bytes.len() as u64))
        })
    });
    let (mut latencies, mut bytes) = (Vec::new(), 0);
    parallel::for_each(jobs, SIDE_BY_SIDE, |(took, some)| {
        latencies.push(took);
        bytes += some;
    })
    .await?;
    Ok(Done {
        latencies,
        records: None,
        ..bench.done(&watch, bytes, 0)
    })
}

/// Several consumers of one partition at once.
pub(super) async fn consumers(bench: &Bench<'_>, count: usize) -> Result<Done> {
    let end = bench.spec.records();
    let topic = bench.spec.topic()?;
    let watch = Stopwatch::start(&bench.clock);
    let jobs = stream::iter(0..count).map(|_| {
        let (log, topic) = (bench.log.clone(), topic.clone());
        Ok(async move { read_to(&log.partition(topic, 0), end).await })
    });
    let mut bytes = 0;
    parallel::for_each(jobs, count, |some| bytes += some).await?;
    Ok(bench.done(&watch, bytes, end * count as u64))
}

pub(super) async fn lookups(bench: &Bench<'_>) -> Result<Done> {
    let at = crowd_partition()?;
    let mut random = fastrand::Rng::with_seed(5);
    let watch = Stopwatch::start(&bench.clock);
    let mut latencies = Vec::with_capacity(LOOKUPS);
    for _ in 0..LOOKUPS {
        let offset = random.u64(..CROWD * CROWD_RECORDS);
        let asked = bench.clock.now();
        let found = bench.log.metadata().find_segment_for_offset(&at, offset).await;
        latencies.push(bench.clock.now() - asked);
        let holds = |segment: &SegmentInfo| (segment.base_offset..segment.next_offset).contains(&offset);
        if !found?.as_ref().is_some_and(holds) {
            return Err(failed(&format!("no segment for offset {offset}")));
        }
    }
    Ok(Done {
        latencies,
        records: None,
        ..bench.done(&watch, 0, 0)
    })
}

/// One consumer of many partitions, until it has everything.
pub(super) async fn spread(bench: &Bench<'_>) -> Result<Done> {
    let topic = bench.spec.topic()?;
    let all = bench.log.metadata().partitions_of(&topic).await?;
    let records: u64 = all.iter().map(|info| info.high_watermark).sum();
    let watch = Stopwatch::start(&bench.clock);
    let options = ConsumerOptions::default();
    let mut consumer = Consumer::of_topic(&bench.log, &topic, &options).await?;
    let (mut read, mut bytes) = (0, 0);
    loop {
        let polled = consumer.poll_partitions(POLL).await?;
        if polled.is_empty() {
            break;
        }
        for records in polled.iter().map(|polled| &polled.records) {
            read += records.len() as u64;
            bytes += records
                .iter()
                .map(|record| record.value.len() as u64)
                .sum::<u64>();
        }
    }
    if read != records {
        return Err(failed(&format!("{read} of {records} records came")));
    }
    Ok(bench.done(&watch, bytes, records))
}
