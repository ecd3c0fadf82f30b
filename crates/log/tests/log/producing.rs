//! What a producer makes of what it is given, and when.

use std::time::Duration;

use bytes::Bytes;
use forebay_log::batch::{BatchBuilder, BatchHeader, Codec};
use forebay_log::{Header, LogError, NewRecord, Producer, ProducerOptions, Record, TopicPartition};
use forebay_testkit::{FaultKind, Op, Rule};
use forebay_types::{Clock, SystemClock};

use crate::records::{create, quick, read_all, send, value, write};
use crate::world::{World, within};

pub(crate) fn flushes(world: &World) -> usize {
    world
        .keys()
        .iter()
        .filter(|key| key.starts_with("flush/"))
        .count()
}

/// Cut by nothing but bytes, or because somebody waits.
pub(crate) fn by_bytes(bytes: usize) -> ProducerOptions {
    ProducerOptions {
        batch_bytes: bytes,
        linger: Duration::from_secs(3600),
        ..ProducerOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_partitions_cost_four_objects_a_second() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "wide", 1000).await;
    let producer = Producer::new(&log, ProducerOptions::default());
    let clock = SystemClock::new();
    let (mut sent, mut bytes) = (0_u32, 0_u64);
    while clock.now() < Duration::from_millis(2500) {
        for _ in 0..200 {
            let record = NewRecord::value(vec![7; 100]).partition(sent % 1000);
            within(producer.send(&topic, &record)).await.unwrap();
            (sent, bytes) = (sent + 1, bytes + 132);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    within(producer.close()).await.unwrap();
    let seconds = clock.now().as_secs_f64();
    let most = seconds * 4.0 + (bytes as f64) / f64::from(8 << 20) + 1.0;
    let objects = flushes(&world);
    assert!(
        (objects as f64) <= most,
        "{objects} objects in {seconds} s, {bytes} bytes"
    );
    let ends = log.metadata().partitions_of(&topic).await.unwrap();
    assert_eq!(
        ends.iter().map(|ends| ends.high_watermark).sum::<u64>(),
        u64::from(sent)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_of_more_partitions_than_sections_is_several_objects() {
    let world = World::new();
    let log = world.log("writer").await;
    let partitions = 65_536 + 10;
    let topic = create(&log, "wider", partitions).await;
    let producer = Producer::new(&log, by_bytes(1 << 30));
    for partition in 0..partitions {
        let record = NewRecord::value("x").partition(partition);
        within(producer.send(&topic, &record)).await.unwrap();
    }
    within(producer.close()).await.unwrap();
    assert_eq!(flushes(&world), 2);
    let ends = log.metadata().partitions_of(&topic).await.unwrap();
    assert!(ends.iter().all(|ends| ends.high_watermark == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_cut_by_bytes_and_by_time() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(&log, by_bytes(10_000));
    let mut last = None;
    for n in 0..200 {
        let record = NewRecord::value(vec![n; 500]).partition(0);
        last = Some(within(producer.send(&topic, &record)).await.unwrap());
    }
    // Some are left that do not fill an object; nobody waits for those.
    let enough = async {
        while flushes(&world) < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(enough).await;
    within(producer.flush()).await.unwrap();
    assert_eq!(within(last.unwrap().wait()).await.unwrap().offset, Some(199));
    within(producer.close()).await.unwrap();

    let soon = Producer::new(&log, quick());
    let delivery = send(&soon, &topic, 0, "by time").await;
    assert_eq!(within(delivery.wait()).await.unwrap().offset, Some(200));
    // Batches are not larger than they should be.
    let small = ProducerOptions {
        record_batch_bytes: 2000,
        codec: Codec::None,
        ..by_bytes(1 << 20)
    };
    let small = Producer::new(&log, small);
    within(soon.close()).await.unwrap();
    write(&small, &topic, 201, 600).await;
    let read = log.partition(topic, 0).read_batches(201, 1 << 20).await.unwrap();
    for mut bytes in read.batches {
        while !bytes.is_empty() {
            let header = BatchHeader::parse(&bytes).unwrap();
            assert!(header.len <= 2000, "{}", header.len);
            bytes = bytes.slice(header.len..);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_buffer_has_an_end_and_who_sends_waits() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 1).await;
    // A slow bucket: what is on its way keeps its place.
    world
        .lab
        .faults()
        .add(Rule::new(FaultKind::Latency(Duration::from_millis(300))).op(Op::Put));
    let options = ProducerOptions {
        buffer_memory: 10_000,
        ..by_bytes(1 << 20)
    };
    let producer = Producer::new(&log, options);
    let clock = SystemClock::new();
    let record = |size: usize| NewRecord::value(vec![1; size]).partition(0);
    // 1,032 bytes each: the tenth has no room, and none is cut by bytes or time.
    for _ in 0..9 {
        within(producer.send(&topic, &record(1000))).await.unwrap();
    }
    assert!(clock.now() < Duration::from_millis(250), "none waited");
    within(producer.send(&topic, &record(1000))).await.unwrap();
    assert!(clock.now() >= Duration::from_millis(300), "the tenth did");
    // One that is larger than the buffer has it alone, however many come.
    for _ in 0..3 {
        within(producer.send(&topic, &record(50_000))).await.unwrap();
    }
    within(producer.close()).await.unwrap();
    let all = read_all(&log, &topic, 0).await;
    let lengths: Vec<_> = all.iter().map(|record| record.value.len()).collect();
    assert_eq!(lengths[..10], [1000; 10]);
    assert_eq!(lengths[10..], [50_000; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_senders_share_a_small_buffer() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 4).await;
    let options = ProducerOptions {
        buffer_memory: 500,
        ..by_bytes(1 << 20)
    };
    let producer = Producer::new(&log, options);
    let senders = (0..4_u32).map(|partition| {
        let (producer, topic) = (&producer, &topic);
        async move {
            for n in 0..60 {
                let size = 1 + (n as usize * 37) % 700;
                let record = NewRecord::value(vec![n; size]).partition(partition);
                producer.send(topic, &record).await.unwrap();
            }
        }
    });
    within(futures::future::join_all(senders)).await;
    within(producer.close()).await.unwrap();
    for partition in 0..4 {
        let firsts: Vec<_> = read_all(&log, &topic, partition)
            .await
            .iter()
            .map(|record| record.value[0])
            .collect();
        assert_eq!(firsts, (0..60).collect::<Vec<u8>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_no_batch_can_hold_are_refused_and_others_begin_a_new_one() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(&log, by_bytes(1 << 30));
    let first = send(&producer, &topic, 0, "first").await;
    let too_large = NewRecord::value(vec![0; 200 << 20]).partition(0);
    let error = within(producer.send(&topic, &too_large)).await.unwrap_err();
    assert!(matches!(error, LogError::Record { .. }), "{error}");
    // Times that are too far apart for one batch are not for two.
    let at = |timestamp| NewRecord {
        timestamp: Some(timestamp),
        ..NewRecord::value("t").partition(0)
    };
    let mut sent = Vec::new();
    for timestamp in [0, i64::MAX, 0, -1] {
        sent.push(within(producer.send(&topic, &at(timestamp))).await.unwrap());
    }
    within(producer.close()).await.unwrap();
    assert_eq!(within(first.wait()).await.unwrap().offset, Some(0));
    for (n, sent) in (1..).zip(sent) {
        assert_eq!(within(sent.wait()).await.unwrap().offset, Some(n));
    }
    let times: Vec<_> = read_all(&log, &topic, 0)
        .await
        .iter()
        .skip(1)
        .map(|record| record.timestamp)
        .collect();
    assert_eq!(times, [0, i64::MAX, 0, -1]);
    // All of the buffer is there again.
    let error = within(producer.send(&topic, &at(0))).await.unwrap_err();
    assert!(matches!(error, LogError::Closed), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_times_and_headers_stay_as_they_are() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 7).await;
    let producer = Producer::new(&log, quick());
    let header = |name: &str, value: Option<&str>| Header {
        name: Bytes::copy_from_slice(name.as_bytes()),
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
    };
    let records = [
        NewRecord {
            timestamp: Some(12_345),
            headers: vec![
                header("trace", Some("a")),
                header("trace", None),
                header("", Some("")),
            ],
            ..NewRecord::value("v").key("21")
        },
        NewRecord {
            timestamp: Some(99),
            value: None,
            ..NewRecord::default().key("21")
        },
        NewRecord {
            timestamp: Some(-1),
            key: Some(Bytes::new()),
            ..NewRecord::value("").partition(6)
        },
    ];
    let mut at = Vec::new();
    for record in &records {
        let delivery = within(producer.send(&topic, record)).await.unwrap();
        at.push(within(delivery.wait()).await.unwrap());
    }
    // Kafka's own producers send the key "21" to this one of seven.
    let expected = (-973_932_308_i32 & 0x7fff_ffff) as u32 % 7;
    assert_eq!([at[0].at.partition, at[1].at.partition], [expected; 2]);
    for (record, at) in records.iter().zip(at) {
        let all = read_all(&log, &topic, at.at.partition).await;
        let found = all.iter().find(|found| Some(found.offset) == at.offset).unwrap();
        let Record {
            timestamp,
            key,
            value,
            tombstone,
            headers,
            ..
        } = found;
        assert_eq!(Some(*timestamp), record.timestamp);
        assert_eq!(*key, record.key);
        assert_eq!(*tombstone, record.value.is_none());
        assert_eq!(*value, record.value.clone().unwrap_or_default());
        assert_eq!(*headers, record.headers);
    }
}

pub(crate) fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::Lz4);
    for value in values {
        let header = Header {
            name: "h".into(),
            value: None,
        };
        builder.push(5, None, Some(value.as_bytes()), &[header]).unwrap();
    }
    builder.finish(900).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_batches_stay_as_they_are_but_for_their_offset() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 1).await;
    let at = TopicPartition::new(topic.clone(), 0);
    let producer = Producer::new(&log, quick());
    write(&producer, &topic, 0, 3).await;
    let whole = batch(&["a", "b"]);
    // Between records, in order.
    let before = send(&producer, &topic, 0, &value(3)).await;
    let delivery = within(producer.send_batch(&at, whole.clone())).await.unwrap();
    let after = send(&producer, &topic, 0, &value(6)).await;
    assert_eq!(within(before.wait()).await.unwrap().offset, Some(3));
    assert_eq!(within(delivery.wait()).await.unwrap().offset, Some(4));
    assert_eq!(within(after.wait()).await.unwrap().offset, Some(6));
    let read = log.partition(topic.clone(), 0).read_batches(4, 1).await.unwrap();
    let stored = read.batches.concat();
    let stored = &stored[find(&stored, &whole)..][..whole.len()];
    assert_eq!(stored[8..], whole[8..], "all but the base offset");
    assert_eq!(stored[..8], 4_u64.to_be_bytes());
    let mut wrong = whole.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    for bad in [
        Bytes::from(wrong),
        whole.slice(..20),
        Bytes::new(),
        [&whole[..], &whole[..]].concat().into(),
    ] {
        assert!(within(producer.send_batch(&at, bad)).await.is_err());
    }
    let nowhere = TopicPartition::new(topic, 1);
    assert!(within(producer.send_batch(&nowhere, whole)).await.is_err());
}

/// Where the batch lies whose bytes after the base offset are these.
fn find(stored: &[u8], whole: &[u8]) -> usize {
    let mut windows = stored.windows(whole.len());
    windows.position(|window| window[8..] == whole[8..]).unwrap()
}
