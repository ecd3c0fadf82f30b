//! Rebuilding the metadata from the bucket, and comparing the two.

mod choose;
mod look;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::log::Log;
use crate::metadata::{Restored, RestoredPartition, SegmentInfo, TopicConfig, TopicInfo};
use crate::notes::Snapshot;
use crate::topic::{TopicName, TopicPartition};
use choose::{Evidence, choose};
use look::Bucketful;

/// Segments of the metadata looked at at a time.
const PAGE: usize = 256;

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
        let (restored, recovered) = self.rebuild().await?;
        self.metadata().restore(&restored, replace).await?;
        Ok(recovered)
    }

    /// Compares metadata and bucket: says each difference that matters, and changes nothing. Uploads on their way are none.
    ///
    /// # Errors
    /// Of bucket and metadata.
    pub async fn check(&self) -> Result<Vec<String>> {
        let (restored, recovered) = self.rebuild().await?;
        let keys: BTreeSet<_> = self
            .shared
            .bucket
            .list("")
            .await?
            .into_iter()
            .map(|meta| (meta.location.to_string(), meta.size))
            .collect();
        let mut found = recovered.problems;
        for topic in &restored.topics {
            if self.metadata().topic(&topic.name).await?.is_none() {
                found.push(format!(
                    "the metadata has no topic {}, the bucket has",
                    topic.name
                ));
            }
        }
        let known: BTreeSet<_> = restored.topics.iter().map(|topic| topic.name.clone()).collect();
        for at in restored
            .partitions
            .iter()
            .filter(|part| known.contains(&part.at.topic))
        {
            if self.metadata().topic(&at.at.topic).await?.is_some() {
                self.compare(at, &keys, &mut found).await?;
            }
        }
        Ok(found)
    }

    async fn compare(
        &self,
        part: &RestoredPartition,
        keys: &BTreeSet<(String, u64)>,
        found: &mut Vec<String>,
    ) -> Result<()> {
        let at = &part.at;
        let ends = self
            .metadata()
            .partitions(std::slice::from_ref(at))
            .await?
            .swap_remove(0);
        if ends.high_watermark < part.high_watermark {
            found.push(format!(
                "{at}: the metadata ends at {}, the bucket has records up to {}",
                ends.high_watermark, part.high_watermark
            ));
        }
        let mut from = ends.log_start;
        loop {
            let page = self.metadata().segments_from(&[(at.clone(), from)], PAGE).await?;
            let page = page.into_iter().next().unwrap_or_default();
            for segment in &page {
                if segment.base_offset > from {
                    found.push(format!(
                        "{at}: nothing is stored of {from}..{}",
                        segment.base_offset
                    ));
                }
                from = segment.next_offset;
                if !keys.contains(&(segment.key.to_string(), segment.object_size)) {
                    found.push(format!(
                        "{at}: offsets {}..{} should be in {} of {} bytes, which is not there",
                        segment.base_offset, segment.next_offset, segment.key, segment.object_size
                    ));
                }
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn rebuild(&self) -> Result<(Restored, Recovered)> {
        let mut recovered = Recovered::default();
        let Bucketful { sections, fences } = self.look(&mut recovered.problems).await?;
        let snapshot = self.newest_snapshot(&mut recovered.problems).await?;
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
        for (at, evidence) in evidence {
            let part = choose(&at, evidence, &mut recovered);
            recovered.partitions += u64::from(!part.segments.is_empty());
            recovered.segments += part.segments.len() as u64;
            recovered.records += part.segments.iter().map(|segment| segment.records).sum::<u64>();
            partitions.push(part);
        }
        let topics = self.topics_of(snapshot.as_ref(), &partitions, &mut recovered.problems);
        recovered.topics = topics.len() as u64;
        let groups: Vec<_> = snapshot
            .into_iter()
            .flat_map(|snapshot| snapshot.groups)
            .map(|offset| (offset.group.clone(), offset.at(), offset.committed))
            .collect();
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

/// A section that was found in the bucket.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) info: SegmentInfo,
    pub(crate) compacted: bool,
}
