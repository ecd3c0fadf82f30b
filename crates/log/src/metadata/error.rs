//! Why a metadata store said no.

use forebay_types::{ErrorKind, printable};
use ulid::Ulid;

use crate::topic::{TopicName, TopicPartition};

/// What a metadata store answers with.
pub type Result<T, E = MetadataError> = std::result::Result<T, E>;

/// Why it could not.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// There is no such topic.
    #[error(
        "there is no topic {topic}: `forebay log create {topic}` makes one, `forebay log topics` lists them"
    )]
    UnknownTopic {
        /// As asked for.
        topic: TopicName,
    },
    /// The topic has fewer partitions.
    #[error("topic {} has no partition {} (it has {partitions}, numbered from 0)", .at.topic, .at.partition)]
    UnknownPartition {
        /// As asked for.
        at: TopicPartition,
        /// How many there are.
        partitions: u32,
    },
    /// There is one of this name.
    #[error("there is a topic {topic} already")]
    TopicExists {
        /// Its name.
        topic: TopicName,
    },
    /// A newer writer has the partition.
    #[error("{at}: {}", fenced(*epoch, *current))]
    Fenced {
        /// Which partition.
        at: TopicPartition,
        /// Of who tried.
        epoch: u64,
        /// The present one.
        current: u64,
    },
    /// A commit that does not begin where the partition ends.
    #[error("{at} goes on at offset {expected}, not at {got}")]
    OutOfOrder {
        /// Which partition.
        at: TopicPartition,
        /// Its next offset.
        expected: u64,
        /// Where the commit begins.
        got: u64,
    },
    /// The upload was given up, or was never registered.
    #[error("upload {id} is not waiting for a commit: it was given up, or took longer than uploads may")]
    UploadDead {
        /// Its name.
        id: Ulid,
    },
    /// Another writer has the partition, and its lease runs.
    #[error("{at} is being written by another writer, whose lease runs for another {left_ms} ms")]
    Held {
        /// Which partition.
        at: TopicPartition,
        /// Until its lease ends, in milliseconds.
        left_ms: u64,
    },
    /// Segments are not as they were when the caller looked.
    #[error("{at}: its segments changed in the meantime: {what}")]
    Moved {
        /// Which partition.
        at: TopicPartition,
        /// What is different.
        what: String,
    },
    /// A restore into a store that knows something already.
    #[error("{store} is not empty: it has {topics} topics")]
    NotEmpty {
        /// The store, without secrets.
        store: String,
        /// How many.
        topics: u64,
    },
    /// What is stored makes no sense.
    #[error("{store} holds what it should not: {what}; `forebay log recover` rebuilds it from the bucket")]
    Corrupt {
        /// The store, without secrets.
        store: String,
        /// What was found.
        what: String,
    },
    /// It was made by another version of this program.
    #[error("{store} has schema {found}, this program knows {known}: use a newer one")]
    Schema {
        /// The store, without secrets.
        store: String,
        /// Its version.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// An argument that cannot be.
    #[error("{}", printable(.what))]
    Invalid {
        /// Which, and why.
        what: String,
    },
    /// The store could not be opened or asked.
    #[error("{store}: {what}")]
    Store {
        /// The store, without secrets.
        store: String,
        /// What it said.
        what: String,
        /// What to do about it.
        kind: ErrorKind,
    },
}

fn fenced(epoch: u64, current: u64) -> String {
    if epoch == current {
        return format!("its lease of epoch {epoch} was given back, nothing can be written in it any more");
    }
    format!("it was taken over by another writer (epoch {current}, this one wrote in epoch {epoch})")
}

impl MetadataError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownTopic { .. } | Self::UnknownPartition { .. } => ErrorKind::NotFound,
            Self::TopicExists { .. }
            | Self::Fenced { .. }
            | Self::OutOfOrder { .. }
            | Self::UploadDead { .. }
            | Self::Moved { .. }
            | Self::NotEmpty { .. } => ErrorKind::Conflict,
            Self::Held { .. } => ErrorKind::Unavailable,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Schema { .. } => ErrorKind::Unsupported,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Store { kind, .. } => *kind,
        }
    }
}
