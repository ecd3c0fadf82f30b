//! `put`: what arrives, what is left behind when it fails.

use forebay_testkit::{Content, FaultKind, Lab, Op, Rule};
use forebay_types::ByteRange;

use crate::harness::{World, lab, strict_lab};

fn pattern(seed: u64, size: u64) -> Vec<u8> {
    Content::pattern(seed, size)
        .read(ByteRange::new(0, size))
        .to_vec()
}

fn stored(lab: &Lab, key: &str) -> Vec<u8> {
    let object = lab.objects().get("box", key).unwrap();
    object.content.read(ByteRange::new(0, object.size())).to_vec()
}

const MIB: u64 = 1 << 20;

#[test]
fn a_small_file_is_one_request() {
    let lab = strict_lab();
    let world = World::with(&lab);
    for (name, size) in [("empty", 0), ("small", 1), ("single", 16 * MIB)] {
        let bytes = pattern(1, size);
        world.write(name, &bytes);
        lab.reset_counts();
        assert_eq!(world.run(&["put", name, &format!("s3://box/{name}")]).ok(), "");
        assert!(stored(&lab, name) == bytes, "{name}");
        let counts = lab.counts();
        assert_eq!((counts.puts, counts.requests), (1, 1), "{name}");
    }
}

#[test]
fn a_large_file_is_an_upload_in_parts() {
    let lab = strict_lab();
    let world = World::with(&lab);
    let bytes = pattern(2, 40 * MIB + 7);
    world.write("large", &bytes);
    let answer = world.run(&["put", "large", "s3://box/large", "--json"]).json();
    assert!(stored(&lab, "large") == bytes);
    assert_eq!(answer["url"], "s3://box/large");
    assert_eq!(answer["bytes"], 40 * MIB + 7);
    assert_eq!(
        answer["etag"],
        lab.objects().get("box", "large").unwrap().etag.as_str()
    );
    assert!(answer["seconds"].as_f64().unwrap() > 0.0);
    // Five parts of 8 MiB and a crumb; begin and end.
    assert_eq!((lab.counts().puts, lab.counts().other), (6, 2));
    assert!(lab.objects().uploads("box").is_empty());
}

#[test]
fn standard_input() {
    let lab = strict_lab();
    let world = World::with(&lab);
    for (size, puts) in [(0, 1), (100, 1), (16 * MIB, 1), (16 * MIB + 1, 3), (40 * MIB, 5)] {
        let bytes = pattern(3, size);
        lab.reset_counts();
        world.run_with_input(&["put", "-", "s3://box/piped"], &bytes).ok();
        assert!(stored(&lab, "piped") == bytes, "{size}");
        assert_eq!(lab.counts().puts, puts, "{size}");
    }
}

#[test]
fn a_prefix_keeps_the_name() {
    let lab = strict_lab();
    let world = World::with(&lab);
    world.write("a file.txt", "content");
    world.run(&["put", "a file.txt", "s3://box/dir/"]).ok();
    assert_eq!(stored(&lab, "dir/a file.txt"), b"content");
    let answer = world.run(&["put", "a file.txt", "s3://box", "--json"]).json();
    assert_eq!(answer["url"], "s3://box/a file.txt");
    assert_eq!(stored(&lab, "a file.txt"), b"content");
}

#[test]
fn a_file_of_this_machine() {
    let world = World::new();
    for size in [5, 17 * MIB] {
        let bytes = pattern(4, size);
        world.write("from", &bytes);
        let to = world.path("new/to");
        world.run(&["put", "from", to.to_str().unwrap()]).ok();
        assert!(std::fs::read(&to).unwrap() == bytes);
        std::fs::create_dir_all(world.path("dir")).unwrap();
        world.run(&["put", "from", "dir"]).ok();
        assert!(std::fs::read(world.path("dir/from")).unwrap() == bytes);
    }
    assert_eq!(crate::harness::names_in(&world.path("new")), ["to"]);
}

