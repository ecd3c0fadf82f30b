//! Compaction, beside readers and writers.

use std::time::Duration;

use bytes::Bytes;
use forebay_log::batch::{BatchHeader, Codec};
use forebay_log::{
    Log, LogOptions, MaintainOptions, Maintained, NewRecord, Producer, ProducerOptions, TopicName,
    TopicPartition,
};
use forebay_testkit::{FaultKind, Op, Rule};

use crate::records::{assert_records, create, read_all, short, write};
use crate::spy::{Act, Spy};
use crate::world::{BUCKET, PREFIX, World, within};

pub(crate) fn at_once() -> MaintainOptions {
    MaintainOptions {
        min_segments: 4,
        grace: Duration::ZERO,
        ..MaintainOptions::default()
    }
}

pub(crate) async fn maintain(log: &Log, options: &MaintainOptions) -> Maintained {
    let done = within(log.maintain(options)).await.unwrap();
    assert_eq!(done.problems, Vec::<String>::new());
    done
}

/// So many flushes of ten records each.
pub(crate) async fn flushes(log: &Log, topic: &TopicName, from: u64, count: u64) {
    let producer = Producer::new(log, short());
    for n in from..from + count {
        write(&producer, topic, n * 10, n * 10 + 10).await;
    }
    within(producer.close()).await.unwrap();
}

/// The stored batches, one by one.
async fn batches(log: &Log, topic: &TopicName) -> Vec<Bytes> {
    let ends = log.metadata().partitions_of(topic).await.unwrap();
    let reader = log.partition(topic.clone(), 0);
    let (mut next, mut all) = (ends[0].log_start, Vec::new());
    while next < ends[0].high_watermark {
        let read = within(reader.read_batches(next, 1 << 20)).await.unwrap();
        next = read.next_offset;
        for mut piece in read.batches {
            while !piece.is_empty() {
                let len = BatchHeader::parse(&piece).unwrap().len;
                all.push(piece.split_to(len));
            }
        }
    }
    all
}

