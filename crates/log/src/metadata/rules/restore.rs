//! A whole store, checked and laid out as rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ulid::Ulid;

use super::super::error::{MetadataError, Result};
use super::super::store::{CommittedOffset, NewSegment, Restored, RestoredPartition, SegmentInfo};
use super::{EndsRow, SegmentRow, TopicRow, group_name, has, int, invalid, key, note, partition_count, pid};
use crate::topic::{TopicName, TopicPartition};

/// The rows of a whole store. Topics are numbered from 1 in their order.
pub(in super::super) struct RestorePlan {
    pub(in super::super) topics: Vec<TopicRow>,
    /// By number; those of a topic that do not stand here are empty.
    pub(in super::super) partitions: HashMap<i64, EndsRow>,
    pub(in super::super) segments: Vec<RestoredSegment>,
    pub(in super::super) objects: Vec<RestoredObject>,
    /// Group, then partition, offset, metadata, time.
    pub(in super::super) groups: Vec<(String, Vec<(i64, CommittedOffset)>)>,
}

/// A segment with its partition's number, its object and the greatest timestamp up to it.
pub(in super::super) struct RestoredSegment {
    pub(in super::super) pid: i64,
    pub(in super::super) object: Ulid,
    pub(in super::super) running: i64,
    pub(in super::super) row: SegmentRow,
}

/// An object and how many segments refer to it.
pub(in super::super) struct RestoredObject {
    pub(in super::super) id: Ulid,
    pub(in super::super) key: Arc<str>,
    pub(in super::super) size: i64,
    pub(in super::super) etag: Arc<str>,
    pub(in super::super) refs: i64,
}

impl RestorePlan {
    /// Checks everything that the store relies on.
    pub(in super::super) fn of(all: &Restored) -> Result<Self> {
        let mut plan = Self {
            topics: Vec::with_capacity(all.topics.len()),
            partitions: HashMap::new(),
            segments: Vec::new(),
            objects: Vec::new(),
            groups: Vec::new(),
        };
        let mut numbers = HashMap::new();
        for (n, topic) in all.topics.iter().enumerate() {
            partition_count(&topic.name, topic.partitions)?;
            if numbers
                .insert(&topic.name, (n as i64 + 1, topic.partitions))
                .is_some()
            {
                return Err(invalid(format!("topic {} stands there twice", topic.name)));
            }
            plan.topics.push(TopicRow {
                name: topic.name.as_str().to_owned(),
                partitions: i64::from(topic.partitions),
                config: TopicRow::config(&topic.config)?,
                created_ms: topic.created_ms,
            });
        }
        let mut objects = HashMap::new();
        for partition in &all.partitions {
            let number = number(&numbers, &partition.at)?;
            plan.partition(number, partition, &mut objects)?;
        }
        let mut keys = HashSet::new();
        if let Some(twice) = plan.objects.iter().find(|object| !keys.insert(&object.key)) {
            return Err(invalid(format!("two objects have the key {}", twice.key)));
        }
        plan.groups(&numbers, &all.groups)?;
        Ok(plan)
    }

    fn partition(
        &mut self,
        number: i64,
        partition: &RestoredPartition,
        objects: &mut HashMap<Ulid, usize>,
    ) -> Result<()> {
        let at = &partition.at;
        if partition.log_start > partition.high_watermark {
            return Err(invalid(format!(
                "{at} begins at offset {} and ends at {}",
                partition.log_start, partition.high_watermark
            )));
        }
        let mut bytes = 0u64;
        let (mut running, mut end) = (-1, 0);
        for segment in &partition.segments {
            if segment.at != *at {
                return Err(invalid(format!("{at} has a segment of {}", segment.at)));
            }
            if segment.base_offset < end
                || segment.next_offset <= partition.log_start
                || segment.next_offset > partition.high_watermark
            {
                return Err(invalid(format!(
                    "{at}: the segment {}..{} does not lie between the one before, the log start {} and the end {}",
                    segment.base_offset, segment.next_offset, partition.log_start, partition.high_watermark
                )));
            }
            end = segment.next_offset;
            running = running.max(segment.max_timestamp);
            bytes = bytes
                .checked_add(segment.length)
                .ok_or_else(|| invalid(format!("{at} has more bytes than can be counted")))?;
            let new = NewSegment {
                at: at.clone(),
                epoch: segment.epoch,
                base_offset: segment.base_offset,
                next_offset: segment.next_offset,
                position: segment.position,
                length: segment.length,
                records: segment.records,
                max_timestamp: segment.max_timestamp,
                index: segment.index.clone(),
            };
            self.segments.push(RestoredSegment {
                pid: number,
                object: segment.object,
                running,
                row: SegmentRow::of(&new, segment.object_size)?,
            });
            self.object(segment, objects)?;
        }
        let ends = EndsRow {
            log_start: int("a log start", partition.log_start)?,
            next_offset: int("a high watermark", partition.high_watermark)?,
            segments: partition.segments.len() as i64,
            bytes: int("a number of bytes", bytes)?,
            epoch: int("an epoch", partition.epoch)?,
        };
        if self.partitions.insert(number, ends).is_some() {
            return Err(invalid(format!("partition {at} stands there twice")));
        }
        Ok(())
    }

    fn object(&mut self, segment: &SegmentInfo, objects: &mut HashMap<Ulid, usize>) -> Result<()> {
        let size = int("the size of an object", segment.object_size)?;
        if let Some(n) = objects.get(&segment.object) {
            let known = &mut self.objects[*n];
            if known.key != segment.key || known.size != size || known.etag != segment.etag {
                return Err(invalid(format!(
                    "object {} is described in two ways: {} with {} bytes, and {} with {size}",
                    segment.object, known.key, known.size, segment.key
                )));
            }
            known.refs += 1;
            return Ok(());
        }
        key(&segment.key)?;
        super::text("an entity tag", &segment.etag, 1024)?;
        objects.insert(segment.object, self.objects.len());
        self.objects.push(RestoredObject {
            id: segment.object,
            key: Arc::clone(&segment.key),
            size,
            etag: Arc::clone(&segment.etag),
            refs: 1,
        });
        Ok(())
    }

    fn groups(
        &mut self,
        numbers: &HashMap<&TopicName, (i64, u32)>,
        groups: &[(String, TopicPartition, CommittedOffset)],
    ) -> Result<()> {
        let mut by_name = HashMap::new();
        let mut seen = HashSet::new();
        for (group, at, committed) in groups {
            group_name(group)?;
            note(committed.metadata.as_deref())?;
            int("a committed offset", committed.offset)?;
            let number = number(numbers, at)?;
            if !seen.insert((group, number)) {
                return Err(invalid(format!(
                    "group {group} has two committed offsets for {at}"
                )));
            }
            let n = *by_name.entry(group).or_insert_with(|| {
                self.groups.push((group.clone(), Vec::new()));
                self.groups.len() - 1
            });
            self.groups[n].1.push((number, committed.clone()));
        }
        Ok(())
    }
}

fn number(numbers: &HashMap<&TopicName, (i64, u32)>, at: &TopicPartition) -> Result<i64> {
    let Some((topic, partitions)) = numbers.get(&at.topic) else {
        return Err(MetadataError::UnknownTopic {
            topic: at.topic.clone(),
        });
    };
    has(at, *partitions)?;
    Ok(pid(*topic, at.partition))
}
