//! What the tests write, and what they read again.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use forebay_log::batch::Codec;
use forebay_log::metadata::{SegmentInfo, TopicConfig};
use forebay_log::{Delivery, Log, NewRecord, Producer, ProducerOptions, Record, TopicName, TopicPartition};

use crate::world::within;

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

/// A producer that does not wait long.
pub(crate) fn quick() -> ProducerOptions {
    ProducerOptions {
        linger: Duration::from_millis(5),
        ..ProducerOptions::default()
    }
}

pub(crate) async fn create(log: &Log, name: &str, partitions: u32) -> TopicName {
    let name = topic(name);
    let config = TopicConfig::default();
    within(log.create_topic(&name, partitions, &config))
        .await
        .unwrap();
    name
}

/// The value of a test's record.
pub(crate) fn value(n: u64) -> String {
    format!("value {n:06}")
}

/// Writes `from..to` to partition 0, in one flush.
pub(crate) async fn write(producer: &Producer, topic: &TopicName, from: u64, to: u64) {
    for n in from..to {
        let record = NewRecord::value(value(n)).partition(0);
        within(producer.send(topic, &record)).await.unwrap();
    }
    within(producer.flush()).await.unwrap();
}

/// That these are the records `from..to` that [`write()`] wrote, at their offsets.
pub(crate) fn assert_records(records: &[Record], from: u64, to: u64) {
    let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (from..to).collect::<Vec<_>>());
    for record in records {
        assert_eq!(record.value, value(record.offset), "at {}", record.offset);
    }
}

/// Partition 0 of a topic.
pub(crate) fn first(topic: &TopicName) -> TopicPartition {
    TopicPartition::new(topic.clone(), 0)
}

/// A value that no codec makes smaller, known by its offset.
pub(crate) fn dense(offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(offset).fill(&mut bytes);
    bytes
}

/// Writes as many segments as asked for to partition 0, each of so many records of [`dense`] values.
pub(crate) async fn fill(
    log: &Log,
    topic: &TopicName,
    codec: Codec,
    segments: u64,
    records: u64,
    len: usize,
) {
    let options = ProducerOptions {
        linger: Duration::from_secs(5),
        codec,
        record_batch_bytes: 16 << 10,
        ..ProducerOptions::default()
    };
    let producer = Producer::new(log, options);
    for segment in 0..segments {
        for n in segment * records..(segment + 1) * records {
            let record = NewRecord::value(dense(n, len)).partition(0);
            within(producer.send(topic, &record)).await.unwrap();
        }
        within(producer.flush()).await.unwrap();
    }
    within(producer.close()).await.unwrap();
}

/// That these are the records `from..to` of [`fill()`].
pub(crate) fn assert_dense(records: &[Record], from: u64, to: u64) {
    let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (from..to).collect::<Vec<_>>());
    for record in records {
        let expected = dense(record.offset, record.value.len());
        assert!(record.value == expected, "another value at {}", record.offset);
    }
}

