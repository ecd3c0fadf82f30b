//! What is written is read.

use forebay_log::batch::{Batch, Codec};
use forebay_log::{LogError, NewRecord, PartitionReader, Producer, ReadLimit, Record, TopicName};

use crate::records::{
    assert_dense, assert_records, create, dense, fill, first, fixture, holed, quick, send_batches, value,
    write,
};
use crate::world::{World, within};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_by_another_process() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 2).await;
    let producer = Producer::new(&log, quick());
    write(&producer, &topic, 0, 1000).await;
    write(&producer, &topic, 1000, 1500).await;
    within(producer.close()).await.unwrap();

    let other = world.log("reader").await;
    let reader = other.partition(topic.clone(), 0);
    let all = within(reader.read(0, usize::MAX)).await.unwrap();
    assert_records(&all.records, 0, 1500);
    assert_eq!(
        (all.log_start, all.high_watermark, all.next_offset),
        (0, 1500, 1500)
    );
    // In the middle of a batch, some records, some bytes.
    let some = within(reader.read(733, 10)).await.unwrap();
    assert_records(&some.records, 733, 743);
    assert_eq!(some.high_watermark, 1500, "the partition's, not the segment's");
    let bytes = within(reader.read(990, ReadLimit::bytes(24))).await.unwrap();
    assert_records(&bytes.records, 990, 992);
    let across = within(reader.read(990, 20)).await.unwrap();
    assert_records(&across.records, 990, 1010);
    // At the end, and beyond both.
    let end = within(reader.read(1500, 10)).await.unwrap();
    assert_eq!((end.records.len(), end.next_offset), (0, 1500));
    let beyond = within(reader.read(1501, 10)).await.unwrap_err();
    assert!(
        matches!(
            beyond,
            LogError::OffsetNotFound {
                log_start: 0,
                high_watermark: 1500,
                ..
            }
        ),
        "{beyond}"
    );
    // The other partition is empty, the third is none.
    let empty = other.partition(topic.clone(), 1);
    assert_eq!(within(empty.read(0, 10)).await.unwrap().records, []);
    let none = within(other.partition(topic, 2).read(0, 10)).await.unwrap_err();
    assert!(none.to_string().contains("no partition 2 (it has 2"), "{none}");
}

fn offsets(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.offset).collect()
}

/// Batches with holes at their beginning, in their middle and at their end, as compaction of a broker leaves them.
#[tokio::test(flavor = "multi_thread")]
async fn holes_are_passed_over() {
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let world = World::new();
        let log = world.log("log").await;
        let topic = create(&log, "orders", 1).await;
        let record = |delta: u32, offset| (delta, 1000, dense(offset, 50));
        let batches = [
            // 0..10: holes at both ends and within.
            holed(codec, &[record(2, 2), record(3, 3), record(7, 7)], 10),
            // 10..15: a hole at the end.
            holed(codec, &[record(0, 10)], 5),
            // 15..20: nothing but a hole.
            holed(Codec::None, &[], 5),
            // 20..22: none.
            holed(codec, &[record(0, 20), record(1, 21)], 2),
            // 22..40: nothing again, at the end of the log.
            holed(Codec::None, &[], 18),
        ];
        send_batches(&log, &first(&topic), &batches).await;
        let all = [2, 3, 7, 10, 20, 21];
        let log = world.log("reader").await;
        for start in 0..=40 {
            let expected: Vec<_> = all.into_iter().filter(|offset| *offset >= start).collect();
            for at_a_time in [1, 2, 3, 100] {
                let reader = log.partition(topic.clone(), 0);
                let (mut next, mut found) = (start, Vec::new());
                loop {
                    let read = within(reader.read(next, at_a_time)).await.unwrap();
                    assert_eq!(read.high_watermark, 40);
                    assert!(read.records.len() <= at_a_time);
                    found.extend(read.records);
                    let from = std::mem::replace(&mut next, read.next_offset);
                    assert!(next > from || from == 40);
                    if from == 40 {
                        break;
                    }
                }
                assert_eq!(offsets(&found), expected, "{codec} from {start}");
                for record in &found {
                    assert!(record.value == dense(record.offset, 50));
                }
            }
            // Verbatim: whole batches from the one that holds the offset on.
            let read = within(log.partition(topic.clone(), 0).read_batches(start, usize::MAX)).await;
            let mut bytes = read.unwrap().batches.concat().into();
            let mut bases = Vec::new();
            while let Ok(batch) = Batch::split_off_front(&mut bytes) {
                bases.push(batch.header().base_offset);
            }
            let ends = [(0, 10), (10, 15), (15, 20), (20, 22), (22, 40)];
            let expected = ends.into_iter().filter(|(_, end)| *end > start);
            assert_eq!(bases, expected.map(|(base, _)| base).collect::<Vec<_>>());
        }
    }
}

/// Marks of transactions are no records; the position moves on behind them.
#[tokio::test(flavor = "multi_thread")]
async fn control_batches_are_skipped() {
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "orders", 1).await;
    let batches = ["control", "transactional", "control", "control"].map(fixture);
    let records = u64::from(
        Batch::split_off_front(&mut batches[1].clone())
            .unwrap()
            .header()
            .records,
    );
    send_batches(&log, &first(&topic), &batches).await;
    let reader = log.partition(topic, 0);
    let read = within(reader.read(0, 100)).await.unwrap();
    assert_eq!(offsets(&read.records), (1..=records).collect::<Vec<_>>());
    let end = records + 3;
    assert_eq!((read.next_offset, read.high_watermark), (end, end));
    let read = within(reader.read(records + 1, 1)).await.unwrap();
    assert_eq!((read.records.len(), read.next_offset), (0, end));
    // They are there for those who read batches.
    let read = within(reader.read_batches(end - 1, 1)).await.unwrap();
    assert_eq!((read.batches.len(), read.next_offset), (1, end));
}

