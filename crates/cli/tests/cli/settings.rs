//! Settings reach what they are about: seen from the server, not from inside.

use forebay_testkit::{Content, Counts, Lab};

use crate::harness::{World, builder, lab};

const SIZE: u64 = 40 << 20;

fn lab_with_big() -> Lab {
    let lab = builder().profile(forebay_testkit::Profile::of(
        "slow",
        std::time::Duration::from_millis(20),
        Some(90_000_000),
    ));
    let lab = lab.start().unwrap();
    lab.objects().put("box", "big", Content::pattern(1, SIZE));
    lab
}

/// What the server sees of one download.
fn download(lab: &Lab, world: &World) -> Counts {
    lab.reset_counts();
    let outcome = world.run(&["get", "s3://box/big", "-"]);
    assert_eq!(
        (outcome.code, outcome.stdout.len() as u64),
        (Some(0), SIZE),
        "{}",
        outcome.stderr
    );
    lab.counts()
}

#[test]
fn the_range_settings() {
    let lab = lab_with_big();
    let usual = download(&lab, &World::with(&lab));
    assert_eq!(usual.gets, 5, "12 MiB, 8, 8, 8, 4");
    let with = |name: &str, value: &str| download(&lab, &World::with(&lab).set(name, value));
    let gets = with("FOREBAY_RANGE_CHUNK_SIZE", "2MiB").gets;
    assert!(gets >= 10, "12 MiB, then 2 to 3 MiB each: {gets}");
    assert_eq!(with("FOREBAY_RANGE_MIN_SPLIT_SIZE", "100MiB").gets, 1);
    assert_eq!(with("FOREBAY_RANGE_ENABLE_RANGE_ENGINE", "false").gets, 1);
    assert_eq!(
        with("FOREBAY_RANGE_MAX_CONNECTIONS", "1").max_concurrent_requests,
        1
    );
    assert!(usual.max_concurrent_requests > 1);
}

#[test]
fn file_environment_and_their_order() {
    let lab = lab_with_big();
    let file = "[range]\nenable_range_engine = false\n";
    assert_eq!(download(&lab, &World::with(&lab).settings(file)).gets, 1);
    let overridden = World::with(&lab)
        .settings(file)
        .set("FOREBAY_RANGE_ENABLE_RANGE_ENGINE", "true");
    assert_eq!(download(&lab, &overridden).gets, 5);
    // A file that is named takes the place of the usual one.
    let world = World::with(&lab).settings(file);
    world.write("other.toml", "[range]\nchunk_size = \"2MiB\"\n");
    lab.reset_counts();
    world.run(&["--config", "other.toml", "get", "s3://box/big"]).ok();
    assert!(lab.counts().gets >= 14);
}

#[test]
fn the_xdg_directory_goes_before_the_home_directory() {
    let world = World::new().settings("[range]\nmax_retries = 1\n");
    std::fs::create_dir_all(world.path("xdg/forebay")).unwrap();
    world.write("xdg/forebay/forebay.toml", "[range]\nmax_retries = 2\n");
    let retries = |world: &World| {
        world.run(&["config", "show", "--json"]).json()["settings"]["range.max_retries"]["value"].clone()
    };
    assert_eq!(retries(&world), "1");
    let xdg = world.path("xdg");
    assert_eq!(retries(&world.set("XDG_CONFIG_HOME", xdg.to_str().unwrap())), "2");
}

#[test]
fn files_that_cannot_be_used() {
    let lab = lab();
    let world = World::with(&lab);
    let run = |config: &str| world.run(&["ls", "s3://box", "--config", config]);
    run("none.toml").fails(2, &["none.toml", "cannot be read"]);
    run(".").fails(2, &["the settings file .", "directory"]);
    world.write("binary.toml", [0xFF, 0xFE]);
    run("binary.toml").fails(2, &["binary.toml", "UTF-8"]);
    world.write("broken.toml", "[range\n");
    run("broken.toml").fails(2, &["broken.toml, line 1", "not TOML"]);
    world.write("key.toml", "[range]\nchunksize = 1\n");
    run("key.toml").fails(
        2,
        &["key.toml", "no key 'chunksize'", "did you mean 'chunk_size'?"],
    );
    world.write("table.toml", "[rang]\nx = 1\n");
    run("table.toml").fails(2, &["table.toml", "[rang]", "did you mean [range]?"]);
    world.write("later.toml", "[mount]\nwindow = \"1MiB\"\n");
    run("later.toml").fails(2, &["later.toml", "[mount]"]);
    world.write("type.toml", "[range]\nhedge = \"perhaps\"\n");
    run("type.toml").fails(2, &["type.toml", "range.hedge", "'perhaps' is not true or false"]);
    assert_eq!(lab.counts().requests, 0);
}

