//! What is read once is not fetched again: seen from the server.

use forebay_testkit::{Content, Counts, Lab, Profile};
use forebay_types::ByteRange;

use crate::harness::{World, builder, files_below, lab, strict_lab};

const SIZE: u64 = (40 << 20) + 11;
const URL: &str = "s3://box/dir/big.bin";

fn content(seed: u64) -> (Content, Vec<u8>) {
    let content = Content::pattern(seed, SIZE);
    let bytes = content.read(ByteRange::new(0, SIZE)).to_vec();
    (content, bytes)
}

fn lab_with_big() -> (Lab, Vec<u8>) {
    let (content, bytes) = content(9);
    let lab = strict_lab();
    lab.objects().put("box", "dir/big.bin", content);
    (lab, bytes)
}

/// What the server sees of a run that writes all of `bytes` to standard output.
#[track_caller]
fn reads(lab: &Lab, world: &World, args: &[&str], bytes: &[u8]) -> Counts {
    lab.reset_counts();
    let outcome = world.run(args);
    assert_eq!(outcome.code, Some(0), "{args:?}: {}", outcome.stderr);
    assert!(outcome.stdout == bytes, "{args:?}: other bytes");
    lab.counts()
}

#[test]
fn a_second_read_is_one_request_without_bytes() {
    let (lab, bytes) = lab_with_big();
    for (first, second) in [
        (&["cat", URL][..], &["cat", URL][..]),
        (&["get", URL, "-"], &["get", URL, "-"]),
        (&["get", URL, "-"], &["cat", URL]),
    ] {
        let world = World::with(&lab);
        let cold = reads(&lab, &world, first, &bytes);
        assert!(cold.bytes_sent >= SIZE, "{cold:?}");
        let warm = reads(&lab, &world, second, &bytes);
        assert_eq!(
            (warm.requests, warm.bytes_sent),
            (1, 0),
            "{first:?}, {second:?}: {warm:?}"
        );
    }
}

#[test]
fn get_into_a_file_says_where_the_bytes_came_from() {
    let (lab, bytes) = lab_with_big();
    let world = World::with(&lab);
    let answer = world.run(&["get", URL, "--json"]).json();
    assert_eq!(
        (&answer["cached_bytes"], &answer["fetched"]),
        (&0.into(), &SIZE.into())
    );
    lab.reset_counts();
    let answer = world.run(&["get", URL, "again", "--json"]).json();
    assert_eq!(
        (&answer["cached_bytes"], &answer["fetched"]),
        (&SIZE.into(), &0.into())
    );
    assert_eq!(answer["requests"], 1);
    assert_eq!((lab.counts().requests, lab.counts().bytes_sent), (1, 0));
    assert!(std::fs::read(world.path("again")).unwrap() == bytes);
    let said = world.run(&["get", URL, "third"]);
    assert!(said.ok().contains("40.0MiB from the cache"), "{}", said.out());
}

#[test]
fn all_below_a_prefix_is_read_again_without_a_get() {
    let lab = strict_lab();
    for key in ["d/one", "d/sub/two"] {
        lab.objects().put("box", key, key.as_bytes().to_vec());
    }
    let world = World::with(&lab);
    world.run(&["get", "s3://box/d/", "here"]).ok();
    lab.reset_counts();
    world.run(&["get", "s3://box/d/", "there"]).ok();
    assert_eq!(lab.counts().gets, 0, "the listing tells the versions");
    assert_eq!(std::fs::read(world.path("there/sub/two")).unwrap(), b"d/sub/two");
}

#[test]
fn ranges_fetch_little_more_than_they_are() {
    let (lab, bytes) = lab_with_big();
    for (range, part) in [
        ("0-99", 0..100),
        ("20000000-20000099", 20_000_000..20_000_100),
        ("-7", bytes.len() - 7..bytes.len()),
    ] {
        let world = World::with(&lab);
        for args in [["cat", URL, "--range", range], ["cat", URL, "--range", range]] {
            let counts = reads(&lab, &world, &args, &bytes[part.clone()]);
            assert!(counts.bytes_sent <= 1 << 20, "{range}: {}", counts.bytes_sent);
        }
        world.run(&["get", URL, "piece", "--range", range]).ok();
        assert!(
            std::fs::read(world.path("piece")).unwrap() == bytes[part],
            "{range}"
        );
    }
    // A range, then the whole: the bytes of both are right.
    let world = World::with(&lab);
    world
        .run(&["cat", URL, "--range", "5000000-25000000"])
        .code
        .unwrap();
    let rest = reads(&lab, &world, &["cat", URL], &bytes);
    assert!(rest.bytes_sent < SIZE - (19 << 20), "{}", rest.bytes_sent);
}

