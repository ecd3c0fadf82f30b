//! The metadata is gone, or is not that of the bucket.

use std::time::Duration;

use forebay_log::metadata::{CommittedOffset, GroupInfo, PartitionInfo, TopicConfig, TopicInfo};
use forebay_log::{Log, LogOptions, MaintainOptions, Producer, Record, Recovered, TopicName, TopicPartition};
use forebay_testkit::{Content, FaultKind, Op, Rule};
use ulid::Ulid;

use crate::records::{assert_records, create, read_all, send, short, topic, value, write};
use crate::spy::{Act, Spy};
use crate::world::{BUCKET, PREFIX, World, anew, within};

fn at_once() -> MaintainOptions {
    MaintainOptions {
        min_segments: 3,
        grace: Duration::ZERO,
        ..MaintainOptions::default()
    }
}

async fn maintain(log: &Log) {
    let done = within(log.maintain(&at_once())).await.unwrap();
    assert_eq!(done.problems, Vec::<String>::new());
}

/// Three flushes of ten records.
pub(crate) async fn thirty(log: &Log, topic: &TopicName, from: u64) {
    let producer = Producer::new(log, short());
    for n in 0..3 {
        write(&producer, topic, from + n * 10, from + n * 10 + 10).await;
    }
    within(producer.close()).await.unwrap();
}

pub(crate) async fn recover(log: &Log) -> Recovered {
    let recovered = within(log.recover(false)).await.unwrap();
    assert_eq!(recovered.problems, Vec::<String>::new());
    recovered
}

async fn check(log: &Log) -> Vec<String> {
    within(log.check()).await.unwrap()
}

/// Everything that the metadata tells, without epochs, and all records.
type Told = (
    Vec<TopicInfo>,
    Vec<PartitionInfo>,
    Vec<Vec<Record>>,
    Vec<GroupInfo>,
    Vec<(TopicPartition, CommittedOffset)>,
);

async fn everything(log: &Log) -> Told {
    let metadata = log.metadata();
    let topics = metadata.topics(None, 100).await.unwrap();
    let (mut partitions, mut records) = (Vec::new(), Vec::new());
    for topic in &topics {
        for mut ends in metadata.partitions_of(&topic.name).await.unwrap() {
            records.push(read_all(log, &topic.name, ends.at.partition).await);
            ends.epoch = 0;
            partitions.push(ends);
        }
    }
    let groups = metadata.groups(None, 100).await.unwrap();
    let mut offsets = Vec::new();
    for group in &groups {
        offsets.extend(metadata.group_offsets(&group.name).await.unwrap());
    }
    (topics, partitions, records, groups, offsets)
}

fn delete(world: &World, key: &str) {
    assert!(
        world.lab.objects().delete(BUCKET, &format!("{PREFIX}/{key}")),
        "{key}"
    );
}

pub(crate) fn flushes(world: &World) -> Vec<String> {
    world
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("flush/") && key.matches('/').count() == 1)
        .collect()
}

