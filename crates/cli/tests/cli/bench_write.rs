//! `bench write`.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};
use serde_json::Value;

use crate::at::may_mount;
use crate::harness::World;

const CASES: &str = "write-new,write-small,write-rand,write-served,dirty-read,dirty-rand,dirty-served,dirty-served-rand,\
                     dirty-pages,mixed-served,mixed-pages,git-clone,git-clone-native,cargo-build,chunk-first,\
                     manifest-mount,manifest-memory";

/// One that finds git, and the cargo that built this.
fn world() -> World {
    let tools = Path::new(env!("CARGO")).parent().unwrap().display();
    World::new().set("PATH", &format!("{tools}:/usr/local/bin:/usr/bin:/bin"))
}

fn figure(row: &Value, field: &str) -> f64 {
    let value = row[field].as_f64();
    value
        .filter(|value| *value > 0.0)
        .unwrap_or_else(|| panic!("{field}: {row}"))
}

#[test]
fn rows_have_the_fields_of_the_contract() {
    if !may_mount() {
        return;
    }
    let world = world();
    let bench = "bench write --runs 1 --size 4MiB --files 30 --entries 500 --plot chart.svg --json";
    let args: Vec<&str> = bench.split(' ').collect();
    let answer = world.run(&args).json();
    assert_eq!(answer["bench"], "write");
    let rows = answer["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["case"].as_str().unwrap()).collect();
    assert_eq!(names.join(","), CASES);
    for row in rows {
        let case = row["case"].as_str().unwrap();
        let (goal, ratio) = match case {
            "write-new" | "write-small" | "write-rand" => (0.8, "mb_s"),
            "dirty-rand" => (0.85, "mb_s"),
            "write-served" | "mixed-served" | "mixed-pages" => (0.0, "mb_s"),
            "git-clone" | "cargo-build" => (1.0 / 1.2, "p50_ms"),
            "git-clone-native" => (0.0, "p50_ms"),
            "chunk-first" | "manifest-mount" => (1.0, "p50_ms"),
            "manifest-memory" => (1.0, "rss_mib"),
            _ => (0.9, "mb_s"),
        };
        assert_eq!(row["goal"].as_f64().unwrap_or(0.0), goal, "{row}");
        // Of speed ours over the other's, of what is paid the other's over ours.
        let (ours, other) = (figure(row, ratio), figure(row, &format!("baseline_{ratio}")));
        let expected = if ratio == "mb_s" {
            ours / other
        } else {
            other / ours
        };
        assert!((figure(row, "ratio") / expected - 1.0).abs() < 1e-9, "{row}");
        if ratio == "mb_s" {
            figure(row, "cpu_s_per_gib");
            figure(row, "baseline_cpu_s_per_gib");
            assert!(figure(row, "served") >= 4e6, "{row}");
        }
    }
    let row = |name: &str| rows.iter().find(|row| row["case"] == name).unwrap();
    let chunk = row("chunk-first");
    let (fetched, requests) = (figure(chunk, "fetched"), figure(chunk, "requests"));
    // 4 KiB of a file of twice 4 MiB.
    assert!((4096.0..=4e6).contains(&fetched) && requests <= 4.0, "{chunk}");
    assert!((figure(chunk, "baseline_p50_ms") - 41.65).abs() < 0.01, "{chunk}");
    assert_eq!(figure(row("manifest-mount"), "baseline_p50_ms"), 5_000.0);
    let bytes = figure(row("manifest-memory"), "baseline_rss_mib") * f64::from(1 << 20);
    assert!((bytes / 500.0 - 400.0).abs() < 1e-6, "{bytes}");
    let notes = answer["notes"].to_string();
    for note in ["git-clone: ", "cargo-build: ", "bytes of memory a file"] {
        assert!(notes.contains(note), "{notes}");
    }
    let chart = std::fs::read_to_string(world.path("chart.svg")).unwrap();
    assert!(chart.contains("mixed-served"));
    world.has_nothing_left_of_a_bench();
}

#[test]
fn programs_that_are_missing_are_told_and_left_out() {
    let world = World::new().set("PATH", "/nowhere");
    let outcome = world.run(&["bench", "write", "--cases", "git-clone,cargo", "--json"]);
    assert_eq!(outcome.json()["rows"], Value::Array(Vec::new()));
    let told = outcome.stderr;
    for left_out in ["git-clone is left out", "cargo-build is left out"] {
        assert!(told.contains(left_out), "{told}");
    }
}

#[test]
fn a_case_that_is_none_is_told_with_those_there_are() {
    let world = World::new();
    let outcome = world.run(&["bench", "write", "--cases", "splice"]);
    outcome.fails(2, &["there is no case 'splice'", "mixed-served"]);
}

#[test]
fn it_writes_where_it_is_told_to() {
    if !may_mount() {
        return;
    }
    struct Small(PathBuf);
    impl Drop for Small {
        fn drop(&mut self) {
            let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
        }
    }
    let world = World::new().set("PATH", "/usr/local/bin:/usr/bin:/bin");
    std::fs::create_dir(world.path("small")).unwrap();
    let small = Small(world.path("small"));
    rustix::mount::mount(c"small", &small.0, c"tmpfs", MountFlags::empty(), c"size=8m").unwrap();
    let bench = "bench write --runs 1 --cases write-new --dir small --size";
    let args: Vec<&str> = bench.split(' ').collect();
    // The others' file and ours fit, or not.
    world.run(&[&args[..], &["1MiB"]].concat()).ok();
    let outcome = world.run(&[&args[..], &["16MiB"]].concat());
    assert!(
        outcome.code != Some(0) && outcome.stderr.contains("write-new"),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("No space left"), "{outcome:?}");
    assert_eq!(std::fs::read_dir(&small.0).unwrap().count(), 0);
    let outcome = world.run(&["bench", "write", "--cases", "write-new", "--dir", "nowhere"]);
    assert!(
        outcome.code != Some(0) && outcome.stderr.contains("nowhere"),
        "{outcome:?}"
    );
}
