//! Reading batches and records of an object.

use bytes::Bytes;

use super::layout::{Head, crc32c};
use super::{BatchIndex, Contents, IndexEntry, Section, SegmentError, Tail, read_tail};
use crate::batch::{Batch, Caps};
use crate::record::Record;
use crate::topic::TopicPartition;

/// Whether `bytes` are the stretch that `entry` speaks of. Costs one pass, which runs at the speed of memory.
///
/// # Errors
/// [`SegmentError::Damaged`] if there are more or fewer, or the checksum does not fit.
pub fn verify_stretch(entry: &IndexEntry, bytes: &[u8]) -> Result<(), SegmentError> {
    let why = if bytes.len() as u64 != u64::from(entry.length) {
        format!("there are {} bytes, it has {}", bytes.len(), entry.length)
    } else {
        let found = crc32c(bytes);
        if found == entry.crc {
            return Ok(());
        }
        format!("its CRC-32C is {found:#010x}, not {:#010x}", entry.crc)
    };
    Err(SegmentError::damaged(why).in_stretch(entry))
}

impl BatchIndex {
    /// Takes stretch `stretch` apart, once it was [verified](verify_stretch). The batches are slices of `bytes`; their
    /// own checksums are not looked at, because the stretch's is over the same bytes.
    ///
    /// # Errors
    /// What [`verify_stretch`] says, and [`SegmentError::Batch`] or [`SegmentError::Damaged`] if what has the right
    /// checksum is nevertheless not what the index says; [`SegmentError::Refused`] if there is no such stretch.
    pub fn split(&self, stretch: usize, mut bytes: Bytes) -> Result<Vec<Batch>, SegmentError> {
        let Some(entry) = self.entries().get(stretch) else {
            let why = format!("there is no stretch {stretch}, only {}", self.entries().len());
            return Err(SegmentError::refused(why));
        };
        verify_stretch(entry, &bytes)?;
        let mut batches = Vec::new();
        let (mut next_offset, mut records, mut max_timestamp) = (entry.base_offset, 0, -1);
        while !bytes.is_empty() {
            let batch = Batch::split_off_front_trusted(&mut bytes)
                .map_err(|error| SegmentError::from(error).in_stretch(entry))?;
            let header = batch.header();
            let base_offset = header.base_offset;
            if base_offset < next_offset || batches.is_empty() && base_offset != next_offset {
                let why = format!("a batch has offset {base_offset}, {next_offset} is the next");
                return Err(SegmentError::damaged(why).in_stretch(entry));
            }
            next_offset = header.next_offset();
            records += u64::from(header.records);
            max_timestamp = header.max_timestamp.max(max_timestamp);
            batches.push(batch);
        }
        let end = self.end_offset(stretch);
        let last = stretch + 1 == self.entries().len();
        let fits = next_offset == end || next_offset < end && !last;
        if !fits || records != u64::from(entry.records) || max_timestamp != entry.max_timestamp {
            let why = format!(
                "its batches have {records} records below offset {next_offset} up to time {max_timestamp}, the index \
                 says {} below {end} up to {}",
                entry.records, entry.max_timestamp
            );
            return Err(SegmentError::damaged(why).in_stretch(entry));
        }
        Ok(batches)
    }
}

/// An object in memory, whole.
#[derive(Clone, Debug)]
pub struct SegmentReader {
    object: Bytes,
    contents: Contents,
}

impl SegmentReader {
    /// Reads head, footer and index. The stretches are verified when they are read.
    ///
    /// # Errors
    /// What [`read_tail`] says, and [`SegmentError::Damaged`] if the head is damaged or is that of another object.
    pub fn open(object: Bytes) -> Result<Self, SegmentError> {
        let contents = match read_tail(object.len() as u64, &object)? {
            Tail::Contents(contents) => contents,
            Tail::Need(range) => {
                let why = format!("its bytes {range} are missing");
                return Err(SegmentError::damaged(why));
            }
        };
        let head = Head::parse(&object).map_err(|error| error.in_object(contents.id))?;
        let Contents { id, kind, .. } = contents;
        if (head.id, head.kind) != (id, kind) {
            let why = format!(
                "it begins as {} segment {} and ends as {kind} segment {id}",
                head.kind, head.id
            );
            return Err(SegmentError::damaged(why).in_object(id));
        }
        Ok(Self { object, contents })
    }

    /// What is in it.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The first records of `at` from `offset` on, `max_records` at most; fewer only where the section ends. Records
    /// are slices of the object where it has them uncompressed.
    ///
    /// # Errors
    /// [`SegmentError::NoSection`] if the object has none of `at`; what [`BatchIndex::split`] says; and
    /// [`SegmentError::Batch`] if the records of a batch cannot be read.
    pub fn read_from(
        &self,
        at: &TopicPartition,
        offset: u64,
        max_records: usize,
    ) -> Result<Vec<Record>, SegmentError> {
        let id = self.contents.id;
        let Some(section) = self.contents.sections.iter().find(|section| section.at == *at) else {
            let error = SegmentError::NoSection {
                place: Box::default(),
                at: at.clone(),
            };
            return Err(error.in_object(id));
        };
        let mut records = Vec::new();
        let stretches = section
            .index
            .find(offset)
            .unwrap_or(section.index.entries().len());
        for stretch in stretches..section.index.entries().len() {
            // What is not wanted any more is not looked at: it may be damaged.
            if records.len() >= max_records {
                break;
            }
            for batch in self.split(section, stretch)? {
                let wanted = max_records.saturating_sub(records.len());
                if wanted == 0 {
                    break;
                }
                if batch.header().next_offset() <= offset {
                    continue;
                }
                batch
                    .decode(&Caps::default())
                    .and_then(|decoded| {
                        let mut cursor = decoded.cursor();
                        decoded.read(&mut cursor, offset, wanted, usize::MAX, &mut records)
                    })
                    .map_err(|error| SegmentError::from(error).in_object(id).in_section(at))?;
            }
        }
        Ok(records)
    }

    /// The batches of section number `section`, in their order; each stretch is verified when its first batch is asked
    /// for. A stretch that cannot be read gives one error, and then the next stretch follows.
    ///
    /// # Errors
    /// [`SegmentError::Refused`] if there are fewer sections. For the items see [`BatchIndex::split`].
    pub fn batches(
        &self,
        section: usize,
    ) -> Result<impl Iterator<Item = Result<Batch, SegmentError>> + use<'_>, SegmentError> {
        let Some(section) = self.contents.sections.get(section) else {
            let why = format!(
                "there is no section {section}, only {}",
                self.contents.sections.len()
            );
            return Err(SegmentError::refused(why).in_object(self.contents.id));
        };
        let stretches = 0..section.index.entries().len();
        Ok(
            stretches.flat_map(move |stretch| match self.split(section, stretch) {
                Ok(batches) => batches.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }),
        )
    }

    fn split(&self, section: &Section, stretch: usize) -> Result<Vec<Batch>, SegmentError> {
        let place = |error: SegmentError| error.in_object(self.contents.id).in_section(&section.at);
        let Some(range) = section.range_of(stretch) else {
            return Err(place(SegmentError::refused(format!(
                "there is no stretch {stretch}"
            ))));
        };
        // It lies before the index: read_tail saw to that.
        let bytes = self.object.slice(range.start() as usize..range.end() as usize);
        section.index.split(stretch, bytes).map_err(place)
    }
}
