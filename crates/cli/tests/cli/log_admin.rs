//! `log create`, `topics`, `groups`, `offsets`, `recover`, `compact`.

use std::path::PathBuf;

use serde_json::json;

use crate::harness::{World, files_below};
use crate::log::{consume, create, log_world, numbers, objects, produce, with_topic};

/// The file that metadata is in unless something else is said.
fn database(world: &World) -> PathBuf {
    let all = files_below(&world.home().join(".local/state/forebay"));
    let found: Vec<_> = all
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ext| ext == "db"))
        .collect();
    let [file] = found.as_slice() else {
        panic!("{found:?}");
    };
    file.clone()
}

fn lose_metadata(world: &World) {
    let file = database(world);
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", file.display()));
    }
}

#[test]
fn a_topic_is_made_once() {
    let world = log_world();
    world
        .run(&["log", "topics"])
        .fails(3, &["is not there", "log create"]);
    let made = world
        .run(&[
            "log",
            "create",
            "t",
            "--partitions",
            "3",
            "--retention",
            "7d",
            "--retention-bytes",
            "1GiB",
            "--json",
        ])
        .json();
    assert_eq!((&made["topic"], &made["partitions"]), (&json!("t"), &json!(3)));
    assert_eq!(made["retention_ms"], 7 * 86_400_000);
    assert_eq!(made["retention_bytes"], 1 << 30);
    world
        .run(&["log", "create", "t"])
        .fails(1, &["there is a topic t already"]);
    assert!(
        world
            .run(&["log", "create", "other"])
            .ok()
            .starts_with("other has 1 partition, in file://")
    );
    let topics = world.run(&["log", "topics", "--json"]).json();
    let names: Vec<_> = topics["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|topic| topic["topic"].clone())
        .collect();
    assert_eq!(names, ["other", "t"]);
    assert_eq!(topics["topics"][1]["retention_ms"], made["retention_ms"]);
    assert_eq!(topics["topics"][0]["retention_ms"], json!(null));
    // For its owner alone.
    use std::os::unix::fs::PermissionsExt;
    for (path, mode) in [(world.home().join("log"), 0o700), (database(&world), 0o600)] {
        let found = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{}", path.display());
    }
}

#[test]
fn topics_tell_what_is_in_them() {
    let world = with_topic(2);
    produce(&world, &numbers(0..100), &["--partition", "0"]);
    produce(&world, &numbers(0..50), &["--partition", "1"]);
    produce(&world, &numbers(0..50), &["--partition", "1"]);
    let text = world.run(&["log", "topics"]);
    let row: Vec<&str> = text.ok().lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        (row[0], row[1], row[2], row[4]),
        ("t", "2", "200", "3"),
        "{}",
        text.out()
    );
    let named = world.run(&["log", "topics", "t", "--json"]).json();
    let parts = named["by_partition"].as_array().unwrap();
    let of = |name: &str| {
        parts
            .iter()
            .map(|part| part[name].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("log_start"), [0, 0]);
    assert_eq!(of("high_watermark"), [100, 100]);
    assert_eq!(of("segments"), [1, 2]);
    assert_eq!(of("bytes").iter().sum::<u64>(), named["bytes"].as_u64().unwrap());
    assert!(world.run(&["log", "topics", "t"]).ok().contains("t/1"));
    world
        .run(&["log", "topics", "none"])
        .fails(3, &["there is no topic none", "log create"]);
}

#[test]
fn groups_and_their_offsets() {
    let world = with_topic(2);
    assert_eq!(world.run(&["log", "groups"]).ok(), "");
    world
        .run(&["log", "offsets", "g"])
        .fails(3, &["there is no group g", "log groups"]);
    produce(&world, &numbers(0..10), &["--partition", "1"]);
    consume(&world, &["--group", "g", "--max", "4"]);
    let groups = world.run(&["log", "groups", "--json"]).json();
    assert_eq!(groups["groups"][0]["group"], "g");
    assert!(groups["groups"][0]["committed_ms"].as_u64().unwrap() > 1_700_000_000_000);
    let lag = |partition: u64| {
        let answer = world.run(&["log", "offsets", "g", "--json"]).json();
        let offsets = answer["offsets"].as_array().unwrap().clone();
        let found = offsets
            .into_iter()
            .find(|offset| offset["partition"] == partition)
            .unwrap();
        (
            found["committed"].as_u64().unwrap(),
            found["high_watermark"].as_u64().unwrap(),
            found["lag"].as_u64().unwrap(),
        )
    };
    assert_eq!(lag(1), (4, 10, 6));
    let row = world.run(&["log", "offsets", "g"]);
    assert!(
        row.ok()
            .lines()
            .any(|line| line.split_whitespace().take(4).eq(["t/1", "4", "10", "6"])),
        "{}",
        row.out()
    );
    world.run(&["log", "offsets", "g", "--set", "t/1=8"]).ok();
    assert_eq!(lag(1), (8, 10, 2));
    assert_eq!(consume(&world, &["--group", "g"]), numbers(8..10));
    world
        .run(&[
            "log",
            "offsets",
            "g",
            "--set",
            "t/1=earliest",
            "--set",
            "t/0=latest",
        ])
        .ok();
    assert_eq!((lag(1).0, lag(0).0), (0, 0));
    // All or nothing, and nothing that cannot be.
    let refused = |set: &[&str], code, words: &[&str]| {
        world
            .run(&[&["log", "offsets", "g"], set].concat())
            .fails(code, words);
        assert_eq!(lag(1), (0, 10, 10));
    };
    refused(&["--set", "t/1=5", "--set", "t/0=1"], 3, &["t/0 has no offset 1"]);
    refused(&["--set", "t/1=5", "--set", "t/2=0"], 3, &["no partition 2"]);
    refused(&["--set", "t/1=5", "--set", "t/1=6"], 2, &["t/1 twice"]);
    refused(&["--set", "none/0=0"], 3, &["there is no topic none"]);
    refused(&["--set", "t=5"], 2, &["orders/0=42"]);
    refused(&["--set", "t/1=5", "--delete"], 2, &["cannot be used with"]);
    assert!(
        world
            .run(&["log", "offsets", "g", "--delete"])
            .ok()
            .contains("forgotten")
    );
    world
        .run(&["log", "offsets", "g", "--delete"])
        .fails(3, &["no group g"]);
    assert_eq!(
        world.run(&["log", "groups", "--json"]).json()["groups"],
        json!([])
    );
}

#[test]
fn lost_metadata_is_rebuilt_from_the_bucket() {
    let world = with_topic(2);
    produce(
        &world,
        &numbers(0..1000),
        &["--partition", "0", "--batch-bytes", "1KiB"],
    );
    produce(&world, &numbers(0..500), &["--partition", "1"]);
    consume(&world, &["--group", "g", "--max", "300", "--partition", "0"]);
    // Writes a snapshot, which the group's offsets are in.
    world.run(&["log", "compact"]).ok();
    let before = (
        objects(&world, &[]),
        world.run(&["log", "topics", "t", "--json"]).json(),
    );
    assert!(world.run(&["log", "recover"]).ok().contains("agree"));
    lose_metadata(&world);
    // Nothing is written over what a recovery needs.
    for args in [&["log", "create", "t2"][..], &["log", "compact"]] {
        world.run(args).fails(1, &["knows no topic", "log recover"]);
    }
    world.run(&["log", "consume", "t"]).fails(3, &["no topic t"]);
    let rebuilt = world.run(&["log", "recover", "--json"]).json();
    assert_eq!(
        (
            &rebuilt["rebuilt"],
            &rebuilt["topics"],
            &rebuilt["records"],
            &rebuilt["problems"]
        ),
        (&json!(true), &json!(1), &json!(1500), &json!([]))
    );
    assert_eq!(rebuilt["committed_offsets"], 1);
    let after = (
        objects(&world, &[]),
        world.run(&["log", "topics", "t", "--json"]).json(),
    );
    assert_eq!(before, after);
    assert_eq!(
        consume(&world, &["--group", "g", "--partition", "0"]),
        numbers(300..1000)
    );
    // Who writes then goes on where the log ends.
    assert_eq!(
        produce(&world, "x\n", &["--partition", "0"])["partitions"][0]["first_offset"],
        1000
    );
    // Once more over what is there.
    let replaced = world.run(&["log", "recover", "--replace"]);
    assert!(replaced.ok().contains("1501 records"), "{}", replaced.out());
    assert!(consume(&world, &["--partition", "0"]).ends_with("999\nx\n"));
}

#[test]
fn differences_are_said_and_nothing_is_changed() {
    let world = with_topic(1);
    produce(&world, &numbers(0..10), &[]);
    produce(&world, &numbers(10..20), &[]);
    let segments: Vec<_> = files_below(&world.home().join("log/flush"));
    let gone = segments.iter().min().unwrap();
    std::fs::remove_file(gone).unwrap();
    let answer = world.run(&["log", "recover", "--json"]);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let said: serde_json::Value = serde_json::from_str(answer.out()).unwrap();
    assert_eq!((&said["agree"], &said["rebuilt"]), (&json!(false), &json!(false)));
    let name = gone.file_name().unwrap().to_str().unwrap();
    let differences = said["differences"].as_array().unwrap();
    assert!(
        differences
            .iter()
            .any(|line| line.as_str().unwrap().contains(name)),
        "{said}"
    );
    let text = world.run(&["log", "recover"]);
    assert_eq!(text.code, Some(1));
    assert!(
        text.out().contains(name) && text.out().contains("--replace"),
        "{}",
        text.out()
    );
    // What reads it fails as damage does, and names the object.
    world
        .run(&["log", "consume", "t"])
        .fails(6, &[name, "log recover"]);
    assert_eq!(consume(&world, &["--from", "10"]), numbers(10..20));
    // A segment whose bytes are others.
    let other = segments.iter().max().unwrap();
    let mut bytes = std::fs::read(other).unwrap();
    bytes[70] ^= 1;
    std::fs::write(other, bytes).unwrap();
    let damaged = world.run(&["log", "consume", "t", "--from", "10"]);
    assert!(
        matches!(damaged.code, Some(5 | 6)) && damaged.stdout.is_empty(),
        "{damaged:?}"
    );
}

#[test]
fn small_segments_are_put_together() {
    let world = with_topic(1)
        .set("FOREBAY_LOG_MIN_SEGMENTS", "4")
        .set("FOREBAY_LOG_GRACE", "0s");
    for n in 0..8 {
        produce(&world, &numbers(n * 10..n * 10 + 10), &[]);
    }
    let segments = || world.run(&["log", "topics", "--json"]).json()["topics"][0]["segments"].clone();
    assert_eq!(segments(), 8);
    let usual = World::new().set(
        "FOREBAY_LOG_STORE",
        &format!("file://{}", world.home().join("log").display()),
    );
    let usual = usual.set(
        "FOREBAY_LOG_METADATA",
        &format!("sqlite://{}", database(&world).display()),
    );
    assert_eq!(
        usual.run(&["log", "compact", "--json"]).json()["compacted"],
        0,
        "8 are not yet many"
    );
    let done = world.run(&["log", "compact", "--json"]).json();
    assert_eq!(
        (&done["compacted"], &done["replaced"], &done["problems"]),
        (&json!(1), &json!(8), &json!([]))
    );
    assert_eq!(segments(), 1);
    assert_eq!(consume(&world, &[]), numbers(0..80));
    // What nothing refers to any more goes when its time has come: at once.
    world.run(&["log", "compact"]).ok();
    assert!(files_below(&world.home().join("log/flush")).is_empty());
    assert_eq!(consume(&world, &[]), numbers(0..80));
}

#[test]
fn retention_lets_go_of_the_oldest() {
    let world = log_world();
    world.run(&["log", "create", "t", "--retention", "1h"]).ok();
    produce(
        &world,
        "{\"value\":\"old\",\"timestamp\":1000}\n",
        &["--format", "ndjson"],
    );
    produce(&world, "new\n", &[]);
    assert_eq!(
        world.run(&["log", "compact", "--json"]).json()["retained_away"],
        1
    );
    assert_eq!(consume(&world, &["--show", "offset"]), "1\tnew\n");
    world.run(&["log", "consume", "t", "--from", "0"]).fails(
        3,
        &[
            "t/0 has no offset 0",
            "from 1 (the log start) to 2",
            "--from earliest",
        ],
    );
    world
        .run(&["log", "create", "small", "--retention-bytes", "1"])
        .ok();
    for line in ["a", "b", "c"] {
        world
            .run_with_input(&["log", "produce", "small"], line.as_bytes())
            .ok();
    }
    world.run(&["log", "compact"]).ok();
    let text = world.run(&["log", "consume", "small"]);
    assert!(text.ok().len() < 6, "{}", text.out());
}

#[test]
fn every_answer_can_be_json() {
    let world = with_topic(1);
    produce(&world, "a\n", &[]);
    consume(&world, &["--group", "g"]);
    for args in [
        &["log", "create", "u"][..],
        &["log", "topics"],
        &["log", "topics", "t"],
        &["log", "groups"],
        &["log", "offsets", "g"],
        &["log", "recover"],
        &["log", "compact"],
    ] {
        let plain = world.run(args);
        assert!(
            serde_json::from_str::<serde_json::Value>(plain.ok()).is_err(),
            "{args:?}"
        );
        let again: Vec<&str> = args
            .iter()
            .map(|arg| if *arg == "u" { "v" } else { arg })
            .collect();
        assert!(
            world.run(&[&again[..], &["--json"]].concat()).json().is_object(),
            "{args:?}"
        );
    }
}

#[test]
fn each_store_has_metadata_of_its_own() {
    let world = log_world();
    create(&world, 1);
    let first = database(&world);
    let other = format!("file://{}", world.home().join("log2").display());
    let world = world.set("FOREBAY_LOG_STORE", &other);
    create(&world, 1);
    assert_eq!(
        files_below(first.parent().unwrap())
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "db"))
            .count(),
        2
    );
    // Where the state of programs goes, and where somebody wants it.
    let state = world.path("state");
    let world = world.set("XDG_STATE_HOME", state.to_str().unwrap());
    world.run(&["log", "topics", "t"]).fails(3, &["no topic t"]);
    let named = world.path("named/log.db");
    let world = world.set("FOREBAY_LOG_METADATA", &format!("sqlite://{}", named.display()));
    world.run(&["log", "recover"]).ok();
    assert!(named.exists());
}
