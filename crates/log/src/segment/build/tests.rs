//! What is too large to be built in a test: the builder is told that it is so.

use forebay_types::ErrorKind;

use super::*;
use crate::batch::{BatchBuilder, Codec};
use crate::topic::TopicName;

fn batch(base_offset: u64) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1, None, Some(&[7; 100]), &[]).unwrap();
    builder.finish(base_offset).unwrap()
}

fn builder() -> SegmentBuilder {
    let at = TopicPartition::new(TopicName::new("t").unwrap(), 0);
    let mut builder = SegmentBuilder::new(Ulid::nil(), SegmentKind::Flush);
    builder.begin_section(&at, 0).unwrap();
    builder
}

#[track_caller]
fn refused(builder: &mut SegmentBuilder, batch: Bytes, why: &str) {
    let (len, chunks) = (builder.len(), builder.chunks.len());
    let error = builder.push_batch(batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!((builder.len(), builder.chunks.len()), (len, chunks));
}

#[test]
fn a_section_has_no_more_stretches_than_can_be_read() {
    let mut builder = builder();
    builder.push_batch(batch(0)).unwrap();
    let open = builder.open.as_mut().unwrap();
    open.end_stretch();
    let stretch = open.stretches[0];
    open.stretches.resize(MAX_SEGMENT_STRETCHES - 1, stretch);
    builder.push_batch(batch(1)).unwrap();
    // To the stretch that is there.
    builder.push_batch(batch(2)).unwrap();
    builder.open.as_mut().unwrap().end_stretch();
    refused(&mut builder, batch(3), "as many stretches as it may have");
}

#[test]
fn an_index_is_no_longer_than_can_be_read() {
    let mut builder = builder();
    builder.push_batch(batch(0)).unwrap();
    builder.open.as_mut().unwrap().end_stretch();
    builder.index = MAX_SEGMENT_INDEX_BYTES - ENTRY as u64 + 1;
    refused(&mut builder, batch(1), "as large as it may be");
    builder.index -= 1;
    builder.push_batch(batch(1)).unwrap();
    let at = TopicPartition::new(TopicName::new("t").unwrap(), 1);
    builder.begin_section(&at, 0).unwrap();
    builder.index = MAX_SEGMENT_INDEX_BYTES - 109;
    refused(&mut builder, batch(1), "as large as it may be");
    builder.index -= 1;
    builder.push_batch(batch(1)).unwrap();
    assert_eq!(builder.index, MAX_SEGMENT_INDEX_BYTES);
}

/// Batches of 62 bytes that say that they have four million records each, compressed to one byte.
#[test]
fn the_records_of_a_stretch_are_counted_in_32_bits() {
    let mut builder = builder();
    let records = forebay_types::limits::MAX_BATCH_RECORDS;
    let lie = |number: u64| {
        let mut bytes = batch(number * u64::from(records)).to_vec();
        bytes.truncate(62);
        bytes[8..12].copy_from_slice(&50u32.to_be_bytes());
        bytes[22] = 1;
        bytes[23..27].copy_from_slice(&(records - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&records.to_be_bytes());
        Bytes::from(bytes)
    };
    let most = u64::from(u32::MAX / records);
    for number in 0..most {
        builder.push_batch(lie(number)).unwrap();
    }
    refused(&mut builder, lie(most), "2^32 records");
    let built = builder.finish().unwrap();
    assert_eq!(built.sections[0].records, most * u64::from(records));
}
