//! `log produce`: its options, and how it ends.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use forebay_testkit::Profile;
use forebay_types::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{World, builder, wait_for};
use crate::log::{consume, create, numbers, objects, produce, with_topic};

fn topic(world: &World) -> Value {
    world.run(&["log", "topics", "t", "--json"]).json()
}

fn begin(world: &World, args: &[&str]) -> (Child, ChildStdin) {
    let args = [&["log", "produce", "t"], args].concat();
    let mut child = world.command(&args).stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

#[test]
fn keys_partitions_and_formats() {
    let world = with_topic(4);
    produce(&world, "a: 1\nb: 2\na: 3\n", &["--key-separator", ": "]);
    let found = objects(&world, &[]);
    let of_a: Vec<_> = found.iter().filter(|record| record["key"] == "a").collect();
    assert_eq!(of_a.len(), 2);
    assert_eq!(
        of_a[0]["partition"], of_a[1]["partition"],
        "a key stays with its partition"
    );
    assert_eq!(of_a[1]["value"], "3");
    produce(&world, "x\n", &["--partition", "3"]);
    assert_eq!(consume(&world, &["--partition", "3"]).lines().last(), Some("x"));
    let lines = "{\"value\":\"y\",\"partition\":2}\n{\"value\":\"z\"}\n";
    produce(&world, lines, &["--format", "ndjson", "--partition", "1"]);
    assert_eq!(
        consume(&world, &["--partition", "2"]).lines().last(),
        Some("y"),
        "the record's own goes first"
    );
    assert_eq!(consume(&world, &["--partition", "1"]).lines().last(), Some("z"));
}

#[test]
fn compression_is_as_said() {
    let text = "the same words over and over again, as logs are\n".repeat(5000);
    let stored = |world: &World, args: &[&str]| {
        produce(world, &text, args);
        assert!(consume(world, &[]) == text);
        topic(world)["bytes"].as_u64().unwrap()
    };
    let plain = stored(&with_topic(1), &["--compression", "none"]);
    assert!(plain > text.len() as u64);
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let small = stored(&with_topic(1), &["--compression", codec]);
        assert!(small < plain / 3, "{codec}: {small} of {plain}");
    }
    let usual = stored(&with_topic(1), &[]);
    let set = stored(&with_topic(1).set("FOREBAY_LOG_COMPRESSION", "zstd"), &[]);
    assert!(set < usual && usual < plain / 3, "{set} {usual} {plain}");
}

#[test]
fn batch_bytes_say_how_large_objects_are() {
    let lines = numbers(0..20_000);
    let segments = |args: &[&str]| {
        let world = with_topic(1);
        produce(&world, &lines, args);
        assert!(consume(&world, &[]) == lines);
        topic(&world)["segments"].as_u64().unwrap()
    };
    let (usual, small) = (
        segments(&["--linger", "1h"]),
        segments(&["--batch-bytes", "64KiB", "--linger", "1h"]),
    );
    assert_eq!(usual, 1);
    // What gathers while an upload is under way goes together, so a slow machine makes fewer of them.
    assert!(small > usual, "{small}");
}

#[test]
fn linger_says_how_long_a_record_waits() {
    let world = with_topic(1);
    let there = || {
        topic(&world)["by_partition"][0]["high_watermark"]
            .as_u64()
            .unwrap()
    };
    let (child, mut stdin) = begin(&world, &["--linger", "1h"]);
    stdin.write_all(b"waits\n").unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(there(), 0);
    drop(stdin);
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(there(), 1, "the end of the input waits for nothing");
    let (child, mut stdin) = begin(&world, &["--linger", "10ms"]);
    stdin
        .write_all(b"goes\nat once\nand this is no line yet")
        .unwrap();
    wait_for("a record whose producer goes on", || there() == 3);
    drop(stdin);
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(there(), 4);
}

#[test]
fn acks_none_waits_for_nothing_and_knows_nothing() {
    let world = with_topic(1);
    let answer = produce(&world, "a\nb\n", &["--acks", "none"]);
    assert_eq!(
        (&answer["acks"], &answer["acknowledged"]),
        (&json!("none"), &json!(2))
    );
    assert_eq!(answer["partitions"][0]["first_offset"], Value::Null);
    assert_eq!(
        consume(&world, &[]),
        "a\nb\n",
        "an orderly end writes what is left"
    );
    let said = world
        .set("FOREBAY_LOG_ACKS", "none")
        .run_with_input(&["log", "produce", "t"], b"c\n");
    said.ok();
    assert_eq!(said.stderr, "1 record taken in (acks none): t/0 1\n");
}

#[test]
fn what_is_acknowledged_is_reported_while_it_goes_on() {
    let world = with_topic(1);
    let (mut child, mut stdin) = begin(&world, &["--report", "--linger", "1ms"]);
    let mut out = child.stdout.take().unwrap();
    let mut seen = String::new();
    for n in 0..3 {
        stdin.write_all(b"x\n").unwrap();
        let expected = format!("t/0 {n} {n}\n");
        let mut line = vec![0; expected.len()];
        out.read_exact(&mut line).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
    drop(stdin);
    out.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "");
    assert!(child.wait().unwrap().success());
    world
        .run_with_input(&["log", "produce", "t", "--report", "--json"], b"x\n")
        .fails(2, &["cannot be used with"]);
}

