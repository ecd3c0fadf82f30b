//! The event log: what is written is read, whatever it is and wherever it is kept.

use std::collections::BTreeMap;

use forebay_testkit::Postgres;
use serde_json::{Value, json};

use crate::harness::{World, lab};

/// A world whose log is a directory of it; not made yet.
pub(crate) fn log_world() -> World {
    let world = World::new();
    let store = format!("file://{}", world.home().join("log").display());
    world.set("FOREBAY_LOG_STORE", &store)
}

/// The same with a topic `t`.
pub(crate) fn with_topic(partitions: u32) -> World {
    let world = log_world();
    create(&world, partitions);
    world
}

pub(crate) fn create(world: &World, partitions: u32) {
    let partitions = partitions.to_string();
    world
        .run(&["log", "create", "t", "--partitions", &partitions])
        .ok();
}

/// Writes lines; tells what was acknowledged.
pub(crate) fn produce(world: &World, lines: &str, more: &[&str]) -> Value {
    let args = [&["log", "produce", "t", "--json"], more].concat();
    world.run_with_input(&args, lines.as_bytes()).json()
}

pub(crate) fn consume(world: &World, more: &[&str]) -> String {
    world
        .run(&[&["log", "consume", "t"], more].concat())
        .ok()
        .to_owned()
}

/// Records as objects.
pub(crate) fn objects(world: &World, more: &[&str]) -> Vec<Value> {
    let lines = consume(world, &[&["--format", "ndjson"], more].concat());
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn numbers(range: std::ops::Range<u64>) -> String {
    range.map(|n| format!("{n}\n")).collect()
}

#[test]
fn lines_come_back_in_order() {
    let world = with_topic(1);
    let answer = produce(&world, &numbers(0..5000), &[]);
    assert_eq!(
        (&answer["sent"], &answer["acknowledged"]),
        (&json!(5000), &json!(5000))
    );
    assert_eq!(
        answer["partitions"],
        json!([{"partition": 0, "records": 5000, "first_offset": 0, "last_offset": 4999}])
    );
    assert_eq!(consume(&world, &[]), numbers(0..5000));
    // And what comes later stands behind it; the last line needs no newline.
    let said = world.run_with_input(&["log", "produce", "t"], b"more\n\nlast");
    assert_eq!(said.ok(), "");
    assert_eq!(said.stderr, "3 records acknowledged: t/0 offsets 5000 to 5002\n");
    assert_eq!(consume(&world, &["--from", "4999"]), "4999\nmore\n\nlast\n");
    // From a file as well.
    world.write("lines", "from a file\n");
    let said = world.run(&["log", "produce", "t", "lines"]);
    said.ok();
    assert_eq!(said.stderr, "1 record acknowledged: t/0 offset 5003\n");
    assert_eq!(consume(&world, &["--from", "5003"]), "from a file\n");
}

/// What people and programs write, in all its kinds.
fn odd_records() -> String {
    let records = [
        json!({"value": "plain"}),
        json!({"key": "k", "value": "v", "headers": {"a": "1", "b": null}}),
        json!({"key": null, "value": "no key"}),
        json!({"key": "", "value": ""}),
        json!({"key": "gone", "value": null}),
        json!({"value": "línea\nzwei\t\u{1b}[31m\u{0}\u{202e}日本"}),
        json!({"key_base64": "/wA=", "value_base64": "//79AAEC"}),
        json!({"value": "h", "headers": [["n", "1"], ["n", "2"], [{"base64": "/w=="}, {"base64": "AP8="}]]}),
        json!({"value": "old", "timestamp": 1000}),
        json!({"value": "when", "timestamp": "2026-01-01T00:00:00Z"}),
        json!({"value": "never", "timestamp": -1}),
    ];
    records.map(|record| format!("{record}\n")).concat()
}

#[test]
fn records_of_all_kinds_come_back() {
    let world = with_topic(1);
    let answer = produce(&world, &odd_records(), &["--format", "ndjson"]);
    assert_eq!(answer["acknowledged"], 11, "{answer}");
    let found = objects(&world, &[]);
    for (nth, record) in found.iter().enumerate() {
        assert_eq!(
            (&record["offset"], &record["partition"]),
            (&json!(nth), &json!(0))
        );
    }
    assert_eq!(found[1]["headers"], json!([["a", "1"], ["b", null]]));
    assert_eq!(
        (&found[2]["key"], &found[2]["value"]),
        (&Value::Null, &json!("no key"))
    );
    assert_eq!((&found[3]["key"], &found[3]["value"]), (&json!(""), &json!("")));
    assert_eq!(
        (&found[4]["key"], &found[4]["value"]),
        (&json!("gone"), &Value::Null)
    );
    assert_eq!(found[5]["value"], "línea\nzwei\t\u{1b}[31m\u{0}\u{202e}日本");
    assert_eq!(
        (&found[6]["key_base64"], &found[6]["value_base64"]),
        (&json!("/wA="), &json!("//79AAEC"))
    );
    assert!(found[6].get("value").is_none() && found[6].get("key").is_none());
    assert_eq!(
        found[7]["headers"],
        json!([["n", "1"], ["n", "2"], [{"base64": "/w=="}, {"base64": "AP8="}]])
    );
    let times: Vec<_> = found[8..]
        .iter()
        .map(|record| record["timestamp"].clone())
        .collect();
    assert_eq!(times, [json!(1000), json!(1_767_225_600_000_u64), json!(-1)]);

    // What was consumed can be produced: a copy.
    let lines = consume(&world, &["--format", "ndjson"]);
    world.run(&["log", "create", "copy"]).ok();
    world
        .run_with_input(
            &["log", "produce", "copy", "--format", "ndjson"],
            lines.as_bytes(),
        )
        .ok();
    let copy = world.run(&["log", "consume", "copy", "--json"]);
    assert_eq!(copy.ok(), lines);
}

#[test]
fn nothing_in_a_record_controls_a_terminal() {
    let world = with_topic(1);
    produce(&world, &odd_records(), &["--format", "ndjson"]);
    for args in [&["--show", "key,headers"][..], &["--json"], &[]] {
        let text = consume(&world, args);
        let odd: Vec<char> = text
            .chars()
            .filter(|c| c.is_control() && !"\n\t".contains(*c))
            .collect();
        assert!(odd.is_empty() && !text.contains('\u{202e}'), "{args:?}: {odd:?}");
    }
    let text = consume(&world, &["--from", "5", "--max", "2"]);
    assert_eq!(
        text,
        "línea\\u{a}zwei\\u{9}\\u{1b}[31m\\u{0}\\u{202e}日本\n\\xff\\xfe\\xfd\\u{0}\\u{1}\\u{2}\n"
    );
    let raw = world.run(&["log", "consume", "t", "--raw", "--from", "6", "--max", "1"]);
    assert_eq!(raw.stdout, b"\xff\xfe\xfd\x00\x01\x02\n");
}

#[test]
fn a_log_in_a_bucket_is_read_through_the_cache() {
    let lab = lab();
    let world = World::with(&lab).set("FOREBAY_LOG_STORE", "s3://box/logs/");
    create(&world, 3);
    // How often a producer that is fed without a pause flushes is a matter of time; each one flushes at its end.
    for part in [0..10_000, 10_000..20_000] {
        produce(&world, &numbers(part), &["--batch-bytes", "32KiB"]);
    }
    let listed = world.run(&["ls", "-r", "s3://box/"]);
    assert!(listed.ok().lines().count() > 2, "{}", listed.out());
    assert!(
        listed.out().lines().all(|line| line.contains("logs/")),
        "{}",
        listed.out()
    );
    let sorted = |text: String| {
        let mut lines: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        lines.sort_unstable();
        lines
    };
    let gets = |world: &World, args: &[&str]| {
        lab.reset_counts();
        assert_eq!(sorted(consume(world, args)), (0..20_000).collect::<Vec<_>>());
        lab.counts().gets
    };
    assert!(gets(&world, &[]) > 0);
    assert_eq!(gets(&world, &[]), 0, "all of it is on the local disk");
    assert!(gets(&world, &["--no-cache"]) > 0);
    // The same store named in another way has the same metadata.
    let world = world.set("FOREBAY_LOG_STORE", "s3://box/logs");
    let answer = world.run(&["log", "topics", "--json"]).json();
    assert_eq!(answer["topics"][0]["records"], 20_000);
}

/// A database with a schema of its own, and the server if it was started for this; `None` if there is no PostgreSQL.
pub(crate) fn postgres() -> Option<(String, Option<Postgres>)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test command tells by the environment what it started"
    )]
    let shared = std::env::var("FOREBAY_TEST_POSTGRES_URL").ok();
    let own = if shared.is_none() { Postgres::start() } else { None };
    let url = shared.or_else(|| own.as_ref().map(Postgres::url))?;
    let join = if url.contains('?') { '&' } else { '?' };
    let schema = format!("cli_{}", std::process::id());
    Some((format!("{url}{join}schema={schema}"), own))
}

