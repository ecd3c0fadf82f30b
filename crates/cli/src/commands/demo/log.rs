//! The event log: records into a topic, and all of them read back, in order.

use std::path::Path;
use std::sync::Arc;

use forebay_log::metadata::{SqliteMetadataStore, TopicConfig};
use forebay_log::{Consumer, ConsumerOptions, Log, NewRecord, Producer, TopicName, TopicPartition};
use forebay_source::{Opener, Scheme, SourceOptions};
use forebay_types::{Clock, ErrorKind, SystemClock};
use serde::Serialize;

use crate::commands::bench::cpu_time;
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

const RECORDS: u64 = 100_000;
const PARTITIONS: u32 = 4;

/// What the log took. Its objects are files of a temporary directory, its metadata is SQLite; both are synced.
#[derive(Debug, Serialize)]
pub(super) struct LogPart {
    partitions: u32,
    /// Keys and values, as they were before compression.
    bytes: u64,
    stored_bytes: u64,
    objects: u64,
    steps: Vec<LogStep>,
}

#[derive(Debug, Serialize)]
struct LogStep {
    step: &'static str,
    /// Each was compared with what was written, and came in its place.
    records: u64,
    seconds: f64,
    records_s: f64,
    cpu_s: f64,
}

/// Produces and consumes in `dir`.
pub(super) async fn log(session: &Session, dir: &Path) -> Result<LogPart> {
    let topic = TopicName::new("demo").map_err(|e| CliError::new(ErrorKind::Internal, e.to_string()))?;
    let objects = dir.join("log");
    std::fs::create_dir(&objects).map_err(|e| CliError::local(&objects, "make the directory", &e))?;
    let log = open(session, &objects, &dir.join("log.db")).await?;
    log.create_topic(&topic, PARTITIONS, &TopicConfig::default())
        .await?;
    let mut steps = vec![step("log: produce", produce(session, &log, &topic)).await?];
    // A log of its own has nothing in memory; the second time its decompressed batches are, as for a second consumer.
    let log = open(session, &objects, &dir.join("log.db")).await?;
    for name in ["log: consume", "log: consume again"] {
        steps.push(step(name, consume(session, &log, &topic, name)).await?);
    }
    let ends = log.metadata().partitions_of(&topic).await?;
    Ok(LogPart {
        partitions: PARTITIONS,
        bytes: (0..RECORDS)
            .map(|nth| (key(nth).len() + value(nth).len()) as u64)
            .sum(),
        stored_bytes: ends.iter().map(|end| end.bytes).sum(),
        objects: std::fs::read_dir(objects.join("flush"))
            .map(|entries| entries.count() as u64)
            .map_err(|e| CliError::local(&objects, "look into", &e))?,
        steps,
    })
}

async fn open(session: &Session, objects: &Path, metadata: &Path) -> Result<Log> {
    let settings = &session.settings;
    let opener = Opener::new(SourceOptions {
        memory: Some(Arc::new(session.engine.budget().clone())),
        ..settings.log_source_options()
    });
    let source = opener.open(&forebay_source::Location::File(objects.to_owned()))?;
    let config = Arc::new(settings.range_config(Scheme::File, &source.profile));
    let options = settings.log_reader_options(session.engine.budget().total());
    let reader = forebay_reader::Reader::new(session.engine.clone(), None, options);
    let metadata = SqliteMetadataStore::open(metadata).await?;
    Ok(Log::new(
        source,
        config,
        reader,
        Arc::new(metadata),
        settings.log.log_options(),
    ))
}

async fn step(name: &'static str, work: impl Future<Output = Result<u64>>) -> Result<LogStep> {
    let (clock, cpu) = (SystemClock::new(), cpu_time());
    let records = work.await?;
    let seconds = clock.now().as_secs_f64();
    Ok(LogStep {
        step: name,
        records,
        seconds,
        records_s: records as f64 / seconds,
        cpu_s: (cpu_time() - cpu).as_secs_f64(),
    })
}

fn key(nth: u64) -> String {
    format!("key-{}", nth % 1000)
}

/// Some hundred bytes, as a line of an access log has.
fn value(nth: u64) -> String {
    format!(
        "{{\"nth\":{nth},\"user\":{},\"path\":\"/objects/{:016x}\",\"status\":200,\"bytes\":{}}}",
        nth % 977,
        nth.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        nth * 37 % 100_000
    )
}

/// Where a record goes: known here, so that its place can be checked.
fn partition(nth: u64) -> u32 {
    (nth % u64::from(PARTITIONS)) as u32
}

/// As the user's settings have it; ends when all are acknowledged.
async fn produce(session: &Session, log: &Log, topic: &TopicName) -> Result<u64> {
    let bar = progress::items(session.output, RECORDS, "log: produce");
    let producer = Producer::new(log, session.settings.log.producer_options());
    for nth in 0..RECORDS {
        let record = NewRecord::value(value(nth))
            .key(key(nth))
            .partition(partition(nth));
        producer.send(topic, &record).await?;
        bar.inc(1);
    }
    producer.close().await?;
    bar.finish_and_clear();
    Ok(RECORDS)
}

async fn consume(session: &Session, log: &Log, topic: &TopicName, name: &str) -> Result<u64> {
    let bar = progress::items(session.output, RECORDS, name);
    let mut consumer = Consumer::of_topic(log, topic, &ConsumerOptions::default()).await?;
    let mut records = 0;
    loop {
        let polled = consumer.poll_partitions(session.settings.log.fetch_size).await?;
        if polled.is_empty() {
            break;
        }
        for of_one in polled {
            let at = of_one.at;
            for record in of_one.records {
                // The n-th record of a partition was the n-th that was sent there.
                let nth = record.offset * u64::from(PARTITIONS) + u64::from(at.partition);
                if record.value != value(nth) || record.key.as_deref() != Some(key(nth).as_bytes()) {
                    return Err(wrong(
                        &at,
                        &format!("offset {} has another record than was written", record.offset),
                    ));
                }
                records += 1;
            }
            bar.set_position(records);
        }
    }
    for at in consumer.assignment() {
        let (position, expected) = (consumer.position_of(at)?, RECORDS / u64::from(PARTITIONS));
        if position != expected {
            return Err(wrong(
                at,
                &format!("it ends at offset {position}, not at {expected}"),
            ));
        }
    }
    if records != RECORDS {
        return Err(CliError::new(
            ErrorKind::Corrupt,
            format!("demo: {records} records were read, {RECORDS} were written"),
        ));
    }
    bar.finish_and_clear();
    Ok(records)
}

fn wrong(at: &TopicPartition, what: &str) -> CliError {
    CliError::new(ErrorKind::Corrupt, format!("demo: {at}: {what}"))
}

impl LogPart {
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "\nAn event log in a directory and SQLite, both synced before a record counts as written.\n\n{:<24} {:>10} {:>10} {:>7}\n",
            "", "records", "records/s", "CPU s"
        );
        for step in &self.steps {
            text.push_str(&format!(
                "{:<24} {:>10} {:>10.0} {:>7.2}\n",
                step.step, step.records, step.records_s, step.cpu_s
            ));
        }
        let size = |bytes| format!("{:#}", forebay_types::ByteSize(bytes));
        text.push_str(&format!(
            "\n{} in {} partitions became {} in {} objects. All records came back, each in its place.",
            size(self.bytes),
            self.partitions,
            size(self.stored_bytes),
            self.objects
        ));
        text
    }
}
