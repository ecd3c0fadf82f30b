//! Where a consumer begins.

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::poll::SIDE_BY_SIDE;
use crate::error::Result;
use crate::log::Log;
use crate::partition::PartitionReader;
use crate::topic::TopicPartition;

/// Where a consumer begins that has no committed offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the log start.
    #[default]
    Earliest,
    /// At the high watermark: only what is written from now on.
    Latest,
    /// At this offset.
    Offset(u64),
    /// At the first record with this timestamp or a later one, in milliseconds since 1970.
    Timestamp(i64),
}

/// How a consumer begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// Whose committed offsets it goes on from, and commits to.
    pub group: Option<String>,
    /// Where it begins, in partitions where the group committed nothing.
    pub start: Start,
    /// Begin there also where the group has committed.
    pub ignore_committed: bool,
}

impl ConsumerOptions {
    /// For each partition the position, and what the group committed.
    pub(super) async fn starts(
        &self,
        log: &Log,
        readers: &[Arc<PartitionReader>],
        which: &[TopicPartition],
    ) -> Result<Vec<(u64, Option<u64>)>> {
        // Says which partition is none.
        let ends = log.shared.ends.ask(which).await?;
        let committed = match &self.group {
            Some(group) => log.metadata().committed_offsets(group, which).await?,
            None => vec![None; which.len()],
        };
        let parts = readers.iter().zip(ends).zip(committed);
        let starts = parts.map(|((reader, ends), committed)| async move {
            let committed = committed.map(|committed| committed.offset);
            let position = match (committed.filter(|_| !self.ignore_committed), self.start) {
                // What was retained no longer cannot be given: the first that can is.
                (Some(offset), _) => offset.max(ends.log_start),
                (None, Start::Earliest) => ends.log_start,
                (None, Start::Latest) => ends.high_watermark,
                (None, Start::Offset(offset)) => offset,
                (None, Start::Timestamp(timestamp)) => reader.offset_for_timestamp(timestamp).await?,
            };
            Ok((position, committed))
        });
        let starts: Vec<_> = starts.collect();
        stream::iter(starts).buffered(SIDE_BY_SIDE).try_collect().await
    }
}
