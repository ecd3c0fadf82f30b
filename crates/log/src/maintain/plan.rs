//! Which segments are worth being rewritten: pure.

use std::ops::Range;

use super::MaintainOptions;
use crate::metadata::SegmentInfo;

/// A segment is rewritten only into one that is so many times as long (counted in halves), or that is large enough for good. So
/// a record is written only a few times in its life, however small the segments are that come after it. It is less where
/// few segments are enough: half as many as those, so that they need not be of one length.
const GROWS: u64 = 16;

fn grows(least: usize) -> u64 {
    (least as u64).clamp(3, GROWS)
}

/// Small segments that follow each other, as many as fit into one.
#[derive(Debug, Default)]
pub(super) struct Joined {
    segments: Vec<SegmentInfo>,
    bytes: u64,
}

impl Joined {
    /// Adds the next segment. If it does not belong to these, they end: the ranges of it that are worth being
    /// rewritten.
    pub(super) fn push(&mut self, segment: SegmentInfo, options: &MaintainOptions) -> Vec<Vec<SegmentInfo>> {
        let follows = self
            .segments
            .last()
            .is_none_or(|last| last.next_offset == segment.base_offset);
        let large = segment.length >= options.segment_bytes / 2;
        let fits = self.bytes + segment.length <= options.segment_bytes;
        let ended = if follows && fits && !large {
            Vec::new()
        } else {
            self.end(options)
        };
        if !large {
            self.bytes += segment.length;
            self.segments.push(segment);
        }
        ended
    }

    /// Nothing follows.
    pub(super) fn end(&mut self, options: &MaintainOptions) -> Vec<Vec<SegmentInfo>> {
        let joined = std::mem::take(self);
        if joined.segments.len() < 2 {
            return Vec::new();
        }
        if joined.bytes >= options.segment_bytes / 2 {
            return vec![joined.segments];
        }
        let lengths: Vec<_> = joined.segments.iter().map(|segment| segment.length).collect();
        let worth = worthwhile(&lengths, options.min_segments);
        worth
            .into_iter()
            .map(|range| joined.segments[range].to_vec())
            .collect()
    }
}

/// Ranges of at least `least` segments in which none has more than its share of the bytes.
fn worthwhile(lengths: &[u64], least: usize) -> Vec<Range<usize>> {
    let least = least.max(2);
    let mut worth = Vec::new();
    let all = 0..lengths.len();
    let mut open = Vec::from([all]);
    while let Some(range) = open.pop() {
        if range.len() < least {
            continue;
        }
        let bytes: u64 = lengths[range.clone()].iter().sum();
        let too_large = |at: &usize| lengths[*at].saturating_mul(grows(least)) > bytes.saturating_mul(2);
        match range.clone().find(too_large) {
            Some(at) => open.extend([at + 1..range.end, range.start..at]),
            None => worth.push(range),
        }
    }
    worth
}

#[cfg(test)]
mod tests;
