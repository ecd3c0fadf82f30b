//! `ls` and `stat`.

use std::io::{BufRead, BufReader, Read};

use forebay_testkit::Content;

use crate::harness::{World, lab, strict_lab, wait_for};

/// The last column of each line.
fn last(out: &str) -> Vec<String> {
    out.lines()
        .map(|line| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn one_level_or_all() {
    let lab = strict_lab();
    for key in ["a.txt", "dir/b.txt", "dir/sub/c.txt", "dir2/d"] {
        lab.objects().put("box", key, key.as_bytes().to_vec());
    }
    let world = World::with(&lab);
    assert_eq!(
        last(world.run(&["ls", "s3://box"]).ok()),
        ["dir/", "dir2/", "a.txt"]
    );
    assert_eq!(last(world.run(&["ls", "s3://box/dir/"]).ok()), ["sub/", "b.txt"]);
    // A name without a slash is an object, or else what is below it.
    assert_eq!(last(world.run(&["ls", "s3://box/dir"]).ok()), ["sub/", "b.txt"]);
    assert_eq!(last(world.run(&["ls", "s3://box/dir/b.txt"]).ok()), ["b.txt"]);
    let all = world.run(&["ls", "-r", "s3://box/"]);
    assert_eq!(last(all.ok()), ["a.txt", "dir/b.txt", "dir/sub/c.txt", "dir2/d"]);
    assert_eq!(
        last(world.run(&["ls", "--recursive", "s3://box/dir/"]).ok()),
        ["b.txt", "sub/c.txt"]
    );
}

#[test]
fn size_time_and_name() {
    let lab = lab();
    lab.objects().put("box", "k", Content::pattern(1, 123_456_789));
    let world = World::with(&lab);
    let outcome = world.run(&["ls", "s3://box/"]);
    let columns: Vec<&str> = outcome.ok().split_whitespace().collect();
    assert_eq!((columns[0], columns[2]), ("123456789", "k"));
    assert!(
        columns[1].starts_with("20") && columns[1].ends_with('Z') && columns[1].len() == 20,
        "{}",
        columns[1]
    );
}

#[test]
fn json_is_one_object() {
    let lab = lab();
    lab.objects().put("box", "dir/k", "xyz");
    let world = World::with(&lab);
    let answer = world.run(&["ls", "s3://box/", "--json"]).json();
    assert_eq!(answer["url"], "s3://box/");
    assert_eq!(answer["skipped"], 0);
    assert_eq!(answer["entries"][0]["name"], "dir/");
    assert_eq!(answer["entries"][0]["kind"], "directory");
    assert!(answer["entries"][0]["size"].is_null());
    let answer = world.run(&["ls", "-r", "s3://box/", "--json"]).json();
    assert_eq!(answer["entries"][0]["name"], "dir/k");
    assert_eq!(answer["entries"][0]["size"], 3);
    let etag = lab.objects().get("box", "dir/k").unwrap().etag.clone();
    assert_eq!(answer["entries"][0]["etag"], etag.as_str());
}

#[test]
fn an_empty_bucket_is_no_error() {
    let lab = lab();
    let world = World::with(&lab);
    assert_eq!(world.run(&["ls", "s3://box"]).ok(), "");
    assert_eq!(
        world.run(&["ls", "s3://box", "--json"]).json()["entries"],
        serde_json::json!([])
    );
    std::fs::create_dir(world.path("empty")).unwrap();
    assert_eq!(world.run(&["ls", "empty"]).ok(), "");
}

#[test]
fn names_that_would_drive_the_terminal_are_escaped() {
    let lab = lab();
    // Controls are beyond what object_store's paths hold: they are skipped. Direction marks are not.
    for key in [
        "good",
        "bell\u{7}",
        "esc\u{1b}[2J",
        "gpj\u{202e}exe",
        "c1\u{9b}1m",
        "line\u{2028}break",
        "a//b",
    ] {
        lab.objects().put("box", key, "x");
    }
    let world = World::with(&lab);
    for args in [
        &["ls", "s3://box/"][..],
        &["ls", "-r", "s3://box/"],
        &["ls", "s3://box/", "--json"],
        &["ls", "-vvv", "s3://box/"],
    ] {
        let outcome = world.run(args);
        let said = format!("{}{}", outcome.ok(), outcome.stderr);
        let raw = said
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{2028}' | '\u{202e}'));
        assert_eq!(raw, None, "{said:?}");
        assert!(said.contains("good"), "{said}");
        assert!(outcome.stderr.contains("left out"), "{}", outcome.stderr);
    }
    let answer = world.run(&["ls", "-r", "s3://box/", "--json"]).json();
    assert!(answer["skipped"].as_u64().unwrap() >= 3, "{answer}");
    let found: Vec<&str> = answer["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    // The escapes are JSON's: a reader gets the name as it is.
    assert!(found.contains(&"gpj\u{202e}exe"), "{found:?}");
}

#[test]
fn directories_of_this_machine() {
    let world = World::new();
    world.write("file", "12345");
    std::fs::create_dir(world.path("sub")).unwrap();
    world.write("sub/inner", "1");
    assert_eq!(last(world.run(&["ls", "."]).ok()), ["sub/", "file"]);
    assert_eq!(last(world.run(&["ls", "-r", "."]).ok()).len(), 2);
    assert_eq!(last(world.run(&["ls", "file"]).ok()), ["file"]);
    world.run(&["ls", "none/"]).fails(3, &["nothing of that name"]);
}

/// The most memory that a process has had, in KiB.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[test]
fn a_hundred_thousand_keys_take_little_memory() {
    let lab = lab();
    for n in 0..100_000 {
        lab.objects()
            .put("box", &format!("dir/key-number-{n:06}-of-many"), "");
    }
    let world = World::with(&lab);
    for args in [
        &["ls", "-r", "s3://box/dir/"][..],
        &["ls", "s3://box/dir/"],
        &["ls", "-r", "s3://box/dir/", "--json"],
    ] {
        let mut child = world.spawn(args);
        let pid = child.id();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (mut peak, mut keys) = (0, 0);
        let mut piece = vec![0; 32 * 1024];
        loop {
            let read = stdout.read(&mut piece).unwrap();
            if read == 0 {
                break;
            }
            // While the pipe is full, the child waits and can be looked at.
            peak = peak.max(peak_kib(pid).unwrap_or(0));
            let text = &piece[..read];
            keys += text.windows(4).filter(|w| *w == b"-of-").count();
        }
        assert!(child.wait().unwrap().success());
        // A few names are cut by the pieces they are read in.
        assert!(keys > 99_000, "{keys}");
        println!("{args:?}: {} MiB", peak / 1024);
        assert!(peak > 0 && peak < 64 * 1024, "{args:?} took {peak} KiB");
    }
}

#[test]
fn a_reader_that_had_enough() {
    let lab = lab();
    for n in 0..5_000 {
        lab.objects().put("box", &format!("key-{n:06}"), "");
    }
    let world = World::with(&lab);
    for args in [
        &["ls", "s3://box/"][..],
        &["ls", "-r", "s3://box/"],
        &["ls", "--json", "s3://box/"],
    ] {
        let mut child = world.spawn(args);
        let mut stdout = BufReader::with_capacity(10, child.stdout.take().unwrap());
        assert!(!stdout.fill_buf().unwrap().is_empty());
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn names_come_before_the_listing_ends() {
    use forebay_testkit::{FaultKind, Op, Point, Rule};
    let lab = lab();
    for n in 0..3_000 {
        lab.objects().put("box", &format!("key-{n:06}"), "");
    }
    // The second page never comes.
    lab.faults().add(
        Rule::new(FaultKind::Stall {
            at: Point::BeforeHeaders,
            resume: None,
        })
        .op(Op::List)
        .skip_first(1),
    );
    let world = World::with(&lab);
    let mut child = world.spawn(&["ls", "-r", "s3://box/"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = String::new();
    wait_for("the thousandth name", || {
        last = lines.next().unwrap().unwrap();
        last.ends_with("key-000999")
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn stat_tells_what_there_is() {
    let lab = strict_lab();
    let etag = lab
        .objects()
        .put("box", "dir/k.txt", Content::pattern(1, 40 << 20));
    let world = World::with(&lab);
    let answer = world.run(&["stat", "s3://box/dir/k.txt", "--json"]).json();
    assert_eq!(answer["url"], "s3://box/dir/k.txt");
    assert_eq!(answer["size"], 40 << 20);
    assert_eq!(answer["etag"], etag.as_str());
    assert_eq!(answer["version"], etag.as_str());
    assert_eq!(answer["key"], "dir/k.txt");
    assert_eq!(answer["origin"], format!("s3://box@{}", lab.endpoint()));
    // 12 MiB at first, then 8, 8, 8 and 4.
    assert_eq!(answer["parts"], 5);
    let counts = lab.counts();
    assert_eq!(
        (counts.heads, counts.gets),
        (1, 0),
        "an object is not read to be described"
    );
    let outcome = world.run(&["stat", "s3://box/dir/k.txt"]);
    let text = outcome.ok();
    assert!(
        text.contains("41943040 (40MiB)") && text.contains(&etag),
        "{text}"
    );
}

#[test]
fn stat_over_http_and_of_files() {
    let lab = lab();
    lab.objects().put("box", "k", "0123456789");
    let world = World::new();
    let answer = world
        .run(&["stat", &format!("{}/box/k", lab.endpoint()), "--json"])
        .json();
    assert_eq!(answer["size"], 10);
    assert!(answer["content_type"].is_string(), "{answer}");
    world.write("f", "12345");
    let answer = world.run(&["stat", "f", "--json"]).json();
    assert_eq!(answer["size"], 5);
    assert_eq!(answer["parts"], 1);
    assert!(
        answer["origin"].as_str().unwrap().starts_with("file:///"),
        "{answer}"
    );
}
