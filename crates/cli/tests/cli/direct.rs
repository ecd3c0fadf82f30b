//! `direct://`: the commands past the page cache, what `-vv` and `doctor` say of it, and its settings.

use forebay_testkit::Content;
use forebay_types::ByteRange;

use crate::harness::{World, on_disk};

/// More than one buffer, and no multiple of anything.
const SIZE: u64 = (9 << 20) + 77;

fn bytes() -> Vec<u8> {
    Content::pattern(5, SIZE).read(ByteRange::new(0, SIZE)).to_vec()
}

fn url(path: &std::path::Path) -> String {
    format!("direct://{}", path.display())
}

#[test]
fn bytes_are_the_same_as_of_the_file() {
    let (world, disk, bytes) = (World::new(), on_disk(), bytes());
    // Memory refuses nothing and has nothing but the page cache.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    for place in [disk.path(), memory.path()] {
        let path = place.join("f");
        std::fs::write(&path, &bytes).unwrap();
        let url = url(&path);
        assert!(world.run(&["cat", &url]).stdout == bytes, "{url}");
        let len = bytes.len();
        for (range, expected) in [
            ("0-0", 0..1),
            ("511-513", 511..514),
            ("4095-4096", 4095..4097),
            ("4194303-8388608", 4_194_303..8_388_609),
            ("-7", len - 7..len),
            ("9437100-", 9_437_100..len),
        ] {
            let outcome = world.run(&["cat", &url, "--range", range]);
            assert!(
                outcome.stdout == bytes[expected],
                "{url} {range}: {}",
                outcome.stderr
            );
        }
        world.run(&["get", &url, "copy"]).ok();
        assert!(std::fs::read(world.path("copy")).unwrap() == bytes, "{url}");
        let stat = world.run(&["stat", &url, "--json"]).json();
        assert_eq!(stat["size"], SIZE);
    }
}

#[test]
fn range_engine_engines_and_alignments_change_no_byte() {
    let (disk, bytes) = (on_disk(), bytes());
    let path = disk.path().join("f");
    std::fs::write(&path, &bytes).unwrap();
    for settings in [
        "engine = \"pread\"",
        "engine = \"pread\"\nthreads = 1\npool_size = 0",
        "direct_io = false",
        "alignment = \"64KiB\"",
        "min_io_size = \"1MiB\"",
        "preset = \"high_performance\"\nchunk_size = \"100KiB\"\nmin_split_size = 0",
    ] {
        let world = World::new().settings(&format!("[direct]\n{settings}\n"));
        let outcome = world.run(&["cat", &url(&path)]);
        assert!(outcome.stdout == bytes, "{settings}: {}", outcome.stderr);
    }
}

#[test]
fn trees_are_listed_fetched_and_written() {
    let (world, disk) = (World::new(), on_disk());
    let root = url(disk.path());
    for (name, content) in [("a", b"one".as_slice()), ("sub/b", b"two")] {
        world.write("src", content);
        world.run(&["put", "src", &format!("{root}/{name}")]).ok();
        assert_eq!(std::fs::read(disk.path().join(name)).unwrap(), content);
    }
    let listed = world.run(&["ls", "-r", &format!("{root}/")]);
    assert!(
        listed.ok().contains("a") && listed.ok().contains("sub/b"),
        "{}",
        listed.out()
    );
    world.run(&["get", &format!("{root}/"), "here"]).ok();
    assert_eq!(std::fs::read(world.path("here/sub/b")).unwrap(), b"two");
}

#[test]
fn what_is_put_is_what_is_there() {
    let (disk, bytes) = (on_disk(), bytes());
    for settings in [
        "",
        "sync_writes = true",
        "preset = \"high_performance\"",
        "direct_io = false",
    ] {
        let world = World::new().settings(&format!("[direct]\n{settings}\n"));
        for len in [0, 1, 4096, 5000, bytes.len()] {
            world.write("src", &bytes[..len]);
            let path = disk.path().join("put");
            world.run(&["put", "src", &url(&path)]).ok();
            assert!(std::fs::read(&path).unwrap() == bytes[..len], "{settings} {len}");
        }
        // Unknown in length, and more than one part.
        let outcome = world.run_with_input(&["put", "-", &url(&disk.path().join("piped"))], &bytes);
        outcome.ok();
        assert!(
            std::fs::read(disk.path().join("piped")).unwrap() == bytes,
            "{settings}"
        );
    }
    assert_eq!(crate::harness::names_in(disk.path()), ["piped", "put"]);
}

