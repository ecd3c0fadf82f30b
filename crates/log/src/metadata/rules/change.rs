//! What may become part of a partition.

use std::sync::Arc;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use ulid::Ulid;

use super::super::error::{MetadataError, Result};
use super::super::store::{Commit, Compaction, NewSegment};
use super::{MAX_INDEX, Wrong, int, invalid, no_twice, text};
use crate::topic::TopicPartition;

/// Longest entity tag.
const MAX_ETAG: usize = 1024;

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum ObjectState {
    /// Registered.
    Pending = 0,
    /// Segments refer to it.
    Live = 1,
    /// Never committed, and never will be.
    Dead = 2,
    /// It was committed, and no segment refers to it any more.
    Retired = 3,
}

impl ObjectState {
    pub(in super::super) fn stored(number: i64) -> Result<Self, Wrong> {
        match number {
            0 => Ok(Self::Pending),
            1 => Ok(Self::Live),
            2 => Ok(Self::Dead),
            3 => Ok(Self::Retired),
            _ => Err(Wrong(format!("an object is in state {number}"))),
        }
    }
}

/// What decides whether an object may be committed.
pub(in super::super) struct ObjectRow {
    pub(in super::super) state: ObjectState,
    /// Checksum of the commit that made it live; `None` before, and for one that was restored.
    pub(in super::super) print: Option<i64>,
}

/// Whether a commit of this object with this checksum was done already (`true`) or is to be done now.
pub(in super::super) fn repeat(id: Ulid, row: Option<&ObjectRow>, print: i64) -> Result<bool> {
    let Some(row) = row else {
        return Err(MetadataError::UploadDead { id });
    };
    match row.state {
        ObjectState::Pending => Ok(false),
        ObjectState::Dead => Err(MetadataError::UploadDead { id }),
        ObjectState::Live | ObjectState::Retired if row.print == Some(print) => Ok(true),
        ObjectState::Live | ObjectState::Retired => Err(invalid(format!(
            "upload {id} was committed already, with other contents"
        ))),
    }
}

/// Whether an upload can be registered that is known already: the same once more is nothing new.
pub(in super::super) fn may_become_live(id: Ulid, state: ObjectState, known: &str, key: &str) -> Result<()> {
    match state {
        _ if known != key => Err(invalid(format!(
            "upload {id} is registered with another key, {known}"
        ))),
        ObjectState::Pending => Ok(()),
        ObjectState::Dead => Err(MetadataError::UploadDead { id }),
        ObjectState::Live | ObjectState::Retired => {
            Err(invalid(format!("upload {id} was committed already")))
        }
    }
}

/// A new segment as it is stored.
#[derive(Clone, Debug)]
pub(in super::super) struct SegmentRow {
    pub(in super::super) at: TopicPartition,
    pub(in super::super) epoch: i64,
    pub(in super::super) base_offset: i64,
    pub(in super::super) next_offset: i64,
    pub(in super::super) position: i64,
    pub(in super::super) length: i64,
    pub(in super::super) records: i64,
    pub(in super::super) max_timestamp: i64,
    pub(in super::super) index: Bytes,
}

impl SegmentRow {
    pub(in super::super) fn of(segment: &NewSegment, object_size: u64) -> Result<Self> {
        let at = &segment.at;
        if segment.base_offset >= segment.next_offset {
            return Err(invalid(format!(
                "a segment of {at} from offset {} to {} holds nothing",
                segment.base_offset, segment.next_offset
            )));
        }
        let end = segment.position.checked_add(segment.length);
        if end.is_none_or(|end| end > object_size) {
            return Err(invalid(format!(
                "a segment of {at} at {} with {} bytes lies beyond its object's {object_size} bytes",
                segment.position, segment.length
            )));
        }
        if segment.max_timestamp < -1 {
            return Err(invalid(format!(
                "a segment of {at} has the greatest timestamp {}: it is -1 (none) or more",
                segment.max_timestamp
            )));
        }
        if segment.index.len() > MAX_INDEX {
            return Err(invalid(format!(
                "the index of a segment of {at} has {} bytes",
                segment.index.len()
            )));
        }
        Ok(Self {
            at: at.clone(),
            epoch: int("an epoch", segment.epoch)?,
            base_offset: int("an offset", segment.base_offset)?,
            next_offset: int("an offset", segment.next_offset)?,
            position: int("a position", segment.position)?,
            length: int("a length", segment.length)?,
            records: int("a number of records", segment.records)?,
            max_timestamp: segment.max_timestamp,
            index: segment.index.clone(),
        })
    }

    fn print(&self, digest: &mut Digest) {
        digest.update(self.at.to_string().as_bytes());
        let numbers = [
            self.epoch,
            self.base_offset,
            self.next_offset,
            self.position,
            self.length,
            self.records,
            self.max_timestamp,
            self.index.len() as i64,
        ];
        for number in numbers {
            digest.update(&number.to_le_bytes());
        }
        digest.update(&self.index);
    }
}

