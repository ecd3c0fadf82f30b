//! `forebay log topics`: what there is.

use forebay_log::metadata::{MetadataError, PartitionInfo, TopicInfo};
use forebay_log::{Log, TopicName};
use forebay_types::ByteSize;
use serde::Serialize;

use super::open::open;
use super::table::table;
use crate::args::LogTopicsArgs;
use crate::exit::Result;
use crate::session::Session;

/// Topics asked for at a time.
const PAGE: usize = 500;

#[derive(Debug, Serialize)]
struct Answer {
    topics: Vec<Topic>,
}

#[derive(Debug, Serialize)]
struct Topic {
    topic: String,
    partitions: u32,
    records: u64,
    bytes: u64,
    segments: u64,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
    created_ms: i64,
}

/// One topic, with its partitions.
#[derive(Debug, Serialize)]
struct Named {
    #[serde(flatten)]
    topic: Topic,
    by_partition: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Partition {
    partition: u32,
    log_start: u64,
    high_watermark: u64,
    segments: u64,
    bytes: u64,
}

pub(crate) fn run(session: &Session, args: &LogTopicsArgs) -> Result<()> {
    session.block_on(async {
        let log = open(session).await?;
        match &args.topic {
            Some(name) => {
                let named = named(&log, name).await?;
                session.output.answer(&named, || named.text())
            }
            None => {
                let answer = all(&log).await?;
                session.output.answer(&answer, || answer.text())
            }
        }
    })
}

async fn all(log: &Log) -> Result<Answer> {
    let (mut topics, mut after) = (Vec::new(), None);
    loop {
        let page = log.metadata().topics(after.as_ref(), PAGE).await?;
        for info in &page {
            let partitions = log.metadata().partitions_of(&info.name).await?;
            topics.push(Topic::of(info, &partitions));
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.name.clone()),
            _ => return Ok(Answer { topics }),
        }
    }
}

async fn named(log: &Log, name: &TopicName) -> Result<Named> {
    let info = log.metadata().topic(name).await?;
    let info = info.ok_or_else(|| MetadataError::UnknownTopic { topic: name.clone() })?;
    let partitions = log.metadata().partitions_of(name).await?;
    Ok(Named {
        topic: Topic::of(&info, &partitions),
        by_partition: partitions.iter().map(Partition::of).collect(),
    })
}

impl Topic {
    fn of(info: &TopicInfo, partitions: &[PartitionInfo]) -> Self {
        let sum = |what: fn(&PartitionInfo) -> u64| partitions.iter().map(what).sum();
        Self {
            topic: info.name.to_string(),
            partitions: info.partitions,
            records: sum(|info| info.high_watermark - info.log_start),
            bytes: sum(|info| info.bytes),
            segments: sum(|info| info.segments),
            retention_ms: info.config.retention_ms,
            retention_bytes: info.config.retention_bytes,
            created_ms: info.created_ms,
        }
    }
}

impl Partition {
    fn of(info: &PartitionInfo) -> Self {
        Self {
            partition: info.at.partition,
            log_start: info.log_start,
            high_watermark: info.high_watermark,
            segments: info.segments,
            bytes: info.bytes,
        }
    }
}

impl Answer {
    fn text(&self) -> String {
        let row = |topic: &Topic| {
            [
                topic.topic.clone(),
                topic.partitions.to_string(),
                topic.records.to_string(),
                format!("{:#}", ByteSize(topic.bytes)),
                topic.segments.to_string(),
            ]
        };
        let rows: Vec<_> = self.topics.iter().map(row).collect();
        table(["topic", "partitions", "records", "bytes", "segments"], &rows)
    }
}

impl Named {
    fn text(&self) -> String {
        let row = |part: &Partition| {
            [
                format!("{}/{}", self.topic.topic, part.partition),
                part.log_start.to_string(),
                part.high_watermark.to_string(),
                part.segments.to_string(),
                format!("{:#}", ByteSize(part.bytes)),
            ]
        };
        let rows: Vec<_> = self.by_partition.iter().map(row).collect();
        table(
            ["partition", "log start", "high watermark", "segments", "bytes"],
            &rows,
        )
    }
}