/// The bucket does not give what begins so, below the log's prefix.
fn refused(key: &str) -> Rule {
    let away = FaultKind::Status {
        code: 403,
        retry_after: None,
    };
    Rule::new(away).op(Op::Get).key_prefix(format!("{PREFIX}/{key}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bucket_tells_everything_again() {
    let world = World::new();
    let log = world.log("one").await;
    // Names that are folders of the log's own, too.
    for name in ["flush", "snapshot", "fence", "orders"] {
        let topic = create(&log, name, 2).await;
        thirty(&log, &topic, 0).await;
    }
    let orders = topic("orders");
    let config = TopicConfig {
        retention_ms: Some(1 << 40),
        retention_bytes: Some(1 << 50),
    };
    within(log.create_topic(&topic("empty"), 7, &config))
        .await
        .unwrap();
    maintain(&log).await;
    thirty(&log, &orders, 30).await;
    let at = |partition| TopicPartition::new(orders.clone(), partition);
    log.metadata().advance_log_start(&at(0), 30).await.unwrap();
    let noted = [(at(0), 44, Some("note".to_owned())), (at(1), 0, None)];
    log.metadata().commit_offsets("readers", &noted).await.unwrap();
    log.metadata()
        .commit_offsets("others", &noted[..1])
        .await
        .unwrap();
    maintain(&log).await;
    // Behind the snapshot.
    let producer = Producer::new(&log, short());
    write(&producer, &orders, 60, 70).await;
    within(producer.close()).await.unwrap();

    let before = everything(&log).await;
    let epochs = log.metadata().partitions_of(&orders).await.unwrap();
    let other = anew(&world, "two").await;
    let recovered = recover(&other).await;
    assert_eq!(
        (
            recovered.topics,
            recovered.partitions,
            recovered.committed_offsets
        ),
        (5, 4, 3)
    );
    assert_eq!(everything(&other).await, before);
    assert_eq!(check(&other).await, Vec::<String>::new());
    assert_eq!(check(&log).await, Vec::<String>::new());
    let again = within(other.recover(false)).await.unwrap_err();
    assert!(
        again.to_string().contains("is not empty: it has 5 topics"),
        "{again}"
    );

    // It goes on where it was, in a newer epoch.
    let producer = Producer::new(&other, short());
    write(&producer, &orders, 70, 80).await;
    assert_records(&read_all(&other, &orders, 0).await, 30, 80);
    let now = other.metadata().partitions_of(&orders).await.unwrap();
    assert!(now[0].epoch > epochs[0].epoch, "{now:?}");
    maintain(&other).await;
    assert_records(&read_all(&other, &orders, 0).await, 30, 80);
    within(producer.close()).await.unwrap();
    // And again.
    let third = anew(&world, "three").await;
    recover(&third).await;
    assert_eq!(everything(&third).await, everything(&other).await);
    assert!(third.metadata().partitions_of(&orders).await.unwrap()[0].epoch > now[0].epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_compaction_changes_nothing() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("one", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    thirty(&log, &topic, 0).await;
    metadata.trap("commit_compaction", Act::Fail, 1);
    assert_eq!(
        within(log.maintain(&MaintainOptions {
            grace: Duration::from_secs(60),
            ..at_once()
        }))
        .await
        .unwrap()
        .problems
        .len(),
        1
    );
    assert_eq!(world.keys().iter().filter(|key| key.starts_with("t/")).count(), 1);
    let other = anew(&world, "two").await;
    let recovered = recover(&other).await;
    assert_eq!(
        (recovered.segments, recovered.records, recovered.left_out),
        (1, 30, 3)
    );
    assert_records(&read_all(&other, &topic, 0).await, 0, 30);
    assert_eq!(check(&log).await, Vec::<String>::new());
    assert_eq!(check(&other).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_and_foreign_objects_are_named_or_let_alone() {
    let world = World::new();
    let log = world.log("one").await;
    let topic = create(&log, "t", 1).await;
    thirty(&log, &topic, 0).await;
    let objects = world.lab.objects();
    let put = |key: &str, bytes: &[u8]| {
        objects.put(BUCKET, &format!("{PREFIX}/{key}"), Content::from(bytes.to_vec()));
    };
    put("flush/readme.txt", b"not ours");
    put("other/thing", b"not ours");
    let other = anew(&world, "two").await;
    recover(&other).await;
    let whole = objects
        .get(BUCKET, &format!("{PREFIX}/{}", flushes(&world)[2]))
        .unwrap();
    let whole = whole.content.read(forebay_types::ByteRange::new(0, whole.size()));
    let name = |n| format!("flush/{}.seg", Ulid::from_parts(1 << 40, n));
    put(&name(1), b"");
    put(&name(2), &[7; 5000]);
    put(&name(3), &whole[..whole.len() - 10]);
    put(&name(4), &whole);
    let third = anew(&world, "three").await;
    let recovered = within(third.recover(false)).await.unwrap();
    assert_eq!(recovered.problems.len(), 4, "{:#?}", recovered.problems);
    for (n, problem) in (1..).zip(&recovered.problems) {
        assert!(
            problem.contains(&name(n)) && problem.contains("is left out"),
            "{problem}"
        );
    }
    assert_records(&read_all(&third, &topic, 0).await, 0, 30);
    assert_eq!(check(&log).await.len(), 4);
    // A bucket that does not answer is no empty one.
    world.lab.faults().add(refused("flush/").skip_first(2));
    let fourth = anew(&world, "four").await;
    within(fourth.recover(false)).await.unwrap_err();
    assert_eq!(fourth.metadata().topics(None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_and_no_offset_is_given_twice() {
    let world = World::new();
    let log = world.log("one").await;
    let topic = create(&log, "t", 1).await;
    thirty(&log, &topic, 0).await;
    within(log.write_snapshot()).await.unwrap();
    delete(&world, &flushes(&world)[1]);
    let found = check(&log).await;
    assert!(found[0].contains("t/0: offsets 10..20 should be in"), "{found:?}");
    let other = anew(&world, "two").await;
    let recovered = within(other.recover(false)).await.unwrap();
    assert_eq!(recovered.problems, ["t/0: offsets 10..20 are lost"]);
    let all = read_all(&other, &topic, 0).await;
    assert_records(&all[..10], 0, 10);
    assert_records(&all[10..], 20, 30);
    assert!(
        check(&other)
            .await
            .contains(&"t/0: nothing is stored of 10..20".to_owned())
    );
    // The end as well.
    delete(&world, &flushes(&world)[1]);
    let third = anew(&world, "three").await;
    let recovered = within(third.recover(false)).await.unwrap();
    assert_eq!(recovered.problems, ["t/0: offsets 10..30 are lost"]);
    assert_records(&read_all(&third, &topic, 0).await, 0, 10);
    let producer = Producer::new(&third, short());
    let on = within(send(&producer, &topic, 0, &value(30)).await.wait())
        .await
        .unwrap();
    assert_eq!(on.offset, Some(30));
    assert_eq!(read_all(&third, &topic, 0).await.len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_snapshots_as_much_as_there_is() {
    let world = World::new();
    let log = world.log("one").await;
    let topic = create(&log, "t", 4).await;
    thirty(&log, &topic, 0).await;
    let at = TopicPartition::new(topic.clone(), 0);
    log.metadata()
        .commit_offsets("g", &[(at, 7, None)])
        .await
        .unwrap();
    within(log.write_snapshot()).await.unwrap();
    let snapshots = || {
        world
            .keys()
            .into_iter()
            .filter(|key| key.starts_with("snapshot/"))
            .collect::<Vec<_>>()
    };
    for _ in 0..4 {
        within(log.write_snapshot()).await.unwrap();
    }
    assert_eq!(snapshots().len(), 3, "the newest ones");
    // The newest is damaged, the next of a newer version: the one before counts.
    let put = |key: &str, text: &str| {
        world.lab.objects().put(
            BUCKET,
            &format!("{PREFIX}/{key}"),
            Content::from(text.as_bytes().to_vec()),
        );
    };
    put(&snapshots()[2], "{\"version\":1,\"topics\":[");
    put(
        &snapshots()[1],
        r#"{"version":2,"topics":[],"partitions":[],"groups":[]}"#,
    );
    let other = anew(&world, "two").await;
    let recovered = within(other.recover(false)).await.unwrap();
    assert_eq!(
        (recovered.problems.len(), recovered.committed_offsets),
        (2, 1),
        "{:?}",
        recovered.problems
    );
    assert!(
        recovered.problems[1].contains("its format is 2"),
        "{:?}",
        recovered.problems
    );
    assert_eq!(
        other.metadata().topic(&topic).await.unwrap().unwrap().partitions,
        4
    );
    // A bucket that does not answer just now has perhaps the newest: no older one is taken.
    world.lab.faults().add(refused(&snapshots()[2]));
    let third = anew(&world, "three").await;
    within(third.recover(false)).await.unwrap_err();
    world.lab.faults().clear();
    for key in snapshots() {
        delete(&world, &key);
    }
    let recovered = within(third.recover(false)).await.unwrap();
    assert_eq!(
        (
            recovered.problems.len(),
            recovered.topics,
            recovered.committed_offsets
        ),
        (2, 1, 0)
    );
    assert!(
        recovered.problems[0].contains("there is no snapshot"),
        "{:?}",
        recovered.problems
    );
    assert!(
        recovered.problems[1].contains("t: how many partitions it had"),
        "{:?}",
        recovered.problems
    );
    assert_records(&read_all(&third, &topic, 0).await, 0, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_yesterday_is_told_and_mended() {
    let world = World::new();
    let log = world.log("one").await;
    let topic = create(&log, "t", 1).await;
    thirty(&log, &topic, 0).await;
    let backup = anew(&world, "backup").await;
    recover(&backup).await;
    // Meanwhile: more records, a compaction, and a new topic.
    thirty(&log, &topic, 30).await;
    maintain(&log).await;
    let new = create(&log, "new", 3).await;
    thirty(&log, &new, 0).await;
    let found = check(&backup).await;
    let said = |what: &str| found.iter().any(|line| line.contains(what));
    assert!(said("t/0: the metadata ends before offset 60"), "{found:#?}");
    assert!(said("t/0: offsets 0..10 should be in"), "{found:#?}");
    assert!(
        said("the metadata has 0 partitions of new, the bucket has 3"),
        "{found:#?}"
    );
    let recovered = within(backup.recover(true)).await.unwrap();
    assert_eq!(recovered.problems, Vec::<String>::new());
    assert_eq!(check(&backup).await, Vec::<String>::new());
    assert_eq!(everything(&backup).await, everything(&log).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_on_their_way_are_no_difference() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("one", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(&log, short());
    write(&producer, &topic, 0, 10).await;
    let (go, wait) = tokio::sync::watch::channel(false);
    metadata.trap("commit_upload", Act::Wait(wait), 1);
    let sent = send(&producer, &topic, 0, &value(10)).await;
    metadata.until_trapped(1).await;
    let commit = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        go.send(true).unwrap();
    };
    let (found, ()) = tokio::join!(check(&log), commit);
    assert_eq!(found, Vec::<String>::new());
    within(sent.wait()).await.unwrap();
    // All objects are gone: of that, the bucket itself tells nothing.
    for key in world.keys() {
        delete(&world, &key);
    }
    let found = check(&log).await;
    assert_eq!(
        found
            .iter()
            .filter(|line| line.contains("which is not there"))
            .count(),
        2,
        "{found:#?}"
    );
}
