//! Processes of the log that are killed, and several at once.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Duration;

use crate::harness::{World, wait_for};
use crate::log::{consume, numbers, produce, with_topic};

/// Other producers wait only so long for one that died.
fn with_short_leases(partitions: u32) -> World {
    with_topic(partitions).set("FOREBAY_LOG_LEASE", "1s")
}

#[test]
fn what_was_acknowledged_to_a_killed_producer_is_there() {
    let world = with_short_leases(1);
    let mut next = 0;
    for round in 0..3 {
        let args = [
            "log",
            "produce",
            "t",
            "--report",
            "--linger",
            "1ms",
            "--batch-bytes",
            "2KiB",
        ];
        let mut child = world.command(&args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || {
            // Until it is killed.
            for n in next.. {
                if writeln!(stdin, "{n}").is_err() {
                    return;
                }
            }
        });
        let mut reports = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = None;
        for line in reports.by_ref().take(20 + round * 15) {
            acknowledged = Some(last_of(&line.unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in reports {
            // The last one may be cut off.
            let Ok(line) = line else { break };
            if line.split(' ').count() == 3 {
                acknowledged = acknowledged.max(Some(last_of(&line)));
            }
        }
        feeder.join().unwrap();
        let text = consume(&world, &[]);
        let count = text.lines().count() as u64;
        assert!(
            text == numbers(0..count),
            "each line is the number of its offset: no gap, nothing twice"
        );
        assert!(
            Some(count) > acknowledged,
            "{count} are there, {acknowledged:?} was acknowledged"
        );
        next = count;
    }
    // Another one goes on.
    let answer = produce(&world, &numbers(next..next + 10), &[]);
    assert_eq!(answer["partitions"][0]["first_offset"], next);
    assert!(consume(&world, &[]) == numbers(0..next + 10));
    assert!(world.run(&["log", "recover"]).ok().contains("agree"));
}

/// The last offset of `t/0 FIRST LAST`.
fn last_of(line: &str) -> u64 {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!((words.len(), words[0]), (3, "t/0"), "{line}");
    let [first, last] = [1, 2].map(|n| words[n].parse::<u64>().unwrap());
    assert!(first <= last, "{line}");
    last
}

#[test]
fn a_killed_consumer_loses_nothing_of_its_group() {
    let world = with_topic(1).set("FOREBAY_LOG_FETCH_SIZE", "50");
    produce(&world, &numbers(0..100_000), &[]);
    let mut child = world.spawn(&["log", "consume", "t", "--group", "g"]);
    let mut stdout = child.stdout.take().unwrap();
    let (mut seen, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
    // Slowly, so that it commits in the middle: it does so once a second.
    let committed = || {
        let answer = world.run(&["log", "offsets", "g", "--json"]);
        let answer: Option<serde_json::Value> = serde_json::from_slice(&answer.stdout).ok();
        answer.map_or(0, |answer| answer["offsets"][0]["committed"].as_u64().unwrap())
    };
    wait_for("a commit", || {
        let len = stdout.read(&mut piece).unwrap();
        seen.extend_from_slice(&piece[..len]);
        std::thread::sleep(Duration::from_millis(300));
        committed() > 0
    });
    child.kill().unwrap();
    child.wait().unwrap();
    // What it wrote stands in the pipe.
    stdout.read_to_end(&mut seen).unwrap();
    let seen = String::from_utf8(seen).unwrap();
    let whole = seen.matches('\n').count() as u64;
    assert!(seen.starts_with(&numbers(0..whole)));
    let again = consume(&world, &["--group", "g"]);
    let begins: u64 = again.lines().next().unwrap().parse().unwrap();
    assert!(
        0 < begins && begins <= whole,
        "it goes on at {begins}, {whole} were seen"
    );
    assert!(again == numbers(begins..100_000));
}

#[test]
fn two_producers_at_once() {
    let world = with_topic(2);
    let args = [
        "log",
        "produce",
        "t",
        "--linger",
        "5ms",
        "--batch-bytes",
        "4KiB",
        "--json",
    ];
    let mut producers: Vec<_> = (0..2)
        .map(|_| world.command(&args).stdin(Stdio::piped()).spawn().unwrap())
        .collect();
    let feeders: Vec<_> = producers
        .iter_mut()
        .enumerate()
        .map(|(who, producer)| {
            let mut stdin = producer.stdin.take().unwrap();
            std::thread::spawn(move || {
                for n in 0..4000 {
                    writeln!(stdin, "{who} {n}").unwrap();
                    if n % 1000 == 999 {
                        // Long enough that the other one has its turn.
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            })
        })
        .collect();
    for feeder in feeders {
        feeder.join().unwrap();
    }
    for producer in producers {
        let output = producer.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["acknowledged"], 4000, "{answer}");
    }
    for who in ["0", "1"] {
        let mut of_one: Vec<u64> = Vec::new();
        for partition in ["0", "1"] {
            let text = consume(&world, &["--partition", partition]);
            let mine: Vec<u64> = text
                .lines()
                .filter_map(|line| line.strip_prefix(who)?.trim().parse().ok())
                .collect();
            assert!(mine.is_sorted(), "{who} in {partition}");
            of_one.extend(mine);
        }
        of_one.sort_unstable();
        assert!(of_one.into_iter().eq(0..4000), "{who}");
    }
}
