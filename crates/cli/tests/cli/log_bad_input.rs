//! The log and what cannot be: each with an error that says what, and what to do.

use std::time::Duration;

use forebay_types::{Clock, SystemClock};

use crate::harness::{KEY_ID, SECRET, World, strict_lab};
use crate::log::{consume, create, log_world, produce, with_topic};

#[test]
fn a_log_that_nobody_named() {
    let world = World::new();
    for args in [
        &["log", "create", "t"][..],
        &["log", "topics"],
        &["log", "produce", "t"],
        &["log", "consume", "t"],
        &["log", "groups"],
        &["log", "offsets", "g"],
        &["log", "recover"],
        &["log", "compact"],
    ] {
        world
            .run(args)
            .fails(2, &["log.store is not set", "FOREBAY_LOG_STORE"]);
    }
}

#[test]
fn places_where_no_log_can_be() {
    let world = World::new();
    let with = |store: &str| World::new().set("FOREBAY_LOG_STORE", store);
    with("relative")
        .run(&["log", "topics"])
        .fails(2, &["FOREBAY_LOG_STORE", "absolute"]);
    with("https://host/x")
        .run(&["log", "topics"])
        .fails(2, &["cannot be written to"]);
    let file = world.write("file", "x");
    let store = with(&format!("file://{}", file.display()));
    store.run(&["log", "topics"]).fails(2, &["not a directory"]);
    store.run(&["log", "create", "t"]).fails(2, &["not a directory"]);
    let world = log_world().set("FOREBAY_LOG_METADATA", "sqlite://x.db");
    world
        .run(&["log", "create", "t"])
        .fails(2, &["FOREBAY_LOG_METADATA", "not absolute"]);
    // Metadata that is something else, and is left alone.
    let world = log_world();
    let other = world.write(
        "other.db",
        "this is no database, and longer than a header would be".repeat(100),
    );
    let world = world.set("FOREBAY_LOG_METADATA", &format!("sqlite://{}", other.display()));
    let refused = world.run(&["log", "create", "t"]);
    assert!(matches!(refused.code, Some(1 | 6)), "{}", refused.stderr);
    assert!(refused.stderr.contains("other.db"), "{}", refused.stderr);
    assert!(
        std::fs::read_to_string(other)
            .unwrap()
            .starts_with("this is no database")
    );
    // A home that is none.
    let world = log_world();
    let mut homeless = world.command(&["log", "create", "t"]);
    let output = homeless.env_remove("HOME").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && said.contains("log.metadata"),
        "{said}"
    );
}

#[test]
fn names_and_numbers() {
    let world = with_topic(2);
    for (args, code, words) in [
        (&["log", "create", "a b"][..], 2, &["only a-z"][..]),
        (&["log", "create", ".."], 2, &["directory"]),
        (&["log", "create", "u", "--partitions", "0"], 2, &["--partitions"]),
        (
            &["log", "create", "u", "--partitions", "100001"],
            2,
            &["--partitions"],
        ),
        (
            &["log", "create", "u", "--retention", "7"],
            2,
            &["--retention", "7d"],
        ),
        (
            &["log", "create", "u", "--retention-bytes", "many"],
            2,
            &["--retention-bytes", "not a size"],
        ),
        (
            &["log", "consume", "none"],
            3,
            &["there is no topic none", "log create none"],
        ),
        (
            &["log", "consume", "t", "--partition", "2"],
            3,
            &["t has no partition 2", "log topics"],
        ),
        (
            &["log", "consume", "t", "--partition", "1", "--partition", "1"],
            2,
            &["twice"],
        ),
        (&["log", "consume", "t", "--max", "0"], 2, &["--max"]),
        (&["log", "consume", "t", "--show", "size"], 2, &["--show"]),
        (
            &["log", "consume", "t", "--format", "ndjson", "--raw"],
            2,
            &["for text"],
        ),
        (
            &["log", "consume", "t", "--json", "--show", "key"],
            2,
            &["for text"],
        ),
        (
            &["log", "consume", "t", "--json", "--format", "text"],
            2,
            &["exclude each other"],
        ),
        (&["log", "produce", "none"], 3, &["there is no topic none"]),
        (
            &["log", "produce", "t", "--partition", "2"],
            3,
            &["t has no partition 2"],
        ),
        (
            &["log", "produce", "t", "--compression", "lzma"],
            2,
            &["'lzma' is not none, gzip"],
        ),
        (&["log", "produce", "t", "--acks", "1"], 2, &["all or none"]),
        (
            &["log", "produce", "t", "--linger", "5"],
            2,
            &["--linger", "a time"],
        ),
        (
            &["log", "produce", "t", "--batch-bytes", "big"],
            2,
            &["--batch-bytes", "not a size"],
        ),
        (
            &["log", "produce", "t", "--key-separator", ""],
            2,
            &["one character at least"],
        ),
        (
            &[
                "log",
                "produce",
                "t",
                "--format",
                "ndjson",
                "--key-separator",
                ":",
            ],
            2,
            &["for text"],
        ),
        (
            &["log", "produce", "t", "nothing.txt"],
            3,
            &["cannot read nothing.txt"],
        ),
        (&["log", "produce", "t", "."], 2, &["cannot read ."]),
    ] {
        world.run(args).fails(code, words);
    }
}

