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
fn doctor_tells_where_the_cache_is() {
    let world = World::new();
    let detail = |world: &World, name: &str, args: &[&str]| {
        let answer = world.run(&[&["doctor", "--json"], args].concat()).json();
        let findings = answer["findings"].as_array().unwrap().clone();
        let finding = findings.iter().find(|f| f["name"] == name);
        finding.unwrap_or_else(|| panic!("no {name} in {answer}"))["detail"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let directory = detail(&world, "cache directory", &["--cache-size", "3GiB"]);
    let place = world.cache();
    for words in [place.to_str().unwrap(), "up to 3GiB", "not made yet"] {
        assert!(directory.contains(words), "{words}: {directory}");
    }
    assert!(detail(&world, "cache file system", &[]).contains("free of"));
    assert!(!detail(&world, "cache O_DIRECT", &[]).is_empty());
    assert!(detail(&world, "cache directory", &["--no-cache"]).contains("the cache is off"));
    assert!(!world.cache().exists(), "looking makes nothing");
    world.run(&["cache", "stats"]).ok();
    assert!(!detail(&world, "cache directory", &[]).contains("not made yet"));
    let homeless = World::new().set("HOME", "").set("XDG_CACHE_HOME", "");
    assert!(detail(&homeless, "cache directory", &[]).contains("no place for the cache"));
}

/// Nothing but what was there before is in the home directory.
#[track_caller]
fn leaves_no_scratch(world: &World) {
    let left = names_in(world.home());
    assert!(left.iter().all(|name| !name.contains("forebay-")), "{left:?}");
    let caches = names_in(&world.home().join("xdg-cache"));
    assert!(caches.is_empty(), "{caches:?}");
}

#[test]
fn the_demo_reads_what_it_wrote() {
    let world = World::new();
    std::fs::create_dir(world.home().join("xdg-cache")).unwrap();
    let answer = world
        .run(&["demo", "--size", "16MiB", "--plot", "course.svg", "--json"])
        .json();
    assert!(answer["verified_bytes"].as_u64().unwrap() >= 48 << 20, "{answer}");
    assert!(answer["cached_bytes"] == 32 << 20, "{answer}");
    let steps = answer["steps"].as_array().unwrap();
    for name in ["read it again", "and once more"] {
        let again = steps.iter().find(|step| step["step"] == name).unwrap();
        assert_eq!(again["bytes"], 16 << 20);
        assert_eq!(again["requests"], 1, "to ask whether it is still the same");
    }
    let log = answer["log"]["steps"].as_array().unwrap();
    let names: Vec<_> = log.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["log: produce", "log: consume", "log: consume again"]);
    assert!(log.iter().all(|step| step["records"] == 100_000), "{answer}");
    let svg = std::fs::read_to_string(world.path("course.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("<polyline"), "{svg}");
    leaves_no_scratch(&world);
    let answer = world
        .run(&["demo", "--size", "16MiB", "--no-cache", "--json"])
        .json();
    assert_eq!(answer["cached_bytes"], 0);
    let steps = answer["steps"].as_array().unwrap();
    assert!(
        steps.iter().all(|step| step["step"] != "read it again"),
        "{answer}"
    );
}

#[test]
fn bench_measures_the_cache() {
    let world = World::new();
    std::fs::create_dir(world.home().join("xdg-cache")).unwrap();
    let names =
        "cold,warm,try-read,random-cold,random-unaligned,strided,readers,sequential-read-at,handles,start";
    let bench = [
        "bench",
        "read",
        "--lab",
        "--runs",
        "1",
        "--size",
        "16MiB",
        "--objects",
        "5",
    ];
    let answer = world
        .run(&[&bench[..], &["--profile", "loopback", "--cases", names, "--json"]].concat())
        .json();
    let rows = answer["rows"].as_array().unwrap();
    let cases: Vec<&str> = rows.iter().map(|row| row["case"].as_str().unwrap()).collect();
    assert_eq!(cases.join(","), names);
    let row = |case: &str| rows.iter().find(|row| row["case"] == case).unwrap();
    for field in [
        "hit_rate",
        "drops",
        "fetched_per_served",
        "kept",
        "starved",
        "wasted",
    ] {
        assert!(row("cold").get(field).is_some(), "no {field} in {}", row("cold"));
    }
    assert_eq!(row("cold")["served"], 16 << 20);
    assert_eq!(
        (&row("cold")["baseline"], &row("cold")["goal"]),
        (&"cache off".into(), &0.97.into())
    );
    assert_eq!(
        (&row("cold")["kept"], &row("cold")["drops"]),
        (&1.0.into(), &0.into())
    );
    for warm in ["warm", "try-read"] {
        let row = row(warm);
        assert_eq!(
            (&row["requests"], &row["hit_rate"]),
            (&0.into(), &1.0.into()),
            "{row}"
        );
        assert!(row["ratio"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert_eq!(row("readers")["requests"], row("readers")["baseline_requests"]);
    assert_eq!(row("readers")["served"], 8 * (16 << 20));
    for random in ["random-cold", "random-unaligned"] {
        assert!(row(random)["fetched_per_served_goal"].as_f64().is_some());
    }
    assert_eq!(row("handles")["served"], 16 << 20);
    assert!(row("start")["p50_ms"].as_f64().unwrap() > 0.0);
    leaves_no_scratch(&world);
    let text = world.run(&[&bench[..], &["--profile", "loopback", "--cases", "cold"]].concat());
    for column in ["hits %", "drops", "fetch/s", "kept %"] {
        assert!(text.ok().contains(column), "{}", text.out());
    }
}

#[test]
fn bench_reads_an_object_of_the_user() {
    let lab = crate::harness::lab();
    lab.objects()
        .put("box", "mine", forebay_testkit::Content::pattern(1, 4 << 20));
    let world = World::with(&lab);
    let answer = world
        .run(&[
            "bench",
            "read",
            "s3://box/mine",
            "--runs",
            "1",
            "--cases",
            "cold,warm,random-cold",
            "--json",
        ])
        .json();
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(
        (&rows[0]["served"], &rows[1]["served"]),
        (&(4 << 20).into(), &(4 << 20).into())
    );
    assert!(rows[1]["ratio"].as_f64().unwrap() > 0.0);
    // What the lab's network allows says nothing of this one.
    assert!(
        rows[2]["baseline"].is_null() && rows[2]["goal"].is_null(),
        "{}",
        rows[2]
    );
    world
        .run(&["bench", "read", "s3://box/mine", "--cases", "handles"])
        .fails(2, &["no case 'handles' here"]);
    // A local file is not cached: the other cases are measured.
    world.write("f", vec![7; 1 << 20]);
    world
        .run(&["bench", "read", "f", "--cases", "warm"])
        .fails(2, &["no case 'warm' here", "any-order"]);
    let answer = world.run(&["bench", "read", "f", "--runs", "1", "--json"]).json();
    let rows = answer["rows"].as_array().unwrap();
    assert!(
        rows.iter()
            .any(|row| row["case"] == "any-order" && row["served"] == 1 << 20),
        "{answer}"
    );
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
