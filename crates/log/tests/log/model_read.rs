//! Random topics, read in random ways by readers of two processes, compared record by record.

use std::time::Duration;

use bytes::Bytes;
use forebay_log::batch::{Batch, Caps, Codec};
use forebay_log::{Consumer, ConsumerOptions, LogOptions, Producer, ReadLimit, Record, Start};
use proptest::prelude::*;

use crate::records::{create, dense, first, holed, quick};
use crate::world::{World, within};

/// A batch: its codec, for each record the hole before it, its time and the length of its value; and the hole at the end.
#[derive(Clone, Debug)]
struct SomeBatch {
    codec: Codec,
    records: Vec<(u32, i64, usize)>,
    end: u32,
    /// Whether its segment ends with it.
    flush: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Read(u16, usize, Option<usize>),
    GoOn(usize, Option<usize>),
    Batches(u16, usize),
    Search(i64),
}

fn some_batch() -> impl Strategy<Value = SomeBatch> {
    let codec = prop_oneof![Just(Codec::None), Just(Codec::Lz4), Just(Codec::Zstd)];
    let hole = prop_oneof![8 => Just(0_u32), 1 => 1..30_u32];
    let len = prop_oneof![8 => 0..200_usize, 1 => 3000..20_000_usize];
    let records = prop::collection::vec((hole.clone(), 0..500_i64, len), 0..40);
    (codec, records, hole, prop::bool::weighted(0.3)).prop_map(|(codec, records, end, flush)| SomeBatch {
        codec,
        // A batch has one offset at least.
        end: end + u32::from(records.is_empty()),
        records,
        flush,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let limit = prop_oneof![0..5_usize, 0..300_usize, Just(usize::MAX)];
    let bytes = prop::option::of(prop_oneof![0..50_usize, 0..30_000_usize]);
    prop_oneof![
        2 => (any::<u16>(), limit.clone(), bytes.clone()).prop_map(|(at, n, b)| Step::Read(at, n, b)),
        5 => (limit, bytes).prop_map(|(n, b)| Step::GoOn(n, b)),
        2 => (any::<u16>(), 0..100_000_usize).prop_map(|(at, n)| Step::Batches(at, n)),
        1 => (-1..600_i64).prop_map(Step::Search),
    ]
}

#[derive(Debug, PartialEq)]
struct Known {
    offset: u64,
    timestamp: i64,
    value: Vec<u8>,
}

fn same(found: &[Record], expected: &[Known]) {
    assert_eq!(
        found.iter().map(|record| record.offset).collect::<Vec<_>>(),
        expected.iter().map(|known| known.offset).collect::<Vec<_>>()
    );
    for (record, known) in found.iter().zip(expected) {
        assert_eq!(record.timestamp, known.timestamp, "at {}", known.offset);
        assert!(record.value == known.value, "another value at {}", known.offset);
    }
}

/// What a read of a model gives: records, and how many.
fn expected(all: &[Known], from: u64, records: usize, bytes: Option<usize>) -> &[Known] {
    let rest = &all[all.partition_point(|known| known.offset < from)..];
    let (mut sum, mut count) = (0, 0);
    for known in rest.iter().take(records) {
        sum += known.value.len();
        if count > 0 && bytes.is_some_and(|bytes| sum > bytes) {
            break;
        }
        count += 1;
        if bytes.is_some_and(|bytes| sum >= bytes) {
            break;
        }
    }
    &rest[..count]
}

async fn run(batches: &[SomeBatch], steps: &[(usize, Step)]) {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 1).await;
    let at = first(&topic);
    let producer = Producer::new(&log, quick());
    let (mut all, mut bounds, mut end) = (Vec::new(), Vec::new(), 0);
    for batch in batches {
        let (base, mut delta, mut records) = (end, 0, Vec::new());
        for (hole, timestamp, len) in &batch.records {
            delta += hole;
            let offset = base + u64::from(delta);
            let value = dense(offset, *len);
            records.push((delta, *timestamp, value.clone()));
            all.push(Known {
                offset,
                timestamp: *timestamp,
                value,
            });
            delta += 1;
        }
        let length = delta + batch.end;
        end += u64::from(length);
        bounds.push(end);
        // Without records there is nothing to compress.
        let codec = if records.is_empty() {
            Codec::None
        } else {
            batch.codec
        };
        let bytes = holed(codec, &records, length);
        within(producer.send_batch(&at, bytes)).await.unwrap();
        if batch.flush {
            within(producer.flush()).await.unwrap();
        }
    }
    within(producer.close()).await.unwrap();

    let no_ahead = LogOptions {
        prefetch_enabled: false,
        decoded_cache: 10_000,
        ends_max_age: Duration::ZERO,
        ..LogOptions::default()
    };
    let logs = [
        world.log("reader").await,
        world.log_with("other", world.metadata().await, no_ahead),
    ];
    let readers = [
        logs[0].partition(topic.clone(), 0),
        logs[0].partition(topic.clone(), 0),
        logs[1].partition(topic.clone(), 0),
    ];
    let mut positions = [0_u64; 3];
    for (reader, step) in steps {
        let (position, reader) = (&mut positions[*reader], &readers[*reader]);
        match step {
            Step::Read(..) | Step::GoOn(..) => {
                let (records, bytes) = match step {
                    Step::Read(start, records, bytes) => {
                        *position = u64::from(*start) % (end + 1);
                        (*records, *bytes)
                    }
                    Step::GoOn(records, bytes) => (*records, *bytes),
                    _ => unreachable!(),
                };
                let limit = ReadLimit {
                    records,
                    bytes: bytes.unwrap_or(usize::MAX),
                };
                let read = within(reader.read(*position, limit)).await.unwrap();
                let expected = expected(&all, *position, records, bytes);
                same(&read.records, expected);
                assert_eq!((read.log_start, read.high_watermark), (0, end));
                let last = expected.last().map_or(*position, |last| last.offset + 1);
                let following = all.iter().find(|known| known.offset >= last);
                let most = following.map_or(end, |known| known.offset);
                assert!((last..=most).contains(&read.next_offset), "{read:?}");
                *position = read.next_offset;
            }
            Step::Batches(start, bytes) => {
                let start = u64::from(*start) % (end + 1);
                let read = within(reader.read_batches(start, *bytes)).await.unwrap();
                let total: usize = read.batches.iter().map(Bytes::len).sum();
                let mut rest = Bytes::from(read.batches.concat());
                let (mut found, mut count) = (Vec::new(), 0);
                while !rest.is_empty() {
                    let batch = Batch::split_off_front(&mut rest).unwrap();
                    assert!(batch.header().next_offset() > start);
                    let decoded = batch.decode(&Caps::default()).unwrap();
                    let mut place = decoded.cursor();
                    decoded
                        .read(&mut place, start, usize::MAX, usize::MAX, &mut found)
                        .unwrap();
                    count += 1;
                }
                assert!(count == 1 || total <= *bytes || start == end);
                let from = all.partition_point(|known| known.offset < start);
                let to = all.partition_point(|known| known.offset < read.next_offset);
                same(&found, &all[from..to]);
                assert!(bounds.contains(&read.next_offset) || start == end);
                *position = read.next_offset;
            }
            Step::Search(timestamp) => {
                let found = within(reader.offset_for_timestamp(*timestamp)).await.unwrap();
                let first = all.iter().find(|known| known.timestamp >= *timestamp);
                assert_eq!(found, first.map_or(end, |known| known.offset));
                *position = found;
            }
        }
    }
    // And all of it once more, as a consumer.
    let options = ConsumerOptions {
        start: Start::Earliest,
        ..ConsumerOptions::default()
    };
    let mut consumer = within(Consumer::assign(&logs[0], &[at], &options)).await.unwrap();
    let mut polled = Vec::new();
    loop {
        let records = within(consumer.poll(17)).await.unwrap();
        if records.is_empty() {
            break;
        }
        polled.extend(records);
    }
    same(&polled, &all);
    assert_eq!(consumer.position(), end);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn readers_agree_with_a_model(
        batches in prop::collection::vec(some_batch(), 1..25),
        steps in prop::collection::vec((0..3_usize, step()), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(run(&batches, &steps));
    }
}