#[test]
fn variables_that_are_none() {
    let world = World::new().set("FOREBAY_RANGE_HEGDE", "true");
    world
        .run(&["config", "show"])
        .fails(2, &["FOREBAY_RANGE_HEGDE", "did you mean FOREBAY_RANGE_HEDGE?"]);
    let world = World::new().set("FOREBAY_RANGE_HEDGE", "perhaps");
    world
        .run(&["config", "show"])
        .fails(2, &["FOREBAY_RANGE_HEDGE", "true or false"]);
}

#[test]
fn config_show_is_a_settings_file() {
    let world = World::new()
        .settings("[range]\nmax_retries = 3\n")
        .set("FOREBAY_HTTP_IDLE_TIMEOUT", "1500ms");
    let shown = world.run(&["config", "show"]);
    let text = shown.ok();
    assert!(
        text.contains("forebay.toml") && text.contains("# FOREBAY_HTTP_IDLE_TIMEOUT"),
        "{text}"
    );
    let other = World::new();
    other.write("all.toml", text);
    let again = other
        .run(&["config", "show", "--config", "all.toml", "--json"])
        .json();
    let first = world.run(&["config", "show", "--json"]).json();
    for (name, setting) in first["settings"].as_object().unwrap() {
        assert_eq!(setting["value"], again["settings"][name]["value"], "{name}");
        assert!(
            again["settings"][name]["origin"]
                .as_str()
                .unwrap()
                .ends_with("all.toml"),
            "{name}"
        );
    }
    assert_eq!(first["settings"]["range.max_retries"]["value"], "3");
    assert_eq!(
        first["settings"]["cache.dir"]["value"],
        world.cache().to_str().unwrap()
    );
    assert!(
        text.contains("[readahead.by_extension]") && text.contains("mkv = \"64MiB\""),
        "{text}"
    );
    assert_eq!(first["settings"]["http.idle_timeout"]["value"], "1500ms");
}

#[test]
fn config_show_names_the_flags() {
    let world = World::new().settings("[cache]\nsize = \"2GiB\"\n");
    let flags = ["--cache-dir", "here", "--cache-size", "5GiB", "--no-cache"];
    let answer = world
        .run(&[&["config", "show", "--json"], &flags[..]].concat())
        .json();
    for (key, value, flag) in [
        ("cache.dir", world.path("here").to_str().unwrap(), "--cache-dir"),
        ("cache.size", "5GiB", "--cache-size"),
        ("cache.enabled", "false", "--no-cache"),
    ] {
        let setting = &answer["settings"][key];
        assert_eq!(
            (&setting["value"], &setting["origin"]),
            (&value.into(), &flag.into()),
            "{key}"
        );
    }
    world
        .run(&["config", "show", "--cache-size", "lots"])
        .fails(2, &["--cache-size", "'lots' is not a size"]);
}

#[test]
fn keys_of_earlier_tools_are_told_their_new_names() {
    let world =
        World::new().settings("[performance]\nreadahead_size = \"32MiB\"\nprefetch_multiplier = 2.0\n");
    world.run(&["config", "show"]).fails(
        2,
        &[
            "forebay.toml",
            "performance.readahead_size is now readahead.readahead_size",
            "performance.prefetch_multiplier is now readahead.prefetch_multiplier",
        ],
    );
}

#[test]
fn completions_need_no_settings() {
    let world = World::new().settings("nonsense");
    world.run(&["config", "show"]).fails(2, &["forebay.toml"]);
    assert!(world.run(&["completions", "bash"]).ok().contains("forebay"));
    assert!(world.run(&["--version"]).ok().starts_with("forebay "));
}
