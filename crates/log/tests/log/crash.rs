//! Processes that end in the middle of it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use forebay_log::metadata::SqliteMetadataStore;
use forebay_log::{Log, LogOptions, MaintainOptions, NewRecord, Producer, TopicName, TopicPartition};
use forebay_testkit::{FaultKind, Op, Point, Rule};
use forebay_types::SystemClock;

use crate::records::{assert_values, create, read_all, send, short, topic, value, values, write};
use crate::spy::{Act, Spy};
use crate::world::{World, anew, log_over, source_at, within};

/// Where a process stops for ever.
enum Stop {
    Call(&'static str, Act),
    Upload,
}

/// What was sent before is acknowledged, ten more are on their way when the process ends at `stop`; whether those were
/// written, is known.
fn crash_at(stop: Stop, is_written: bool) {
    let tests = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (world, metadata) = tests.block_on(async {
        let world = World::new();
        let metadata = Spy::on(world.metadata().await);
        (world, metadata)
    });
    let process = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let topic = process.block_on(async {
        let log = world.log_with("first", metadata.clone(), LogOptions::default());
        let topic = create(&log, "t", 1).await;
        let producer = Producer::new(&log, short());
        write(&producer, &topic, 0, 10).await;
        match stop {
            Stop::Call(call, act) => metadata.trap(call, act, u64::MAX),
            Stop::Upload => {
                let never = FaultKind::Stall {
                    at: Point::BeforeHeaders,
                    resume: None,
                };
                world.lab.faults().add(
                    Rule::new(never)
                        .op(Op::Put)
                        .key_prefix("logs/main/flush/")
                        .times(1),
                );
            }
        }
        for n in 10..20 {
            send(&producer, &topic, 0, &value(n)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        std::mem::forget(producer);
        topic
    });
    process.shutdown_background();
    tests.block_on(async {
        let log = world.log("second").await;
        let producer = Producer::new(&log, short());
        let sent = send(&producer, &topic, 0, &value(20)).await;
        let offset = within(sent.wait()).await.unwrap().offset;
        let before: Vec<_> = if is_written { values(0..20) } else { values(0..10) };
        assert_eq!(offset, Some(before.len() as u64));
        let all = [before, values(20..21)].concat();
        assert_values(&read_all(&log, &topic, 0).await, 0, &all);
        within(producer.close()).await.unwrap();
        // What the bucket alone tells is the same.
        let other = anew(&world, "third").await;
        let recovered = within(other.recover(false)).await.unwrap();
        assert_eq!(recovered.problems, Vec::<String>::new());
        assert_values(&read_all(&other, &topic, 0).await, 0, &all);
        // The sweeper takes away what is part of nothing, and only that.
        let all_of_it = MaintainOptions {
            grace: Duration::ZERO,
            upload_timeout: Duration::ZERO,
            ..MaintainOptions::default()
        };
        let done = within(log.maintain(&all_of_it)).await.unwrap();
        assert_eq!(done.problems, Vec::<String>::new());
        assert_values(&read_all(&log, &topic, 0).await, 0, &all);
        let flushes = world
            .keys()
            .iter()
            .filter(|key| key.starts_with("flush/"))
            .count();
        assert_eq!(flushes, if is_written { 3 } else { 2 });
        assert_eq!(within(log.check()).await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_crash_before_the_upload_is_registered() {
    crash_at(Stop::Call("register_upload", Act::Hang), false);
}

#[test]
fn a_crash_after_the_upload_is_registered() {
    crash_at(Stop::Call("register_upload", Act::HangAfter), false);
}

#[test]
fn a_crash_during_the_upload() {
    crash_at(Stop::Upload, false);
}

#[test]
fn a_crash_before_the_commit() {
    crash_at(Stop::Call("commit_upload", Act::Hang), false);
}

#[test]
fn a_crash_before_the_acknowledgement() {
    crash_at(Stop::Call("commit_upload", Act::HangAfter), true);
}

const ROLE: &str = "FOREBAY_TEST_LOG_PRODUCER";

/// Four processes, one after the other, each killed in the middle of its work.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_acknowledged_is_there() {
    let world = World::new();
    let log = world.log("reader").await;
    let topic = create(&log, "t", 1).await;
    let mut acknowledged: Vec<Vec<(u64, u64)>> = Vec::new();
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "crash::produce_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(
                ROLE,
                format!("{}|{}|{round}", world.lab.endpoint(), world.dir.path().display()),
            )
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = Vec::new();
        for line in lines {
            let line = line.unwrap();
            if let Some((n, offset)) = line
                .strip_prefix("acknowledged ")
                .and_then(|rest| rest.split_once(' '))
            {
                told.push((n.parse().unwrap(), offset.parse().unwrap()));
            }
            if told.len() >= 150 + 70 * round {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(told.len() >= 150, "it produced: {}", told.len());
        acknowledged.push(told);
    }
    let other = anew(&world, "recovered").await;
    let recovered = within(other.recover(false)).await.unwrap();
    assert_eq!(recovered.problems, Vec::<String>::new());
    for log in [&log, &other] {
        let all = read_all(log, &topic, 0).await;
        let mut next = [0; 4];
        for (offset, record) in (0..).zip(&all) {
            assert_eq!(record.offset, offset, "no gap");
            let text = String::from_utf8(record.value.to_vec()).unwrap();
            let (round, n) = text.split_once(' ').unwrap();
            let (round, n): (usize, u64) = (round.parse().unwrap(), n.parse().unwrap());
            assert_eq!(
                n, next[round],
                "what is there of a round is what it sent first, in order"
            );
            next[round] += 1;
            if let Some((_, told)) = acknowledged[round].iter().find(|(told, _)| *told == n) {
                assert_eq!(*told, offset);
            }
        }
        for (round, told) in acknowledged.iter().enumerate() {
            let last = told.iter().map(|(n, _)| n + 1).max().unwrap();
            assert!(
                next[round] >= last,
                "round {round}: {last} acknowledged, {} there",
                next[round]
            );
        }
    }
    // The last one may have died between its upload and its commit: then the bucket has more than the metadata, and that
    // is all there is to say.
    let ends = [end(&log, &topic).await, end(&other, &topic).await];
    let expected = match ends {
        [known, found] if found > known => vec![format!(
            "t/0: the metadata ends before offset {found}, up to which the bucket has records"
        )],
        _ => Vec::new(),
    };
    assert_eq!(within(log.check()).await.unwrap(), expected);
}

/// The high watermark of partition 0.
async fn end(log: &Log, topic: &TopicName) -> u64 {
    let at = TopicPartition::new(topic.clone(), 0);
    within(log.metadata().partitions(&[at])).await.unwrap()[0].high_watermark
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of what_a_killed_process_acknowledged_is_there"]
async fn produce_until_killed() {
    #[expect(clippy::disallowed_methods, reason = "who this test binary is to be")]
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut parts = role.split('|');
    let (endpoint, dir, round) = (
        parts.next().unwrap(),
        PathBuf::from(parts.next().unwrap()),
        parts.next().unwrap(),
    );
    let metadata = Arc::new(
        SqliteMetadataStore::open(dir.join("metadata/log.db"))
            .await
            .unwrap(),
    );
    let source = source_at(endpoint, Duration::from_secs(5));
    let cache = dir.join("cache").join(round);
    let log = log_over(
        &cache,
        source,
        metadata,
        Arc::new(SystemClock::new()),
        LogOptions::default(),
    );
    let producer = Producer::new(&log, short());
    let topic = topic("t");
    for n in 0_u64.. {
        let record = NewRecord::value(format!("{round} {n}")).partition(0);
        let delivery = producer.send(&topic, &record).await.unwrap();
        tokio::spawn(async move {
            let offset = delivery.wait().await.unwrap().offset.unwrap();
            println!("acknowledged {n} {offset}");
        });
        if n % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}
