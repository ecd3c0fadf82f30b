//! Rebuilding the metadata from the bucket, and comparing the two.

mod check;
mod choose;
mod look;

use std::collections::BTreeMap;

use crate::error::Result;
use crate::log::Log;
use crate::metadata::{CommittedOffset, Restored, RestoredPartition, SegmentInfo, TopicConfig, TopicInfo};
use crate::notes::Snapshot;
use crate::topic::{TopicName, TopicPartition};
use choose::{Evidence, choose};
use look::Bucketful;

/// Segments of the metadata looked at at a time.
const PAGE: usize = 256;

/// Epochs that a recovery leaves out. A writer of before may have a lease that the bucket does not tell of; were its epoch given
/// again, it would not be fenced. More than can have been given since the last object; room for 2^31 recoveries.
const EPOCHS_LEFT_OUT: u64 = 1 << 32;

/// What a recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Topics.
    pub topics: u64,
    /// Partitions that have something.
    pub partitions: u64,
    /// Segments.
    pub segments: u64,
    /// Records.
    pub records: u64,
    /// Committed offsets of groups, of the last snapshot.
    pub committed_offsets: u64,
    /// Sections of objects that are part of nothing: never committed, or compacted into another.
    pub left_out: u64,
    /// What could not be rebuilt, or may be wrong.
    pub problems: Vec<String>,
}

impl Log {
    /// Rebuilds the metadata from the bucket: topics, segments and the ends of partitions from the objects, settings of topics and
    /// offsets of groups from the newest snapshot. What was never committed is left out, as far as the bucket can tell: by
    /// fences, epochs and offsets. The end of a partition may be an upload whose writer died before it was acknowledged.
    ///
    /// Nobody may write meanwhile. Writers from before are fenced by the new epochs.
    ///
    /// # Errors
    /// If the metadata knows a topic already, unless it is to be replaced; of bucket and metadata. Then nothing has changed.
    ///
    /// # Cancel safety
    /// The metadata is as before, or rebuilt.
    pub async fn recover(&self, replace: bool) -> Result<Recovered> {
        let (mut restored, recovered) = self.rebuild().await?;
        for part in &mut restored.partitions {
            part.epoch += EPOCHS_LEFT_OUT;
        }
        self.metadata().restore(&restored, replace).await?;
        Ok(recovered)
    }

    async fn rebuild(&self) -> Result<(Restored, Recovered)> {
        let mut recovered = Recovered::default();
        let Bucketful { sections, fences } = self.look(&mut recovered.problems).await?;
        let newest = self.newest_snapshot(&mut recovered.problems).await?;
        let start_is_known = newest.as_ref().is_some_and(|(_, is_newest)| *is_newest);
        let snapshot = newest.map(|(snapshot, _)| snapshot);
        if snapshot.is_none() {
            let what = "there is no snapshot: topics without records, settings of topics and offsets of groups are lost";
            recovered.problems.push(what.to_owned());
        }
        let mut evidence: BTreeMap<TopicPartition, Evidence> = BTreeMap::new();
        for fenced in fences {
            let evidence = evidence.entry(fenced.at()).or_default();
            evidence.fences.push((fenced.epoch, fenced.next_offset));
        }
        for noted in snapshot.iter().flat_map(|snapshot| &snapshot.partitions) {
            evidence.entry(noted.at()).or_default().noted = Some(noted.clone());
        }
        for section in sections {
            evidence
                .entry(section.info.at.clone())
                .or_default()
                .sections
                .push(section);
        }
        let mut partitions = Vec::new();
        for (at, mut evidence) in evidence {
            evidence.start_is_known = start_is_known;
            let part = choose(&at, evidence, &mut recovered);
            recovered.partitions += u64::from(!part.segments.is_empty());
            recovered.segments += part.segments.len() as u64;
            recovered.records += part.segments.iter().map(|segment| segment.records).sum::<u64>();
            partitions.push(part);
        }
        let topics = self.topics_of(snapshot.as_ref(), &partitions, &mut recovered.problems);
        recovered.topics = topics.len() as u64;
        let groups = groups_of(snapshot, &topics, &mut recovered.problems);
        recovered.committed_offsets = groups.len() as u64;
        let restored = Restored {
            topics,
            partitions,
            groups,
        };
        Ok((restored, recovered))
    }

    /// The topics of the snapshot, and those that only their segments tell of.
    fn topics_of(
        &self,
        snapshot: Option<&Snapshot>,
        partitions: &[RestoredPartition],
        problems: &mut Vec<String>,
    ) -> Vec<TopicInfo> {
        let mut topics: BTreeMap<TopicName, TopicInfo> = snapshot
            .iter()
            .flat_map(|snapshot| &snapshot.topics)
            .map(|topic| (topic.name.clone(), topic.clone()))
            .collect();
        for part in partitions {
            let TopicPartition { topic, partition } = &part.at;
            let info = topics.entry(topic.clone()).or_insert_with(|| {
                problems.push(format!(
                    "{topic}: how many partitions it had, and its settings, are not known"
                ));
                TopicInfo {
                    name: topic.clone(),
                    partitions: 1,
                    config: TopicConfig::default(),
                    created_ms: self.now_ms(),
                }
            });
            info.partitions = info.partitions.max(partition + 1);
        }
        topics.into_values().collect()
    }
}

/// The committed offsets of the snapshot. A topic may have been made while it was written, and is not in it.
fn groups_of(
    snapshot: Option<Snapshot>,
    topics: &[TopicInfo],
    problems: &mut Vec<String>,
) -> Vec<(String, TopicPartition, CommittedOffset)> {
    let partitions: BTreeMap<_, _> = topics
        .iter()
        .map(|topic| (&topic.name, topic.partitions))
        .collect();
    let mut groups = Vec::new();
    for offset in snapshot.into_iter().flat_map(|snapshot| snapshot.groups) {
        let at = offset.at();
        if partitions.get(&at.topic).is_some_and(|has| at.partition < *has) {
            groups.push((offset.group, at, offset.committed));
        } else {
            problems.push(format!(
                "group {} committed an offset for {at}, of which nothing else is known: left out",
                forebay_types::printable(&offset.group)
            ));
        }
    }
    groups
}

/// A section that was found in the bucket.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) info: SegmentInfo,
    pub(crate) compacted: bool,
}
