//! What can go wrong with the log.

use std::sync::Arc;

use forebay_reader::ReadError;
use forebay_source::Fault;
use forebay_types::ErrorKind;

use crate::batch::BatchError;
use crate::metadata::MetadataError;
use crate::segment::SegmentError;
use crate::topic::{InvalidTopic, TopicPartition};

/// What calls of the log answer with.
pub type Result<T> = std::result::Result<T, LogError>;

/// Why the log could not.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The partition has no such offset, or not any more.
    #[error(
        "{at} has no offset {offset}: it goes from {log_start} (the log start) to {high_watermark} (the next one to be written)"
    )]
    OffsetNotFound {
        /// Which partition.
        at: TopicPartition,
        /// As asked for.
        offset: u64,
        /// The first that can be read.
        log_start: u64,
        /// The one after the last: reading there gives nothing, and no error.
        high_watermark: u64,
    },
    /// The metadata names an object that the bucket has not.
    #[error(
        "{at}: the offsets {base_offset}..{next_offset} are in {object}, which is not there: {source}; `forebay log recover` tells what is"
    )]
    MissingObject {
        /// Which partition.
        at: TopicPartition,
        /// The first offset in it.
        base_offset: u64,
        /// The offset after the last one in it.
        next_offset: u64,
        /// The object.
        object: String,
        /// What the bucket said.
        source: ReadError,
    },
    /// A segment could not be read.
    #[error("{at} at offset {offset}: {source}")]
    Read {
        /// Which partition.
        at: TopicPartition,
        /// From where on.
        offset: u64,
        /// Why.
        source: ReadError,
    },
    /// A segment holds other bytes than were written.
    #[error("{at}: {object} is damaged: {source}")]
    Segment {
        /// Which partition.
        at: TopicPartition,
        /// The object.
        object: String,
        /// Where, and how.
        source: SegmentError,
    },
    /// A batch holds what no producer writes, or more than is allowed.
    #[error("{at} in the batch at offset {offset}: {source}")]
    Batch {
        /// Which partition.
        at: TopicPartition,
        /// The batch's first offset.
        offset: u64,
        /// What is wrong with it.
        source: BatchError,
    },
    /// What was to be written cannot be.
    #[error("{at}: the record cannot be written: {source}")]
    Record {
        /// Which partition.
        at: TopicPartition,
        /// Why.
        source: BatchError,
    },
    /// The metadata store said no.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The bucket said no.
    #[error("{object} could not be {what}: {source}")]
    Store {
        /// Which object, or prefix.
        object: String,
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: object_store::Error,
    },
    /// A name that no topic can have.
    #[error(transparent)]
    Topic(#[from] InvalidTopic),
    /// An argument that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A name that the bucket cannot hold.
    #[error("the key {key} cannot be used: {why}")]
    Key {
        /// The key.
        key: String,
        /// Why.
        why: String,
    },
    /// What was sent was not written, and this is why; shared by all of one flush.
    #[error("not written: {0}")]
    NotWritten(Arc<Self>),
    /// What was sent was not written, because what was sent before it was not: written, it would stand in its place.
    #[error("not written, because what was sent before it was not: {0}")]
    Aborted(Arc<Self>),
    /// Whether it was written could not be found out; sent again it may be there twice.
    #[error("whether it was written is not known: {0}")]
    Unknown(Arc<Self>),
    /// Another producer did not stop writing a partition.
    #[error("another producer has been writing {at} for {waited_s} s without a break")]
    Busy {
        /// Which partition.
        at: TopicPartition,
        /// How long it was waited for, in seconds.
        waited_s: f64,
    },
    /// The producer was closed.
    #[error("the producer is closed")]
    Closed,
    /// A task of ours ended early.
    #[error("a task of the log failed: {0}")]
    Task(String),
}

impl LogError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OffsetNotFound { .. } => ErrorKind::NotFound,
            // The object is gone, but who asked for records asked for nothing wrong.
            Self::MissingObject { .. } => ErrorKind::Corrupt,
            Self::Read { source, .. } => source.kind(),
            Self::Segment { source, .. } => source.kind(),
            Self::Batch { source, .. } | Self::Record { source, .. } => source.kind(),
            Self::Metadata(source) => source.kind(),
            Self::Store { source, .. } => Fault::of(source).kind,
            Self::Topic(_) | Self::Invalid(_) | Self::Key { .. } => ErrorKind::Invalid,
            Self::NotWritten(source) | Self::Aborted(source) | Self::Unknown(source) => source.kind(),
            Self::Busy { .. } => ErrorKind::Unavailable,
            Self::Closed => ErrorKind::Cancelled,
            Self::Task(_) => ErrorKind::Internal,
        }
    }
}
