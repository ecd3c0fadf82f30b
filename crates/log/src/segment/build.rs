//! Making an object out of batches.

use std::collections::HashSet;

use bytes::{BufMut, Bytes};
use forebay_types::limits::{MAX_SEGMENT_INDEX_BYTES, MAX_SEGMENT_SECTIONS, MAX_SEGMENT_STRETCHES};
use ulid::Ulid;

use super::index::{ENTRY, encoded_len};
use super::layout::{Crc, FOOTER, Footer, HEAD, Head, crc32c};
use super::tail::{SECTION_FRONT, read_tail};
use super::{BatchIndex, Built, IndexEntry, STRETCH, Section, SegmentError, SegmentKind, Tail};
use crate::batch::BatchHeader;
use crate::topic::TopicPartition;

/// Gathers batches to one object. They are kept as they come, and are never copied.
pub struct SegmentBuilder {
    id: Ulid,
    kind: SegmentKind,
    chunks: Vec<Bytes>,
    /// Where the next batch goes.
    end: u64,
    /// Bytes of the index block so far.
    index: u64,
    seen: HashSet<TopicPartition>,
    done: Vec<Section>,
    open: Option<Open>,
}

/// The section that batches are pushed to.
struct Open {
    at: TopicPartition,
    epoch: u64,
    position: u64,
    next_offset: u64,
    stretches: Vec<IndexEntry>,
    /// Of the last stretch, as long as it grows.
    crc: Option<Crc>,
}

impl SegmentBuilder {
    /// An object of no sections, which will be called `id`.
    pub fn new(id: Ulid, kind: SegmentKind) -> Self {
        let mut head = Vec::with_capacity(HEAD);
        Head { id, kind }.put(&mut head);
        Self {
            id,
            kind,
            chunks: vec![head.into()],
            end: HEAD as u64,
            index: 0,
            seen: HashSet::new(),
            done: Vec::new(),
            open: None,
        }
    }

    /// The batches that come from now on are those of `at`, written in `epoch`. A section that gets no batch is left out.
    ///
    /// # Errors
    /// [`SegmentError::Refused`] if there was a section of `at`, if a compacted object would get a second one, or
    /// if the object has as many as it may have. The builder is as before.
    pub fn begin_section(&mut self, at: &TopicPartition, epoch: u64) -> Result<(), SegmentError> {
        let refused = |why: String| Err(SegmentError::refused(why).in_object(self.id).in_section(at));
        let sections = self.seen.len();
        if self.seen.contains(at) {
            return refused("there was a section of it already".to_owned());
        }
        if self.kind == SegmentKind::Compacted && sections > 0 {
            return refused("a compacted segment has one section".to_owned());
        }
        if sections == MAX_SEGMENT_SECTIONS {
            return refused(format!(
                "the segment has {sections} sections, more it may not have"
            ));
        }
        self.close();
        self.seen.insert(at.clone());
        self.open = Some(Open {
            at: at.clone(),
            epoch,
            position: self.end,
            next_offset: 0,
            stretches: Vec::new(),
            crc: None,
        });
        Ok(())
    }

    /// Adds one whole batch, with its final offsets, to the section that was begun last. Offsets may be missing between
    /// the batch before and this one. That its own checksum fits is for the caller to know.
    ///
    /// # Errors
    /// [`SegmentError::Batch`] if it is no batch; [`SegmentError::Refused`] if there is no section, if it is more or
    /// less than one batch, if its offsets do not rise, or if the object becomes too large for its index. The builder
    /// is as before.
    pub fn push_batch(&mut self, batch: Bytes) -> Result<(), SegmentError> {
        let Some(open) = &mut self.open else {
            let error = SegmentError::refused("a batch came before the first section was begun");
            return Err(error.in_object(self.id));
        };
        let added = open
            .push(&batch, self.end, self.index)
            .map_err(|error| error.in_object(self.id).in_section(&open.at))?;
        self.end += batch.len() as u64;
        self.index += added;
        self.chunks.push(batch);
        Ok(())
    }

    /// Bytes of the object if it were finished now, to the byte.
    #[expect(
        clippy::len_without_is_empty,
        reason = "an object has a head and a footer: it is never empty"
    )]
    pub fn len(&self) -> u64 {
        self.end + self.index + FOOTER as u64
    }

    /// Ends the object. What its end says is read back, so that none is uploaded that no one can read.
    ///
    /// # Errors
    /// What was built cannot be read: a fault of this program.
    pub fn finish(mut self) -> Result<Built, SegmentError> {
        self.close();
        let size = self.len();
        let mut tail = Vec::with_capacity((size - self.end) as usize);
        for section in &self.done {
            put_section(section, &mut tail);
        }
        let footer = Footer {
            index_position: self.end,
            index_length: tail.len() as u64,
            index_crc: crc32c(&tail),
            // Not more than MAX_SEGMENT_SECTIONS.
            sections: self.done.len() as u32,
            size,
            id: self.id,
            kind: self.kind,
        };
        footer.put(&mut tail);
        let tail = Bytes::from(tail);
        let contents = match read_tail(size, &tail)? {
            Tail::Contents(contents) if contents.sections == self.done => contents,
            Tail::Contents(_) | Tail::Need(_) => {
                let error = SegmentError::refused("what was built reads as something else");
                return Err(error.in_object(self.id));
            }
        };
        self.chunks.push(tail);
        Ok(Built {
            id: contents.id,
            kind: contents.kind,
            chunks: self.chunks,
            size,
            sections: contents.sections,
        })
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.done.extend(open.close(self.end));
        }
    }
}