#[test]
fn a_new_version_is_read_anew() {
    let (lab, old) = lab_with_big();
    let (new_content, new) = content(10);
    let world = World::with(&lab);
    reads(&lab, &world, &["cat", URL], &old);
    lab.objects().put("box", "dir/big.bin", new_content);
    reads(&lab, &world, &["cat", URL], &new);
    let again = reads(&lab, &world, &["cat", URL], &new);
    assert_eq!((again.requests, again.bytes_sent), (1, 0));
}

#[test]
fn no_cache_neither_reads_it_nor_fills_it() {
    let (lab, bytes) = lab_with_big();
    let off = [
        (World::with(&lab), Some("--no-cache")),
        (World::with(&lab).set("FOREBAY_CACHE_ENABLED", "false"), None),
        (World::with(&lab).settings("[cache]\nenabled = false\n"), None),
    ];
    for (world, flag) in off {
        let args: Vec<&str> = ["cat", URL].into_iter().chain(flag).collect();
        for _ in 0..2 {
            assert!(reads(&lab, &world, &args, &bytes).bytes_sent >= SIZE);
        }
        assert!(!world.cache().exists());
    }
    let world = World::with(&lab);
    reads(&lab, &world, &["cat", URL], &bytes);
    assert!(
        reads(&lab, &world, &["cat", URL, "--no-cache"], &bytes).bytes_sent >= SIZE,
        "not read from it"
    );
    let answer = world.run(&["get", URL, "--no-cache", "--json"]).json();
    assert_eq!(
        (&answer["cached_bytes"], &answer["fetched"]),
        (&0.into(), &SIZE.into())
    );
}

#[test]
fn local_files_are_not_kept() {
    let world = World::new();
    world.write("f", vec![7; 1 << 20]);
    world.run(&["cat", "f"]);
    world.run(&["get", "f", "g"]).ok();
    assert!(!world.cache().exists());
}

#[test]
fn what_the_server_is_asked_is_a_setting() {
    let (lab, bytes) = lab_with_big();
    for (settings, requests) in [
        (&[("REVALIDATE", "always")][..], 1),
        (&[("REVALIDATE", "never")], 0),
        (&[("REVALIDATE", "ttl")], 0),
        (&[("REVALIDATE", "ttl"), ("TTL", "0s")], 1),
    ] {
        let world = settings.iter().fold(World::with(&lab), |world, (name, value)| {
            world.set(&format!("FOREBAY_CACHE_{name}"), value)
        });
        reads(&lab, &world, &["cat", URL], &bytes);
        let again = reads(&lab, &world, &["cat", URL], &bytes);
        assert_eq!((again.requests, again.bytes_sent), (requests, 0), "{settings:?}");
    }
}

#[test]
fn the_directory_is_where_it_was_said() {
    let lab = lab();
    lab.objects().put("box", "k", "some bytes");
    let filled = |world: &World, dir: &std::path::Path, args: &[&str]| {
        let args = [&["cat", "s3://box/k"], args].concat();
        assert_eq!(world.run(&args).ok(), "some bytes");
        assert!(!files_below(&dir.join("objects")).is_empty(), "{}", dir.display());
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(dir).unwrap());
        assert_eq!(mode & 0o777, 0o700, "for its owner only");
    };
    let world = World::with(&lab);
    filled(&world, &world.cache(), &[]);
    filled(&world, &world.path("by/flag"), &["--cache-dir", "by/flag"]);
    for useless in ["", "relative"] {
        let world = World::with(&lab).set("XDG_CACHE_HOME", useless);
        filled(&world, &world.home().join(".cache/forebay"), &[]);
    }
    let world = World::with(&lab);
    let place = world.home().join("by/variable");
    let world = world.set("FOREBAY_CACHE_DIR", place.to_str().unwrap());
    filled(&world, &place, &[]);
    filled(&world, &world.path("flag"), &["--cache-dir", "flag"]);
}