/// Both kinds of reads on one reader, in turns, from the middle of batches.
#[tokio::test(flavor = "multi_thread")]
async fn records_and_batches_in_turns() {
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "orders", 1).await;
    fill(&log, &topic, Codec::Lz4, 3, 1000, 100).await;
    let reader = log.partition(topic, 0);
    let mut next = 0;
    let mut turn = 0;
    while next < 3000 {
        turn += 1;
        let read = within(reader.read(next, turn % 37)).await.unwrap();
        assert_dense(&read.records, next, next + read.records.len() as u64);
        next = read.next_offset;
        if turn % 3 == 0 {
            continue;
        }
        let read = within(reader.read_batches(next, turn * 500)).await.unwrap();
        let mut bytes = read.batches.concat().into();
        let mut at = None;
        while let Ok(batch) = Batch::split_off_front(&mut bytes) {
            let base = batch.header().base_offset;
            assert!(
                at.map_or(base <= next, |at| base == at),
                "{base} after {at:?} at {next}"
            );
            at = Some(batch.header().next_offset());
        }
        assert_eq!(at.unwrap_or(next), read.next_offset);
        assert!(read.next_offset > next || next == 3000);
        // Half of what that gave comes again as records.
        next += (read.next_offset - next) / 2;
    }
}

async fn search(reader: &PartitionReader, timestamp: i64) -> u64 {
    within(reader.offset_for_timestamp(timestamp)).await.unwrap()
}

/// The first record in the order of offsets whose time is the one asked for or later, whatever the order of times.
#[tokio::test(flavor = "multi_thread")]
async fn timestamps_are_searched() {
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "orders", 2).await;
    let at = first(&topic);
    let producer = Producer::new(&log, quick());
    let mut rng = fastrand::Rng::with_seed(3);
    // Rising by and large, with steps back, and many of the same.
    let times: Vec<i64> = (0..3000)
        .map(|n| 10_000 + n / 7 * 10 - rng.i64(0..1000) / 100 * 100)
        .collect();
    for (n, time) in (0..).zip(&times) {
        let mut record = NewRecord::value(value(n)).partition(0);
        record.timestamp = Some(*time);
        within(producer.send(&topic, &record)).await.unwrap();
        if n % 450 == 449 {
            within(producer.flush()).await.unwrap();
        }
    }
    within(producer.close()).await.unwrap();
    let reader = log.partition(topic.clone(), 0);
    let expected = |from: usize, timestamp: i64| {
        let found = times[from..].iter().position(|time| *time >= timestamp);
        found.map_or(3000, |found| (from + found) as u64)
    };
    let newest = *times.iter().max().unwrap();
    let asked = (0..150).map(|_| rng.i64(9_000..15_000));
    let asked: Vec<i64> = asked.chain([i64::MIN, 0, newest, newest + 1, i64::MAX]).collect();
    for timestamp in &asked {
        assert_eq!(
            search(&reader, *timestamp).await,
            expected(0, *timestamp),
            "{timestamp}"
        );
    }
    // What is read after a search is what is there, from any offset.
    for timestamp in &asked[..30] {
        let found = search(&reader, *timestamp).await;
        for start in [
            found,
            found.saturating_sub(1),
            (found + 1).min(3000),
            found / 450 * 450,
        ] {
            let read = within(reader.read(start, 600)).await.unwrap();
            assert_records(&read.records, start, (start + 600).min(3000));
            search(&reader, *timestamp).await;
        }
    }
    // Not below the log start, though it be in the middle of a batch.
    within(log.metadata().advance_log_start(&at, 200)).await.unwrap();
    for timestamp in [i64::MIN, 9_000, 10_000, 10_300, newest + 1] {
        assert_eq!(
            search(&reader, timestamp).await,
            expected(200, timestamp),
            "{timestamp}"
        );
    }
    // None where there are none.
    let empty = log.partition(topic, 1);
    assert_eq!((search(&empty, 0).await, search(&empty, i64::MAX).await), (0, 0));
}

/// A read that comes to the end of what it knew asks whether there is more.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_to_the_end_sees_what_was_just_committed() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic: TopicName = create(&log, "orders", 1).await;
    let producer = Producer::new(&log, quick());
    write(&producer, &topic, 0, 100).await;
    // What is known would last for an hour.
    let options = forebay_log::LogOptions {
        ends_max_age: std::time::Duration::from_secs(3600),
        ..Default::default()
    };
    let log = world.log_with("reader", world.metadata().await, options);
    let reader = log.partition(topic.clone(), 0);
    assert_records(&within(reader.read(0, 50)).await.unwrap().records, 0, 50);
    write(&producer, &topic, 100, 200).await;
    let read = within(reader.read(50, 1000)).await.unwrap();
    assert_records(&read.records, 50, 200);
    assert_eq!((read.high_watermark, read.next_offset), (200, 200));
    write(&producer, &topic, 200, 300).await;
    let read = within(reader.read_batches(199, usize::MAX)).await.unwrap();
    assert_eq!((read.high_watermark, read.next_offset), (300, 300));
    write(&producer, &topic, 300, 301).await;
    assert_records(&within(reader.read(300, 10)).await.unwrap().records, 300, 301);
    assert_eq!(within(reader.ends()).await.unwrap().high_watermark, 301);
    within(producer.close()).await.unwrap();
}
