//! What asks for too much.

use forebay_types::ErrorKind;
use forebay_types::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_RECORD_HEADERS};

use super::*;

/// Caps that a MiB is too much for.
const SMALL: Caps = Caps {
    batch_bytes: 1 << 20,
    decompressed_bytes: 100_000,
    records: 100,
    headers: 3,
    zstd_window_log: 20,
};

fn zeros(codec: Codec, len: usize) -> Batch {
    split(&build(codec, 5, &[(0, None, Some(vec![0; len]), vec![])]))
}

#[test]
fn what_grows_too_much_is_refused() {
    for codec in &Codec::ALL[1..] {
        let bomb = zeros(*codec, 1 << 20);
        assert!(bomb.bytes().len() < 60_000, "{codec}");
        let error = bomb.decode(&SMALL).unwrap_err();
        assert_eq!(
            error,
            BatchError::Bomb {
                base_offset: 5,
                codec: *codec,
                cap: 100_000
            }
        );
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        // The cap itself is allowed, and a byte more is not.
        let edge = zeros(*codec, 99_990);
        let decoded = edge.decode(&Caps::default()).unwrap();
        let len = decoded.memory();
        let exact = |bytes| Caps {
            decompressed_bytes: bytes,
            ..SMALL
        };
        let size = build(Codec::None, 5, &[(0, None, Some(vec![0; 99_990]), vec![])]).len() - HEADER_LEN;
        assert!(len >= size);
        assert!(edge.decode(&exact(size)).is_ok(), "{codec}");
        assert!(
            matches!(edge.decode(&exact(size - 1)), Err(BatchError::Bomb { .. })),
            "{codec}"
        );
    }
    assert!(matches!(
        zeros(Codec::None, 200_000).decode(&SMALL),
        Err(BatchError::OverCap {
            found: 200_011,
            cap: 100_000,
            ..
        })
    ));
}

#[test]
fn length_and_count_of_a_batch_have_caps() {
    let mut long = zeros(Codec::None, 10).bytes().to_vec();
    long[8..12].copy_from_slice(&((MAX_BATCH_BYTES - 11) as u32).to_be_bytes());
    assert!(matches!(
        BatchHeader::parse(&long),
        Err(BatchError::OverCap { what: "bytes", .. })
    ));
    let count = MAX_BATCH_RECORDS + 1;
    let many = batch_of(Codec::Zstd, count, &[]);
    assert!(matches!(
        BatchHeader::parse(&many),
        Err(BatchError::OverCap { what: "records", found, .. }) if found == u64::from(count)
    ));
    let batch = split(&build(Codec::None, 0, &vec![(0, None, None, vec![]); 101]));
    assert!(matches!(
        batch.decode(&SMALL),
        Err(BatchError::OverCap { cap: 100, .. })
    ));
}

#[test]
fn more_records_than_the_bytes_can_hold_are_refused() {
    for codec in &Codec::ALL[1..] {
        let bytes = zeros(*codec, 1000);
        let lie = changed(bytes.bytes(), |batch| {
            batch[23..27].copy_from_slice(&1_000_000_u32.to_be_bytes());
            batch[57..61].copy_from_slice(&1_000_000_u32.to_be_bytes());
        });
        assert!(matches!(
            split(&lie).decode(&Caps::default()),
            Err(BatchError::Field { field: "records", .. })
        ));
    }
}

#[test]
fn more_headers_than_allowed_are_refused() {
    let inputs = [(0, None, None, vec![header("a", None); 4])];
    let decoded = split(&build(Codec::None, 0, &inputs)).decode(&SMALL).unwrap();
    let error = decoded.next(&mut decoded.cursor()).unwrap_err();
    assert!(error.to_string().contains("more headers than allowed"), "{error}");
    // A million of them in a record of ten bytes.
    let record = [0x12, 0, 0, 0, 1, 1, 0x80, 0x89, 0x7A, 0];
    let decoded = split(&batch_of(Codec::None, 1, &record)).decode(&Caps {
        headers: u32::MAX,
        ..SMALL
    });
    let decoded = decoded.unwrap();
    let error = decoded.next(&mut decoded.cursor()).unwrap_err();
    assert!(error.to_string().contains("than its bytes can hold"), "{error}");
}

#[test]
fn the_builder_keeps_the_limits() {
    let mut builder = BatchBuilder::new(Codec::None);
    assert!(builder.is_empty() && builder.len() == HEADER_LEN);
    assert_eq!(BatchBuilder::new(Codec::Gzip).finish(0), Err(BatchError::Empty));
    builder.push(1, None, Some(b"fits"), &[]).unwrap();
    let before = builder.len();

    let large = vec![0; MAX_BATCH_BYTES];
    let error = builder.push(0, None, Some(&large), &[]).unwrap_err();
    assert!(matches!(
        error,
        BatchError::TooLarge {
            cap: MAX_BATCH_BYTES,
            ..
        }
    ));
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let headers = vec![header("a", None); MAX_RECORD_HEADERS as usize + 1];
    let error = builder.push(0, None, None, &headers).unwrap_err();
    assert!(matches!(error, BatchError::TooMany { .. }) && error.kind() == ErrorKind::Invalid);
    let headers = vec![header("a", None); MAX_RECORD_HEADERS as usize];
    assert!(builder.push(i64::MAX, None, None, &headers).is_ok());
    let after = builder.len();
    assert!(after > before);
    assert_eq!(
        builder.push(i64::MIN, None, None, &[]),
        Err(BatchError::Timestamps {
            first: 1,
            this: i64::MIN
        }),
        "it is too far from the first"
    );
    assert_eq!(
        (builder.len(), builder.records()),
        (after, 2),
        "what is refused leaves no trace"
    );
    let batch = split(&builder.finish(i64::MAX as u64 - 2).unwrap());
    assert_eq!(batch.header().next_offset(), i64::MAX as u64);
    assert_eq!(
        records_of(&batch).unwrap()[1].headers.len(),
        MAX_RECORD_HEADERS as usize
    );

    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(0, None, None, &[]).unwrap();
    assert!(matches!(
        builder.finish(i64::MAX as u64),
        Err(BatchError::Offsets { records: 1, .. })
    ));
}

#[test]
fn a_record_that_just_fits_is_built_and_read() {
    let mut builder = BatchBuilder::new(Codec::Lz4);
    // Length (5), attributes, two deltas, no key (4), length of the value (4), count of headers (1).
    let value = vec![1; MAX_BATCH_BYTES - HEADER_LEN - 14];
    builder.push(0, None, Some(&value), &[]).unwrap();
    assert!(
        (MAX_BATCH_BYTES - 2..=MAX_BATCH_BYTES).contains(&builder.len()),
        "{}",
        builder.len()
    );
    let batch = split(&builder.finish(0).unwrap());
    let records = records_of(&batch).unwrap();
    assert!(records[0].value == value);
}
