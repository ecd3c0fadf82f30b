//! What goes wrong while a producer writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay_log::metadata::MetadataStore;
use forebay_log::{Delivery, LogError, LogOptions, NewRecord, Producer, ProducerOptions, TopicName};
use forebay_source::{Opener, SourceOptions};
use forebay_testkit::{FaultKind, Op, Point, Rule};
use forebay_types::{Clock, ErrorKind, SystemClock};
use tempfile::TempDir;

use crate::records::{assert_values, create, quick, read_all, send, value, values};
use crate::spy::{Act, Spy};
use crate::world::{BUCKET, PREFIX, World, fresh_metadata, impatient, log_of, within};

/// Cut by flush alone; uploads are tried again for a moment.
fn by_hand(deliver: Duration) -> ProducerOptions {
    ProducerOptions {
        linger: Duration::from_secs(3600),
        delivery_timeout: deliver,
        ..ProducerOptions::default()
    }
}

/// Sends one record and has it cut, without waiting for what becomes of it.
async fn cut(producer: &Producer, topic: &TopicName, world: &World, n: u64) -> Delivery {
    let before = world.lab.counts().puts;
    let delivery = send(producer, topic, 0, &value(n)).await;
    let flush = producer.flush();
    tokio::pin!(flush);
    let _ = tokio::time::timeout(Duration::from_millis(1), &mut flush).await;
    let on_its_way = async {
        while world.lab.counts().puts == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(on_its_way).await;
    delivery
}

fn flushes(world: &World) -> usize {
    world
        .keys()
        .iter()
        .filter(|key| key.starts_with("flush/"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fails_aborts_those_after_it_and_nothing_else() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(&log, by_hand(Duration::from_secs(20)));
    within(cut(&producer, &topic, &world, 0).await.wait())
        .await
        .unwrap();
    let epoch = || async { log.metadata().partitions_of(&topic).await.unwrap()[0].epoch };
    let first_epoch = epoch().await;

    // The first of three is refused for good, late; the other two are in the bucket by then.
    let refused = Rule::new(FaultKind::Status {
        code: 403,
        retry_after: None,
    })
    .op(Op::Put);
    let slow = Rule::new(FaultKind::Latency(Duration::from_millis(300))).op(Op::Put);
    world.lab.faults().add(refused.times(1));
    world.lab.faults().add(slow.times(1));
    let failed = cut(&producer, &topic, &world, 1).await;
    let after = [
        cut(&producer, &topic, &world, 2).await,
        cut(&producer, &topic, &world, 3).await,
    ];
    let error = within(failed.wait()).await.unwrap_err();
    assert!(matches!(error, LogError::NotWritten(_)), "{error}");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    for after in after {
        let error = within(after.wait()).await.unwrap_err();
        assert!(matches!(error, LogError::Aborted(_)), "{error}");
        assert!(
            error.to_string().contains("what was sent before it was not"),
            "{error}"
        );
    }
    assert_eq!(flushes(&world), 3, "two that are part of nothing");

    let again = cut(&producer, &topic, &world, 1).await;
    assert_eq!(within(again.wait()).await.unwrap().offset, Some(1));
    assert!(epoch().await > first_epoch);
    within(producer.close()).await.unwrap();
    let other = world.log("reader").await;
    assert_values(&read_all(&other, &topic, 0).await, 0, &values(0..2));
    // What was uploaded in vain is swept.
    let sweep = forebay_log::MaintainOptions {
        grace: Duration::ZERO,
        ..Default::default()
    };
    let done = within(log.maintain(&sweep)).await.unwrap();
    assert_eq!(
        (done.deleted, done.problems),
        (3, vec![]),
        "the one that is not there as well"
    );
    assert_eq!(flushes(&world), 2);
    assert_values(&read_all(&other, &topic, 0).await, 0, &values(0..2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_answer_is_lost_is_found_and_not_written_twice() {
    let world = World::new();
    let log = log_of(
        &world,
        "writer",
        impatient(&world),
        world.metadata().await,
        Arc::new(SystemClock::new()),
    );
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(&log, quick());
    // The object is there at once, the answer comes when nobody waits for it any more.
    let late = FaultKind::Stall {
        at: Point::BeforeHeaders,
        resume: Some(Duration::from_secs(5)),
    };
    world.lab.faults().add(Rule::new(late).op(Op::Put).times(1));
    // And once it is not there.
    let reset = Rule::new(FaultKind::Reset(Point::BeforeHeaders)).op(Op::Put);
    world.lab.faults().add(reset.skip_first(1).times(1));
    world.lab.reset_counts();
    let one = send(&producer, &topic, 0, &value(0)).await;
    assert_eq!(within(one.wait()).await.unwrap().offset, Some(0));
    assert!(world.lab.counts().puts >= 2, "{:?}", world.lab.counts());
    assert_eq!(flushes(&world), 1);
    assert_values(&read_all(&log, &topic, 0).await, 0, &values(0..1));
    assert_eq!(within(log.check()).await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_counts_once() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("writer", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(&log, quick());
    metadata.trap("commit_upload", Act::LoseAnswer, 3);
    let one = send(&producer, &topic, 0, &value(0)).await;
    assert_eq!(within(one.wait()).await.unwrap().offset, Some(0));
    metadata.until_trapped(3).await;
    let two = send(&producer, &topic, 0, &value(1)).await;
    assert_eq!(within(two.wait()).await.unwrap().offset, Some(1));
    assert_values(&read_all(&log, &topic, 0).await, 0, &values(0..2));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_away_for_a_while_is_waited_for() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("writer", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 2).await;
    let producer = Producer::new(&log, quick());
    let mut sent = vec![send(&producer, &topic, 0, &value(0)).await];
    within(sent[0].wait()).await.unwrap();
    metadata.trap("", Act::Fail, u64::MAX);
    for n in 1..20 {
        sent.push(send(&producer, &topic, 0, &value(n)).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let other = send(&producer, &topic, 1, &value(0)).await;
    let early = tokio::time::timeout(Duration::from_millis(300), other.wait()).await;
    assert!(early.is_err());
    metadata.clear();
    for (n, sent) in (0..).zip(&sent) {
        assert_eq!(within(sent.wait()).await.unwrap().offset, Some(n));
    }
    within(other.wait()).await.unwrap();
    within(producer.close()).await.unwrap();
    assert_values(&read_all(&log, &topic, 0).await, 0, &values(0..20));
    assert_values(&read_all(&log, &topic, 1).await, 0, &values(0..1));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_stays_away_is_an_error_and_not_the_end() {
    let world = World::new();
    let metadata = Spy::on(world.metadata().await);
    let log = world.log_with("writer", metadata.clone(), LogOptions::default());
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(
        &log,
        ProducerOptions {
            delivery_timeout: Duration::from_millis(400),
            ..quick()
        },
    );
    metadata.trap("acquire", Act::Fail, u64::MAX);
    let error = within(send(&producer, &topic, 0, "x").await.wait())
        .await
        .unwrap_err();
    assert!(matches!(error, LogError::NotWritten(_)), "{error}");
    assert!(error.to_string().contains("acquire is trapped"), "{error}");
    metadata.clear();
    metadata.trap("commit_upload", Act::Fail, u64::MAX);
    let error = within(send(&producer, &topic, 0, "y").await.wait())
        .await
        .unwrap_err();
    assert!(matches!(error, LogError::Unknown(_)), "{error}");
    metadata.clear();
    let delivered = within(send(&producer, &topic, 0, &value(0)).await.wait())
        .await
        .unwrap();
    assert_eq!(delivered.offset, Some(0));
    within(producer.close()).await.unwrap();
    assert_values(&read_all(&log, &topic, 0).await, 0, &values(0..1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_topic_is_nobody_elses_fault() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(&log, quick());
    let none = TopicName::new("none").unwrap();
    let error = within(producer.send(&none, &NewRecord::value("x")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    within(send(&producer, &topic, 0, &value(0)).await.wait())
        .await
        .unwrap();
}

/// Wall time that a test can set back; the other goes on.
#[derive(Debug)]
struct SetBack {
    clock: SystemClock,
    by: AtomicU64,
}

impl Clock for SetBack {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wall(&self) -> Duration {
        self.clock.wall() - Duration::from_secs(self.by.load(Ordering::SeqCst))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_changes_no_order() {
    let world = World::new();
    let clock = Arc::new(SetBack {
        clock: SystemClock::new(),
        by: AtomicU64::new(0),
    });
    let path = world.dir.path().join("metadata/log.db");
    let open = forebay_log::metadata::SqliteMetadataStore::open_with_clock(path, clock.clone());
    let metadata: Arc<dyn MetadataStore> = Arc::new(open.await.unwrap());
    let log = log_of(&world, "writer", world.source(), metadata, clock.clone());
    let topic = create(&log, "t", 1).await;
    let producer = Producer::new(&log, quick());
    for n in 0..6 {
        within(send(&producer, &topic, 0, &value(n)).await.wait())
            .await
            .unwrap();
        // An hour each; a lease of ten seconds must not last that long.
        clock.by.fetch_add(3600, Ordering::SeqCst);
        within(log.write_snapshot()).await.unwrap();
    }
    let lost = Producer::new(&log, quick());
    within(send(&lost, &topic, 0, &value(6)).await.wait())
        .await
        .unwrap();
    within(log.write_snapshot()).await.unwrap();
    // The newest snapshot is the one that counts, though its clock was behind.
    assert_values(&read_all(&log, &topic, 0).await, 0, &values(0..7));
    let fresh = fresh_metadata(&world, "anew").await;
    let anew = log_of(
        &world,
        "anew",
        world.source(),
        fresh,
        Arc::new(SystemClock::new()),
    );
    for key in world.keys().iter().filter(|key| key.starts_with("flush/")) {
        world.lab.objects().delete(BUCKET, &format!("{PREFIX}/{key}"));
    }
    within(anew.recover(false)).await.unwrap();
    assert_eq!(
        anew.metadata().partitions_of(&topic).await.unwrap()[0].high_watermark,
        7
    );
}

/// Unmounts also when the test fails.
struct Mounted(TempDir);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for() {
    let dir = TempDir::new().unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m,mode=0700", "none"])
        .arg(dir.path())
        .output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        return eprintln!("skipped: only root can mount a small disk");
    }
    let mounted = Mounted(dir);
    let world = World::new();
    let url = format!("file://{}/", mounted.0.path().display());
    let source = Opener::new(SourceOptions::default())
        .open(&url.parse().unwrap())
        .unwrap();
    let log = log_of(
        &world,
        "writer",
        source,
        world.metadata().await,
        Arc::new(SystemClock::new()),
    );
    let topic = create(&log, "t", 1).await;
    let options = ProducerOptions {
        codec: forebay_log::batch::Codec::None,
        ..quick()
    };
    let producer = Producer::new(&log, options.clone());
    let big = |fill: u8| NewRecord::value(vec![fill; 700_000]).partition(0);
    let ballast = mounted.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 900_000]).unwrap();
    let mut sent = Vec::new();
    for n in 0..2 {
        sent.push(within(producer.send(&topic, &big(n))).await.unwrap());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    within(sent[0].wait()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(500), sent[1].wait()).await;
    assert!(early.is_err(), "there is no room");
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(within(sent[1].wait()).await.unwrap().offset, Some(1));
    within(producer.close()).await.unwrap();
    // Nobody makes room.
    let options = ProducerOptions {
        delivery_timeout: Duration::from_millis(300),
        ..options
    };
    let producer = Producer::new(&log, options);
    let error = within(within(producer.send(&topic, &big(2))).await.unwrap().wait())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    let all = read_all(&log, &topic, 0).await;
    assert_eq!(
        all.iter().map(|record| record.value[0]).collect::<Vec<_>>(),
        [0, 1]
    );
}
