//! What was built is read.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

/// Bytes that compress, bytes that do not, and lengths around those of a varint.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..80),
        2 => (any::<u8>(), 0_usize..3000).prop_map(|(byte, len)| vec![byte; len]),
        1 => vec(any::<u8>(), 8150..8250),
    ]
}

fn headers() -> impl Strategy<Value = Vec<Header>> {
    let one = (vec(any::<u8>(), 0..12), option::of(vec(any::<u8>(), 0..70)));
    vec(
        one.prop_map(|(name, value)| Header {
            name: name.into(),
            value: value.map(Bytes::from),
        }),
        0..4,
    )
}

fn timestamps() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(-1),
        0..4_000_000_000_000_i64,
        1_700_000_000_000..1_700_000_000_100_i64,
        i64::MIN / 2..i64::MAX / 2,
    ]
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    vec(
        (timestamps(), option::of(bytes()), option::of(bytes()), headers()),
        1..40,
    )
}

fn any_codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::ALL[..])
}

proptest! {
    #[test]
    fn every_record_comes_back(codec in any_codec(), base in 0..1_u64 << 62, inputs in inputs()) {
        let mut builder = BatchBuilder::new(codec);
        for input in &inputs {
            push(&mut builder, input);
        }
        let plain = builder.len();
        prop_assert_eq!(builder.records() as usize, inputs.len());
        let bytes = builder.finish(base).unwrap();
        prop_assert!(bytes.len() <= plain);

        let batch = split(&bytes);
        let head = *batch.header();
        prop_assert_eq!(head.base_offset, base);
        prop_assert_eq!(head.len, bytes.len());
        prop_assert_eq!(head.leader_epoch, 0);
        prop_assert_eq!(head.next_offset(), base + inputs.len() as u64);
        prop_assert_eq!(head.base_timestamp, inputs[0].0);
        prop_assert_eq!(Some(head.max_timestamp), inputs.iter().map(|input| input.0).max());
        prop_assert_eq!((head.producer_id, head.producer_epoch, head.base_sequence), (-1, -1, -1));
        let used = head.codec().unwrap();
        prop_assert!(used == codec || (used == Codec::None && bytes.len() == plain));
        prop_assert_eq!(records_of(&batch).unwrap(), expected(base, &inputs));
    }

    #[test]
    fn pieces_make_the_whole(
        codec in any_codec(),
        inputs in inputs(),
        from in 0_u64..45,
        max_records in 1_usize..9,
        max_bytes in 0_usize..4000,
    ) {
        let batch = split(&build(codec, 0, &inputs));
        let decoded = batch.decode(&Caps::default()).unwrap();
        let mut cursor = decoded.cursor();
        let mut all = Vec::new();
        loop {
            let before = all.len();
            let bytes = decoded.read(&mut cursor, from, max_records, max_bytes, &mut all).unwrap();
            let piece = &all[before..];
            prop_assert_eq!(bytes, piece.iter().map(size).sum::<usize>());
            prop_assert!(piece.len() <= max_records);
            prop_assert!(piece.len() <= 1 || bytes <= max_bytes);
            if piece.is_empty() {
                break;
            }
        }
        let mut wanted = expected(0, &inputs);
        wanted.retain(|record| record.offset >= from);
        prop_assert_eq!(all, wanted);
    }

    #[test]
    fn a_time_is_found_where_a_walk_finds_it(inputs in inputs(), time in timestamps()) {
        let decoded = split(&build(Codec::None, 7, &inputs)).decode(&Caps::default()).unwrap();
        let walked = inputs.iter().position(|input| input.0 >= time).map(|at| 7 + at as u64);
        prop_assert_eq!(decoded.first_at_or_after(time), Ok(walked));
    }
}

fn size(record: &Record) -> usize {
    record.key.as_ref().map_or(0, Bytes::len)
        + record.value.len()
        + record
            .headers
            .iter()
            .map(|header| header.name.len() + header.value.as_ref().map_or(0, Bytes::len))
            .sum::<usize>()
}

#[test]
fn batches_of_many_blocks_come_back() {
    let mut rng = fastrand::Rng::with_seed(3);
    let inputs: Vec<Input> = (0..4000)
        .map(|n| {
            let value = format!("{} {n} ", rng.u64(..)).repeat(5);
            (n, None, Some(value.into_bytes()), Vec::new())
        })
        .collect();
    for codec in Codec::ALL {
        let bytes = build(codec, 0, &inputs);
        let batch = split(&bytes);
        assert_eq!(batch.header().codec(), Ok(codec));
        assert_eq!(records_of(&batch).unwrap(), expected(0, &inputs), "{codec}");
        let decoded = batch.decode(&Caps::default()).unwrap();
        let plain = build(Codec::None, 0, &inputs).len() - HEADER_LEN;
        if codec == Codec::None {
            assert_eq!(decoded.memory(), 0);
        } else {
            assert!(bytes.len() < plain / 2, "{codec}: {}", bytes.len());
            assert!(
                (plain..plain + plain / 8 + 1025).contains(&decoded.memory()),
                "{codec}: {}",
                decoded.memory()
            );
        }
    }
}

#[test]
fn lz4_blocks_that_do_not_shrink_are_stored() {
    let mut rng = fastrand::Rng::with_seed(5);
    let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(70_000).collect();
    let inputs = [
        (0, None, Some(noise), vec![]),
        (0, None, Some(vec![7; 200_000]), vec![]),
    ];
    let batch = split(&build(Codec::Lz4, 0, &inputs));
    assert_eq!(batch.header().codec(), Ok(Codec::Lz4));
    assert_eq!(
        batch.bytes()[HEADER_LEN + 10] >> 7,
        1,
        "the first block is stored"
    );
    assert_eq!(records_of(&batch).unwrap(), expected(0, &inputs));
}