#[test]
fn a_bad_line_is_named_and_those_before_it_are_written() {
    let world = with_topic(1);
    let bad = |format: &[&str], input: &[u8], words: &[&str]| {
        let said = world.run_with_input(&[&["log", "produce", "t"], format].concat(), input);
        said.fails(2, words);
        assert!(
            said.stderr.starts_with("2 records acknowledged: t/0 offsets"),
            "{}",
            said.stderr
        );
    };
    let before = b"{\"value\":\"a\"}\n\n{\"value\":\"b\"}\n";
    for (line, word) in [
        (&b"{\"value\":"[..], "EOF"),
        (b"{\"valeu\":\"x\"}", "unknown field"),
        (b"{\"value\":\"\xff\"}", "line 4"),
        (b"null", "no JSON object"),
    ] {
        bad(
            &["--format", "ndjson"],
            &[before, line, b"\n{\"value\":\"after\"}\n"].concat(),
            &["forebay: line 4: ", word],
        );
    }
    bad(
        &["--key-separator", "="],
        b"k=a\nk=b\nnokey\nk=c\n",
        &["line 3: there is no '='"],
    );
    let said = world.run_with_input(
        &["log", "produce", "t", "--format", "ndjson"],
        b"{\"value\":\"a\",\"partition\":9}\n",
    );
    said.fails(
        3,
        &["0 records acknowledged", "line 1: topic t has no partition 9"],
    );
    assert!(!consume(&world, &[]).contains("after"));
    // With --json the answer is there all the same.
    let said = world.run_with_input(
        &["log", "produce", "t", "--json", "--key-separator", "="],
        b"k=a\nbad\n",
    );
    assert_eq!(said.code, Some(2));
    let answer: serde_json::Value = serde_json::from_str(said.out()).unwrap();
    assert_eq!(answer["acknowledged"], 1);
}

#[test]
fn a_record_that_no_batch_can_hold() {
    let world = with_topic(1);
    let mut input = b"small\n".to_vec();
    input.resize(input.len() + (64 << 20) + 1, b'x');
    input.push(b'\n');
    let said = world.run_with_input(&["log", "produce", "t"], &input);
    said.fails(2, &["1 record acknowledged", "line 2: ", "does not fit"]);
}

#[test]
fn a_store_that_fails() {
    let lab = strict_lab();
    let world = World::with(&lab)
        .set("FOREBAY_LOG_STORE", "s3://box/logs")
        .set("FOREBAY_LOG_DELIVERY_TIMEOUT", "1s");
    create(&world, 1);
    produce(&world, "a\n", &[]);
    lab.objects().deny_bucket("box", true);
    let said = world.run_with_input(&["log", "produce", "t"], b"b\nc\n");
    said.fails(
        4,
        &[
            "0 records acknowledged; 2 that were read are not",
            "line 1: not written",
            "s3://box",
        ],
    );
    world
        .run(&["log", "consume", "t", "--no-cache"])
        .fails(4, &["t/0"]);
    world.run(&["log", "recover"]).fails(4, &["s3://box"]);
    assert!(world.run(&["doctor"]).ok().contains("log store"));
    lab.objects().deny_bucket("box", false);
    world.run_with_input(&["log", "produce", "t"], b"b\nc\n").ok();
    assert_eq!(consume(&world, &[]), "a\nb\nc\n");
}

