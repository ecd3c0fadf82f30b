//! `bench mount --rqbit`.

use crate::harness::World;

/// A World with the programs of the machine.
#[cfg(feature = "torrent")]
fn world() -> World {
    World::new().set("PATH", "/usr/local/bin:/usr/bin:/bin")
}

#[cfg(feature = "torrent")]
#[test]
fn rows_have_the_fields_of_the_contract() {
    use crate::at::may_mount;

    if !may_mount() {
        return;
    }
    let world = world();
    let bench = [
        "bench",
        "mount",
        "--rqbit",
        "--runs",
        "1",
        "--size",
        "4MiB",
        "--bitrate",
        "1MiB",
        "--json",
    ];
    let more = [
        "--cases",
        "torrent,first-frame,player,readers,approach-2,surplus",
        "--plot",
        "chart.svg",
    ];
    let answer = world.run(&[&bench[..], &more].concat()).json();
    assert_eq!(answer["bench"], "mount");
    let rows = answer["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["case"].as_str().unwrap()).collect();
    let expected = "torrent-cold,torrent-cold-no-cache,torrent-warm,first-frame,player,readers,approach-2";
    assert_eq!(names.join(","), expected);
    for row in rows {
        let is = |field: &str| row[field].as_f64().is_some_and(|value| value > 0.0);
        let has = |field: &str| row[field].is_number();
        let fields: &[&str] = match row["case"].as_str().unwrap() {
            "torrent-cold" | "torrent-cold-no-cache" => &[
                "mb_s",
                "cpu_s_per_gib",
                "baseline_mb_s",
                "ratio",
                "server_cpu_s_per_gib",
            ],
            "torrent-warm" => &["mb_s", "baseline_mb_s", "ratio", "goal"],
            "first-frame" => &["p50_ms", "baseline_p50_ms", "ratio", "goal", "requests"],
            "player" => &[
                "p50_ms",
                "streams",
                "baseline_streams",
                "requests",
                "baseline_requests",
            ],
            "readers" => &["mb_s", "streams", "streams_goal"],
            _ => &["fetched", "served", "requests", "server_rss_mib", "streams"],
        };
        for field in fields {
            assert!(is(field), "{field}: {row}");
        }
        if row["case"] == "player" {
            for field in [
                "stalls",
                "stalled_ms",
                "baseline_stalls",
                "baseline_stalled_ms",
                "stalls_goal",
            ] {
                assert!(has(field), "{field}: {row}");
            }
        }
        if row["case"] == "readers" {
            assert!(row["streams"].as_u64() <= row["streams_goal"].as_u64(), "{row}");
        }
    }
    let notes = answer["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 3, "{notes:?}");
    let chart = std::fs::read_to_string(world.path("chart.svg")).unwrap();
    assert!(chart.contains("torrent-cold"));
    world.has_nothing_left_of_a_bench();
}

#[cfg(feature = "torrent")]
#[test]
fn a_case_that_is_none_is_told_with_those_there_are() {
    let outcome = world().run(&["bench", "mount", "--rqbit", "--cases", "pass-seq"]);
    outcome.fails(2, &["there is no case 'pass-seq'", "first-frame"]);
}

#[cfg(feature = "torrent")]
#[test]
fn a_film_that_is_none_is_told() {
    let outcome = world().run(&["bench", "mount", "--rqbit", "--size", "1MiB"]);
    outcome.fails(2, &["--size is 2MiB at least"]);
}

#[cfg(not(feature = "torrent"))]
#[test]
fn without_rqbit_in_it_a_build_says_so() {
    for args in [&["bench", "mount", "--rqbit"][..], &["bench", "torrents"]] {
        World::new()
            .run(args)
            .fails(2, &["no sessions of rqbit", "--features torrent"]);
    }
}

#[test]
fn what_says_nothing_of_torrents_is_refused() {
    let outcome = World::new().run(&["bench", "mount", "--bitrate", "1MiB"]);
    outcome.fails(2, &["--rqbit"]);
    let outcome = World::new().run(&["bench", "mount", "--rqbit", "--peers"]);
    outcome.fails(2, &["--peers"]);
}
