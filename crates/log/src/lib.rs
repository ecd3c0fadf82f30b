//! The event log: topics in a bucket.
//!
//! **Writing.** A [`NewRecord`] goes to a [`Producer`], which gathers records into Kafka record batches ([`batch`]), and batches of all
//! partitions into one object ([`segment`]). The object is uploaded under a name that nobody can guess (`key`), and then
//! committed to the [`metadata::MetadataStore`]: SQLite for one machine, PostgreSQL for several. Only then its [`Delivery`]
//! says so. A lease with an epoch makes one producer at a time the writer of a partition, so offsets are known before the
//! upload, and who lost its lease can commit nothing.
//!
//! **Reading.** A [`Log`] joins bucket, metadata and the read path ([`forebay_reader::Reader`]). A [`PartitionReader`] asks
//! the metadata for the segments from an offset on; their batch indexes come along, so a cold read is one ranged GET, of just the
//! stretches of batches that it needs. It checks their checksums, decompresses (what was decompressed is kept for
//! others), and gives [`Record`]s, or the batches as they are. Read-ahead goes on across the borders of segments. A
//! [`Consumer`] follows one partition or thousands, and commits for its group.
//!
//! **Keeping.** [`Log::maintain`] rewrites small segments into large ones, lets go of what topics need not keep, and deletes what nothing
//! refers to. [`Log::recover`] rebuilds the metadata from the bucket; fences and snapshots (`notes`) are there for it.
//!
//! What is acknowledged is durable, and readers see all of it, in order, once. What was not acknowledged may be there or
//! not; half of a batch never is.

pub mod batch;
mod bucket;
mod consumer;
mod decoded;
mod ends;
mod error;
pub mod key;
mod log;
mod maintain;
pub mod metadata;
mod notes;
mod options;
mod partition;
mod producer;
mod record;
mod recover;
pub mod segment;
mod topic;

pub use consumer::{Consumer, ConsumerOptions, PartitionRecords, Start};
pub use decoded::DecodedStats;
pub use error::{LogError, Result};
pub use forebay_cache::SegmentCache;
pub use log::Log;
pub use maintain::{MaintainOptions, Maintained};
pub use options::{LogOptions, ReadConfig};
pub use partition::{BatchesResult, PartitionReader, ReadLimit, ReadResult, read_multiple_partitions};
pub use producer::{Acks, Delivered, Delivery, NewRecord, Producer, ProducerOptions};
pub use record::{Header, Record};
pub use recover::Recovered;
pub use topic::{InvalidTopic, TopicName, TopicPartition};