/// What it says within two seconds, on both ways: a server that is not there is tried again for longer than that.
fn said_soon(world: &World, args: &[&str]) -> String {
    let mut child = world.spawn(args);
    let clock = SystemClock::new();
    while child.try_wait().unwrap().is_none() && clock.now() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // It may be over.
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8(both).unwrap()
}

fn says_no_secret(world: &World, args: &[&str], secret: &str) {
    let said = said_soon(world, &[args, &["-vvv"]].concat());
    assert!(
        !said.is_empty() && !said.contains(secret),
        "{args:?} says {secret}:\n{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn no_secret_is_said() {
    const PASSWORD: &str = "hunter2";
    for url in [
        format!("postgres://me:{PASSWORD}@127.0.0.1:1/db"),
        format!("postgres://me@127.0.0.1:1/db?password={PASSWORD}"),
        format!("postgres://me:{PASSWORD}/x@127.0.0.1:1/db"),
        format!("postgres://me:{PASSWORD}@127.0.0.1:port/db"),
        format!("postgres://me:{PASSWORD}@127.0.0.1:1/db?nonsense={PASSWORD}"),
        format!("mysql://me:{PASSWORD}@127.0.0.1/db"),
    ] {
        let world = log_world()
            .set("FOREBAY_LOG_METADATA", &url)
            .set("RUST_LOG", "trace");
        std::fs::create_dir_all(world.home().join("log")).unwrap();
        for args in [
            &["log", "topics"][..],
            &["config", "show"],
            &["config", "show", "--json"],
            &["doctor"],
        ] {
            says_no_secret(&world, args, PASSWORD);
        }
    }
    let file = World::new().settings(&format!("[log]\nmetadata = \"mysql://me:{PASSWORD}@host/db\"\n"));
    says_no_secret(&file, &["config", "show"], PASSWORD);
    let shown = log_world().set(
        "FOREBAY_LOG_METADATA",
        &format!("postgres://me:{PASSWORD}@host:5433/db"),
    );
    let shown = shown.run(&["config", "show", "--json"]).json();
    assert_eq!(
        shown["settings"]["log.metadata"]["value"],
        "postgres://me:***@host:5433/db"
    );
    // Nor those of the bucket.
    assert!(SECRET.starts_with(KEY_ID));
    let lab = strict_lab();
    let world = World::with(&lab)
        .set("FOREBAY_LOG_STORE", "s3://box/logs")
        .set("RUST_LOG", "trace");
    create(&world, 1);
    for args in [
        &["log", "topics"][..],
        &["log", "consume", "t"],
        &["log", "recover"],
        &["log", "compact"],
        &["doctor"],
    ] {
        says_no_secret(&world, args, SECRET);
    }
}

#[test]
fn doctor_tells_of_the_log() {
    assert!(World::new().run(&["doctor"]).ok().contains("log.store names one"));
    let world = log_world();
    let of = |name: &str| {
        let answer = world.run(&["doctor", "--json"]).json();
        let findings = answer["findings"].as_array().unwrap().clone();
        let found = findings
            .into_iter()
            .find(|finding| finding["name"] == name)
            .unwrap();
        (
            found["status"].as_str().unwrap().to_owned(),
            found["detail"].as_str().unwrap().to_owned(),
        )
    };
    assert!(of("log store").1.contains("is not there"));
    assert_eq!(of("log metadata").0, "info");
    assert!(!world.home().join(".local").exists(), "looking makes nothing");
    create(&world, 1);
    assert_eq!(
        (of("log store").0, of("log metadata").0),
        ("yes".to_owned(), "yes".to_owned())
    );
    let lab = strict_lab();
    lab.objects().deny_bucket("box", true);
    let denied = World::with(&lab).set("FOREBAY_LOG_STORE", "s3://box/logs");
    let said = denied.run(&["doctor"]);
    assert!(
        said.ok()
            .lines()
            .any(|line| line.starts_with("log store              no ")),
        "{}",
        said.out()
    );
}
