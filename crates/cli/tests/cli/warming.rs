//! `warm` and `cache`.

use forebay_testkit::{Content, FaultKind, Lab, Profile, Rule};
use forebay_types::ByteRange;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{World, builder, files_below, lab, strict_lab, wait_for};

const MIB: u64 = 1 << 20;

fn lab_with(objects: &[(&str, u64)]) -> Lab {
    let lab = strict_lab();
    for (i, (key, size)) in objects.iter().enumerate() {
        lab.objects().put("box", key, Content::pattern(i as u64, *size));
    }
    lab
}

fn bytes_of(index: usize, size: u64) -> Vec<u8> {
    Content::pattern(index as u64, size)
        .read(ByteRange::new(0, size))
        .to_vec()
}

#[test]
fn what_was_warmed_is_there() {
    let lab = lab_with(&[
        ("big", 20 * MIB),
        ("d/one", MIB),
        ("d/sub/two", 100),
        ("other", 100),
    ]);
    let world = World::with(&lab);
    let answer = world
        .run(&["warm", "s3://box/big", "s3://box/d/", "--json"])
        .json();
    let all = 21 * MIB + 100;
    assert_eq!(answer["objects"], 3);
    assert_eq!((&answer["bytes"], &answer["found"]), (&all.into(), &0.into()));
    assert_eq!(
        (&answer["fetched"], &answer["cached"]),
        (&all.into(), &all.into())
    );
    assert!(answer["mb_s"].as_f64().unwrap() > 0.0 && answer["seconds"].as_f64().unwrap() > 0.0);
    lab.reset_counts();
    assert!(world.run(&["cat", "s3://box/big"]).stdout == bytes_of(0, 20 * MIB));
    assert_eq!((lab.counts().requests, lab.counts().bytes_sent), (1, 0));
    // Again: all of it is found.
    let answer = world
        .run(&["warm", "s3://box/big", "s3://box/d", "--json"])
        .json();
    assert_eq!(
        (&answer["found"], &answer["fetched"]),
        (&all.into(), &0.into()),
        "{answer}"
    );
    let said = world.run(&["warm", "s3://box/big"]);
    assert!(
        said.ok().contains("1 object, 20MiB: 20MiB found"),
        "{}",
        said.out()
    );
    assert_eq!(world.run(&["warm", "s3://box/big", "--quiet"]).ok(), "");
}

#[test]
fn an_object_of_one_request_is_there_too() {
    let lab = lab_with(&[("k", 4 * MIB)]);
    for _ in 0..3 {
        let world = World::with(&lab);
        let answer = world.run(&["warm", "s3://box/k", "--json"]).json();
        assert_eq!(
            (&answer["fetched"], &answer["cached"]),
            (&(4 * MIB).into(), &(4 * MIB).into()),
            "{answer}"
        );
    }
}

#[test]
fn what_is_missing_is_brought() {
    let lab = lab_with(&[("big", 20 * MIB)]);
    let world = World::with(&lab);
    world
        .run(&["get", "s3://box/big", "piece", "--range", "0-1048575"])
        .ok();
    let answer = world.run(&["warm", "s3://box/big", "--json"]).json();
    let found = answer["found"].as_u64().unwrap();
    assert!((MIB..2 * MIB).contains(&found), "{answer}");
    assert_eq!(answer["fetched"], 20 * MIB - found);
    assert_eq!(answer["cached"], 20 * MIB);
}

