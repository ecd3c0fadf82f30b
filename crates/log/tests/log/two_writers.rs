//! Producers that write the same partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use forebay_log::{LogError, LogOptions, NewRecord, Producer, ProducerOptions, TopicPartition};
use forebay_testkit::{FaultKind, Op, Rule};
use forebay_types::{Clock, SystemClock};

use crate::records::{assert_values, create, quick, read_all, send, value, values};
use crate::spy::{Act, Spy};
use crate::world::{World, within};

fn short(lease: Duration) -> ProducerOptions {
    ProducerOptions { lease, ..quick() }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_take_turns_and_nothing_is_lost() {
    let world = World::new();
    let logs = [world.log("one").await, world.log("two").await];
    let topic = create(&logs[0], "t", 3).await;
    let clock = SystemClock::new();
    let writers = (0_u64..).zip(&logs).map(|(who, log)| {
        let (topic, clock) = (&topic, &clock);
        async move {
            let producer = Producer::new(log, short(Duration::from_millis(800)));
            let (mut sent, mut n) = (Vec::new(), 0);
            // Neither ever has nothing to write.
            while clock.now() < Duration::from_secs(4) {
                for partition in 0..3 {
                    let record = NewRecord::value(format!("{who} {n:06}")).partition(partition);
                    sent.push((partition, n, producer.send(topic, &record).await.unwrap()));
                }
                n += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            producer.close().await.unwrap();
            let mut at = BTreeMap::new();
            for (partition, n, delivery) in sent {
                let delivered = delivery.wait().await.unwrap();
                assert_eq!(at.insert((partition, delivered.offset.unwrap()), n), None);
            }
            (who, at)
        }
    });
    let written = within(futures::future::join_all(writers)).await;
    for partition in 0..3 {
        let all = read_all(&logs[0], &topic, partition).await;
        let mut turns = 0;
        let mut last = None;
        let mut next = BTreeMap::from([(0, 0), (1, 0)]);
        for (offset, record) in (0..).zip(&all) {
            assert_eq!(record.offset, offset);
            let text = String::from_utf8(record.value.to_vec()).unwrap();
            let (who, n) = text.split_once(' ').unwrap();
            let (who, n): (u64, u64) = (who.parse().unwrap(), n.parse().unwrap());
            assert_eq!(
                next.insert(who, n + 1),
                Some(n),
                "in the order in which {who} sent"
            );
            let (_, at) = &written[who as usize];
            assert_eq!(at.get(&(partition, offset)), Some(&n));
            turns += u32::from(last != Some(who));
            last = Some(who);
        }
        let acknowledged = written
            .iter()
            .flat_map(|(_, at)| at.keys())
            .filter(|(p, _)| *p == partition);
        assert_eq!(acknowledged.count(), all.len());
        assert!(turns >= 6, "{turns} turns in four seconds with leases of 0.8 s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_lease_writes_nothing() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let loser = world.log_with("loser", metadata.clone(), LogOptions::default());
    let topic = create(&loser, "t", 1).await;
    let slow = Producer::new(&loser, short(Duration::from_millis(300)));
    within(send(&slow, &topic, 0, &value(0)).await.wait())
        .await
        .unwrap();
    // Its process sleeps: nothing is prolonged, and the object comes late.
    metadata.trap("renew", Act::Fail, u64::MAX);
    let (go, wait) = tokio::sync::watch::channel(false);
    metadata.trap("commit_upload", Act::Wait(wait), 1);
    let lost = send(&slow, &topic, 0, "lost").await;
    metadata.until_trapped(1).await;
    let winner = world.log("winner").await;
    let quick = Producer::new(&winner, short(Duration::from_millis(300)));
    within(send(&quick, &topic, 0, &value(1)).await.wait())
        .await
        .unwrap();
    go.send(true).unwrap();
    let error = within(lost.wait()).await.unwrap_err();
    assert!(matches!(error, LogError::NotWritten(_)), "{error}");
    assert!(
        error.to_string().contains("taken over by another writer"),
        "{error}"
    );
    metadata.clear();
    within(quick.close()).await.unwrap();
    // It goes on behind the other.
    let again = within(send(&slow, &topic, 0, &value(2)).await.wait())
        .await
        .unwrap();
    assert_eq!(again.offset, Some(2));
    assert_values(&read_all(&winner, &topic, 0).await, 0, &values(0..3));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_too_long_is_told() {
    let world = World::new();
    let log = world.log("one").await;
    let topic = create(&log, "t", 2).await;
    // Somebody holds it, and never gives it back.
    let holder = ulid::Ulid::from_parts(1, 1);
    let at = TopicPartition::new(topic.clone(), 0);
    let acquired = log
        .metadata()
        .acquire(holder, &[at], Duration::from_secs(60))
        .await;
    acquired.unwrap();
    let options = ProducerOptions {
        lease_wait: Duration::from_millis(700),
        ..quick()
    };
    let producer = Producer::new(&log, options);
    let clock = SystemClock::new();
    let waits = send(&producer, &topic, 0, "x").await;
    // The other partition is nobody's.
    within(send(&producer, &topic, 1, "y").await.wait())
        .await
        .unwrap();
    assert!(clock.now() < Duration::from_millis(500));
    let error = within(waits.wait()).await.unwrap_err();
    assert!(clock.now() >= Duration::from_millis(700));
    assert!(matches!(error, LogError::NotWritten(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("another producer has been writing t/0 for 0.7 s"),
        "{error}"
    );
    // What comes after waits as long.
    let waits = send(&producer, &topic, 0, "z").await;
    let early = tokio::time::timeout(Duration::from_millis(500), waits.wait()).await;
    assert!(early.is_err());
    assert!(within(waits.wait()).await.is_err());
    within(producer.close()).await.unwrap();
}

/// After a failure a producer starts anew, with what it then writes. What it does not write any more must not stay closed
/// to others only because it writes something else.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_written_after_a_failure_is_given_back() {
    let world = World::new();
    let log = world.log("one").await;
    let topic = create(&log, "t", 2).await;
    let one = Producer::new(&log, short(Duration::from_millis(600)));
    within(send(&one, &topic, 0, &value(0)).await.wait())
        .await
        .unwrap();
    let refused = FaultKind::Status {
        code: 403,
        retry_after: None,
    };
    world.lab.faults().add(Rule::new(refused).op(Op::Put).times(1));
    assert!(within(send(&one, &topic, 0, "lost").await.wait()).await.is_err());
    let other = world.log("two").await;
    let two = Producer::new(&other, short(Duration::from_millis(600)));
    let waits = send(&two, &topic, 0, &value(1)).await;
    let writes = async {
        loop {
            within(send(&one, &topic, 1, "x").await.wait()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let clock = SystemClock::new();
    tokio::select! {
        waited = within(waits.wait()) => { waited.unwrap(); }
        () = writes => {}
    }
    assert!(clock.now() < Duration::from_secs(5), "{:?}", clock.now());
    assert_values(&read_all(&log, &topic, 0).await, 0, &values(0..2));
}

/// Leases are given all or none, so that a thousand that are another's would be a thousand calls for every look.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_partitions_change_hands_at_once() {
    let world = World::new();
    let log = world.log("one").await;
    let topic = create(&log, "t", 1000).await;
    let one = Producer::new(&log, short(Duration::from_secs(1)));
    for partition in 0..1000 {
        send(&one, &topic, partition, &value(0)).await;
    }
    within(one.flush()).await.unwrap();
    let other = world.log("two").await;
    let two = Producer::new(&other, short(Duration::from_secs(1)));
    let mut sent = Vec::new();
    for partition in 0..1000 {
        sent.push(send(&two, &topic, partition, &value(1)).await);
    }
    let clock = SystemClock::new();
    for sent in sent {
        assert_eq!(within(sent.wait()).await.unwrap().offset, Some(1));
    }
    assert!(clock.now() < Duration::from_secs(10), "{:?}", clock.now());
}
