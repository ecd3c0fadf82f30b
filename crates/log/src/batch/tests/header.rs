//! Headers, cutting batches off, and giving them their place.

use super::*;

fn one(value: &str) -> Input {
    (5, None, Some(value.as_bytes().to_vec()), Vec::new())
}

#[test]
fn batches_are_cut_off_one_after_the_other() {
    let first = build(Codec::None, 10, &[one("a"), one("b")]);
    let second = build(Codec::Lz4, 12, &[one(&"c".repeat(500))]);
    let mut bytes = Bytes::from([&first[..], &second[..], b"rest"].concat());
    let whole = bytes.clone();
    let cut = Batch::split_off_front(&mut bytes).unwrap();
    assert_eq!(*cut.bytes(), first);
    assert_eq!(cut.bytes().as_ptr(), whole.as_ptr(), "no copy");
    assert_eq!(
        Batch::split_off_front_trusted(&mut bytes).unwrap().bytes(),
        &second
    );
    assert_eq!(
        Batch::split_off_front(&mut bytes).unwrap_err(),
        BatchError::Truncated { need: 61, have: 4 }
    );
    assert_eq!(bytes, "rest", "an error takes nothing");
}

#[test]
fn a_header_alone_can_be_read() {
    let bytes = build(Codec::Gzip, 77, &[one(&"g".repeat(100))]);
    let header = BatchHeader::parse(&bytes[..HEADER_LEN]).unwrap();
    assert_eq!(header, *split(&bytes).header());
    assert_eq!((header.len, header.codec()), (bytes.len(), Ok(Codec::Gzip)));
    assert_eq!(
        Batch::split_off_front(&mut bytes.slice(..HEADER_LEN)).unwrap_err(),
        BatchError::Truncated {
            need: bytes.len(),
            have: HEADER_LEN
        }
    );
}

#[test]
fn fields_that_cannot_be_are_named() {
    let bytes = build(Codec::None, 0, &[one("x")]);
    for (at, value, field) in [
        (0, 0x80, "baseOffset"),
        (8, 0x80, "batchLength"),
        (11, 48, "batchLength"),
        (23, 0x80, "lastOffsetDelta"),
        (57, 0x80, "records"),
        (60, 2, "records"),
    ] {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        let error = BatchHeader::parse(&bytes).unwrap_err();
        assert!(
            matches!(error, BatchError::Field { field: found, .. } if found == field),
            "{at}: {error}"
        );
    }
    let mut old = bytes.to_vec();
    old[16] = 1;
    assert_eq!(BatchHeader::parse(&old), Err(BatchError::Magic { found: 1 }));
    let mut last = bytes.to_vec();
    last[..8].copy_from_slice(&i64::MAX.to_be_bytes());
    assert!(matches!(
        BatchHeader::parse(&last),
        Err(BatchError::Field {
            field: "lastOffsetDelta",
            ..
        })
    ));
    // More records than bytes, though there are offsets for them.
    let many = changed(&bytes, |batch| (batch[26], batch[60]) = (9, 2));
    assert!(matches!(
        BatchHeader::parse(&many),
        Err(BatchError::Field { field: "records", .. })
    ));
}

#[test]
fn codecs_that_nobody_defined_are_refused_when_they_are_needed() {
    let batch = split(&changed(&build(Codec::None, 3, &[one("x")]), |batch| {
        batch[22] = 5;
    }));
    let refused = BatchError::UnknownCodec {
        base_offset: 3,
        number: 5,
    };
    assert_eq!(batch.header().codec(), Err(refused.clone()));
    assert_eq!(batch.decode(&Caps::default()).unwrap_err(), refused);
}

#[test]
fn a_new_base_offset_leaves_the_checksum_valid() {
    let bytes = build(Codec::Zstd, 0, &[one("a"), one("b")]);
    let shared = split(&bytes);
    let moved = shared.clone().with_base_offset(1 << 40);
    assert_eq!(shared.header().base_offset, 0, "the bytes of others stay");
    assert_eq!(split(moved.bytes()).header(), moved.header());
    assert_eq!(records_of(&moved).unwrap()[1].offset, (1 << 40) + 1);

    let alone = Batch::split_off_front(&mut Bytes::from(bytes.to_vec())).unwrap();
    let at = alone.bytes().as_ptr();
    let alone = alone.with_base_offset(9);
    assert_eq!(alone.bytes().as_ptr(), at, "nobody else has them: no copy");
    assert_eq!(split(alone.bytes()).header().base_offset, 9);
    let same = shared.clone().with_base_offset(0);
    assert_eq!(same.bytes().as_ptr(), shared.bytes().as_ptr());
}

#[test]
#[should_panic(expected = "go beyond 2^63 - 1")]
fn a_base_offset_that_cannot_be_is_refused() {
    let _ = split(&build(Codec::None, 0, &[one("a")])).with_base_offset(i64::MAX as u64);
}

#[test]
fn codecs_have_names() {
    for codec in Codec::ALL {
        assert_eq!(codec.to_string().parse(), Ok(codec));
        let json = serde_json::to_string(&codec).unwrap();
        assert_eq!(json, format!("\"{codec}\""));
        assert_eq!(serde_json::from_str::<Codec>(&json).unwrap(), codec);
        assert_eq!(Codec::of_number(codec.number()), Some(codec));
    }
    assert_eq!(Codec::default(), Codec::None);
    let error = "LZ4\n".parse::<Codec>().unwrap_err().to_string();
    assert!(
        error.ends_with("is no codec: choose none, gzip, snappy, lz4 or zstd") && !error.contains('\n'),
        "{error}"
    );
}
