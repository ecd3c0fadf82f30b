//! `forebay log create`: a topic, and what the first one of a log needs.

use forebay_log::metadata::TopicConfig;
use serde::Serialize;

use super::open::{make_directory, open, refuse_lost_metadata, store};
use crate::args::LogCreateArgs;
use crate::exit::Result;
use crate::session::Session;

#[derive(Debug, Serialize)]
struct Answer {
    topic: String,
    partitions: u32,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
    store: String,
    metadata: String,
}

pub(crate) fn run(session: &Session, args: &LogCreateArgs) -> Result<()> {
    session.block_on(async {
        make_directory(store(session)?)?;
        let log = open(session).await?;
        refuse_lost_metadata(&log).await?;
        let config = TopicConfig {
            retention_ms: args
                .retention
                .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            retention_bytes: args.retention_bytes.map(forebay_types::ByteSize::bytes),
        };
        let topic = log.create_topic(&args.topic, args.partitions, &config).await?;
        let answer = Answer {
            topic: topic.name.to_string(),
            partitions: topic.partitions,
            retention_ms: topic.config.retention_ms,
            retention_bytes: topic.config.retention_bytes,
            store: store(session)?.to_string(),
            metadata: log.metadata().name().to_owned(),
        };
        session.output.answer(&answer, || {
            let what = if answer.partitions == 1 {
                "partition"
            } else {
                "partitions"
            };
            format!(
                "{} has {} {what}, in {} and {}",
                answer.topic, answer.partitions, answer.store, answer.metadata
            )
        })
    })
}