#[test]
fn metadata_in_postgres() {
    let Some((url, _server)) = postgres() else {
        return;
    };
    let world = log_world().set("FOREBAY_LOG_METADATA", &url);
    create(&world, 2);
    produce(&world, &numbers(0..1000), &["--partition", "1"]);
    assert_eq!(
        consume(&world, &["--group", "g", "--max", "600"]),
        numbers(0..600)
    );
    assert_eq!(consume(&world, &["--group", "g"]), numbers(600..1000));
    let answer = world.run(&["log", "offsets", "g", "--json"]).json();
    let lags: BTreeMap<_, _> = answer["offsets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|offset| {
            (
                offset["partition"].as_u64().unwrap(),
                offset["lag"].as_u64().unwrap(),
            )
        })
        .collect();
    assert!(
        lags.values().all(|lag| *lag == 0) && lags.contains_key(&1),
        "{answer}"
    );
    assert!(world.run(&["log", "recover"]).ok().contains("agree"));
    world.run(&["log", "recover", "--replace"]).ok();
    assert_eq!(consume(&world, &[]), numbers(0..1000));
    assert!(world.run(&["doctor"]).ok().contains("knows topics"));
    // Nothing of it is in a file.
    assert!(!world.home().join(".local/state/forebay").exists());
}

/// The commands of the README's section, in one shell.
#[test]
fn the_readme_says_what_works() {
    let readme = include_str!("../../../../README.md");
    let section = readme.split("## An event log").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let commands: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .collect();
    assert!(commands.len() >= 5, "{commands:?}");
    let world = World::new();
    let store = format!("file://{}", world.home().join("log").display());
    // Following has no end; that is tested elsewhere.
    let script = commands
        .join("\n")
        .replace("s3://bucket/logs", &store)
        .replace("--follow", "");
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_forebay"))
        .parent()
        .unwrap();
    let output = std::process::Command::new("sh")
        .args(["-e", "-c", &script])
        .env_clear()
        .env("HOME", world.home())
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .current_dir(world.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("forebay: "),
        "{script}\n{said}"
    );
}
