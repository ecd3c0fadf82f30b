//! Commits in the middle of which a process is killed: the daemon that makes one, or the program that waits for it.

use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use forebay_manifest::Hash;
use forebay_testkit::{FaultClass, FaultKind, Lab, ListQuery, Object, Op, Point, Rule};
use forebay_types::ByteRange;
use serde_json::Value;

use crate::at::{At, kill, may_mount};
use crate::harness::{Outcome, World, strict_lab, wait_for};
use crate::mount_manifest::{noise, url};
use crate::mount_writable::{commit, copy, inputs, mount, same};

/// Files that each round writes.
const FILES: u32 = 50;

/// How often the daemon is killed; the last time when all is done.
const ROUNDS: u32 = 5;

/// Writes many files into a tree, and changes some that are there.
fn write(tree: &Path, round: u32) {
    let dir = tree.join(format!("round{round}/deep"));
    std::fs::create_dir_all(&dir).unwrap();
    for n in 0..FILES {
        let (seed, len) = (round * FILES + n, 100 + 1717 * n as usize);
        std::fs::write(dir.join(format!("file{n}")), noise(len, seed)).unwrap();
    }
    if round == 0 {
        // One that is sent in parts.
        std::fs::write(dir.join("parts"), noise((17 << 20) + 5, 99)).unwrap();
    }
    std::fs::write(tree.join("three"), format!("three of round {round}")).unwrap();
    let large = std::fs::File::options().write(true).open(tree.join("large"));
    let large = large.unwrap();
    let at = u64::from(round) * 200_000 + 17;
    std::os::unix::fs::FileExt::write_all_at(&large, b"changed", at).unwrap();
    std::fs::rename(dir.join("file1"), dir.join("moved")).unwrap();
    std::fs::remove_file(dir.join("file2")).unwrap();
}

/// Every request for contents or manifests takes a while.
fn slow(lab: &Lab) {
    let latency = FaultKind::Latency(Duration::from_millis(15));
    lab.faults().add(Rule::new(latency).any_op().key_prefix("root/"));
}

fn to(round: u32) -> String {
    format!("s3://box/root/Manifests/out{round}")
}

fn is_stored(lab: &Lab, round: u32) -> bool {
    let key = format!("root/Manifests/out{round}");
    lab.objects().get("box", &key).is_some()
}

/// Begins a commit, and waits until it is so far, or over.
fn begin(world: &World, at: &At, round: u32, is_so_far: impl Fn() -> bool) -> Child {
    let mut child = world.spawn(&["commit", at.name(), "-o", &to(round), "--json"]);
    wait_for("the commit to get on", || {
        is_so_far() || child.try_wait().unwrap().is_some()
    });
    child
}

/// The contents that are in the store, by their names.
fn stored(lab: &Lab) -> Vec<(String, Arc<Object>)> {
    let query = ListQuery {
        prefix: "root/Data/".to_owned(),
        max: usize::MAX,
        ..ListQuery::default()
    };
    lab.objects().list("box", &query).unwrap().objects
}

/// Every content is what its name says; how many there are.
fn check_contents(lab: &Lab) -> usize {
    let stored = stored(lab);
    for (key, object) in &stored {
        let content = &object.content;
        let hash = Hash::of(&content.read(ByteRange::new(0, content.size())));
        assert_eq!(key, &format!("root/Data/{hash}.xxh128"));
    }
    stored.len()
}

/// The manifest has all its contents, and mounted by somebody who knows nothing else it is this tree.
fn check_manifest(lab: &Lab, round: u32, tree: &Path) {
    let world = World::with(lab);
    let manifest = to(round);
    let store = ["--cas", "s3://box/root/Data", "--deep"];
    world
        .run(&[&["manifest", "verify", &manifest][..], &store].concat())
        .ok();
    let at = At::new(&world);
    world
        .run(&["mount", &url(&format!("out{round}"), &[]), at.name()])
        .ok();
    same(&at.0, tree);
    at.unmount(&world);
}

#[test]
fn a_commit_whose_daemon_is_killed_was_made_or_not() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    let world = World::with(&lab);
    inputs(&world, &lab);
    let at = At::new(&world);
    let plain = copy(&world);
    let mut pid = mount(&world, &at);
    let mut random = fastrand::Rng::with_seed(23);
    for round in 0..ROUNDS {
        for tree in [&at.0, &plain] {
            write(tree, round);
        }
        slow(&lab);
        // Anywhere from before the first to after the last: each content is asked for, and most are sent.
        let requests = match round {
            _ if round + 1 == ROUNDS => u64::MAX,
            _ => random.u64(0..u64::from((round + 2) * FILES)),
        };
        lab.reset_counts();
        let child = begin(&world, &at, round, || lab.counts().requests >= requests);
        kill(pid);
        let told = Outcome::of(child.wait_with_output().unwrap());
        // Requests that were on their way arrive, or not.
        wait_for("the last requests", || lab.counts().concurrent_requests == 0);
        lab.faults().clear();
        let before = (is_stored(&lab, round), check_contents(&lab));
        eprintln!(
            "round {round}: killed after {requests} requests, stored: {before:?}, {:?}",
            told.code
        );
        match told.code {
            Some(0) => assert!(before.0),
            code => told.fails(code.unwrap(), &[at.name()]),
        }
        if before.0 {
            check_manifest(&lab, round, &plain);
        }
        pid = mount(&world, &at);
        same(&at.0, &plain);
        let done = commit(&world, &at, &format!("out{round}"), &[]);
        assert_eq!(done["same_was_there"], before.0);
        check_contents(&lab);
        check_manifest(&lab, round, &plain);
    }
    assert!(is_stored(&lab, ROUNDS - 1));
    at.unmount(&world);
}

#[test]
fn a_commit_that_nobody_waits_for_any_more_ends() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    let world = World::with(&lab);
    inputs(&world, &lab);
    let at = At::new(&world);
    let plain = copy(&world);
    mount(&world, &at);
    for tree in [&at.0, &plain] {
        write(tree, 0);
    }
    // The second half of the contents never arrives: whoever waits for that, waits for ever.
    let stall = FaultKind::Stall {
        at: Point::BeforeHeaders,
        resume: None,
    };
    let second_half = Rule::new(stall)
        .op(Op::Put)
        .key_prefix("root/Data/")
        .skip_first(FILES / 2);
    lab.faults().add(second_half);
    let before = stored(&lab).len();
    let is_half = || lab.faults().injected(FaultClass::Stall) > 0 && stored(&lab).len() > before + 5;
    let mut child = begin(&world, &at, 0, is_half);
    child.kill().unwrap();
    child.wait().unwrap();
    // The mount goes on.
    std::fs::write(at.0.join("after"), "after").unwrap();
    std::fs::write(plain.join("after"), "after").unwrap();
    same(&at.0, &plain);
    lab.faults().clear();
    assert!(!is_stored(&lab, 0));
    check_contents(&lab);
    // Its requests are never answered, and still there is room for another commit: it has ended.
    let mut done = Value::Null;
    wait_for("the end of the first commit", || {
        let next = world.run(&["commit", at.name(), "-o", &to(0), "--json"]);
        let is_busy = next.stderr.contains("being committed already");
        if !is_busy {
            done = next.json();
        }
        !is_busy
    });
    assert!(done["there_objects"].as_u64() > Some(5), "{done}");
    check_manifest(&lab, 0, &plain);
    at.unmount(&world);
}
