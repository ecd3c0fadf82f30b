//! Objects whose checksums fit and whose footer or index does not.

use bytes::{BufMut, Bytes};
use forebay_types::ErrorKind;
use forebay_types::limits::{MAX_SEGMENT_INDEX_BYTES, MAX_SEGMENT_SECTIONS};

use super::super::build::put_section;
use super::super::layout::{Footer, HEAD, crc32c};
use super::super::*;
use super::rig::*;

/// The small object with its sections changed by `change`, and everything below a checksum of its own.
fn with_sections(change: impl FnOnce(&mut Vec<Section>)) -> (u64, Bytes) {
    let mut sections = small().sections;
    change(&mut sections);
    let mut index = Vec::new();
    for section in &sections {
        put_section(section, &mut index);
    }
    with_index(&index, sections.len(), |_| {})
}

fn with_index(index: &[u8], sections: usize, change: impl FnOnce(&mut Footer)) -> (u64, Bytes) {
    let last = small().sections.pop().unwrap();
    let index_position = last.position + last.length;
    let size = index_position + (index.len() + 64) as u64;
    let mut footer = Footer {
        index_position,
        index_length: index.len() as u64,
        index_crc: crc32c(index),
        sections: sections as u32,
        size,
        id: ID,
        kind: SegmentKind::Flush,
    };
    change(&mut footer);
    let mut tail = index.to_vec();
    footer.put(&mut tail);
    (size, tail.into())
}

/// The small object's own index.
fn index() -> Vec<u8> {
    let mut index = Vec::new();
    for section in &small().sections {
        put_section(section, &mut index);
    }
    index
}

#[track_caller]
fn refused((size, tail): (u64, Bytes), why: &str) {
    let error = read_tail(size, &tail).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}");
    assert_eq!(error.place().object, Some(ID), "{text}");
    assert!(text.contains(why), "{text}");
}

#[test]
fn the_truth_is_read() {
    let (size, tail) = with_sections(|_| {});
    let Tail::Contents(contents) = read_tail(size, &tail).unwrap() else {
        panic!("the tail is whole");
    };
    assert_eq!(contents.sections, small().sections);
}

#[test]
fn sections_fit_each_other_and_the_object() {
    refused(with_sections(|all| all[1].at = all[0].at.clone()), "two sections");
    refused(with_sections(|all| all[1].position += 1), "it begins at byte");
    refused(
        with_sections(|all| all[0].position = 0),
        "it begins at byte 0, not at 32",
    );
    refused(with_sections(|all| all.swap(0, 1)), "it begins at byte");
    refused(with_sections(|all| drop(all.pop())), "the index begins at");
    refused(with_sections(Vec::clear), "the index begins at");
    refused(with_sections(|all| all[0].length += 1), "batch index");
    refused(with_sections(|all| all[0].base_offset -= 1), "batch index");
    refused(with_sections(|all| all[0].next_offset = 9), "batch index");
    refused(with_sections(|all| all[0].records += 1), "its stretches have");
    refused(
        with_sections(|all| all[0].max_timestamp += 1),
        "its stretches have",
    );
}

#[test]
fn a_section_does_not_reach_beyond_the_index() {
    let lie = with_sections(|all| {
        let mut entry = all[1].index.entries()[0];
        entry.length = u32::MAX;
        all[1].length = entry.length.into();
        all[1].index = BatchIndex::new(&[entry], all[1].next_offset);
    });
    refused(lie, "reach beyond the index");
}

#[test]
fn footers_promise_what_can_be() {
    let index = index();
    let lie = |change: fn(&mut Footer)| with_index(&index, 2, change);
    refused(lie(|footer| footer.sections = 1), "the index begins at");
    refused(lie(|footer| footer.sections = 3), "do not fit into an index");
    refused(
        lie(|footer| footer.sections = u32::MAX),
        "do not fit into an index",
    );
    refused(lie(|footer| footer.kind = SegmentKind::Compacted), "compacted");
    refused(lie(|footer| footer.index_crc ^= 1), "checksum of its index");
    refused(lie(|footer| footer.index_position -= 1), "does not lie before");
    refused(
        lie(|footer| footer.index_position = u64::MAX),
        "does not lie before",
    );
    refused(lie(|footer| footer.index_length += 1), "does not lie before");
    refused(lie(|footer| footer.index_length = u64::MAX), "too long");
    refused(lie(|footer| footer.size = 0), "was written with 0");
    refused(
        with_index(&index, 2, |footer| {
            footer.index_length += footer.index_position;
            footer.index_position = 0;
        }),
        "does not lie before",
    );
}

/// A footer that fits an object of terabytes: what it promises is refused before it is asked for.
#[test]
fn indexes_that_no_memory_holds_are_refused() {
    for (length, sections, why) in [
        (MAX_SEGMENT_INDEX_BYTES + 1, 2, "too long"),
        (
            MAX_SEGMENT_INDEX_BYTES,
            MAX_SEGMENT_SECTIONS as u32 + 1,
            "do not fit",
        ),
    ] {
        let footer = Footer {
            index_position: HEAD as u64,
            index_length: length,
            index_crc: 0,
            sections,
            size: HEAD as u64 + length + 64,
            id: ID,
            kind: SegmentKind::Flush,
        };
        let mut tail = Vec::new();
        footer.put(&mut tail);
        refused((footer.size, tail.into()), why);
    }
}

#[test]
fn an_index_ends_with_its_last_section() {
    let index = index();
    for len in 0..index.len() {
        let (size, tail) = with_index(&index[..len], 2, |_| {});
        assert_eq!(
            read_tail(size, &tail).unwrap_err().kind(),
            ErrorKind::Corrupt,
            "{len}"
        );
    }
    let mut longer = index;
    longer.put_u8(0);
    refused(with_index(&longer, 2, |_| {}), "1 bytes after the last section");
}

#[test]
fn topics_have_names_that_topics_may_have() {
    let good = index();
    assert_eq!(&good[..7], b"\x06orders");
    for name in [b"ord/rs", b"ord\x1brs", b"ord\xffrs"] {
        let mut index = good.clone();
        index[1..7].copy_from_slice(name);
        let lie = with_index(&index, 2, |_| {});
        let text = read_tail(lie.0, &lie.1).unwrap_err().to_string();
        assert!(!text.contains('\x1b'), "{text}");
        refused(lie, "names a topic that there cannot be");
    }
    for len in [0, 255] {
        let mut index = good.clone();
        index[0] = len;
        refused(with_index(&index, 2, |_| {}), "");
    }
}
