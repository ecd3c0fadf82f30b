//! `log consume`: where it begins, where it ends, what it shows; groups; following.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::time::Duration;

use forebay_types::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{World, wait_for};
use crate::log::{consume, numbers, objects, produce, with_topic};

fn with_times() -> World {
    let world = with_topic(1);
    let lines: String = (1..=5)
        .map(|n| {
            format!(
                "{{\"value\":\"{n}\",\"timestamp\":{}}}\n",
                1_767_225_600_000_i64 + n * 1000
            )
        })
        .collect();
    produce(&world, &lines, &["--format", "ndjson"]);
    world
}

#[test]
fn places_to_begin() {
    let world = with_times();
    for (from, expected) in [
        ("earliest", "1\n2\n3\n4\n5\n"),
        ("latest", ""),
        ("0", "1\n2\n3\n4\n5\n"),
        ("3", "4\n5\n"),
        ("5", ""),
        ("@0", "1\n2\n3\n4\n5\n"),
        ("@1767225603000", "3\n4\n5\n"),
        ("@1767225603001", "4\n5\n"),
        ("2026-01-01T00:00:05Z", "5\n"),
        ("2026-01-01T01:00:05.001+01:00", ""),
    ] {
        assert_eq!(consume(&world, &["--from", from]), expected, "{from}");
    }
    let from = |from: &str| world.run(&["log", "consume", "t", "--from", from]);
    from("6").fails(3, &["t/0 has no offset 6", "from 0 (the log start) to 5"]);
    for bad in ["first", "-1", "2026-01-01", "@-5", ""] {
        from(bad).fails(
            2,
            &["--from", "earliest, latest, an offset"].map(|word| {
                if bad == "@-5" && word != "--from" {
                    "milliseconds"
                } else {
                    word
                }
            }),
        );
    }
}

#[test]
fn what_is_shown_and_how_much() {
    let world = with_topic(3);
    for partition in ["0", "1", "2"] {
        produce(
            &world,
            "k=a\nk=b\n",
            &["--key-separator", "=", "--partition", partition],
        );
    }
    let mut lines: Vec<String> = consume(&world, &["--show", "partition,offset,key"])
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "0\t0\tk\ta",
            "0\t1\tk\tb",
            "1\t0\tk\ta",
            "1\t1\tk\tb",
            "2\t0\tk\ta",
            "2\t1\tk\tb"
        ]
    );
    assert_eq!(
        consume(&world, &["--partition", "2", "--show", "partition"]),
        "2\ta\n2\tb\n"
    );
    assert_eq!(
        consume(&world, &["--partition", "2", "--partition", "0"])
            .lines()
            .count(),
        4
    );
    assert_eq!(consume(&world, &["--max", "5"]).lines().count(), 5);
    let time = consume(&world, &["--max", "1", "--show", "timestamp"]);
    assert!(
        time.starts_with("20") && time.contains('T') && time.ends_with("Z\ta\n"),
        "{time}"
    );
    assert_eq!(consume(&world, &["--max", "1", "--show", "headers"]), "\ta\n");
    assert_eq!(objects(&world, &["--max", "1"])[0]["key"], "k");
}

#[test]
fn a_group_goes_on_where_it_was() {
    let world = with_topic(1);
    produce(&world, &numbers(0..100), &[]);
    let group = |args: &[&str]| consume(&world, &[&["--group", "g"], args].concat());
    assert_eq!(group(&["--max", "30"]), numbers(0..30));
    assert_eq!(
        group(&["--max", "30", "--from", "latest"]),
        numbers(30..60),
        "it has committed: --from is for those that have not"
    );
    assert_eq!(group(&[]), numbers(60..100));
    assert_eq!(group(&[]), "");
    produce(&world, &numbers(100..110), &[]);
    assert_eq!(group(&[]), numbers(100..110));
    assert_eq!(
        consume(&world, &["--group", "other", "--from", "105"]),
        numbers(105..110)
    );
    assert_eq!(consume(&world, &["--group", "third", "--from", "latest"]), "");
    produce(&world, "x\n", &[]);
    assert_eq!(
        consume(&world, &["--group", "third"]),
        "x\n",
        "where it began is kept"
    );
}

