//! Batches that kafka-python made: `tests/fixtures/batches/make.py`.

use super::*;

fn fixture(name: &str) -> Bytes {
    let path = format!("{}/tests/fixtures/batches/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap().into()
}

/// The records that are in most of them.
fn inputs() -> Vec<Input> {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let every_byte = (0..=255).collect::<Vec<u8>>().repeat(2);
    vec![
        (
            1_700_000_000_000,
            text("first"),
            text(&"value ".repeat(40)),
            vec![],
        ),
        (
            1_700_000_000_250,
            None,
            text(&"no key ".repeat(20)),
            vec![
                header("trace", Some(b"\x00\x01\xff")),
                header("trace", None),
                header("", Some(b"")),
            ],
        ),
        (1_699_999_999_000, text("gone"), None, vec![]),
        (
            1_700_000_086_400,
            text(""),
            text(""),
            vec![header("content-type", Some(b"text/plain"))],
        ),
        (1_700_000_000_001, None, None, vec![]),
        (
            -1,
            text("schlüssel"),
            Some(every_byte),
            vec![header("größe", Some("ß".as_bytes()))],
        ),
        (
            1_800_000_000_000,
            text("last"),
            text(&"value ".repeat(50)),
            vec![],
        ),
    ]
}

#[test]
fn batches_of_every_codec_read_as_they_were_written() {
    for (name, codec) in [
        ("none", Codec::None),
        ("gzip", Codec::Gzip),
        ("snappy", Codec::Snappy),
        ("snappy-raw", Codec::Snappy),
        ("snappy-blocks", Codec::Snappy),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
        ("zstd-streamed", Codec::Zstd),
    ] {
        let bytes = fixture(name);
        let batch = split(&bytes);
        let crc = batch.header().crc;
        assert_eq!(
            *batch.header(),
            BatchHeader {
                base_offset: 0,
                len: bytes.len(),
                leader_epoch: 0,
                crc,
                attributes: codec.number(),
                last_offset_delta: 6,
                base_timestamp: 1_700_000_000_000,
                max_timestamp: 1_800_000_000_000,
                producer_id: -1,
                producer_epoch: -1,
                base_sequence: -1,
                records: 7,
            },
            "{name}"
        );
        assert_eq!(batch.header().codec(), Ok(codec), "{name}");
        assert_eq!(records_of(&batch).unwrap(), expected(0, &inputs()), "{name}");
    }
}

#[test]
fn linked_lz4_blocks_with_every_checksum_are_read() {
    let records = records_of(&split(&fixture("lz4-linked"))).unwrap();
    let [record] = records.as_slice() else {
        panic!("{} records", records.len());
    };
    assert_eq!(record.value.len(), 160_000);
    assert!(
        record
            .value
            .chunks(1000)
            .all(|chunk| chunk == &record.value[..1000])
    );
}

#[test]
fn without_compression_the_builder_makes_the_same_bytes() {
    assert_eq!(build(Codec::None, 0, &inputs()), fixture("none"));
}

#[test]
fn snappy_blocks_have_the_header_that_others_write() {
    let ours = build(Codec::Snappy, 0, &inputs());
    let theirs = fixture("snappy");
    // Magic, versions; the compressed bytes may differ from one library to the next.
    assert_eq!(
        ours[HEADER_LEN..HEADER_LEN + 16],
        theirs[HEADER_LEN..HEADER_LEN + 16]
    );
}

#[test]
fn in_log_append_time_every_record_has_the_time_of_the_batch() {
    let batch = split(&fixture("append-time"));
    assert!(batch.header().log_append_time());
    let records = records_of(&batch).unwrap();
    assert_eq!(records.len(), 7);
    assert!(records.iter().all(|record| record.timestamp == 1_800_000_000_000));
    let decoded = batch.decode(&Caps::default()).unwrap();
    assert_eq!(decoded.first_at_or_after(1_800_000_000_000), Ok(Some(0)));
    assert_eq!(decoded.first_at_or_after(1_800_000_000_001), Ok(None));
}

#[test]
fn a_transactional_batch_names_its_producer() {
    let batch = split(&fixture("transactional"));
    let header = batch.header();
    assert!(header.is_transactional() && !header.is_control() && !header.log_append_time());
    assert_eq!(
        (header.producer_id, header.producer_epoch, header.base_sequence),
        (4711, 3, 99)
    );
    assert_eq!(records_of(&batch).unwrap()[0].value, "v");
}

#[test]
fn a_control_batch_has_no_records_for_anybody() {
    let batch = split(&fixture("control"));
    assert!(batch.header().is_control() && batch.header().is_transactional());
    assert_eq!(batch.header().records, 1);
    let decoded = batch.decode(&Caps::default()).unwrap();
    assert!(decoded.is_control());
    assert_eq!(decoded.next_offset(), 1);
    assert_eq!(decoded.first_at_or_after(0), Ok(None));
    assert_eq!(records_of(&batch), Ok(vec![]));
}
