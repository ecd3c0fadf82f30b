//! Records of batches that no builder of ours makes, and how reading goes on and stops.

use super::*;

/// Ten records of ten bytes each, one of them a key.
fn ten() -> Vec<Input> {
    (0..10)
        .map(|n| (1000 + n, Some(vec![b'k']), Some(vec![n as u8; 9]), Vec::new()))
        .collect()
}

fn offsets(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.offset).collect()
}

#[test]
fn reading_stops_at_the_first_limit_and_goes_on_from_there() {
    let decoded = split(&build(Codec::Zstd, 100, &ten()))
        .decode(&Caps::default())
        .unwrap();
    let mut cursor = decoded.cursor();
    let mut out = Vec::new();
    assert_eq!(decoded.read(&mut cursor, 0, 3, usize::MAX, &mut out), Ok(30));
    assert_eq!(offsets(&out), [100, 101, 102]);
    // 29 bytes are two records; a byte is one, which is the least.
    assert_eq!(decoded.read(&mut cursor, 0, 100, 29, &mut out), Ok(20));
    assert_eq!(decoded.read(&mut cursor, 0, 100, 1, &mut out), Ok(10));
    assert_eq!(out.len(), 6);
    assert_eq!(decoded.read(&mut cursor, 0, 0, 100, &mut out), Ok(0));
    assert_eq!(decoded.read(&mut cursor, 0, 100, 100, &mut out), Ok(40));
    assert_eq!(offsets(&out), (100..110).collect::<Vec<_>>());
    assert_eq!(decoded.read(&mut cursor, 0, 100, 100, &mut out), Ok(0));
    assert_eq!(decoded.next(&mut cursor), Ok(None));
}

#[test]
fn records_before_the_offset_are_passed_over() {
    let decoded = split(&build(Codec::None, 100, &ten()))
        .decode(&Caps::default())
        .unwrap();
    let mut cursor = decoded.cursor();
    let mut out = Vec::new();
    assert_eq!(decoded.read(&mut cursor, 107, 2, usize::MAX, &mut out), Ok(20));
    assert_eq!(offsets(&out), [107, 108]);
    assert_eq!(decoded.read(&mut cursor, 110, 2, usize::MAX, &mut out), Ok(0));
    assert_eq!(decoded.next(&mut cursor), Ok(None));
    assert_eq!((decoded.base_offset(), decoded.next_offset()), (100, 110));
}

#[test]
fn a_cursor_of_another_batch_reads_nothing_that_is_not_there() {
    let long = split(&build(Codec::None, 0, &ten()))
        .decode(&Caps::default())
        .unwrap();
    let mut cursor = long.cursor();
    long.read(&mut cursor, 0, 9, usize::MAX, &mut Vec::new()).unwrap();
    let short = split(&build(Codec::None, 0, &ten()[..3]))
        .decode(&Caps::default())
        .unwrap();
    assert_eq!(short.next(&mut cursor), Ok(None));
    assert_eq!(short.read(&mut cursor, 0, 9, 9, &mut Vec::new()), Ok(0));
    // More records in fewer bytes.
    let tiny = [0x0C, 0, 0, 0, 1, 1, 0].repeat(12);
    let tiny = split(&batch_of(Codec::None, 12, &tiny))
        .decode(&Caps::default())
        .unwrap();
    assert!(matches!(
        tiny.next(&mut cursor),
        Err(BatchError::Record { index: 9, .. })
    ));
}

/// A record of seven or eight bytes: no key, no value.
fn bare(delta: u8) -> [u8; 7] {
    [0x0C, 0, 0, delta << 1, 1, 1, 0]
}

#[test]
fn compaction_may_leave_holes() {
    let bytes = changed(&batch_of(Codec::None, 2, &[bare(3), bare(9)].concat()), |batch| {
        batch[26] = 20;
    });
    let batch = split(&bytes);
    assert_eq!(batch.header().next_offset(), 21);
    assert_eq!(offsets(&records_of(&batch).unwrap()), [3, 9]);
}

