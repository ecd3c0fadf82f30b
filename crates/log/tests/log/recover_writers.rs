//! The metadata is gone while there are writers, or were.

use std::time::Duration;

use forebay_log::{LogError, LogOptions, Producer, TopicPartition};
use forebay_testkit::{FaultKind, Op, Rule};
use ulid::Ulid;

use crate::records::{assert_records, create, read_all, send, short, write};
use crate::recover::{flushes, recover, thirty};
use crate::spy::{Act, Spy};
use crate::world::{World, anew, within};

/// A writer that has a lease of which the bucket knows nothing must not go on after a recovery.
#[tokio::test(flavor = "multi_thread")]
async fn writers_of_before_are_fenced() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("one", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    thirty(&log, &topic, 0).await;
    let old = Producer::new(&log, short());
    // It has its lease, and is slow from then on.
    let (go, wait) = tokio::sync::watch::channel(false);
    metadata.trap("register_upload", Act::Wait(wait), 1);
    let late = send(&old, &topic, 0, "late").await;
    metadata.until_trapped(1).await;
    let recovered = within(log.recover(true)).await.unwrap();
    assert_eq!(recovered.problems, Vec::<String>::new());
    let at = [TopicPartition::new(topic.clone(), 0)];
    let lease = log
        .metadata()
        .acquire(Ulid::from_parts(1, 1), &at, Duration::from_secs(1));
    lease.await.unwrap();
    go.send(true).unwrap();
    let error = within(late.wait()).await.unwrap_err();
    assert!(matches!(error, LogError::NotWritten(_)), "{error}");
    assert!(
        error.to_string().contains("taken over by another writer"),
        "{error}"
    );
    assert_records(&read_all(&log, &topic, 0).await, 0, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_a_fenced_writer_are_no_data() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("one", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    let loser = Producer::new(&log, short());
    write(&loser, &topic, 0, 10).await;
    metadata.trap("renew", Act::Fail, u64::MAX);
    metadata.trap("commit_upload", Act::Hang, 1);
    for _ in 0..20 {
        send(&loser, &topic, 0, "lost").await;
    }
    metadata.until_trapped(1).await;
    let other = world.log("two").await;
    let winner = Producer::new(&other, short());
    write(&winner, &topic, 10, 15).await;
    within(winner.close()).await.unwrap();
    assert_eq!(flushes(&world).len(), 3);
    let third = anew(&world, "three").await;
    assert_eq!(recover(&third).await.left_out, 1);
    assert_records(&read_all(&third, &topic, 0).await, 0, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_predecessor_failed_is_no_data() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("one", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(&log, short());
    write(&producer, &topic, 0, 10).await;
    // The next object never gets there, the one after it does; then the process is gone, and so is the metadata.
    let never = FaultKind::Stall {
        at: forebay_testkit::Point::BeforeHeaders,
        resume: None,
    };
    world.lab.faults().add(Rule::new(never).op(Op::Put).times(1));
    let before = world.lab.counts().puts;
    send(&producer, &topic, 0, "never").await;
    let puts = async {
        while world.lab.counts().puts == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(puts).await;
    send(&producer, &topic, 0, "in vain").await;
    let there = async {
        while flushes(&world).len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(there).await;
    let other = anew(&world, "two").await;
    let recovered = within(other.recover(false)).await.unwrap();
    assert_eq!(recovered.left_out, 1);
    assert!(
        recovered.problems[0].contains("t/0: of 10..12 something is missing"),
        "{:?}",
        recovered.problems
    );
    // Readers are at the end, writers go on behind what may have been acknowledged.
    assert_records(&read_all(&other, &topic, 0).await, 0, 10);
    let writer = Producer::new(&other, short());
    let on = within(send(&writer, &topic, 0, "on").await.wait()).await.unwrap();
    assert_eq!(on.offset, Some(12));
    let all = read_all(&other, &topic, 0).await;
    assert_eq!(
        (all.len(), all[10].offset, &all[10].value[..]),
        (11, 12, &b"on"[..])
    );
    std::mem::forget(producer);
}