#[test]
fn no_clobber_replaces_nothing() {
    let lab = strict_lab();
    let world = World::with(&lab);
    lab.objects().put("box", "taken", "old");
    for size in [3, 20 * MIB] {
        world.write("f", pattern(5, size));
        let refused = world.run(&["put", "--no-clobber", "f", "s3://box/taken"]);
        refused.fails(1, &["s3://box/taken exists already", "leave out --no-clobber"]);
        assert_eq!(stored(&lab, "taken"), b"old");
        world
            .run(&["put", "--no-clobber", "f", &format!("s3://box/free-{size}")])
            .ok();
        assert!(stored(&lab, &format!("free-{size}")) == pattern(5, size));
    }
    world.run(&["put", "f", "s3://box/taken"]).ok();
    assert!(stored(&lab, "taken") != b"old");
    assert!(lab.objects().uploads("box").is_empty());
}

#[test]
fn no_clobber_of_local_files() {
    let world = World::new();
    world.write("f", "new");
    world.write("taken", "old");
    let taken = world.path("taken");
    world
        .run(&["put", "--no-clobber", "f", taken.to_str().unwrap()])
        .fails(1, &["exists already"]);
    assert_eq!(std::fs::read(taken).unwrap(), b"old");
}

#[test]
fn a_store_that_cannot_create_only_is_asked_first() {
    let lab = lab();
    let world = World::with(&lab);
    world.write("f", "new");
    let refuse = || {
        Rule::new(FaultKind::Status {
            code: 501,
            retry_after: None,
        })
        .op(Op::Put)
        .times(1)
    };
    lab.faults().add(refuse());
    let outcome = world.run(&["put", "--no-clobber", "f", "s3://box/k"]);
    outcome.ok();
    assert!(
        outcome.stderr.contains("cannot create only"),
        "{}",
        outcome.stderr
    );
    assert_eq!(stored(&lab, "k"), b"new");
    lab.faults().add(refuse());
    world
        .run(&["put", "--no-clobber", "f", "s3://box/k"])
        .fails(1, &["exists already"]);
}

#[test]
fn a_failed_upload_leaves_no_parts() {
    let lab = strict_lab();
    let world = World::with(&lab);
    world.write("f", pattern(6, 40 * MIB));
    lab.faults().add(
        Rule::new(FaultKind::Status {
            code: 403,
            retry_after: None,
        })
        .op(Op::Put)
        .skip_first(2),
    );
    world.run(&["put", "f", "s3://box/k"]).fails(4, &["s3://box/k"]);
    assert!(lab.objects().uploads("box").is_empty());
    assert!(lab.objects().get("box", "k").is_none());
}

#[test]
fn a_passing_failure_is_nothing() {
    let lab = strict_lab();
    let world = World::with(&lab);
    let bytes = pattern(7, 40 * MIB);
    world.write("f", &bytes);
    lab.faults().add(
        Rule::new(FaultKind::Status {
            code: 503,
            retry_after: None,
        })
        .op(Op::Put)
        .skip_first(1)
        .times(2),
    );
    world.run(&["put", "f", "s3://box/k"]).ok();
    assert!(stored(&lab, "k") == bytes);
}

#[test]
fn memory_bounds_the_parts_under_way() {
    let lab = crate::harness::builder()
        .profile(forebay_testkit::Profile::of(
            "slow",
            std::time::Duration::from_millis(30),
            Some(40_000_000),
        ))
        .start()
        .unwrap();
    for (budget, at_most) in [("8MiB", 1), ("256MiB", 4)] {
        let world = World::with(&lab).set("FOREBAY_RANGE_MEMORY_BUDGET", budget);
        world.write("f", pattern(8, 48 * MIB));
        lab.reset_counts();
        world.run(&["put", "f", "s3://box/k"]).ok();
        assert_eq!(lab.counts().max_concurrent_requests, at_most, "{budget}");
    }
}
