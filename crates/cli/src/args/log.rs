//! What was typed after `forebay log`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use forebay_log::batch::Codec;
use forebay_log::{Acks, TopicName};
use forebay_types::ByteSize;

use crate::commands::log::{NewOffset, StartAt};
use crate::settings::{acks, compression, days, time};

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Make a topic, and the directory of a log that is kept in one
    Create(LogCreateArgs),
    /// List the topics, or the partitions of one
    Topics(LogTopicsArgs),
    /// Write records: each line of standard input, or of a file
    Produce(LogProduceArgs),
    /// Read records, in the order of each partition
    Consume(LogConsumeArgs),
    /// List the groups of consumers
    Groups,
    /// Show, set or forget how far a group got
    Offsets(LogOffsetsArgs),
    /// Compare the metadata with the bucket, or rebuild it from there; nobody may write meanwhile
    Recover(LogRecoverArgs),
    /// Put small segments together, let go of what topics need not keep, delete what nothing refers to
    Compact,
}

#[derive(Debug, Args)]
pub(crate) struct LogCreateArgs {
    /// Its name: up to 249 of a-z A-Z 0-9 . _ -
    pub(crate) topic: TopicName,
    /// How many partitions: as many consumers of a group share the work at most
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) partitions: u32,
    /// Records older than this may go, as in 7d or 12h; they stay for good unless this is said
    #[arg(long, value_name = "TIME", value_parser = days)]
    pub(crate) retention: Option<Duration>,
    /// The oldest records of a partition may go while it takes more than this
    #[arg(long, value_name = "SIZE")]
    pub(crate) retention_bytes: Option<ByteSize>,
}

#[derive(Debug, Args)]
pub(crate) struct LogTopicsArgs {
    /// Show the partitions of this one
    pub(crate) topic: Option<TopicName>,
}

/// How records are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line each
    Text,
    /// A JSON object each
    Ndjson,
}

#[derive(Debug, Args)]
pub(crate) struct LogProduceArgs {
    /// Where to
    pub(crate) topic: TopicName,
    /// What to read; "-" is standard input
    #[arg(default_value = "-")]
    pub(crate) file: String,
    /// text: each line is a value; ndjson: an object with value, key, headers, timestamp, partition
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// What stands between key and value in a line of text
    #[arg(long, value_name = "TEXT")]
    pub(crate) key_separator: Option<String>,
    /// Write to this partition, not to that of the key, or in turns
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// none, gzip, snappy, lz4 or zstd, instead of log.compression
    #[arg(long, value_name = "CODEC", value_parser = compression)]
    pub(crate) compression: Option<Codec>,
    /// all: a record counts when it is durable; none: when it is taken in (instead of log.acks)
    #[arg(long, value_name = "WHICH", value_parser = acks)]
    pub(crate) acks: Option<Acks>,
    /// Bytes that gather before they are uploaded, instead of log.batch_bytes
    #[arg(long, value_name = "SIZE")]
    pub(crate) batch_bytes: Option<ByteSize>,
    /// How long the oldest record waits for others, instead of log.linger
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) linger: Option<Duration>,
    /// Print what is acknowledged as soon as it is: topic/partition, first and last offset
    #[arg(long, conflicts_with = "json")]
    pub(crate) report: bool,
}

/// What is shown beside a record's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Show {
    Key,
    Offset,
    Partition,
    Timestamp,
    Headers,
}

#[derive(Debug, Args)]
pub(crate) struct LogConsumeArgs {
    /// Where from
    pub(crate) topic: TopicName,
    /// Only this partition; may be said several times
    #[arg(long = "partition", value_name = "N")]
    pub(crate) partitions: Vec<u32>,
    /// Where to begin: earliest, latest, an offset, a time (2026-01-31T12:00:00Z, or @ and milliseconds since 1970); with a
    /// group only where that has committed nothing
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "earliest",
        allow_hyphen_values = true
    )]
    pub(crate) from: StartAt,
    /// Go on where this group got to, and commit for it: at least once a second, and at the end
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// Wait for more at the end; an interrupt ends it
    #[arg(long)]
    pub(crate) follow: bool,
    /// End after this many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max: Option<u64>,
    /// text: the value in a line; ndjson: an object (as --json)
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Show these before the value, with tabs between
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) show: Vec<Show>,
    /// Print values as they are, control characters too
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogOffsetsArgs {
    /// The group
    pub(crate) group: String,
    /// Commit this for it: an offset, earliest or latest; may be said several times, all or nothing
    #[arg(long, value_name = "TOPIC/P=OFFSET")]
    pub(crate) set: Vec<NewOffset>,
    /// Forget the group
    #[arg(long, conflicts_with = "set")]
    pub(crate) delete: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogRecoverArgs {
    /// Rebuild the metadata though it knows topics: what it knows is forgotten
    #[arg(long)]
    pub(crate) replace: bool,
}
