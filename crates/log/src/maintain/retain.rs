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
        self.metadata().advance_log_start(&info.at, start).await?;
        let left = self.metadata().partitions(std::slice::from_ref(&info.at)).await?;
        let left = left.first().map_or(0, |left| left.segments);
        done.retained_away += info.segments.saturating_sub(left);
        Ok(())
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
                if bytes.saturating_sub(segment.length) < keep {
                    return Ok(start.max(segment.base_offset));
                }
                bytes -= segment.length.min(bytes);
                start = segment.next_offset;
            }
        }
        Ok(start)
    }
}