#[test]
fn quiet_says_nothing() {
    let world = with_topic(1);
    let said = world.run_with_input(&["log", "produce", "t", "--quiet"], b"x\n");
    assert_eq!((said.ok(), said.stderr.as_str()), ("", ""));
}

#[test]
fn an_interrupt_writes_what_was_read() {
    let world = with_topic(1);
    for signal in [Signal::INT, Signal::TERM] {
        let before = topic(&world)["records"].as_u64().unwrap();
        let (child, mut stdin) = begin(&world, &["--linger", "1h"]);
        stdin.write_all(numbers(0..1000).as_bytes()).unwrap();
        stdin.write_all(b"not a line yet").unwrap();
        // Nothing outside shows that it has read them.
        std::thread::sleep(Duration::from_millis(700));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.starts_with("1000 records acknowledged") && said.ends_with("forebay: interrupted\n"),
            "{said}"
        );
        assert_eq!(topic(&world)["records"], before + 1000);
        drop(stdin);
    }
}

/// Whether an interrupt is caught by now.
fn hears_interrupts(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught & (1 << (Signal::INT.as_raw() - 1)) != 0
}

#[test]
fn who_interrupts_while_the_last_records_are_written_may_have_to_say_it_twice() {
    let profile = Profile::of("slow", Duration::from_secs(2), None);
    let lab = builder().profile(profile).start().unwrap();
    let world = World::with(&lab).set("FOREBAY_LOG_STORE", "s3://box/logs");
    create(&world, 1);
    for (is_said_again, code, words) in [
        (false, 0, "1 record acknowledged"),
        (true, 1, "interrupted before everything was written"),
    ] {
        let before = lab.counts().puts;
        let (mut child, mut stdin) = begin(&world, &[]);
        stdin.write_all(b"a\n").unwrap();
        drop(stdin);
        // The upload takes much longer.
        wait_for("its upload", || {
            lab.counts().puts > before && hears_interrupts(&child)
        });
        std::thread::sleep(Duration::from_millis(300));
        let pid = Pid::from_child(&child);
        let interrupt = || kill_process(pid, Signal::INT).unwrap();
        interrupt();
        wait_for("its end", || {
            if is_said_again {
                std::thread::sleep(Duration::from_millis(300));
                interrupt();
            }
            child.try_wait().unwrap().is_some()
        });
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn an_endless_input_takes_no_endless_memory() {
    let world = with_topic(1)
        .set("FOREBAY_LOG_BUFFER_MEMORY", "8MiB")
        .set("FOREBAY_LOG_COMPRESSION", "none");
    let (child, mut stdin) = begin(&world, &["--batch-bytes", "1MiB"]);
    let line = [&[b'x'; 999][..], b"\n"].concat();
    let piece = line.repeat(1000);
    for _ in 0..150 {
        stdin.write_all(&piece).unwrap();
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    drop(stdin);
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(topic(&world)["records"], 150_000);
    // 150 MB went through a buffer of 8 MiB; what is uploaded is there twice, and the program itself takes its share.
    assert!(peak < 100 * 1024, "{peak} KiB");
}

#[test]
fn it_maintains_the_log_while_it_runs() {
    let maintained = |switch: &str| {
        let world = with_topic(1)
            .set("FOREBAY_LOG_MAINTAIN_EVERY", "200ms")
            .set("FOREBAY_LOG_MIN_SEGMENTS", "2")
            .set("FOREBAY_LOG_MAINTAIN", switch);
        for n in 0..5 {
            produce(&world, &numbers(n..n + 1), &[]);
        }
        let (child, mut stdin) = begin(&world, &["--linger", "1ms"]);
        let clock = SystemClock::new();
        let mut fewer = false;
        let patience = if switch == "true" { 20 } else { 2 };
        while !fewer && clock.now() < Duration::from_secs(patience) {
            fewer = topic(&world)["segments"].as_u64().unwrap() < 5;
            std::thread::sleep(Duration::from_millis(50));
        }
        stdin.write_all(b"5\n").unwrap();
        drop(stdin);
        assert!(child.wait_with_output().unwrap().status.success());
        assert_eq!(consume(&world, &[]), numbers(0..6));
        fewer
    };
    assert!(maintained("true"));
    assert!(!maintained("false"));
}

#[test]
fn a_partition_that_another_one_writes_is_waited_for() {
    let world = with_topic(1).set("FOREBAY_LOG_LEASE", "2s");
    let (mut dead, mut stdin) = begin(&world, &["--linger", "1ms"]);
    stdin.write_all(b"a\n").unwrap();
    wait_for("its record", || topic(&world)["records"] == 1);
    dead.kill().unwrap();
    dead.wait().unwrap();
    let impatient = world.set("FOREBAY_LOG_LEASE_WAIT", "0s");
    let refused = impatient.run_with_input(&["log", "produce", "t"], b"b\n");
    // Unless the dead one's lease has run out by now.
    if refused.code != Some(0) {
        assert!(
            refused.stderr.contains("0 records acknowledged") && refused.stderr.contains("another producer"),
            "{}",
            refused.stderr
        );
        assert!(
            refused.stderr.contains("line 1: not written"),
            "{}",
            refused.stderr
        );
        let patient = impatient.set("FOREBAY_LOG_LEASE_WAIT", "20s");
        patient.run_with_input(&["log", "produce", "t"], b"b\n").ok();
        assert_eq!(consume(&patient, &[]), "a\nb\n");
    }
}
