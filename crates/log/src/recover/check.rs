//! Comparing metadata and bucket.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::PAGE;
use crate::error::Result;
use crate::log::Log;
use crate::metadata::{PartitionInfo, SegmentInfo};
use crate::topic::TopicPartition;

/// Where the bucket is ahead, that may be an upload that is just being committed: it is looked again after this.
const COMMITTED_WITHIN: Duration = Duration::from_secs(1);

impl Log {
    /// Compares metadata and bucket: says each difference that matters, and changes nothing. May be asked while others write:
    /// uploads on their way are none, those that were given up at the end of a partition are named until they are swept.
    ///
    /// # Errors
    /// Of bucket and metadata.
    pub async fn check(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        // Before the bucket is listed: what the metadata names now stays there for a good while.
        let topics = self.all_topics().await?;
        let mut segments = Vec::new();
        for topic in &topics {
            for ends in self.metadata().partitions_of(&topic.name).await? {
                segments.extend(self.covered(ends, &mut found).await?);
            }
        }
        let listed = self.shared.bucket.list("").await?;
        let sizes: HashSet<_> = listed
            .iter()
            .map(|meta| (meta.location.as_ref(), meta.size))
            .collect();
        for segment in segments {
            if !sizes.contains(&(&*segment.key, segment.object_size)) {
                found.push(format!(
                    "{}: offsets {}..{} should be in {} of {} bytes, which is not there",
                    segment.at,
                    segment.base_offset,
                    segment.next_offset,
                    self.shared.bucket.shown(&segment.key),
                    segment.object_size
                ));
            }
        }
        let (restored, recovered) = self.rebuild().await?;
        found.extend(recovered.problems);
        let known: BTreeMap<_, _> = topics
            .iter()
            .map(|topic| (&topic.name, topic.partitions))
            .collect();
        for topic in &restored.topics {
            let has = known.get(&topic.name).copied().unwrap_or(0);
            if has < topic.partitions
                && self
                    .metadata()
                    .topic(&topic.name)
                    .await?
                    .is_none_or(|now| now.partitions < topic.partitions)
            {
                found.push(format!(
                    "the metadata has {has} partitions of {}, the bucket has {}",
                    topic.name, topic.partitions
                ));
            }
        }
        let is_known = |at: &TopicPartition| known.get(&at.topic).is_some_and(|has| at.partition < *has);
        let ends = restored
            .partitions
            .into_iter()
            .map(|part| (part.at, part.high_watermark));
        let ends = ends.filter(|(at, _)| is_known(at)).collect();
        let behind = self.behind(ends).await?;
        if !behind.is_empty() {
            tokio::time::sleep(COMMITTED_WITHIN).await;
        }
        for (at, end) in self.behind(behind).await? {
            found.push(format!(
                "{at}: the metadata ends before offset {end}, up to which the bucket has records"
            ));
        }
        Ok(found)
    }

    /// The segments of a partition; what lies between them is named.
    async fn covered(&self, before: PartitionInfo, found: &mut Vec<String>) -> Result<Vec<SegmentInfo>> {
        let at = &before.at;
        let (mut segments, mut from) = (Vec::new(), 0);
        loop {
            let page = self.metadata().segments_from(&[(at.clone(), from)], PAGE).await?;
            let page = page.into_iter().next().unwrap_or_default();
            let is_last = page.len() < PAGE;
            segments.extend(page);
            from = segments.last().map_or(0, |last: &SegmentInfo| last.next_offset);
            if is_last {
                break;
            }
        }
        // Retention may have gone on meanwhile.
        let after = self.metadata().partitions(std::slice::from_ref(at)).await?;
        let mut end = after.first().map_or(before.log_start, |after| after.log_start);
        segments.retain(|segment| segment.next_offset > end);
        let bases = segments
            .iter()
            .map(|segment| (segment.base_offset, segment.next_offset));
        for (base, next) in bases.chain([(before.high_watermark, before.high_watermark)]) {
            if base > end {
                found.push(format!("{at}: nothing is stored of {end}..{base}"));
            }
            end = end.max(next);
        }
        Ok(segments)
    }

    /// Those of these partitions that the metadata ends before the given offset.
    async fn behind(&self, ends: Vec<(TopicPartition, u64)>) -> Result<Vec<(TopicPartition, u64)>> {
        let mut behind = Vec::new();
        for ends in ends.chunks(PAGE) {
            let which: Vec<_> = ends.iter().map(|(at, _)| at.clone()).collect();
            let now = self.metadata().partitions(&which).await?;
            let pairs = ends.iter().zip(now);
            behind.extend(
                pairs
                    .filter(|((_, end), now)| now.high_watermark < *end)
                    .map(|(end, _)| end.clone()),
            );
        }
        Ok(behind)
    }
}
