//! What a section of a segment is to the metadata.

use super::store::NewSegment;
use crate::segment::Section;

impl Section {
    /// The time by which retention goes: that of its newest record, or when it was written if none has one.
    pub(crate) fn newest(&self, written_ms: i64) -> i64 {
        if self.max_timestamp < 0 {
            written_ms
        } else {
            self.max_timestamp
        }
    }
}

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
            max_timestamp: section.newest(now_ms),
            index: section.index.encode(),
        }
    }
}