#[test]
fn without_a_usable_directory_reads_go_on() {
    let lab = lab();
    lab.objects().put("box", "d/one", "1");
    lab.objects().put("box", "d/two", "2");
    let world = World::with(&lab);
    std::fs::create_dir(world.path("mine")).unwrap();
    world.write("mine/letters", "dear diary");
    world.write("file", "");
    for (dir, why, code) in [("mine", "is no cache directory", 2), ("file", "file", 2)] {
        let outcome = world.run(&["get", "s3://box/d/", "got", "--cache-dir", dir]);
        outcome.ok();
        let said = outcome.stderr;
        assert_eq!(said.matches("reading without a cache").count(), 1, "{said}");
        assert!(said.contains(why), "{said}");
        for args in [
            &["warm", "s3://box/d/"][..],
            &["cache", "stats"],
            &["cache", "clear"],
            &["cache", "verify"],
        ] {
            let outcome = world.run(&[args, &["--cache-dir", dir]].concat());
            outcome.fails(code, &[dir, "--cache-dir"]);
        }
    }
    assert_eq!(std::fs::read(world.path("mine/letters")).unwrap(), b"dear diary");
    // Nowhere to put one.
    let homeless = World::with(&lab).set("HOME", "").set("XDG_CACHE_HOME", "");
    let outcome = homeless.run(&["cat", "s3://box/d/one"]);
    assert_eq!(outcome.ok(), "1");
    assert!(
        outcome.stderr.contains("there is no place for the cache"),
        "{}",
        outcome.stderr
    );
    homeless.run(&["cache", "stats"]).fails(2, &["--cache-dir"]);
}

#[test]
fn read_ahead_does_as_it_is_told() {
    let profile = Profile::of("slow", std::time::Duration::from_millis(5), Some(90_000_000));
    let lab = builder().profile(profile).start().unwrap();
    lab.objects()
        .put("box", "dir/big.bin", Content::pattern(3, 16 << 20));
    // What reads 128 KiB at a time and says nothing of what it will read is the bench; `cat` says that it reads all.
    let bench = [
        "bench",
        "read",
        URL,
        "--runs",
        "1",
        "--cases",
        "sequential-read-at",
        "--json",
    ];
    let at_once = |args: &[&str], settings: &[(&str, &str)]| {
        // Requests of one size and none twice, so that nothing but read-ahead has more than one in flight.
        let usual = [
            ("RANGE_CHUNK_SIZE", "1MiB"),
            ("RANGE_MIN_SPLIT_SIZE", "1MiB"),
            ("RANGE_HEDGE", "false"),
        ];
        let world = usual
            .iter()
            .chain(settings)
            .fold(World::with(&lab), |world, (name, value)| {
                world.set(&format!("FOREBAY_{name}"), value)
            });
        lab.reset_counts();
        assert_eq!(world.run(args).code, Some(0));
        lab.counts().max_concurrent_requests
    };
    let small = [
        ("READAHEAD_READAHEAD_SIZE", "4MiB"),
        ("READAHEAD_READAHEAD_MAX", "4MiB"),
    ];
    let with = |name: &'static str, value: &'static str| [&small[..], &[(name, value)]].concat();
    let usual = at_once(&bench, &[]);
    assert!(usual >= 6, "{usual}");
    assert_eq!(at_once(&bench, &[("READAHEAD_PREFETCH_ENABLED", "false")]), 1);
    assert_eq!(at_once(&bench, &with("READAHEAD_BY_EXTENSION", "bin=0")), 1);
    let never_grows = at_once(&bench, &[("READAHEAD_PREFETCH_MULTIPLIER", "1.0")]);
    assert!(never_grows < usual, "{never_grows} < {usual}");
    let few = at_once(&bench, &small);
    assert!((2..=6).contains(&few), "{few}, {usual} by default");
    let more = at_once(&bench, &with("READAHEAD_BY_EXTENSION", "bin=32MiB"));
    assert!(more > few, "{more} > {few}");
    let (all, bounded) = (at_once(&["cat", URL], &[]), at_once(&["cat", URL], &small));
    assert!(bounded <= 6 && all >= 8, "{bounded} {all}");
}
