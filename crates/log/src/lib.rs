//! The event log: topics in a bucket.
//!
//! (Being built.)

pub mod batch;
pub mod metadata;
mod record;
pub mod segment;
mod topic;

pub use record::{Header, Record};
pub use topic::{InvalidTopic, TopicName, TopicPartition};
