use bytes::Bytes;
use forebay_types::ErrorKind;

use super::super::layout::{FOOTER, HEAD, Head, crc32c};
use super::super::*;
use super::rig::*;
use crate::batch::Codec;

#[test]
fn every_flipped_bit_is_found() {
    let object = object(&small());
    assert_eq!(read_all(object.clone()).unwrap().len(), 6);
    for at in 0..object.len() {
        for bit in 0..8 {
            let mut bytes = object.to_vec();
            bytes[at] ^= 1 << bit;
            let error = read_all(bytes.into()).expect_err("a bit is another one");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}, bit {bit}: {error}");
        }
    }
}

#[test]
fn every_cut_is_found() {
    let object = object(&small());
    for at in 0..object.len() {
        let error = SegmentReader::open(object.slice(..at)).expect_err("the end is missing");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "cut at {at}: {error}");
        if at > 0 {
            let error = SegmentReader::open(object.slice(at..)).expect_err("the beginning is missing");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "cut before {at}: {error}");
        }
    }
}

#[test]
fn bytes_before_or_after_are_found() {
    let object = object(&small());
    for bytes in [[&object[..], b"\0"].concat(), [b"\0", &object[..]].concat()] {
        assert_eq!(read_all(bytes.into()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let twice = [&object[..], &object[..]].concat();
    assert_eq!(read_all(twice.into()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn damage_in_a_stretch_says_where_and_spares_the_others() {
    let [mut plan, _] = small_plans();
    plan.batches = (0..4).map(|i| (i, 1, 70_000)).collect();
    let built = build(SegmentKind::Flush, &[plan]);
    let section = &built.sections[0];
    let mut bytes = object(&built).to_vec();
    bytes[section.range_of(2).unwrap().start() as usize + 1000] ^= 1;
    let reader = SegmentReader::open(bytes.into()).unwrap();
    let error = reader.read_from(&section.at, 1, 3).unwrap_err();
    let place = error.place();
    assert_eq!(place.object, Some(ID));
    assert_eq!(place.section, Some(section.at.clone()));
    assert_eq!(place.stretch, Some((2, section.index.entries()[2].position)));
    let text = error.to_string();
    assert!(
        text.starts_with(&format!(
            "segment {ID}, section orders/0, stretch of offset 2 at byte 14"
        )),
        "{text}"
    );
    assert!(text.contains("CRC-32C"), "{text}");
    assert_eq!(reader.read_from(&section.at, 3, 9).unwrap().len(), 1);
    assert_eq!(reader.read_from(&section.at, 0, 2).unwrap().len(), 2);
    let good: Vec<_> = reader.batches(0).unwrap().map(|batch| batch.is_ok()).collect();
    assert_eq!(good, [true, true, false, true]);
}

#[test]
fn a_stretch_has_its_length() {
    let built = small();
    let object = object(&built);
    let range = built.sections[0].range_of(0).unwrap();
    let (start, end) = (range.start() as usize, range.end() as usize);
    let entry = &built.sections[0].index.entries()[0];
    verify_stretch(entry, &object[start..end]).unwrap();
    for bytes in [start..end - 1, start..end + 1, start..start, start + 1..end + 1] {
        let error = verify_stretch(entry, &object[bytes]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    let error = built.sections[0].index.split(1, object).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// The object with `version` at `at`, and the CRC at `crc` over what is before it from `start` on.
fn with_version(object: &[u8], at: usize, start: usize, crc: usize, version: u16) -> Bytes {
    let mut bytes = object.to_vec();
    bytes[at..at + 2].copy_from_slice(&version.to_be_bytes());
    let sum = crc32c(&bytes[start..crc]);
    bytes[crc..crc + 4].copy_from_slice(&sum.to_be_bytes());
    bytes.into()
}

#[test]
fn a_newer_version_is_not_damage() {
    let object = object(&small());
    let footer = object.len() - FOOTER;
    for (at, start, crc) in [(8, 0, HEAD - 4), (footer + 50, footer, footer + 52)] {
        let error = SegmentReader::open(with_version(&object, at, start, crc, 2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            error.to_string(),
            format!("segment {ID}: its format is version 2, this program reads version 1: use a newer one")
        );
        let error = SegmentReader::open(with_version(&object, at, start, crc, 0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    // A footer of an unknown version may count in another way: nothing but its checksum is looked at.
    let mut strange = object.to_vec();
    strange[footer..footer + 16].fill(0xFF);
    let error = SegmentReader::open(with_version(&strange, footer + 50, footer, footer + 52, 7)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn head_and_footer_are_of_one_object() {
    let object = object(&small());
    let other = Ulid::from_bytes([9; 16]);
    for head in [
        Head {
            id: other,
            kind: SegmentKind::Flush,
        },
        Head {
            id: ID,
            kind: SegmentKind::Compacted,
        },
    ] {
        let mut bytes = Vec::new();
        head.put(&mut bytes);
        bytes.extend_from_slice(&object[HEAD..]);
        let error = SegmentReader::open(bytes.into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let text = error.to_string();
        assert!(
            text.contains(&head.id.to_string()) && text.contains(&head.kind.to_string()),
            "{text}"
        );
    }
}

#[test]
fn an_object_under_another_name_is_told() {
    let contents = SegmentReader::open(object(&small())).unwrap().contents().clone();
    contents.expect_id(ID).unwrap();
    let other = Ulid::from_bytes([9; 16]);
    let error = contents.expect_id(other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(
        text.contains(&ID.to_string()) && text.contains(&other.to_string()),
        "{text}"
    );
}

#[test]
fn the_batches_of_a_stretch_are_what_its_entry_says() {
    let first = batch(Codec::None, 10, 2, 5);
    let second = batch(Codec::None, 20, 3, 5);
    let both = Bytes::from([first.clone(), second.clone()].concat());
    let entry = |bytes: &[u8], base_offset, records, max_timestamp| IndexEntry {
        base_offset,
        position: 0,
        length: bytes.len() as u32,
        crc: crc32c(bytes),
        records,
        max_timestamp,
    };
    let split =
        |bytes: &Bytes, entry: IndexEntry, next| BatchIndex::new(&[entry], next).split(0, bytes.clone());
    let good = split(&both, entry(&both, 10, 5, 1022), 23).unwrap();
    assert_eq!(good.len(), 2);
    let turned = Bytes::from([second, first].concat());
    let cut = both.slice(..both.len() - 1);
    for (bytes, base, records, max_timestamp, next) in [
        (&both, 9, 5, 1022, 23),
        (&both, 11, 5, 1022, 23),
        (&both, 10, 4, 1022, 23),
        (&both, 10, 5, 1023, 23),
        (&both, 10, 5, 1022, 24),
        (&both, 10, 5, 1022, 22),
        (&turned, 20, 5, 1022, 23),
        (&cut, 10, 5, 1022, 23),
    ] {
        let error = split(bytes, entry(bytes, base, records, max_timestamp), next).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.place().stretch, Some((base, 0)));
    }
}
