//! Retention: whole segments at the beginning of a partition that are older, or more, than its topic keeps.

use super::Maintained;
use crate::error::Result;
use crate::log::Log;
use crate::metadata::{PartitionInfo, TopicConfig};

/// Segments looked at at a time.
const PAGE: usize = 100;

impl Log {
    pub(super) async fn retain(
        &self,
        info: &PartitionInfo,
        config: &TopicConfig,
        done: &mut Maintained,
    ) -> Result<()> {
        let mut start = info.log_start;
        if let Some(keep) = config.retention_ms {
            start = start.max(self.first_younger(info, keep).await?);
        }
        if let Some(keep) = config.retention_bytes {
            start = start.max(self.first_within(info, keep).await?);
        }
        if start == info.log_start {
            return Ok(());
        }
        // What was decided holds for the partition as it was. If somebody else moved its start on meanwhile, the bytes were
        // counted wrongly.
        let now = self.ends_of(info).await?;
        if now.log_start != info.log_start {
            return Ok(());
        }
        self.metadata().advance_log_start(&info.at, start).await?;
        let left = self.ends_of(info).await?.segments;
        done.retained_away += now.segments.saturating_sub(left);
        Ok(())
    }

    async fn ends_of(&self, info: &PartitionInfo) -> Result<PartitionInfo> {
        let ends = self.metadata().partitions(std::slice::from_ref(&info.at)).await?;
        let nothing = || self.metadata_error(format!("no answer about {}", info.at));
        ends.into_iter().next().ok_or_else(nothing)
    }

    /// The base of the first segment with a record younger than `keep_ms`. A clock that was set back keeps more.
    async fn first_younger(&self, info: &PartitionInfo, keep_ms: u64) -> Result<u64> {
        let cutoff = self.now_ms().saturating_sub_unsigned(keep_ms);
        let found = self
            .metadata()
            .find_segment_for_timestamp(&info.at, cutoff)
            .await?;
        Ok(found.map_or(info.high_watermark, |segment| segment.base_offset))
    }

    /// The base of the first segment such that it and those after it have at least `keep` bytes, and without it fewer.
    async fn first_within(&self, info: &PartitionInfo, keep: u64) -> Result<u64> {
        let mut bytes = info.bytes;
        let mut start = info.log_start;
        while bytes > keep {
            let wanted = [(info.at.clone(), start)];
            let page = self.metadata().segments_from(&wanted, PAGE).await?;
            let page = page.into_iter().next().unwrap_or_default();
            if page.is_empty() {
                break;
            }
            for segment in page {
                let without = bytes.saturating_sub(segment.length);
                if without < keep {
                    return Ok(start.max(segment.base_offset));
                }
                bytes = without;
                start = segment.next_offset;
            }
        }
        Ok(start)
    }
}
