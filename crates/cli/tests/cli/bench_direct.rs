//! `bench direct`.

use forebay_testkit::Content;
use forebay_types::ByteRange;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{World, names_in, on_disk, wait_for};

const SIZE: u64 = 16 << 20;

fn has_fio() -> bool {
    let there = ["/usr/local/bin/fio", "/usr/bin/fio", "/bin/fio"]
        .iter()
        .any(|path| std::path::Path::new(path).exists());
    if !there {
        println!("without fio: there is none here");
    }
    there
}

fn world() -> World {
    World::new().set("PATH", "/usr/local/bin:/usr/bin:/bin")
}

fn row<'a>(answer: &'a Value, case: &str) -> &'a Value {
    let rows = answer["rows"].as_array().unwrap();
    rows.iter()
        .find(|row| row["case"] == case)
        .unwrap_or_else(|| panic!("no {case} in {answer}"))
}

#[test]
fn rows_have_the_fields_of_the_contract() {
    let (world, disk) = (world(), on_disk());
    let path = disk.path().join("f");
    let content = Content::pattern(3, SIZE).read(ByteRange::new(0, SIZE));
    std::fs::write(&path, content).unwrap();
    let file = path.to_str().unwrap();
    let cases = "seq-1M,rand-128k-d1,whole-engine-off,file-warm,direct";
    let bench = ["bench", "direct", file, "--runs", "1", "--cases", cases];
    let more = ["--plot", "chart.svg", "--json"];
    let answer = world.run(&[&bench[..], &more].concat()).json();
    assert_eq!(answer["bench"], "direct");
    let names: Vec<&str> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["case"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "seq-1M",
            "seq-1M/single",
            "rand-128k-d1",
            "whole-engine-off",
            "file-warm",
            "direct-vs-file-cold"
        ]
    );
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
        assert!(
            row(&answer, "seq-1M").get(field).is_some(),
            "no {field} in {answer}"
        );
    }
    let seq = row(&answer, "seq-1M");
    assert_eq!(
        (&seq["served"], &seq["fetched"], &seq["requests"]),
        (&SIZE.into(), &SIZE.into(), &16.into())
    );
    assert_eq!(row(&answer, "seq-1M/single")["baseline"], "one request at a time");
    assert_eq!(row(&answer, "seq-1M/single")["goal"], 1.0);
    assert_eq!(row(&answer, "direct-vs-file-cold")["baseline"], "file://, cold");
    assert!(row(&answer, "rand-128k-d1")["p99_ms"].as_f64().unwrap() > 0.0);
    assert!(row(&answer, "file-warm")["baseline"].is_null());
    if has_fio() {
        for case in ["seq-1M", "rand-128k-d1", "whole-engine-off"] {
            assert_eq!(row(&answer, case)["baseline"], "fio");
            assert!(row(&answer, case)["ratio"].as_f64().unwrap() > 0.0, "{answer}");
        }
        assert!(row(&answer, "rand-128k-d1")["baseline_p99_ms"].as_f64().unwrap() > 0.0);
        assert!(answer["profile"].as_str().unwrap().contains("fio"));
    }
    assert!(
        std::fs::read_to_string(world.path("chart.svg"))
            .unwrap()
            .contains("<svg")
    );
    assert_eq!(
        names_in(disk.path()),
        ["f"],
        "a file of the user's stays, and nothing else"
    );
}

#[test]
fn a_file_that_was_not_there_is_made_and_removed() {
    let (world, disk) = (world(), on_disk());
    let url = format!("direct://{}", disk.path().join("f").display());
    let bench = ["bench", "direct", &url, "--runs", "1", "--size", "5MiB", "--json"];
    let rows = |more: &[&str]| world.run(&[&bench[..], more].concat()).json();
    let answer = rows(&["--range-engine", "on"]);
    assert_eq!(row(&answer, "whole-engine-on")["served"], 5 << 20);
    assert_eq!(answer["rows"].as_array().unwrap().len(), 1);
    let answer = rows(&["--block", "64K", "--depth", "2", "--engine", "pread"]);
    assert!(
        answer["profile"].as_str().unwrap().contains("ours by pread"),
        "{answer}"
    );
    assert_eq!(row(&answer, "seq-64K")["requests"], 80);
    let answer = rows(&["--sizes", "small", "--cases", "small-64K-16"]);
    let small = row(&answer, "small-64K-16");
    assert_eq!(
        (&small["served"], &small["baseline"]),
        (&(4000 * 65536).into(), &"16 plain threads".into())
    );
    assert!(
        small["ratio"].as_f64().unwrap() > 0.0 && small["goal"] == 0.91,
        "{small}"
    );
    assert!(names_in(disk.path()).is_empty(), "{:?}", names_in(disk.path()));
}

#[test]
fn an_interrupt_removes_it_too() {
    let (world, disk) = (world(), on_disk());
    for (cases, runs) in [("seq-64K", "1000"), ("small-64K", "1000")] {
        for signal in [Signal::INT, Signal::TERM] {
            let path = disk.path().join("f");
            let file = path.to_str().unwrap();
            let child = world.spawn(&[
                "bench", "direct", file, "--size", "1MiB", "--cases", cases, "--runs", runs,
            ]);
            wait_for("its file", || {
                path.metadata().is_ok_and(|found| found.len() == 1 << 20)
            });
            kill_process(Pid::from_child(&child), signal).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("interrupted"), "{said}");
            assert!(names_in(disk.path()).is_empty(), "{:?}", names_in(disk.path()));
        }
    }
}

#[test]
fn without_fio_there_is_no_baseline_and_that_is_said_once() {
    let (world, disk) = (World::new().set("PATH", "/nowhere"), on_disk());
    let path = disk.path().join("f");
    let file = path.to_str().unwrap();
    let cases = "seq-1M,seq-256K,whole";
    let outcome = world.run(&[
        "bench", "direct", file, "--size", "4MiB", "--runs", "1", "--cases", cases, "--json",
    ]);
    let answer = outcome.json();
    for case in ["seq-1M", "seq-256K", "whole-engine-on"] {
        let row = row(&answer, case);
        assert!(row["mb_s"].as_f64().unwrap() > 0.0, "{row}");
        assert!(
            row["baseline"].is_null() && row["baseline_mb_s"].is_null() && row["ratio"].is_null(),
            "{row}"
        );
    }
    assert!(row(&answer, "seq-1M/single")["ratio"].as_f64().unwrap() > 0.0);
    assert_eq!(
        outcome.stderr.matches("fio is not installed").count(),
        1,
        "{}",
        outcome.stderr
    );
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let world = world();
    world.write("empty", "");
    world.run(&["bench", "direct", "."]).fails(2, &["is no file"]);
    world
        .run(&["bench", "direct", "s3://b/k"])
        .fails(2, &["no local file"]);
    world
        .run(&["bench", "direct", "empty"])
        .fails(2, &["nothing to measure"]);
    world
        .run(&["bench", "direct", "x", "--cases", "nonsense"])
        .fails(2, &["no case 'nonsense'"]);
    world
        .run(&["bench", "direct", "no/such/dir/x"])
        .fails(3, &["no/such/dir/x"]);
    assert_eq!(world.files(), ["empty"]);
}
