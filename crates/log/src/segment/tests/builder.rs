use bytes::Bytes;
use forebay_types::ErrorKind;
use forebay_types::limits::MAX_SEGMENT_SECTIONS;

use super::super::*;
use super::rig::*;
use crate::batch::Codec;

#[test]
fn what_makes_no_object_is_refused_and_changes_nothing() {
    let good = |base| batch(Codec::None, base, 2, 5);
    let mut builder = SegmentBuilder::new(ID, SegmentKind::Flush);
    let invalid = |result: Result<(), SegmentError>, why: &str| {
        let error = result.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        assert!(
            text.starts_with(&format!("segment {ID}")) && text.contains(why),
            "{text}"
        );
    };
    invalid(builder.push_batch(good(0)), "before the first section");
    builder.begin_section(&at("a", 0), 1).unwrap();
    builder.push_batch(good(10)).unwrap();
    let len = builder.len();
    invalid(builder.begin_section(&at("a", 0), 2), "a section of it already");
    invalid(
        builder.push_batch(good(11)),
        "offset 11 came when 12 was the next",
    );
    invalid(builder.push_batch(good(0)), "offset 0 came when 12 was the next");
    invalid(
        builder.push_batch([good(12), good(14)].concat().into()),
        "bytes for a batch of",
    );
    let half = good(12);
    invalid(
        builder.push_batch(half.slice(..half.len() - 1)),
        "bytes for a batch of",
    );
    for none in [
        Bytes::new(),
        Bytes::from_static(b"no batch"),
        Bytes::from(vec![0; 100]),
    ] {
        let error = builder.push_batch(none).unwrap_err();
        assert!(matches!(error, SegmentError::Batch { .. }), "{error}");
        assert_eq!(error.place().section, Some(at("a", 0)));
    }
    assert_eq!(builder.len(), len);
    builder.push_batch(good(12)).unwrap();
    let built = builder.finish().unwrap();
    assert_eq!(built.sections.len(), 1);
    assert_eq!(
        (built.sections[0].base_offset, built.sections[0].next_offset),
        (10, 14)
    );
    assert_eq!(read_all(object(&built)).unwrap().len(), 4);
}

#[test]
fn a_section_cannot_be_begun_again() {
    let mut builder = SegmentBuilder::new(ID, SegmentKind::Flush);
    builder.begin_section(&at("a", 0), 1).unwrap();
    builder.begin_section(&at("b", 0), 1).unwrap();
    assert!(builder.begin_section(&at("a", 0), 1).is_err());
    let built = builder.finish().unwrap();
    assert_eq!((built.sections.len(), built.size), (0, 96));
}

#[test]
fn a_compacted_object_has_one_section() {
    let mut builder = SegmentBuilder::new(ID, SegmentKind::Compacted);
    builder.begin_section(&at("a", 0), 1).unwrap();
    let error = builder.begin_section(&at("a", 1), 1).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("section a/1: a compacted segment has one section"),
        "{error}"
    );
}

#[test]
fn there_are_no_more_sections_than_can_be_read() {
    let mut builder = SegmentBuilder::new(ID, SegmentKind::Flush);
    for partition in 0..MAX_SEGMENT_SECTIONS as u32 {
        builder.begin_section(&at("a", partition), 1).unwrap();
    }
    let error = builder.begin_section(&at("b", 0), 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("65536 sections"), "{error}");
}
