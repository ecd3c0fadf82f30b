//! Every option of the program changes what it does. [`every_option_is_in_the_table`] fails when one is added that no
//! test here speaks of.

use forebay_testkit::Lab;

use crate::harness::{World, lab, strict_lab};

/// Options by command, with the test that shows their effect.
const TESTED: &[(&str, &[&str])] = &[
    // Of all commands: settings.rs, caching.rs, and below.
    (
        "",
        &[
            "--config",
            "--cache-dir",
            "--cache-size",
            "--no-cache",
            "--verbose",
            "--quiet",
            "--json",
            "--help",
            "--version",
        ],
    ),
    // answers.rs
    ("demo", &["--size", "--plot"]),
    // listing.rs
    ("ls", &["--recursive"]),
    // reading.rs
    ("cat", &["--range"]),
    ("get", &["--range", "--no-clobber"]),
    // put.rs
    ("put", &["--no-clobber"]),
    ("stat", &[]),
    // caching.rs
    ("warm", &[]),
    ("cache stats", &[]),
    ("cache clear", &[]),
    ("cache verify", &[]),
    // answers.rs; --peers below
    (
        "bench read",
        &[
            "--lab",
            "--profile",
            "--cases",
            "--size",
            "--runs",
            "--connections",
            "--objects",
            "--peers",
            "--plot",
        ],
    ),
    // bench_direct.rs
    (
        "bench direct",
        &[
            "--size",
            "--range-engine",
            "--block",
            "--depth",
            "--engine",
            "--cases",
            "--sizes",
            "--runs",
            "--plot",
        ],
    ),
    // bench_log.rs
    (
        "bench log",
        &[
            "--cases",
            "--size",
            "--runs",
            "--connections",
            "--postgres",
            "--plot",
        ],
    ),
    // bench_write.rs
    (
        "bench write",
        &[
            "--cases",
            "--size",
            "--files",
            "--entries",
            "--dir",
            "--runs",
            "--plot",
        ],
    ),
    // mount.rs, mount_status.rs; mount_writable.rs
    (
        "mount",
        &[
            "--foreground",
            "--allow-other",
            "--status",
            "--writable",
            "--overlay-dir",
        ],
    ),
    ("unmount", &[]),
    // mount_writable.rs, mount_writable_bucket.rs
    (
        "commit",
        &["--output", "--replace", "--diff", "--format", "--chunk-size"],
    ),
    // log.rs, log_admin.rs, log_consume.rs, log_produce.rs
    (
        "log create",
        &["--partitions", "--retention", "--retention-bytes"],
    ),
    ("log topics", &[]),
    (
        "log produce",
        &[
            "--format",
            "--key-separator",
            "--partition",
            "--compression",
            "--acks",
            "--batch-bytes",
            "--linger",
            "--report",
        ],
    ),
    (
        "log consume",
        &[
            "--partition",
            "--from",
            "--group",
            "--follow",
            "--max",
            "--format",
            "--show",
            "--raw",
        ],
    ),
    ("log groups", &[]),
    ("log offsets", &["--set", "--delete"]),
    ("log recover", &["--replace"]),
    ("log compact", &[]),
    // manifest.rs, manifest_snapshot.rs, manifest_verify.rs
    ("manifest show", &["--files"]),
    ("manifest snapshot", &["--output", "--format", "--chunk-size"]),
    ("manifest diff", &["--output", "--force-rehash"]),
    ("manifest verify", &["--cas", "--deep"]),
    ("doctor", &[]),
    ("config show", &[]),
    ("completions", &[]),
    ("man", &[]),
];