/// A checked [`Commit`].
#[derive(Clone, Debug)]
pub(in super::super) struct CommitRow {
    pub(in super::super) id: Ulid,
    pub(in super::super) size: i64,
    pub(in super::super) etag: Arc<str>,
    pub(in super::super) segments: Vec<SegmentRow>,
    /// Tells whether it is the same when it is said again.
    pub(in super::super) print: i64,
}

impl CommitRow {
    pub(in super::super) fn of(commit: &Commit) -> Result<Self> {
        if commit.segments.is_empty() {
            return Err(invalid(format!(
                "upload {} has no segments: abandon it",
                commit.id
            )));
        }
        text("an entity tag", &commit.etag, MAX_ETAG)?;
        no_twice(commit.segments.iter().map(|segment| &segment.at))?;
        let segments: Result<Vec<_>> = commit
            .segments
            .iter()
            .map(|segment| SegmentRow::of(segment, commit.object_size))
            .collect();
        let segments = segments?;
        let mut digest = start(commit.object_size, &commit.etag);
        for segment in &segments {
            segment.print(&mut digest);
        }
        Ok(Self {
            id: commit.id,
            size: int("the size of an object", commit.object_size)?,
            etag: Arc::clone(&commit.etag),
            segments,
            print: digest.finalize() as i64,
        })
    }
}

/// A checked [`Compaction`].
#[derive(Clone, Debug)]
pub(in super::super) struct CompactionRow {
    pub(in super::super) id: Ulid,
    pub(in super::super) size: i64,
    pub(in super::super) etag: Arc<str>,
    pub(in super::super) segment: SegmentRow,
    pub(in super::super) replaces: Vec<(i64, Ulid)>,
    /// Tells whether it is the same when it is said again.
    pub(in super::super) print: i64,
}

impl CompactionRow {
    pub(in super::super) fn of(compaction: &Compaction) -> Result<Self> {
        let segment = SegmentRow::of(&compaction.segment, compaction.object_size)?;
        text("an entity tag", &compaction.etag, MAX_ETAG)?;
        let first = compaction.replaces.first().map(|(base, _)| *base);
        if first != Some(compaction.segment.base_offset) {
            return Err(invalid(format!(
                "a compaction of {} begins at offset {}, but what it replaces does not",
                segment.at, segment.base_offset
            )));
        }
        if compaction.replaces.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(invalid(format!(
                "what a compaction of {} replaces is not in order",
                segment.at
            )));
        }
        let mut digest = start(compaction.object_size, &compaction.etag);
        segment.print(&mut digest);
        let mut replaces = Vec::with_capacity(compaction.replaces.len());
        for (base, object) in &compaction.replaces {
            digest.update(&base.to_le_bytes());
            digest.update(&object.to_bytes());
            replaces.push((int("an offset", *base)?, *object));
        }
        Ok(Self {
            id: compaction.id,
            size: int("the size of an object", compaction.object_size)?,
            etag: Arc::clone(&compaction.etag),
            segment,
            replaces,
            print: digest.finalize() as i64,
        })
    }
}

fn start(size: u64, etag: &str) -> Digest {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    digest.update(&size.to_le_bytes());
    digest.update(&(etag.len() as u64).to_le_bytes());
    digest.update(etag.as_bytes());
    digest
}

/// Whether a segment may be committed to a partition that has this epoch, owner or none, and next offset.
pub(in super::super) fn may_commit(
    segment: &SegmentRow,
    epoch: i64,
    owned: bool,
    next_offset: i64,
) -> Result<()> {
    if segment.epoch != epoch || !owned {
        return Err(MetadataError::Fenced {
            at: segment.at.clone(),
            epoch: segment.epoch.unsigned_abs(),
            current: epoch.unsigned_abs(),
        });
    }
    if segment.base_offset != next_offset {
        return Err(MetadataError::OutOfOrder {
            at: segment.at.clone(),
            expected: next_offset.unsigned_abs(),
            got: segment.base_offset.unsigned_abs(),
        });
    }
    Ok(())
}

/// Whether the segments that are there (base offset, next offset, object) are those that a compaction replaces.
pub(in super::super) fn check_replaced(compaction: &CompactionRow, there: &[(i64, i64, Ulid)]) -> Result<()> {
    let moved = |what: String| {
        Err(MetadataError::Moved {
            at: compaction.segment.at.clone(),
            what,
        })
    };
    let mut follows = compaction.segment.base_offset;
    for (n, (base, object)) in compaction.replaces.iter().enumerate() {
        match there.get(n) {
            Some((found, _, there)) if found == base && there == object => {}
            Some((found, _, there)) if found == base => {
                return moved(format!(
                    "the one at offset {base} is in object {there}, not in {object}"
                ));
            }
            _ => return moved(format!("there is none at offset {base} in object {object}")),
        }
        if *base != follows {
            return moved(format!("the one before offset {base} ends at {follows}"));
        }
        follows = there[n].1;
    }
    if let Some((base, ..)) = there.get(compaction.replaces.len()) {
        return moved(format!("there is one more at offset {base}"));
    }
    if follows != compaction.segment.next_offset {
        return moved(format!(
            "they end at offset {follows}, not at {}",
            compaction.segment.next_offset
        ));
    }
    Ok(())
}
