//! Which of the sections in a bucket are a partition's: pure.

use std::collections::BTreeMap;

use super::{Found, Recovered};
use crate::metadata::{RestoredPartition, SegmentInfo};
use crate::notes::Noted;
use crate::topic::TopicPartition;

/// Everything that a bucket tells of one partition.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) sections: Vec<Found>,
    /// Epochs that began after an unclean end, and their first offsets.
    pub(super) fences: Vec<(u64, u64)>,
    /// What the last snapshot says.
    pub(super) noted: Option<Noted>,
}

impl Evidence {
    /// For each epoch the least offset at which a **later** epoch began: what was not committed before that never was.
    fn ends(&self) -> BTreeMap<u64, u64> {
        let flushed = self.sections.iter().filter(|found| !found.compacted);
        let begins = flushed.map(|found| (found.info.epoch, found.info.base_offset));
        let mut least: BTreeMap<u64, u64> = BTreeMap::new();
        for (epoch, offset) in begins.chain(self.fences.iter().copied()) {
            let least = least.entry(epoch).or_insert(offset);
            *least = (*least).min(offset);
        }
        let mut so_far = u64::MAX;
        for offset in least.values_mut().rev() {
            so_far = so_far.min(*offset);
            *offset = so_far;
        }
        least
    }
}

/// The sections that follow each other from the log start on:
///
/// - dead is what begins where a later epoch began, or after it: its writer had lost the partition;
/// - of those that begin at the same offset the longest counts (compaction copies what was committed);
/// - after a gap counts only what is known to have been committed: a later epoch went on after it, or the snapshot knew it.
///   Else it may be an upload whose predecessor failed.
pub(super) fn choose(
    at: &TopicPartition,
    evidence: Evidence,
    recovered: &mut Recovered,
) -> RestoredPartition {
    let ends = evidence.ends();
    // The first offset of any epoch after this one.
    let end_of = |epoch: u64| {
        ends.range(epoch + 1..)
            .next()
            .map_or(u64::MAX, |(_, offset)| *offset)
    };
    let noted_end = evidence.noted.as_ref().map_or(0, |noted| noted.high_watermark);
    let log_start = evidence.noted.as_ref().map_or(0, |noted| noted.log_start);
    let epochs = evidence.sections.iter().map(|found| found.info.epoch);
    let epochs = epochs.chain(evidence.fences.iter().map(|(epoch, _)| *epoch));
    let epoch = epochs
        .chain(evidence.noted.iter().map(|noted| noted.epoch))
        .max()
        .unwrap_or(0);

    let (mut left_out, mut by_base) = (0, BTreeMap::<u64, SegmentInfo>::new());
    for Found { info, compacted } in evidence.sections {
        let is_dead = !compacted && end_of(info.epoch) <= info.base_offset;
        let is_over = info.next_offset <= log_start;
        let is_shorter = by_base
            .get(&info.base_offset)
            .is_some_and(|other| other.next_offset >= info.next_offset);
        left_out += u64::from(is_dead || is_over || is_shorter);
        if !(is_dead || is_over || is_shorter) {
            left_out += u64::from(by_base.insert(info.base_offset, info).is_some());
        }
    }
    let is_committed = |info: &SegmentInfo| {
        let later = end_of(info.epoch);
        (later != u64::MAX && later >= info.next_offset) || noted_end >= info.next_offset
    };
    let mut segments: Vec<SegmentInfo> = Vec::new();
    let mut unproven = None;
    for info in by_base.into_values() {
        let next = segments.last().map(|last| last.next_offset);
        match next {
            // Inside what was chosen: compacted.
            Some(next) if info.base_offset < next => left_out += 1,
            Some(next) if info.base_offset > next && !is_committed(&info) => {
                left_out += 1;
                unproven = unproven.or(Some((next, info.base_offset)));
            }
            next => {
                if let Some(next) = next.filter(|next| info.base_offset > *next) {
                    let gap = format!("{at}: offsets {next}..{} are lost", info.base_offset);
                    recovered.problems.push(gap);
                }
                segments.push(info);
            }
        }
    }
    if let Some((next, base)) = unproven {
        recovered.problems.push(format!(
            "{at}: what begins at {base} is left out, for {next}..{base} is missing, and nothing shows that it was ever committed"
        ));
    }
    let first = segments.first().map_or(noted_end, |first| first.base_offset);
    let end = segments.last().map_or(noted_end, |last| last.next_offset);
    if first > log_start && !segments.is_empty() {
        recovered.problems.push(format!(
            "{at}: offsets {log_start}..{first} are not there: retained no longer, or lost"
        ));
    }
    if end < noted_end {
        recovered
            .problems
            .push(format!("{at}: offsets {end}..{noted_end} are lost"));
    }
    recovered.left_out += left_out;
    RestoredPartition {
        at: at.clone(),
        log_start: log_start.max(first),
        // Offsets are never given twice, though the records are lost.
        high_watermark: end.max(noted_end),
        epoch,
        segments,
    }
}

#[cfg(test)]
mod tests;