#[test]
fn compaction_may_leave_no_record_at_all() {
    for codec in Codec::ALL {
        let batch = split(&changed(&batch_of(codec, 0, &[]), |batch| batch[26] = 20));
        assert_eq!((batch.header().records, batch.header().next_offset()), (0, 21));
        assert_eq!(records_of(&batch), Ok(vec![]));
    }
    let batch = split(&batch_of(Codec::None, 0, &bare(0)));
    assert!(matches!(
        batch.decode(&Caps::default()),
        Err(BatchError::Field { field: "records", .. })
    ));
}

#[track_caller]
fn assert_damaged(count: u32, records: &[u8], index: u32, why: &str) {
    let batch = split(&changed(&batch_of(Codec::None, count, records), |batch| {
        batch[26] = 5;
    }));
    let decoded = batch.decode(&Caps::default()).unwrap();
    let mut out = vec![];
    let mut cursor = decoded.cursor();
    let error = decoded
        .read(&mut cursor, 0, 100, usize::MAX, &mut out)
        .unwrap_err();
    assert_eq!(error.kind(), forebay_types::ErrorKind::Corrupt);
    assert!(
        matches!(error, BatchError::Record { index: found, .. } if found == index),
        "{error}"
    );
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(out, [], "an error takes back what came before it");
    // The cursor stayed: the same error comes again, and one by one the records before it are there.
    assert_eq!(
        decoded.read(&mut cursor, 0, 100, usize::MAX, &mut out),
        Err(error.clone())
    );
    for _ in 0..index {
        decoded.next(&mut cursor).unwrap().unwrap();
    }
    assert_eq!(decoded.next(&mut cursor), Err(error));
}

#[test]
fn damaged_records_say_what_is_wrong() {
    let two = |second: &[u8]| [&bare(0)[..], second].concat();
    assert_damaged(2, &two(&bare(0)), 1, "its offset");
    assert_damaged(2, &two(&bare(6)), 1, "its offset");
    assert_damaged(2, &[bare(1), bare(0)].concat(), 1, "its offset");
    assert_damaged(1, &[0x0C, 0, 0, 1, 1, 1, 0], 0, "its offset");
    assert_damaged(1, &two(&bare(1)), 0, "bytes follow");
    assert_damaged(2, &two(&[0x0B, 0, 0, 2, 1, 1, 0]), 1, "its length is negative");
    assert_damaged(2, &two(&[0x0E, 0, 0, 2, 1, 1, 0]), 1, "the records end within it");
    assert_damaged(2, &two(&[0x80; 7]), 1, "more digits");
    assert_damaged(2, &two(&[0x0C, 0, 0, 2, 1, 0, 0, 0]), 1, "bytes follow");
    assert_damaged(1, &[0x10, 0, 0, 0, 1, 1, 0, 0, 0], 0, "end before its length");
    assert_damaged(1, &[0x0C, 0, 0, 0, 3, 1, 0], 0, "the length of its key");
    assert_damaged(1, &[0x0C, 0, 0, 0, 1, 3, 0], 0, "the length of its value");
    assert_damaged(1, &[0x0C, 0, 0, 0, 1, 2, 0], 0, "beyond its length");
    assert_damaged(1, &[0x0C, 0, 0, 0, 1, 1, 1], 0, "number of headers");
    assert_damaged(1, &[0x10, 0, 0, 0, 1, 1, 4, 0, 1], 0, "number of headers");
    assert_damaged(1, &[0x10, 0, 0, 0, 1, 1, 2, 1, 1], 0, "a header's name");
    assert_damaged(1, &[0x10, 0, 0, 0, 1, 1, 2, 0, 3], 0, "the length of its value");
    assert_damaged(1, &[0; 7], 0, "beyond its length");
    assert_damaged(2, &[0; 14], 0, "beyond its length");
    // Fewer records than the header says: the first one takes all the bytes.
    assert_damaged(
        2,
        &[0x1A, 0, 0, 0, 1, 14, 0, 0, 0, 0, 0, 0, 0, 0],
        1,
        "fewer than the header says",
    );
    // A delta of 2^63 - 1 from a base that is not negative.
    let far = [
        0x1E, 0, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 1, 1, 0,
    ];
    let batch = changed(&batch_of(Codec::None, 1, &far), |batch| batch[27..35].fill(0x7F));
    let why = records_of(&split(&batch)).unwrap_err().to_string();
    assert!(why.contains("its timestamp"), "{why}");
}