#[test]
fn less_than_everything_is_an_error() {
    let lab = lab_with(&[
        ("big", 20 * MIB),
        ("small", 100),
        ("d/a", 6 * MIB),
        ("d/b", 6 * MIB),
        ("d/c", 6 * MIB),
    ]);
    let world = World::with(&lab);
    let outcome = world.run(&["warm", "s3://box/big", "--cache-size", "8MiB", "--json"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    for words in ["/big: ", "of 20MiB", "may take 8MiB", "--cache-size"] {
        assert!(outcome.stderr.contains(words), "{words}: {}", outcome.stderr);
    }
    // The figures all the same.
    let answer: serde_json::Value = serde_json::from_str(outcome.out()).unwrap();
    assert_eq!(answer["bytes"], 20 * MIB);
    assert!(answer["cached"].as_u64().unwrap() < 20 * MIB, "{answer}");
    // Each fits, all do not.
    let world = World::with(&lab);
    let outcome = world.run(&["warm", "s3://box/d/", "--cache-size", "14MiB"]);
    assert_eq!(outcome.code, Some(1), "{}{}", outcome.out(), outcome.stderr);
    assert!(outcome.stderr.contains("not whole in the cache") || outcome.stderr.contains("are in the cache"));
    world.run(&["warm", "s3://box/small"]).ok();
}

#[test]
fn room_that_is_kept_free_is_not_taken() {
    let lab = lab_with(&[("k", 4 * MIB)]);
    let world = World::with(&lab).set("FOREBAY_CACHE_KEEP_FREE", "1000TiB");
    let outcome = world.run(&["warm", "s3://box/", "--json"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let answer: serde_json::Value = serde_json::from_str(outcome.out()).unwrap();
    assert_eq!(answer["cached"], 0, "{answer}");
    assert!(world.run(&["cat", "s3://box/k"]).stdout == bytes_of(0, 4 * MIB));
}

#[test]
fn what_cannot_be_warmed() {
    let lab = lab_with(&[("k", 100)]);
    let world = World::with(&lab);
    world.run(&["warm", "s3://box/none"]).fails(3, &["none"]);
    world.run(&["warm", "s3://box/none/"]).fails(3, &["none/"]);
    world.run(&["warm"]).fails(2, &["<URL>"]);
    world
        .run(&["warm", "s3://box/k", "--no-cache"])
        .fails(2, &["the cache is off", "--no-cache"]);
    assert!(files_below(&world.cache().join("objects")).is_empty());
    world.write("f", "local");
    let outcome = world.run(&["warm", "f"]);
    outcome.ok();
    assert!(outcome.stderr.contains("needs no cache"), "{}", outcome.stderr);
}

#[test]
fn an_object_without_a_version_is_not_kept() {
    let lab = lab();
    lab.objects().put("box", "k", "nobody knows which version");
    lab.faults().add(Rule::new(FaultKind::MissingETag));
    lab.faults().add(Rule::new(FaultKind::MissingLastModified));
    let url = format!("{}/box/k", lab.endpoint());
    let world = World::new();
    let outcome = world.run(&["warm", &url]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("tells no version"), "{}", outcome.stderr);
    assert_eq!(world.run(&["cat", &url]).ok(), "nobody knows which version");
}

#[test]
fn stats_are_of_all_processes() {
    let lab = lab_with(&[("big", 20 * MIB)]);
    let world = World::with(&lab);
    let stats = || {
        world
            .run(&["cache", "stats", "--json", "--cache-size", "1GiB"])
            .json()
    };
    assert_eq!(stats()["entry_count"], 0);
    world.run(&["get", "s3://box/big"]).ok();
    let after = stats();
    assert_eq!(
        (&after["entry_count"], &after["max_size"]),
        (&1.into(), &(1_u64 << 30).into())
    );
    assert_eq!(after["bytes_stored"], 20 * MIB);
    assert_eq!(
        (&after["drops"], &after["hits"]),
        (&0.into(), &0.into()),
        "{after}"
    );
    assert!(
        (20 * MIB..21 * MIB).contains(&after["current_size"].as_u64().unwrap()),
        "{after}"
    );
    world.run(&["cat", "s3://box/big"]);
    let warm = stats();
    assert_eq!(warm["bytes_hit"], 20 * MIB, "{warm}");
    assert!(
        warm["hits"].as_u64().unwrap() > 0 && warm["hit_rate"].as_f64().unwrap() > 0.0,
        "{warm}"
    );
    assert_eq!(after["dir"], world.cache().to_str().unwrap());
    let said = world.run(&["cache", "stats", "--cache-size", "1GiB"]);
    assert!(
        said.ok().contains("of 1GiB") && said.out().contains("objects     1"),
        "{}",
        said.out()
    );
    world
        .run(&["cache", "stats", "--no-cache"])
        .fails(2, &["--no-cache"]);
}

#[test]
fn clear_frees_what_was_taken() {
    let lab = lab_with(&[("big", 20 * MIB), ("k", 10)]);
    let world = World::with(&lab);
    world.run(&["warm", "s3://box/"]).ok();
    let answer = world.run(&["cache", "clear", "--json"]).json();
    assert_eq!(answer["entries"], 2);
    assert!(answer["bytes"].as_u64().unwrap() >= 20 * MIB, "{answer}");
    assert!(files_below(&world.cache().join("objects")).is_empty());
    assert_eq!(world.run(&["cache", "stats", "--json"]).json()["bytes_stored"], 0);
    assert!(world.run(&["cache", "clear"]).ok().contains("0 objects"));
    lab.reset_counts();
    world.run(&["get", "s3://box/big"]).ok();
    assert!(lab.counts().bytes_sent >= 20 * MIB);
}

/// Flips a byte in the middle of the largest file of the cache.
fn damage(world: &World) {
    let files = files_below(&world.cache().join("objects"));
    let size = |path: &std::path::PathBuf| std::fs::metadata(path).unwrap().len();
    let largest = files.into_iter().max_by_key(size).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let file = std::fs::File::options().write(true).open(&largest).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[middle..=middle], middle as u64).unwrap();
}

#[test]
fn verify_finds_what_the_disk_lost() {
    let lab = lab_with(&[("big", 20 * MIB), ("k", 10)]);
    let world = World::with(&lab);
    world.run(&["warm", "s3://box/"]).ok();
    let answer = world.run(&["cache", "verify", "--json"]).json();
    assert_eq!(
        (&answer["objects"], &answer["bytes"]),
        (&2.into(), &(20 * MIB + 10).into())
    );
    assert_eq!(answer["bad_blocks"], 0);
    assert!(world.run(&["cache", "verify"]).ok().contains("objects     2"));
    damage(&world);
    let outcome = world.run(&["cache", "verify", "--json"]);
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("/big") && outcome.stderr.contains("1 bad block"),
        "{}",
        outcome.stderr
    );
    let answer: serde_json::Value = serde_json::from_str(outcome.out()).unwrap();
    assert_eq!(answer["bad_blocks"], 1);
    assert!(
        answer["bad"][0]["object"].as_str().unwrap().ends_with("/big"),
        "{answer}"
    );
    // What was bad is gone, and comes again.
    world.run(&["cache", "verify"]).ok();
    lab.reset_counts();
    assert!(world.run(&["cat", "s3://box/big"]).stdout == bytes_of(0, 20 * MIB));
    assert!((1..MIB).contains(&lab.counts().bytes_sent), "{:?}", lab.counts());
}

#[test]
fn complete_objects_are_checked_where_the_disk_is_not_trusted() {
    let lab = lab_with(&[("big", 20 * MIB)]);
    let world = World::with(&lab).set("FOREBAY_CACHE_VERIFY_SEALED", "true");
    world.run(&["warm", "s3://box/big"]).ok();
    damage(&world);
    assert!(world.run(&["cat", "s3://box/big"]).stdout == bytes_of(0, 20 * MIB));
    assert_eq!(world.run(&["cache", "stats", "--json"]).json()["corrupt"], 1);
}

#[test]
fn how_it_is_written_is_a_setting() {
    let lab = lab_with(&[("big", 20 * MIB)]);
    let writes = |mode: &str| {
        let world = World::with(&lab).set("FOREBAY_CACHE_WRITE", mode);
        world.run(&["warm", "s3://box/big"]).ok();
        let stats = world.run(&["cache", "stats", "--json"]).json();
        (
            stats["direct_writes"].as_u64().unwrap(),
            stats["buffered_writes"].as_u64().unwrap(),
        )
    };
    let (direct, buffered) = writes("buffered");
    assert!(direct == 0 && buffered > 0, "{direct} {buffered}");
    let (direct, _) = writes("auto");
    let refused = |detail: &str| detail.contains("cache is written through");
    let doctor = World::new().run(&["doctor"]);
    if refused(doctor.ok()) {
        println!("skipped: no O_DIRECT here");
    } else {
        assert!(direct > 0);
    }
}

#[test]
fn an_interrupt_ends_at_once_and_keeps_what_came() {
    let profile = Profile::of("slow", std::time::Duration::from_millis(5), Some(2_000_000));
    let lab = builder().profile(profile).start().unwrap();
    lab.objects().put("box", "big", Content::pattern(1, 1 << 30));
    let world = World::with(&lab);
    let child = world.spawn(&["warm", "s3://box/big"]);
    wait_for("bytes", || lab.counts().bytes_sent > 8 * MIB);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "forebay: interrupted\n"
    );
    let stats = world.run(&["cache", "stats", "--json"]).json();
    assert_eq!(stats["corrupt"], 0, "{stats}");
}