#[test]
fn what_the_output_did_not_take_is_given_again() {
    let world = with_topic(1).set("FOREBAY_LOG_FETCH_SIZE", "100");
    produce(&world, &numbers(100_000..150_000), &[]);
    let mut child = world.spawn(&["log", "consume", "t", "--group", "g"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Vec<String> = lines.by_ref().take(10).map(Result::unwrap).collect();
    assert_eq!(first[9], "100009");
    drop(lines);
    // As for `head`: no error.
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
    let answer = world.run(&["log", "offsets", "g", "--json"]).json();
    let committed = answer["offsets"][0]["committed"].as_u64().unwrap();
    // A pipe holds 64 KiB, and one poll more may have been under way.
    assert!(committed < 20_000, "{committed}");
    assert_eq!(
        consume(&world, &["--group", "g"]),
        numbers(100_000 + committed..150_000)
    );
}

struct Following {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

fn follow(world: &World, args: &[&str]) -> Following {
    let mut child = world.spawn(&[&["log", "consume", "t", "--follow"], args].concat());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Following { child, lines }
}

impl Following {
    fn next(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// Processor time so far, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name: state is the third field, user and system time the fourteenth and fifteenth.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    fn interrupt(mut self) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut said = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

#[test]
fn following_sees_other_processes_and_costs_nothing_while_they_rest() {
    let world = with_topic(2);
    produce(&world, "before\n", &["--partition", "0"]);
    let mut following = follow(&world, &["--group", "g"]);
    assert_eq!(following.next(), "before");
    for n in 0..3 {
        let line = format!("line {n}");
        let clock = SystemClock::new();
        produce(
            &world,
            &format!("{line}\n"),
            &["--partition", if n == 1 { "1" } else { "0" }],
        );
        assert_eq!(following.next(), line);
        assert!(clock.now() < Duration::from_secs(10));
    }
    let before = following.ticks();
    std::thread::sleep(Duration::from_millis(1500));
    let used = following.ticks() - before;
    assert!(used <= 15, "{used} hundredths of a second in 1.5 s of nothing");
    // An interrupt is how it ends, and its group is told.
    assert_eq!(following.interrupt(), (Some(0), String::new()));
    assert_eq!(consume(&world, &["--group", "g"]), "");
    let mut rest = follow(&world, &["--from", "latest", "--max", "1"]);
    // Nothing tells when it has begun: it gets one of these in any case.
    let line = loop {
        produce(&world, "later\n", &[]);
        if rest.child.try_wait().unwrap().is_some() {
            break rest.next();
        }
    };
    assert_eq!(line, "later");
}

#[test]
fn following_ends_when_nobody_reads_it() {
    let world = with_topic(1);
    produce(&world, "a\n", &[]);
    let Following { mut child, mut lines } = follow(&world, &[]);
    assert_eq!(lines.next().unwrap().unwrap(), "a");
    drop(lines);
    wait_for("the end of a consumer that nobody reads", || {
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_ends_at_the_end_as_it_was() {
    let world = with_topic(2).set("FOREBAY_LOG_FETCH_SIZE", "50");
    produce(&world, &numbers(0..3000), &["--partition", "0"]);
    produce(&world, &numbers(0..3000), &["--partition", "1"]);
    let mut producer = world
        .command(&["log", "produce", "t", "--linger", "1ms"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = producer.stdin.take().unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let feeder = std::thread::spawn(move || {
        while stopped.try_recv().is_err() {
            if std::io::Write::write_all(&mut stdin, b"more\n").is_err() {
                return;
            }
        }
    });
    for _ in 0..3 {
        let begun = world.run(&["log", "topics", "--json"]).json()["topics"][0]["records"]
            .as_u64()
            .unwrap();
        let text = consume(&world, &["--group", "g"]);
        let (seen, ended) = (
            text.lines().count() as u64,
            world.run(&["log", "offsets", "g", "--json"]).json(),
        );
        let committed: u64 = ended["offsets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|offset| offset["committed"].as_u64().unwrap())
            .sum();
        assert!(committed >= begun, "{committed} of {begun}");
        assert!(seen <= committed);
    }
    stop.send(()).unwrap();
    feeder.join().unwrap();
    assert!(producer.wait().unwrap().success());
    // Everything was given once, to a group whose consumers ended in order.
    let all = world.run(&["log", "topics", "--json"]).json()["topics"][0]["records"]
        .as_u64()
        .unwrap();
    consume(&world, &["--group", "g"]);
    let answer = world.run(&["log", "offsets", "g", "--json"]).json();
    let committed: u64 = answer["offsets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|offset| offset["committed"].as_u64().unwrap())
        .sum();
    assert_eq!(committed, all);
}

#[test]
fn an_interrupt_in_front_of_a_full_pipe() {
    let world = with_topic(1);
    produce(&world, &numbers(0..200_000), &[]);
    let mut child = world.spawn(&["log", "consume", "t", "--group", "g"]);
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 1];
    stdout.read_exact(&mut first).unwrap();
    // It stands in a write now: nothing outside shows when.
    std::thread::sleep(Duration::from_millis(500));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    wait_for("its end", || child.try_wait().unwrap().is_some());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), said.as_str()),
        (Some(1), "forebay: interrupted\n")
    );
    let mut seen = String::from_utf8(first.to_vec()).unwrap();
    stdout.read_to_string(&mut seen).unwrap();
    let whole = seen.matches('\n').count() as u64;
    let again = consume(&world, &["--group", "g"]);
    let begins: u64 = again.lines().next().unwrap().parse().unwrap();
    assert!(begins <= whole, "{begins} was not seen, only {whole} were");
    assert!(again.ends_with("199999\n"));
}