fn options_of(help: &str) -> Vec<String> {
    let starts = help
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'));
    let words = starts.flat_map(|line| {
        line.split([' ', ','])
            .take(3)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    words
        .filter(|word| word.starts_with("--"))
        .map(|word| word.trim_end_matches("...").to_owned())
        .collect()
}

#[test]
fn every_option_is_in_the_table() {
    let world = World::new();
    let everywhere = TESTED[0].1;
    for (command, tested) in TESTED {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let outcome = world.run(&args);
        let options = options_of(outcome.ok());
        assert!(options.contains(&"--help".to_owned()), "{}", outcome.out());
        for option in &options {
            let option = option.as_str();
            assert!(
                tested.contains(&option) || everywhere.contains(&option),
                "{command} {option} is not tested"
            );
        }
        for option in *tested {
            assert!(
                options.iter().any(|known| known == option),
                "{command} has no {option} any more"
            );
        }
    }
    // And every command is in it.
    let help = world.run(&["--help"]);
    let commands = help
        .ok()
        .split("Commands:")
        .nth(1)
        .unwrap()
        .split("Options:")
        .next()
        .unwrap();
    for line in commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
    {
        let command = line.split_whitespace().next().unwrap();
        let known = |(tested, _): &(&str, _)| tested.split(' ').next() == Some(command);
        assert!(
            command == "help" || TESTED.iter().any(known),
            "{command} is not tested"
        );
    }
}

/// A lab whose listing has something to warn of.
fn lab_with_an_odd_key() -> Lab {
    let lab = lab();
    lab.objects().put("box", "a//b", "x");
    lab.objects().put("box", "good", "x");
    lab
}

#[test]
fn loud_and_quiet() {
    let lab = lab_with_an_odd_key();
    let world = World::with(&lab);
    world.write("f", "x");
    let said = |args: &[&str]| {
        let outcome = world.run(args);
        outcome.ok();
        outcome.stderr
    };
    let usual = said(&["ls", "-r", "s3://box/"]);
    assert!(usual.contains("WARN") && !usual.contains("INFO"), "{usual}");
    assert_eq!(said(&["ls", "-r", "s3://box/", "--quiet"]), "");
    assert_eq!(said(&["put", "f", "s3://box/k"]), "");
    let loud = said(&["put", "f", "s3://box/k", "-v"]);
    assert!(loud.contains("INFO") && loud.contains("s3://box/k"), "{loud}");
    let lines = |text: &str| text.lines().count();
    let [cat, v, vvv] = [
        &["cat", "s3://box/good"][..],
        &["cat", "s3://box/good", "-v"],
        &["cat", "s3://box/good", "-vvv"],
    ]
    .map(said);
    assert_eq!(lines(&cat), 0, "{cat}");
    assert!(lines(&v) > 0 && lines(&vvv) >= lines(&v), "{v}\n{vvv}");
    // RUST_LOG goes before the flags.
    let silenced = World::with(&lab).set("RUST_LOG", "off");
    assert_eq!(silenced.run(&["ls", "-r", "s3://box/", "-vvv"]).stderr, "");
    // Logs are for people who read them here, not for a terminal that is not there.
    assert!(!vvv.contains('\u{1b}'), "{vvv:?}");
}

#[test]
fn quiet_still_says_errors_and_answers() {
    let lab = strict_lab();
    lab.objects().put("box", "k", "x");
    let world = World::with(&lab);
    world
        .run(&["cat", "s3://box/none", "--quiet"])
        .fails(3, &["none"]);
    assert_eq!(world.run(&["cat", "s3://box/k", "--quiet"]).ok(), "x");
    assert!(!world.run(&["ls", "-r", "s3://box/", "--quiet"]).ok().is_empty());
    // Without a terminal there is no report of a download unless it is asked for.
    assert_eq!(world.run(&["get", "s3://box/k", "--quiet"]).ok(), "");
}

#[test]
fn json_changes_every_answer() {
    let lab = strict_lab();
    lab.objects().put("box", "k", "x");
    let world = World::with(&lab);
    world.write("f", "x");
    std::fs::create_dir(world.path("tree")).unwrap();
    world.write("tree/f", "x");
    world.run(&["manifest", "snapshot", "tree", "-o", "m.json"]).ok();
    for args in [
        &["ls", "-r", "s3://box/"][..],
        &["stat", "s3://box/k"],
        &["get", "s3://box/k"],
        &["put", "f", "s3://box/f"],
        &["manifest", "show", "m.json"],
        &["manifest", "show", "m.json", "--files"],
        &["manifest", "snapshot", "tree", "-o", "again.json"],
        &["manifest", "diff", "m.json", "tree"],
        &["manifest", "verify", "m.json", "tree"],
        &["warm", "s3://box/k"],
        &["cache", "stats"],
        &["cache", "verify"],
        &["cache", "clear"],
        &["doctor"],
        &["config", "show"],
        &["completions", "fish"],
    ] {
        let plain = world.run(args);
        assert!(
            serde_json::from_str::<serde_json::Value>(plain.ok()).is_err(),
            "{args:?}"
        );
        assert!(
            world.run(&[args, &["--json"]].concat()).json().is_object(),
            "{args:?}"
        );
        // Global options stand anywhere.
        assert!(
            world.run(&[&["--json"], args].concat()).json().is_object(),
            "{args:?}"
        );
    }
}

#[test]
fn peers_are_measured_where_they_are() {
    let bench = [
        "bench",
        "read",
        "--lab",
        "--profile",
        "loopback",
        "--runs",
        "1",
        "--size",
        "16MiB",
        "--cases",
        "file",
        "--json",
    ];
    let world = World::new().set("PATH", "/usr/local/bin:/usr/bin:/bin");
    let rows = |args: &[&str]| world.run(args).json()["rows"].as_array().unwrap().len();
    let alone = rows(&bench);
    let beside = rows(&[&bench[..], &["--peers"]].concat());
    let has_curl = ["/usr/local/bin/curl", "/usr/bin/curl", "/bin/curl"]
        .iter()
        .any(|p| std::path::Path::new(p).exists());
    if has_curl {
        assert!(beside > alone, "{beside} rows with peers, {alone} without");
    } else {
        println!("skipped: no curl here");
    }
}