impl Open {
    /// Takes note of `batch`, which will lie at byte `end` of the object; `index` is what the object's index has so far.
    /// Returns by how much that grows.
    fn push(&mut self, batch: &[u8], end: u64, index: u64) -> Result<u64, SegmentError> {
        let header = BatchHeader::parse(batch)?;
        let (base_offset, next_offset) = (header.base_offset, header.next_offset());
        if header.len != batch.len() {
            let why = format!("{} bytes for a batch of {}", batch.len(), header.len);
            return Err(SegmentError::refused(why));
        }
        if base_offset < self.next_offset {
            let why = format!(
                "a batch of offset {base_offset} came when {} was the next",
                self.next_offset
            );
            return Err(SegmentError::refused(why));
        }
        if next_offset <= base_offset || u64::from(header.records) > next_offset - base_offset {
            let why = format!(
                "a batch of {} records has the offsets {base_offset}..{next_offset}",
                header.records
            );
            return Err(SegmentError::refused(why));
        }
        let too_large = |why: &'static str| Err(SegmentError::refused(why));
        let Ok(length) = u32::try_from(batch.len()) else {
            return too_large("a batch is longer than 4 GiB");
        };
        let mut added = 0;
        if let (Some(crc), Some(stretch)) = (&mut self.crc, self.stretches.last_mut()) {
            let length = stretch.length.checked_add(length);
            let records = stretch.records.checked_add(header.records);
            let (Some(length), Some(records)) = (length, records) else {
                return too_large("less than 64 KiB of batches say that they have 2^32 records");
            };
            stretch.length = length;
            stretch.records = records;
            stretch.max_timestamp = stretch.max_timestamp.max(header.max_timestamp);
            crc.update(batch);
        } else {
            if self.stretches.len() == MAX_SEGMENT_STRETCHES {
                return too_large("the section has as many stretches as it may have: begin another segment");
            }
            added = ENTRY as u64;
            if self.stretches.is_empty() {
                added += (SECTION_FRONT + self.at.topic.as_str().len() + encoded_len(0)) as u64;
            }
            if index + added > MAX_SEGMENT_INDEX_BYTES {
                return too_large("the index of the segment is as large as it may be: begin another one");
            }
            let mut crc = Crc::new();
            crc.update(batch);
            self.crc = Some(crc);
            self.stretches.push(IndexEntry {
                base_offset,
                position: end - self.position,
                length,
                crc: 0,
                records: header.records,
                max_timestamp: header.max_timestamp.max(-1),
            });
        }
        self.next_offset = next_offset;
        if self
            .stretches
            .last()
            .is_some_and(|stretch| u64::from(stretch.length) >= STRETCH)
        {
            self.end_stretch();
        }
        Ok(added)
    }

    fn end_stretch(&mut self) {
        if let (Some(crc), Some(stretch)) = (self.crc.take(), self.stretches.last_mut()) {
            stretch.crc = crc.get();
        }
    }

    /// The section, which ends at byte `end` of the object; `None` if it got no batch.
    fn close(mut self, end: u64) -> Option<Section> {
        self.end_stretch();
        let base_offset = self.stretches.first()?.base_offset;
        Some(Section {
            at: self.at,
            epoch: self.epoch,
            base_offset,
            next_offset: self.next_offset,
            records: self
                .stretches
                .iter()
                .map(|stretch| u64::from(stretch.records))
                .sum(),
            max_timestamp: self.stretches.iter().map(|stretch| stretch.max_timestamp).max()?,
            position: self.position,
            length: end - self.position,
            index: BatchIndex::new(&self.stretches, self.next_offset),
        })
    }
}

pub(super) fn put_section(section: &Section, out: &mut Vec<u8>) {
    let topic = section.at.topic.as_str();
    // 249 at most.
    out.put_u8(topic.len() as u8);
    out.put_slice(topic.as_bytes());
    out.put_u32(section.at.partition);
    out.put_u64(section.epoch);
    out.put_u64(section.base_offset);
    out.put_u64(section.next_offset);
    out.put_u64(section.records);
    out.put_i64(section.max_timestamp);
    out.put_u64(section.position);
    out.put_u64(section.length);
    section.index.put(out);
}

#[cfg(test)]
mod tests;
