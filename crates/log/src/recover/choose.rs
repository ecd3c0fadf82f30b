//! Which of the sections in a bucket are a partition's: pure.

use std::cmp::Reverse;
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
    /// Whether that was the newest one: nothing is swept before the newest snapshot tells where the partition begins.
    /// If it does not know the partition, that begins at 0.
    pub(super) start_is_known: bool,
}

impl Evidence {
    fn epoch(&self) -> u64 {
        let sections = self.sections.iter().map(|found| found.info.epoch);
        let fences = self.fences.iter().map(|(epoch, _)| *epoch);
        let noted = self.noted.iter().map(|noted| noted.epoch);
        sections.chain(fences).chain(noted).max().unwrap_or(0)
    }
}

/// Where epochs end.
struct Ends {
    /// For each epoch the least offset at which it or a later one began.
    begins: BTreeMap<u64, u64>,
    /// Up to here everything was committed when the snapshot was made.
    noted: u64,
}

impl Ends {
    fn of(evidence: &Evidence) -> Self {
        let flushed = evidence.sections.iter().filter(|found| !found.compacted);
        let flushed = flushed.map(|found| (found.info.epoch, found.info.base_offset));
        let mut begins: BTreeMap<u64, u64> = BTreeMap::new();
        for (epoch, offset) in flushed.chain(evidence.fences.iter().copied()) {
            let least = begins.entry(epoch).or_insert(offset);
            *least = (*least).min(offset);
        }
        let mut least = u64::MAX;
        for offset in begins.values_mut().rev() {
            least = least.min(*offset);
            *offset = least;
        }
        Self {
            begins,
            noted: evidence.noted.as_ref().map_or(0, |noted| noted.high_watermark),
        }
    }

    /// The first offset of any epoch after this one: what was not committed before that never was.
    fn end(&self, epoch: u64) -> Option<u64> {
        let mut later = self.begins.range(epoch + 1..);
        later.next().map(|(_, offset)| *offset)
    }

    /// Its writer had lost the partition. Compaction copies only what was committed.
    fn is_dead(&self, found: &Found) -> bool {
        !found.compacted
            && self
                .end(found.info.epoch)
                .is_some_and(|end| end <= found.info.base_offset)
    }

    /// Whether anything shows that it was committed.
    fn is_committed(&self, found: &Found) -> bool {
        let next = found.info.next_offset;
        found.compacted || self.noted >= next || self.end(found.info.epoch).is_some_and(|end| end >= next)
    }
}

/// The sections that follow each other from the log start on:
///
/// - dead is what begins where a later epoch began, or after it: its writer had lost the partition;
/// - of those that begin at the same offset a compacted one counts (it copies what was committed), and of several the
///   longest;
/// - after a gap counts only what is known to have been committed: it was compacted, a later epoch went on after it, or
///   the snapshot knew it. Else it may be an upload whose predecessor failed. Its offsets are not given again, since it may
///   have been acknowledged all the same.
pub(super) fn choose(
    at: &TopicPartition,
    evidence: Evidence,
    recovered: &mut Recovered,
) -> RestoredPartition {
    let ends = Ends::of(&evidence);
    let epoch = evidence.epoch();
    let log_start = evidence.noted.as_ref().map_or(0, |noted| noted.log_start);
    let all = evidence.sections.len();
    let mut sections = evidence.sections;
    sections.retain(|found| !ends.is_dead(found) && found.info.next_offset > log_start);
    sections.sort_by_key(|found| {
        let info = &found.info;
        (
            info.base_offset,
            !found.compacted,
            Reverse(info.next_offset),
            info.object,
        )
    });

    let mut problems = Vec::new();
    let mut segments: Vec<SegmentInfo> = Vec::new();
    let mut unproven: Option<(u64, u64)> = None;
    // Before what is known to be its start nothing is missing; else the first that is there is taken for it.
    let mut end = evidence.start_is_known.then_some(log_start);
    for found in sections {
        let info = &found.info;
        // The log start may lie in the first one.
        let base = info.base_offset.max(log_start);
        match end {
            // Inside what was chosen: it was compacted.
            Some(end) if base < end => continue,
            Some(end) if base > end && !ends.is_committed(&found) => {
                let (_, to) = unproven.get_or_insert((end, info.next_offset));
                *to = info.next_offset.max(*to);
                continue;
            }
            Some(end) if base > end => problems.push(format!("offsets {end}..{base} are lost")),
            Some(_) | None => {}
        }
        end = Some(info.next_offset);
        segments.push(found.info);
    }

    let first = segments.first().map(|first| first.base_offset);
    if let Some(first) = first.filter(|first| !evidence.start_is_known && *first > log_start) {
        problems.push(format!(
            "offsets {log_start}..{first} are not there: retained no longer, or lost"
        ));
    }
    let end = end.unwrap_or(log_start);
    if end < ends.noted {
        problems.push(format!("offsets {end}..{} are lost", ends.noted));
    }
    let unproven = unproven.map_or(0, |(from, to)| {
        problems.push(format!(
            "of {from}..{to} something is missing, and nothing shows that what is there was ever committed: it is left out"
        ));
        to
    });
    recovered.left_out += (all - segments.len()) as u64;
    let named = problems.into_iter().map(|problem| format!("{at}: {problem}"));
    recovered.problems.extend(named);
    // Offsets are never given twice, though the records are lost.
    let high_watermark = end.max(ends.noted).max(unproven);
    RestoredPartition {
        at: at.clone(),
        log_start: log_start.max(first.unwrap_or(high_watermark)),
        high_watermark,
        epoch,
        segments,
    }
}

#[cfg(test)]
mod tests;
