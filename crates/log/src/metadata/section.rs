//! What a section of a segment is to the metadata.

use super::store::NewSegment;
use crate::segment::Section;

impl NewSegment {
    /// A section of an uploaded object. Records without timestamps count as of `now_ms`, by which retention goes.
    pub(crate) fn of(section: &Section, now_ms: i64) -> Self {
        Self {
            at: section.at.clone(),
            epoch: section.epoch,
            base_offset: section.base_offset,
            next_offset: section.next_offset,
            position: section.position,
            length: section.length,
            records: section.records,
            max_timestamp: if section.max_timestamp < 0 {
                now_ms
            } else {
                section.max_timestamp
            },
            index: section.index.encode(),
        }
    }
}
