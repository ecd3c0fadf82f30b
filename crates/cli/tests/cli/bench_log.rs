//! `bench log`.

use std::path::PathBuf;

use crate::harness::{World, files_below};
use crate::log::postgres;

#[test]
fn rows_have_the_fields_of_the_contract() {
    let world = World::new();
    let cases = "catch-up-lz4-100,verbatim-1k,cold-1k,poll,hit-rate,consumers-8,lookup-sqlite,produce-lz4-100,consume";
    let bench = ["bench", "log", "--runs", "1", "--size", "8MiB", "--cases", cases];
    let answer = world
        .run(
            &[
                &bench[..],
                &["--connections", "4", "--plot", "chart.svg", "--json"],
            ]
            .concat(),
        )
        .json();
    assert_eq!(answer["bench"], "log");
    assert!(
        answer["profile"].as_str().unwrap().contains("random"),
        "the entropy is stated"
    );
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 10, "{rows:?}");
    for row in rows {
        let case = row["case"].as_str().unwrap();
        let number = |field: &str| row[field].as_f64();
        let is = |field: &str| number(field).is_some_and(|value| value > 0.0);
        assert!(row["requests"].is_u64(), "{row}");
        match case {
            "catch-up-lz4-100" | "verbatim-1k" | "poll-cached" => assert_eq!(row["requests"], 0, "{row}"),
            "poll-cold" => assert!(is("p99_ms") && is("baseline_p99_ms") && is("ratio"), "{row}"),
            "hit-rate" => assert!(is("hit_rate") && is("baseline_hit_rate"), "{row}"),
            "consumers-8" => assert!(is("baseline_requests") && is("ratio"), "{row}"),
            "lookup-sqlite" => assert!(is("p99_ms") && is("ratio") && is("goal"), "{row}"),
            "produce-lz4-100" => assert!(is("records_s") && is("puts"), "{row}"),
            _ => assert!(is("mb_s") && is("records_s"), "{row}"),
        }
    }
    assert!(
        std::fs::read_to_string(world.path("chart.svg"))
            .unwrap()
            .contains("verbatim-1k")
    );
    let left = files_below(world.home());
    let of_bench = |path: &PathBuf| path.to_string_lossy().contains("forebay-bench-");
    assert!(!left.iter().any(of_bench), "{left:?}");
}

#[test]
fn lookups_in_postgres() {
    let Some((url, _server)) = postgres() else {
        return;
    };
    let world = World::new();
    let bench = [
        "bench", "log", "--runs", "1", "--size", "1MiB", "--cases", "lookup", "--json",
    ];
    let rows = |answer: serde_json::Value| -> Vec<String> {
        let rows = answer["rows"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| row["case"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(rows(world.run(&bench).json()), ["lookup-sqlite"]);
    let both = world.run(&[&bench[..], &["--postgres", &url]].concat());
    assert_eq!(rows(both.json()), ["lookup-sqlite", "lookup-postgres"]);
}

#[test]
fn a_case_that_is_none_is_told_with_those_there_are() {
    let world = World::new();
    let outcome = world.run(&["bench", "log", "--cases", "kafka"]);
    outcome.fails(2, &["there is no case 'kafka'", "catch-up-none-100"]);
}