pub(crate) fn below(world: &World, folder: &str) -> Vec<String> {
    world
        .keys()
        .into_iter()
        .filter(|key| key.starts_with(folder))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn small_segments_become_one_batch_for_batch() {
    let world = World::new();
    let log = world.log("one").await;
    let topic = create(&log, "t", 1).await;
    // Two writers: two epochs.
    flushes(&log, &topic, 0, 3).await;
    assert_eq!(maintain(&log, &at_once()).await.compacted, 0, "three are few");
    flushes(&log, &topic, 3, 3).await;
    let before = batches(&log, &topic).await;
    let ends = log.metadata().partitions_of(&topic).await.unwrap()[0].clone();

    let done = maintain(&log, &at_once()).await;
    assert_eq!((done.compacted, done.replaced, done.deleted), (1, 6, 6));
    let keys = below(&world, "t/");
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert!(keys[0].starts_with("t/00000/00000000000000000000-"), "{keys:?}");
    assert_eq!(below(&world, "flush/"), Vec::<String>::new());
    let other = world.log("two").await;
    assert_eq!(batches(&other, &topic).await, before, "to the byte");
    assert_records(&read_all(&other, &topic, 0).await, 0, 60);
    let now = log.metadata().partitions_of(&topic).await.unwrap()[0].clone();
    assert_eq!((now.segments, now.bytes, now.epoch), (1, ends.bytes, ends.epoch));
    let found = log.metadata().segments_from(&[(now.at, 0)], 2).await.unwrap();
    assert_eq!(found[0][0].epoch, ends.epoch, "that of the newest batch");

    // Once more changes nothing; behind it goes on.
    let again = maintain(&log, &at_once()).await;
    assert_eq!((again.compacted, again.deleted), (0, 0));
    flushes(&log, &topic, 6, 4).await;
    assert_eq!(maintain(&log, &at_once()).await.compacted, 1);
    let keys = below(&world, "t/");
    assert!(keys[1].starts_with("t/00000/00000000000000000060-"), "{keys:?}");
    assert_records(&read_all(&other, &topic, 0).await, 0, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_while_its_segments_vanish() {
    let world = World::new();
    let log = world.log("one").await;
    let topic = create(&log, "t", 1).await;
    flushes(&log, &topic, 0, 40).await;
    let other = world.log("two").await;
    let reader = other.partition(topic.clone(), 0);
    let (mut next, mut all, mut round) = (0, Vec::new(), 40);
    while next < 400 {
        let read = within(reader.read(next, 7)).await.unwrap();
        next = read.next_offset;
        all.extend(read.records);
        if next % 3 == 0 {
            flushes(&log, &topic, round, 1).await;
            round += 1;
            maintain(
                &log,
                &MaintainOptions {
                    min_segments: 2,
                    ..at_once()
                },
            )
            .await;
        }
    }
    assert_records(&all, 0, next);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_compactors_do_it_once() {
    let world = World::new();
    let logs = [world.log("one").await, world.log("two").await];
    let topic = create(&logs[0], "t", 1).await;
    for round in 0..5 {
        flushes(&logs[0], &topic, round * 8, 8).await;
        let options = MaintainOptions {
            min_segments: 2,
            ..at_once()
        };
        let done = logs.iter().map(|log| maintain(log, &options));
        let done = futures::future::join_all(done).await;
        let replaced: u64 = done.iter().map(|done| done.compacted).sum();
        assert!(replaced <= 2, "{done:?}");
        assert_records(&read_all(&logs[1], &topic, 0).await, 0, (round + 1) * 80);
    }
    maintain(&logs[0], &at_once()).await;
    let ends = logs[0].metadata().partitions_of(&topic).await.unwrap();
    assert_eq!(
        below(&world, "t/").len() as u64 + below(&world, "flush/").len() as u64,
        ends[0].segments
    );
    assert_eq!(within(logs[0].check()).await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_retention_overtakes_is_none() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("one", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    flushes(&log, &topic, 0, 6).await;
    let (go, wait) = tokio::sync::watch::channel(false);
    metadata.trap("commit_compaction", Act::Wait(wait), 1);
    let overtake = async {
        metadata.until_trapped(1).await;
        let at = TopicPartition::new(topic.clone(), 0);
        // In the middle of a segment, too.
        assert_eq!(log.metadata().advance_log_start(&at, 25).await.unwrap(), 25);
        go.send(true).unwrap();
    };
    let options = at_once();
    let (done, ()) = tokio::join!(maintain(&log, &options), overtake);
    assert_eq!((done.compacted, done.replaced), (0, 0));
    let done = maintain(&log, &at_once()).await;
    assert_eq!(done.compacted, 0, "three whole ones are few");
    flushes(&log, &topic, 6, 1).await;
    let done = maintain(&log, &at_once()).await;
    assert_eq!(
        (done.compacted, done.replaced),
        (1, 4),
        "all but the one that the log start is in"
    );
    assert_records(&read_all(&log, &topic, 0).await, 25, 70);
    assert_eq!(below(&world, "t/").len() + below(&world, "flush/").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_ends_before_its_commit_is_swept() {
    let world = World::new();
    for act in [Act::Hang, Act::HangAfter] {
        let metadata = Spy::on(world.metadata().await);
        let log = world.log_with("one", metadata.clone(), LogOptions::default());
        let name = if matches!(act, Act::Hang) {
            "before"
        } else {
            "after"
        };
        let topic = create(&log, name, 1).await;
        flushes(&log, &topic, 0, 6).await;
        metadata.trap("commit_compaction", act, 1);
        let crashed = {
            let log = log.clone();
            tokio::spawn(async move { log.maintain(&at_once()).await })
        };
        metadata.until_trapped(1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        crashed.abort();
        assert_eq!(below(&world, &format!("{name}/")).len(), 1);
        let other = world.log("two").await;
        assert_records(&read_all(&other, &topic, 0).await, 0, 60);
        let done = maintain(
            &other,
            &MaintainOptions {
                upload_timeout: Duration::ZERO,
                ..at_once()
            },
        )
        .await;
        assert_eq!(done.compacted, u64::from(name == "before"));
        assert_eq!(below(&world, &format!("{name}/")).len(), 1, "{done:?}");
        assert_eq!(below(&world, "flush/").len(), 0);
        assert_records(&read_all(&other, &topic, 0).await, 0, 60);
        assert_records(&read_all(&world.log("three").await, &topic, 0).await, 0, 60);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trickle_is_not_rewritten_again_and_again() {
    let world = World::new();
    let log = world.log("one").await;
    let topic = create(&log, "t", 1).await;
    let options = MaintainOptions {
        segment_bytes: 64 << 10,
        min_segments: 8,
        grace: Duration::from_secs(3600),
        ..MaintainOptions::default()
    };
    let plain = ProducerOptions {
        codec: Codec::None,
        ..short()
    };
    let producer = Producer::new(&log, plain);
    for n in 0..500_u64 {
        let mut value = vec![0; 400];
        value[..8].copy_from_slice(&n.to_le_bytes());
        let sent = within(producer.send(&topic, &NewRecord::value(value).partition(0)))
            .await
            .unwrap();
        within(producer.flush()).await.unwrap();
        within(sent.wait()).await.unwrap();
        if n % 5 == 0 {
            maintain(&log, &options).await;
        }
    }
    // Nothing was swept: all that compaction ever wrote is there.
    let written: u64 = below(&world, "t/")
        .iter()
        .map(|key| {
            world
                .lab
                .objects()
                .get(BUCKET, &format!("{PREFIX}/{key}"))
                .unwrap()
                .size()
        })
        .sum();
    let ends = log.metadata().partitions_of(&topic).await.unwrap()[0].clone();
    let times = written as f64 / ends.bytes as f64;
    assert!(times < 3.5, "every byte was rewritten {times} times");
    assert!(ends.segments < 40, "{} segments", ends.segments);
    let at = ends.at.clone();
    let segments = log.metadata().segments_from(&[(at, 0)], 1000).await.unwrap();
    let large = segments[0]
        .iter()
        .filter(|segment| segment.length >= 32 << 10)
        .count() as u64;
    assert!(large >= ends.bytes / (64 << 10), "{large}");
    let all = read_all(&log, &topic, 0).await;
    let numbers: Vec<_> = all
        .iter()
        .map(|record| u64::from_le_bytes(record.value[..8].try_into().unwrap()))
        .collect();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_fails_is_a_problem_and_not_a_loss() {
    let world = World::new();
    let log = world.log("one").await;
    let topic = create(&log, "t", 1).await;
    flushes(&log, &topic, 0, 5).await;
    let refused = |op| {
        Rule::new(FaultKind::Status {
            code: 403,
            retry_after: None,
        })
        .op(op)
    };
    // No snapshot, no sweeping.
    world
        .lab
        .faults()
        .add(refused(Op::Put).key_prefix(format!("{PREFIX}/snapshot/")));
    let done = within(log.maintain(&at_once())).await.unwrap();
    assert_eq!(
        (done.compacted, done.deleted, done.problems.len()),
        (1, 0, 1),
        "{done:?}"
    );
    world.lab.faults().clear();
    world.lab.faults().add(refused(Op::Other));
    let done = within(log.maintain(&at_once())).await.unwrap();
    assert_eq!((done.deleted, done.problems.len()), (0, 1), "{done:?}");
    world.lab.faults().clear();
    assert_eq!(maintain(&log, &at_once()).await.deleted, 5);
    // A compaction that cannot be uploaded.
    flushes(&log, &topic, 5, 5).await;
    world
        .lab
        .faults()
        .add(refused(Op::Put).key_prefix(format!("{PREFIX}/t/")));
    let done = within(log.maintain(&at_once())).await.unwrap();
    assert_eq!((done.compacted, done.problems.len()), (0, 1), "{done:?}");
    world.lab.faults().clear();
    assert_eq!(maintain(&log, &at_once()).await.compacted, 1);
    assert_records(&read_all(&log, &topic, 0).await, 0, 100);
}
