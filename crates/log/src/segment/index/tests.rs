use bytes::BufMut;
use forebay_types::ErrorKind;
use proptest::prelude::*;

use super::super::layout::put_crc;
use super::*;

const STRETCH: u32 = super::STRETCH as u32;

fn entry(base_offset: u64, position: u64, length: u32, records: u32) -> IndexEntry {
    IndexEntry {
        base_offset,
        position,
        length,
        crc: 7,
        records,
        max_timestamp: base_offset as i64 * 10,
    }
}

/// Offsets 100..130 in three stretches, with a hole from 115 to 119.
fn good() -> [IndexEntry; 3] {
    [
        entry(100, 0, STRETCH, 10),
        entry(110, STRETCH.into(), STRETCH + 5, 5),
        entry(120, u64::from(2 * STRETCH + 5), 9, 10),
    ]
}

const LENGTH: u64 = (2 * STRETCH + 5 + 9) as u64;

fn encode(entries: &[IndexEntry]) -> Bytes {
    BatchIndex::new(entries, 130).encode()
}

fn decode(bytes: &[u8]) -> Result<BatchIndex, SegmentError> {
    BatchIndex::decode(bytes, 100, 130, LENGTH)
}

#[test]
fn stretches_are_found_by_offset_and_by_time() {
    let index = decode(&encode(&good())).unwrap();
    assert_eq!(index.entries(), good());
    for (offset, stretch) in [
        (0, Some(0)),
        (100, Some(0)),
        (109, Some(0)),
        (110, Some(1)),
        (117, Some(1)),
        (120, Some(2)),
        (129, Some(2)),
        (130, None),
        (u64::MAX, None),
    ] {
        assert_eq!(index.find(offset), stretch, "{offset}");
    }
    for (ts, stretch) in [
        (i64::MIN, Some(0)),
        (1000, Some(0)),
        (1001, Some(1)),
        (1200, Some(2)),
        (1201, None),
    ] {
        assert_eq!(index.find_timestamp(ts), stretch, "{ts}");
    }
    let mut entries = good();
    entries[0].max_timestamp = 5000;
    assert_eq!(BatchIndex::new(&entries, 130).find_timestamp(1200), Some(0));
}

#[test]
fn stretches_fit_each_other_and_their_section() {
    type Lie = fn(&mut [IndexEntry; 3]);
    let lies: [(&str, Lie); 13] = [
        ("overlap", |all| all[1].position -= 1),
        ("gap", |all| all[1].position += 1),
        ("not at the beginning", |all| all[0].position = 1),
        ("longer", |all| all[2].length += 1),
        ("shorter", |all| all[2].length -= 1),
        ("nothing", |all| all[2].length = 0),
        ("too short", |all| {
            all[0].length -= 1;
            all[1].position -= 1;
            all[1].length += 1;
        }),
        ("other beginning", |all| all[0].base_offset = 99),
        ("equal offsets", |all| all[1].base_offset = 100),
        ("falling offsets", |all| all[1].base_offset = 125),
        ("beyond the end", |all| all[2].base_offset = 130),
        ("too many records", |all| all[0].records = 11),
        ("too many records at the end", |all| all[2].records = u32::MAX),
    ];
    for (lie, change) in lies {
        let mut entries = good();
        change(&mut entries);
        let error = decode(&encode(&entries)).expect_err(lie);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{lie}");
        assert!(error.to_string().contains("batch index: "), "{lie}: {error}");
    }
    let bytes = encode(&good());
    for (base, next, length) in [
        (99, 130, LENGTH),
        (101, 130, LENGTH),
        (100, 129, LENGTH),
        (100, 120, LENGTH),
        (100, 0, LENGTH),
        (100, 130, 0),
        (100, 130, u64::MAX),
    ] {
        let error = BatchIndex::decode(&bytes, base, next, length).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{base} {next} {length}");
    }
    // More offsets than records are a hole.
    assert!(BatchIndex::decode(&bytes, 100, 131, LENGTH).is_ok());
}

/// An index with a checksum that fits whatever it says.
fn raw(version: u16, zero: u16, count: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u16(version);
    bytes.put_u16(zero);
    bytes.put_u32(count);
    bytes.put_slice(rest);
    put_crc(&mut bytes, 0);
    bytes
}

#[test]
fn counts_are_held_against_the_bytes_and_the_limit() {
    let good = encode(&good());
    let entries = &good[FRONT..good.len() - CRC];
    assert!(decode(&raw(1, 0, 3, entries)).is_ok());
    for (count, entries) in [
        (0, &[][..]),
        (0, entries),
        (2, entries),
        (4, entries),
        (u32::MAX, entries),
        (3, &entries[1..]),
        (
            MAX_SEGMENT_STRETCHES as u32 + 1,
            &vec![0; (MAX_SEGMENT_STRETCHES + 1) * ENTRY],
        ),
    ] {
        let error = decode(&raw(1, 0, count, entries)).unwrap_err();
        assert!(
            error.to_string().contains(&format!("{count} stretches")),
            "{error}"
        );
    }
    assert_eq!(
        decode(&raw(1, 1, 3, entries)).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    assert_eq!(
        decode(&raw(0, 0, 3, entries)).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    let error = decode(&raw(2, 9, 3, b"of a later time")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn every_cut_and_every_flipped_bit_is_found() {
    let good = encode(&good());
    for len in 0..good.len() {
        assert!(decode(&good[..len]).is_err(), "{len}");
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1 << bit;
            let error = decode(&bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}, bit {bit}: {error}");
        }
    }
}

#[test]
fn as_many_stretches_as_there_may_be_are_read() {
    let entries: Vec<_> = (0..MAX_SEGMENT_STRETCHES as u64)
        .map(|stretch| entry(stretch, stretch * u64::from(STRETCH), STRETCH, 1))
        .collect();
    let next = MAX_SEGMENT_STRETCHES as u64;
    let index = BatchIndex::new(&entries, next);
    let again = BatchIndex::decode(&index.encode(), 0, next, next * u64::from(STRETCH)).unwrap();
    assert_eq!(again, index);
    assert_eq!(again.find(next - 1), Some(MAX_SEGMENT_STRETCHES - 1));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_panic(count in 0u32..4, rest in prop::collection::vec(any::<u8>(), 0..200), base in any::<u64>(), next in any::<u64>(), length in any::<u64>()) {
        for bytes in [rest.clone(), raw(1, 0, count, &rest)] {
            prop_assert!(BatchIndex::decode(&bytes, base, next, length).is_err());
        }
    }
}
