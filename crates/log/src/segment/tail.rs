//! What an object says at its end: footer and index block.

use std::collections::HashSet;

use bytes::{Buf, Bytes};
use forebay_types::ByteRange;
use forebay_types::limits::{MAX_SEGMENT_INDEX_BYTES, MAX_SEGMENT_SECTIONS};

use super::index::{encoded_len, peek_len};
use super::layout::{FOOTER, Footer, HEAD, crc32c};
use super::{BatchIndex, Contents, Section, SegmentError, SegmentKind, TAIL_GUESS, Tail};
use crate::topic::{TopicName, TopicPartition};

/// Bytes of a section in the index block, without the topic's name and the batch index.
pub(super) const SECTION_FRONT: usize = 1 + 4 + 7 * 8;

/// The least that a section can take there: a name of one letter, one stretch.
const SECTION_LEAST: usize = SECTION_FRONT + 1 + encoded_len(1);

/// Reads what an object of `object_size` bytes says at its end; `tail` is any number of its last bytes, best
/// [`TAIL_GUESS`]. Nothing is believed before its checksum fitted, nothing is allocated before its size was checked.
///
/// # Errors
/// [`SegmentError::Damaged`] if a checksum does not fit, or what is said does not fit together or the object's size;
/// [`SegmentError::Newer`] if a later version of this program wrote it; [`SegmentError::Refused`] if `tail` is longer
/// than the object.
pub fn read_tail(object_size: u64, tail: &Bytes) -> Result<Tail, SegmentError> {
    let have = tail.len() as u64;
    if have > object_size {
        let why = format!("{have} bytes cannot be the end of an object of {object_size}");
        return Err(SegmentError::refused(why));
    }
    if object_size < (HEAD + FOOTER) as u64 {
        let why = format!("{object_size} bytes are too few for one: it was cut short, or never was one");
        return Err(SegmentError::damaged(why));
    }
    let missing = |from: u64| Ok(Tail::Need(ByteRange::new(from, object_size - have)));
    let Some((before, footer)) = tail.split_last_chunk::<FOOTER>() else {
        return missing(object_size.saturating_sub(TAIL_GUESS));
    };
    let footer = Footer::parse(footer)?;
    let within = |error: SegmentError| error.in_object(footer.id);
    check(&footer, object_size).map_err(within)?;
    // Not more than MAX_SEGMENT_INDEX_BYTES.
    let Some(start) = before.len().checked_sub(footer.index_length as usize) else {
        return missing(footer.index_position);
    };
    let index = &before[start..];
    if crc32c(index) != footer.index_crc {
        return Err(within(SegmentError::damaged(
            "the checksum of its index does not fit",
        )));
    }
    let sections = read_sections(&footer, index).map_err(within)?;
    Ok(Tail::Contents(Contents {
        id: footer.id,
        kind: footer.kind,
        sections,
    }))
}

/// Whether the footer is one of an object of this size, and promises no more than can be.
fn check(footer: &Footer, object_size: u64) -> Result<(), SegmentError> {
    let Footer {
        index_position,
        index_length,
        sections,
        size,
        kind,
        ..
    } = *footer;
    let index_end = index_position.checked_add(index_length);
    let least = u64::from(sections) * SECTION_LEAST as u64;
    let why = if size != object_size {
        format!("it has {object_size} bytes and was written with {size}")
    } else if index_length > MAX_SEGMENT_INDEX_BYTES {
        format!("an index of {index_length} bytes is too long ({MAX_SEGMENT_INDEX_BYTES} can be)")
    } else if index_position < HEAD as u64 || index_end != Some(object_size - FOOTER as u64) {
        format!("an index of {index_length} bytes at {index_position} does not lie before its footer")
    } else if sections as usize > MAX_SEGMENT_SECTIONS || least > index_length {
        format!("{sections} sections do not fit into an index of {index_length} bytes")
    } else if kind == SegmentKind::Compacted && sections > 1 {
        format!("it is compacted and has {sections} sections")
    } else {
        return Ok(());
    };
    Err(SegmentError::damaged(why))
}

fn read_sections(footer: &Footer, mut index: &[u8]) -> Result<Vec<Section>, SegmentError> {
    let mut sections = Vec::with_capacity(footer.sections as usize);
    let mut seen = HashSet::with_capacity(footer.sections as usize);
    let mut position = HEAD as u64;
    for number in 0..footer.sections {
        let section = read_section(&mut index, number)?;
        let damaged = |why: String| Err(SegmentError::damaged(why).in_section(&section.at));
        if section.position != position {
            return damaged(format!(
                "it begins at byte {}, not at {position}",
                section.position
            ));
        }
        position = match position.checked_add(section.length) {
            Some(end) if end <= footer.index_position => end,
            _ => return damaged(format!("its {} bytes reach beyond the index", section.length)),
        };
        if !seen.insert(section.at.clone()) {
            return damaged("there are two sections of it".to_owned());
        }
        sections.push(section);
    }
    if position != footer.index_position {
        let why = format!(
            "the sections end at byte {position}, the index begins at {}",
            footer.index_position
        );
        return Err(SegmentError::damaged(why));
    }
    if !index.is_empty() {
        let why = format!(
            "its index goes on for {} bytes after the last section",
            index.len()
        );
        return Err(SegmentError::damaged(why));
    }
    Ok(sections)
}

/// Takes one section off the index block.
fn read_section(index: &mut &[u8], number: u32) -> Result<Section, SegmentError> {
    let short = || SegmentError::damaged(format!("its index ends within section {number}"));
    let name = usize::from(index.try_get_u8().map_err(|_| short())?);
    let name = index.split_off(..name).ok_or_else(short)?;
    let name = str::from_utf8(name)
        .ok()
        .and_then(|name| TopicName::new(name).ok())
        .ok_or_else(|| {
            SegmentError::damaged(format!(
                "section {number} names a topic that there cannot be: {}",
                name.escape_ascii()
            ))
        })?;
    if index.len() < SECTION_FRONT - 1 {
        return Err(short());
    }
    let at = TopicPartition::new(name, index.get_u32());
    let epoch = index.get_u64();
    let base_offset = index.get_u64();
    let next_offset = index.get_u64();
    let records = index.get_u64();
    let max_timestamp = index.get_i64();
    let position = index.get_u64();
    let length = index.get_u64();
    let batches = peek_len(index)
        .and_then(|len| index.split_off(..len))
        .ok_or_else(short)?;
    let batches = BatchIndex::decode(batches, base_offset, next_offset, length)
        .map_err(|error| error.in_section(&at))?;
    let (sum, max) = batches
        .entries()
        .iter()
        .fold((0, i64::MIN), |(sum, max), stretch| {
            (sum + u64::from(stretch.records), stretch.max_timestamp.max(max))
        });
    if (sum, max) != (records, max_timestamp) {
        let why = format!(
            "it has {records} records up to time {max_timestamp}, its stretches have {sum} up to time {max}"
        );
        return Err(SegmentError::damaged(why).in_section(&at));
    }
    Ok(Section {
        at,
        epoch,
        base_offset,
        next_offset,
        records,
        max_timestamp,
        position,
        length,
        index: batches,
    })
}