/// A batch as another producer might write it: records at the deltas named (in order), `end` offsets in all, timestamps
/// and values as told.
pub(crate) fn holed(codec: Codec, records: &[(u32, i64, Vec<u8>)], end: u32) -> Bytes {
    let mut body = Vec::new();
    let base = records.first().map_or(-1, |(_, timestamp, _)| *timestamp);
    for (delta, timestamp, value) in records {
        let mut record = vec![0];
        varint(&mut record, timestamp - base);
        varint(&mut record, i64::from(*delta));
        varint(&mut record, -1);
        varint(&mut record, value.len() as i64);
        record.extend_from_slice(value);
        varint(&mut record, 0);
        varint(&mut body, record.len() as i64);
        body.extend(record);
    }
    let body = match codec {
        Codec::None => body,
        Codec::Lz4 => {
            let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
            frame.write_all(&body).unwrap();
            frame.finish().unwrap()
        }
        Codec::Zstd => zstd::bulk::compress(&body, 1).unwrap(),
        other => panic!("not made here: {other}"),
    };
    let max = records.iter().map(|(_, timestamp, _)| *timestamp).max();
    let attributes: i16 = match codec {
        Codec::Lz4 => 3,
        Codec::Zstd => 4,
        _ => 0,
    };
    let mut batch = Vec::new();
    batch.extend_from_slice(&0_i64.to_be_bytes());
    batch.extend_from_slice(&(49 + body.len() as i32).to_be_bytes());
    batch.extend_from_slice(&0_i32.to_be_bytes());
    batch.push(2);
    batch.extend_from_slice(&[0; 4]);
    batch.extend_from_slice(&attributes.to_be_bytes());
    batch.extend_from_slice(&(end as i32 - 1).to_be_bytes());
    batch.extend_from_slice(&base.to_be_bytes());
    batch.extend_from_slice(&max.unwrap_or(-1).to_be_bytes());
    batch.extend_from_slice(&(-1_i64).to_be_bytes());
    batch.extend_from_slice(&(-1_i16).to_be_bytes());
    batch.extend_from_slice(&(-1_i32).to_be_bytes());
    batch.extend_from_slice(&(records.len() as i32).to_be_bytes());
    batch.extend(body);
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch[21..]) as u32;
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// A batch of `tests/fixtures/batches`.
pub(crate) fn fixture(name: &str) -> Bytes {
    let path = format!("{}/tests/fixtures/batches/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap().into()
}

/// Sends whole batches, each one in a segment of its own.
pub(crate) async fn send_batches(log: &Log, at: &TopicPartition, batches: &[Bytes]) {
    let producer = Producer::new(log, quick());
    for batch in batches {
        within(producer.send_batch(at, batch.clone())).await.unwrap();
        within(producer.flush()).await.unwrap();
    }
    within(producer.close()).await.unwrap();
}

/// All segments of a partition.
pub(crate) async fn segments(log: &Log, at: &TopicPartition) -> Vec<SegmentInfo> {
    let wanted = [(at.clone(), 0)];
    let mut found = within(log.metadata().segments_from(&wanted, 10_000))
        .await
        .unwrap();
    found.swap_remove(0)
}

/// A producer whose leases are not long, nor its patience.
pub(crate) fn short() -> ProducerOptions {
    ProducerOptions {
        lease: Duration::from_millis(400),
        delivery_timeout: Duration::from_secs(5),
        ..quick()
    }
}

/// Everything that a partition has, as another process reads it.
pub(crate) async fn read_all(log: &Log, topic: &TopicName, partition: u32) -> Vec<Record> {
    let at = TopicPartition::new(topic.clone(), partition);
    let ends = log
        .metadata()
        .partitions(std::slice::from_ref(&at))
        .await
        .unwrap();
    let reader = log.partition(topic.clone(), partition);
    let (mut next, mut all) = (ends[0].log_start, Vec::new());
    while next < ends[0].high_watermark {
        let read = within(reader.read(next, 10_000)).await.unwrap();
        assert!(read.next_offset > next, "it goes on");
        next = read.next_offset;
        all.extend(read.records);
    }
    all
}

/// That the values are these, in this order, at offsets without a gap from `from` on.
pub(crate) fn assert_values(records: &[Record], from: u64, values: &[String]) {
    let found: Vec<_> = records
        .iter()
        .map(|record| String::from_utf8(record.value.to_vec()).unwrap())
        .collect();
    assert_eq!(found, values);
    let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (from..from + values.len() as u64).collect::<Vec<_>>());
}

pub(crate) async fn send(producer: &Producer, topic: &TopicName, partition: u32, value: &str) -> Delivery {
    let record = NewRecord::value(value.to_owned()).partition(partition);
    within(producer.send(topic, &record)).await.unwrap()
}

pub(crate) fn values(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(value).collect()
}
