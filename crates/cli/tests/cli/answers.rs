//! `doctor`, `completions`, `man`, `demo`, `bench`.

use crate::harness::{World, names_in};

#[test]
fn doctor_tells_of_this_machine() {
    let world = World::new();
    let answer = world.run(&["doctor", "--json"]).json();
    let findings = answer["findings"].as_array().unwrap();
    let detail = |name: &str| {
        let finding = findings.iter().find(|f| f["name"] == name);
        finding.unwrap_or_else(|| panic!("no {name} in {answer}"))["detail"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for name in [
        "FUSE",
        "FUSE passthrough",
        "io_uring",
        "O_DIRECT",
        "O_DIRECT alignment",
        "read_ahead_kb",
    ] {
        assert!(!detail(name).is_empty());
    }
    for name in [
        "CPUs",
        "cgroup memory limit",
        "cgroup CPU limit",
        "open files",
        "trusted certificates",
    ] {
        assert!(!detail(name).is_empty());
    }
    assert!(detail("settings file").contains(".config/forebay/forebay.toml"));
    let outcome = world.run(&["doctor"]);
    assert_eq!(outcome.ok().lines().count(), findings.len());
    assert!(
        world.files().is_empty(),
        "a probe left something behind: {:?}",
        world.files()
    );
}

#[test]
fn doctor_names_the_settings_file_in_use() {
    let world = World::new().settings("[range]\n");
    assert!(
        world
            .run(&["doctor"])
            .ok()
            .contains(".config/forebay/forebay.toml")
    );
    world.write("mine.toml", "");
    let outcome = world.run(&["doctor", "--config", "mine.toml"]);
    assert!(outcome.ok().contains("mine.toml"), "{}", outcome.out());
}

#[test]
fn completions_for_every_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            world.run(&["completions", shell]).ok().contains("forebay"),
            "{shell}"
        );
    }
    assert_eq!(
        world.run(&["completions", "bash", "--json"]).json()["shell"],
        "bash"
    );
    world
        .run(&["completions", "tcsh"])
        .fails(2, &["tcsh", "possible values"]);
}

#[test]
fn manual_pages() {
    let world = World::new();
    world.run(&["man", "pages/man1"]).ok();
    let pages = names_in(&world.path("pages/man1"));
    for page in [
        "forebay.1",
        "forebay-ls.1",
        "forebay-cat.1",
        "forebay-get.1",
        "forebay-put.1",
        "forebay-doctor.1",
    ] {
        assert!(pages.contains(&page.to_owned()), "{pages:?}");
    }
    world.write("file", "");
    assert_ne!(world.run(&["man", "file"]).code, Some(0));
}

#[test]
fn the_demo_reads_what_it_wrote() {
    let answer = World::new().run(&["demo", "--size", "16MiB", "--json"]).json();
    assert!(answer["verified_bytes"].as_u64().unwrap() >= 16 << 20, "{answer}");
}

#[test]
fn bench_answers_with_the_fields_of_the_contract() {
    let world = World::new();
    let bench = [
        "bench",
        "read",
        "--lab",
        "--profile",
        "loopback",
        "--runs",
        "1",
        "--size",
        "32MiB",
    ];
    let more = [
        "--connections",
        "4",
        "--objects",
        "50",
        "--cases",
        "sequential,many",
        "--plot",
        "chart.svg",
        "--json",
    ];
    let answer = world.run(&[&bench[..], &more].concat()).json();
    assert_eq!(answer["bench"], "read");
    let rows = answer["rows"].as_array().unwrap();
    let cases: Vec<&str> = rows.iter().map(|row| row["case"].as_str().unwrap()).collect();
    assert_eq!(cases, ["sequential", "many"]);
    for field in [
        "case",
        "mb_s",
        "cpu_s_per_gib",
        "baseline",
        "baseline_mb_s",
        "ratio",
        "goal",
        "requests",
        "fetched",
        "served",
        "p50_ms",
        "p99_ms",
        "rss_mib",
    ] {
        assert!(rows[0].get(field).is_some(), "no {field} in {}", rows[0]);
    }
    assert_eq!(rows[0]["served"], 32 << 20);
    assert_eq!(rows[1]["served"], 50 * 65536);
    assert!(
        std::fs::read_to_string(world.path("chart.svg"))
            .unwrap()
            .contains("<svg")
    );
    world
        .run(&["bench", "read", "--lab", "--cases", "nonsense"])
        .fails(2, &["nonsense"]);
    world.run(&["bench", "read"]).fails(2, &["<URL>"]);
    world
        .run(&["bench", "read", "--lab", "s3://box/k"])
        .fails(2, &["--lab"]);
}
