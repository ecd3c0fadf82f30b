//! `bench mount`.

use crate::at::may_mount;
use crate::harness::World;

#[test]
fn rows_have_the_fields_of_the_contract() {
    if !may_mount() {
        return;
    }
    let world = World::new()
        .set("PATH", "/usr/local/bin:/usr/bin:/bin")
        // However long a busy machine takes for a listing.
        .set("FOREBAY_MOUNT_TTL", "600s");
    let cases = "pass-seq,pass-cached,direct-seq,pages-mmap,kept-seq,cold-seq,cold-first,ls";
    let bench = [
        "bench",
        "mount",
        "--runs",
        "1",
        "--size",
        "16MiB",
        "--entries",
        "50",
    ];
    let more = ["--cases", cases, "--plot", "chart.svg", "--json"];
    let answer = world.run(&[&bench[..], &more].concat()).json();
    assert_eq!(answer["bench"], "mount");
    let rows = answer["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["case"].as_str().unwrap()).collect();
    let expected = "pass-seq,pass-cached,direct-seq,pages-mmap,kept-seq,cold-seq,cold-first,ls,ls-again";
    assert_eq!(names.join(","), expected);
    for row in rows {
        let case = row["case"].as_str().unwrap();
        let is = |field: &str| row[field].as_f64().is_some_and(|value| value > 0.0);
        match case {
            // What was listed once is known, and the listing is all that there is to ask.
            "ls-again" => assert_eq!(row["requests"], 0, "{row}"),
            "ls" | "cold-first" => assert!(is("p50_ms") && is("baseline_p50_ms") && is("ratio"), "{row}"),
            _ => {
                for field in ["mb_s", "cpu_s_per_gib", "baseline_mb_s", "ratio", "goal"] {
                    assert!(is(field), "{field}: {row}");
                }
            }
        }
    }
    let chart = std::fs::read_to_string(world.path("chart.svg")).unwrap();
    assert!(chart.contains("direct-seq"));
    world.has_nothing_left_of_a_bench();
}

#[test]
fn a_case_that_is_none_is_told_with_those_there_are() {
    let world = World::new();
    let outcome = world.run(&["bench", "mount", "--cases", "splice"]);
    outcome.fails(2, &["there is no case 'splice'", "pass-seq"]);
}