#[test]
fn what_is_not_there_is_not_found() {
    let (world, disk) = (World::new(), on_disk());
    let missing = url(&disk.path().join("none"));
    for args in [
        &["cat", &missing][..],
        &["get", &missing],
        &["stat", &missing],
        &["cat", &missing, "--range", "5-9"],
    ] {
        world.run(args).fails(3, &["none"]);
    }
    world
        .run(&["cat", "direct://here"])
        .fails(2, &["direct://", "absolute path"]);
    let insists = World::new().set("FOREBAY_DIRECT_ALIGNMENT", "3KiB");
    insists
        .run(&["cat", &missing])
        .fails(2, &["FOREBAY_DIRECT_ALIGNMENT", "not a power of two"]);
}

#[test]
fn the_plan_and_its_alignment_are_told_to_who_asks() {
    let (world, disk, bytes) = (World::new(), on_disk(), bytes());
    let path = disk.path().join("f");
    std::fs::write(&path, &bytes).unwrap();
    let outcome = world.set("FOREBAY_DIRECT_MIN_IO_SIZE", "8KiB").run(&[
        "cat",
        &url(&path),
        "--range",
        "10000-20000",
        "-vv",
    ]);
    assert!(outcome.stdout == bytes[10_000..=20_000]);
    let line = outcome
        .stderr
        .lines()
        .find(|line| line.contains("read of a disk"))
        .unwrap_or_else(|| panic!("{}", outcome.stderr));
    for part in ["10000", "20001", "8192", "24576", "unit=8192", "direct=true"] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    let parts = World::new()
        .settings("[direct]\npreset = \"high_performance\"\nchunk_size = \"4MiB\"\nmin_split_size = 0\n")
        .run(&["get", &url(&path), "-", "-vv"]);
    let parts = parts.stderr.lines().filter(|line| line.contains("part")).count();
    assert!(parts >= 2, "{parts}");
    let usual = World::new().run(&["cat", &url(&path)]);
    assert_eq!(usual.stderr, "");
}

#[test]
fn presets_show_what_they_come_to() {
    let world = World::new()
        .settings("[direct]\npreset = \"high_performance\"\nchunk_size = \"16MiB\"\n")
        .set("FOREBAY_DIRECT_SYNC_WRITES", "false");
    let shown = world.run(&["config", "show", "--json"]).json();
    for (key, value, origin) in [
        ("preset", "high_performance", "forebay.toml"),
        ("enable_range_engine", "true", "direct.preset"),
        ("sync_writes", "false", "FOREBAY_DIRECT_SYNC_WRITES"),
        ("chunk_size", "16MiB", "forebay.toml"),
        ("max_concurrent_ranges", "16", "default"),
    ] {
        let setting = &shown["settings"][format!("direct.{key}")];
        assert_eq!(setting["value"], value, "{key}");
        assert!(
            setting["origin"].as_str().unwrap().ends_with(origin),
            "{key}: {setting}"
        );
    }
}

#[test]
fn doctor_names_the_engine() {
    let detail = |world: &World, name: &str| {
        let answer = world.run(&["doctor", "--json"]).json();
        let findings = answer["findings"].as_array().unwrap().clone();
        let finding = findings.into_iter().find(|finding| finding["name"] == name);
        let finding = finding.unwrap_or_else(|| panic!("no {name} in {answer}"));
        (
            finding["status"].as_str().unwrap().to_owned(),
            finding["detail"].as_str().unwrap().to_owned(),
        )
    };
    let pread = World::new().settings("[direct]\nengine = \"pread\"\nthreads = 7\n");
    assert_eq!(
        detail(&pread, "direct reads"),
        (
            "yes".into(),
            "by 7 threads in pread, as direct.engine says".into()
        )
    );
    let off = World::new().settings("[direct]\ndirect_io = false\n");
    assert_eq!(detail(&off, "direct reads").0, "no");
    let usual = World::new();
    let (rings, _) = detail(&usual, "io_uring");
    let (status, by) = detail(&usual, "direct reads");
    assert_eq!(status, "yes");
    assert_eq!(by == "by io_uring", rings == "yes", "{by}");
    for name in ["O_DIRECT alignment", "cache alignment"] {
        assert!(!detail(&usual, name).1.is_empty());
    }
}
