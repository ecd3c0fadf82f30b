//! What the log knows beside its bytes: topics, which segment holds which offsets, who may write, and how far groups got.
//!
//! [`MetadataStore`] is the contract; `SqliteMetadataStore` keeps it in one file for the processes of one machine,
//! `PostgresMetadataStore` for several machines. Both pass one suite. Every query costs what its answer is long,
//! however many segments there are.
//!
//! **Writing.** A writer [acquires](MetadataStore::acquire) partitions and gets for each an epoch and the next offset.
//! Before it uploads it [registers](MetadataStore::register_upload) what it will upload; after that it
//! [commits](MetadataStore::commit_upload): one transaction, which fails as a whole if one of its epochs is not the
//! present one ([`MetadataError::Fenced`]), an offset is not the next ([`MetadataError::OutOfOrder`]), or the upload was
//! declared dead in the meantime ([`MetadataError::UploadDead`]). What is committed is durable when the call returns.
//!
//! **Deleting.** Objects that no segment refers to any more, and uploads that were never committed, turn up in
//! [`MetadataStore::dead_objects`] when their time has come; whoever deleted them in the bucket says so.

mod error;
mod postgres;
mod rules;
mod section;
mod sqlite;
mod store;

pub use error::{MetadataError, Result};
pub use postgres::PostgresMetadataStore;
pub use sqlite::SqliteMetadataStore;
pub use store::{
    Commit, CommittedOffset, Compaction, DeadObject, GroupInfo, Lease, MetadataStore, NewSegment,
    PartitionInfo, Restored, RestoredPartition, SegmentInfo, TopicConfig, TopicInfo, Upload,
};
