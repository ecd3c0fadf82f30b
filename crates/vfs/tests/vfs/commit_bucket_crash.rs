//! Commits into a bucket that end in the middle, between random changes: nothing is lost, and the next one completes them.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use forebay_testkit::{FaultKind, Op, Rule};
use forebay_vfs::VfsError;
use forebay_vfs::commit::{BucketOptions, CommitProgress, SendOptions, commit_bucket};
use forebay_vfs::merged::MergedError;
use forebay_vfs::overlay::{Rename, UpperError};

use crate::commit_bucket::{again, bucket, commit, commit_as, is_empty, layers, mount, order, same, tree};
use crate::merged_world::{Mount, WRITE};
use crate::world::within;

const LOWER: &[(&str, &str)] = &[
    ("a", "lower a"),
    ("b", "lower b"),
    ("c", "lower c"),
    ("d/a", "lower d/a"),
    ("d/b", "lower d/b"),
    ("d/e/a", "lower d/e/a"),
    ("f/a", "lower f/a"),
    ("f/b", "lower f/b"),
];

fn path(random: &mut Rng) -> String {
    let dirs = ["", "", "d/", "f/", "d/e/", "g/"];
    let dir = dirs[random.usize(..dirs.len())];
    format!("{dir}{}", ["a", "b", "c"][random.usize(..3)])
}

fn dir(random: &mut Rng) -> &'static str {
    ["d", "f", "g", "d/e", "g/e"][random.usize(..5)]
}

/// What a program may do; what cannot be done is not.
async fn change(mount: &Mount, random: &mut Rng, step: u32) {
    let done = match random.u32(..12) {
        0..3 => mount.write(&path(random), &format!("step {step}")).await,
        3 => match mount.open(&path(random), WRITE).await {
            Ok(file) => within(file.write_at(2, b"!")).await.map(drop),
            Err(error) => Err(error),
        },
        4..6 => mount.unlink(&path(random)).await,
        6..8 => mount.mv(&path(random), &path(random)).await,
        8 => mount.rename(&path(random), &path(random), Rename::Exchange).await,
        9 => mount.mv(dir(random), dir(random)).await,
        10 => mount.mkdir(dir(random)).await.map(drop),
        _ => mount.link(&path(random), &path(random)).await.map(drop),
    };
    match done {
        Ok(()) | Err(MergedError::NotFound { .. }) => {}
        Err(MergedError::Upper(
            UpperError::Exists { .. }
            | UpperError::NoEntry { .. }
            | UpperError::NotEmpty { .. }
            | UpperError::IntoItself { .. }
            | UpperError::NotADir { .. }
            | UpperError::IsADir { .. },
        )) => {}
        Err(MergedError::Lower(VfsError::NotADirectory { .. })) => {}
        Err(error) => panic!("{error:?}"),
    }
}

async fn rounds(seed: u64, is_interrupted: bool) {
    let layers = layers(LOWER);
    let mut random = Rng::with_seed(seed);
    let mut mount = mount(&layers);
    if is_interrupted {
        // So that there is something to interrupt.
        let slow = FaultKind::Latency(Duration::from_millis(3));
        layers.world.lab.faults().add(Rule::new(slow.clone()).op(Op::Put));
        layers.world.lab.faults().add(Rule::new(slow).op(Op::Head));
    }
    for round in 0..6 {
        for step in 0..random.u32(1..14) {
            change(&mount, &mut random, round * 100 + step).await;
        }
        let mut before = tree(&mount).await;
        if is_interrupted {
            for _ in 0..3 {
                let progress = Arc::new(CommitProgress::default());
                let order = order(
                    &layers,
                    BucketOptions {
                        send: SendOptions {
                            at_once: random.usize(1..5),
                            ..SendOptions::default()
                        },
                        ..BucketOptions::default()
                    },
                );
                let going = Box::pin(commit_bucket(&mount.merged, &order, &progress));
                let _ = tokio::time::timeout(Duration::from_millis(random.u64(1..60)), going).await;
                same(&tree(&mount).await, &before);
                if random.bool() {
                    mount = again(&layers, mount);
                    same(&tree(&mount).await, &before);
                }
                if random.bool() {
                    // What was put then, and nobody heard of, is old.
                    for step in 0..random.u32(1..6) {
                        change(&mount, &mut random, round * 100 + 50 + step).await;
                    }
                    before = tree(&mount).await;
                }
            }
        }
        let done = commit(&layers, &mount).await;
        assert_eq!(done.conflicts, [], "seed {seed}, round {round}");
        same(&bucket(&layers), &before);
        same(&tree(&mount).await, &before);
        let none = commit(&layers, &mount).await;
        assert_eq!(
            (none.put, none.copied, none.deleted),
            (0, 0, 0),
            "seed {seed}, round {round}"
        );
        if random.bool() {
            mount = again(&layers, mount);
            same(&tree(&mount).await, &before);
            if done.left_out.is_empty() {
                is_empty(&mount);
            }
        }
    }
    mount.forget_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_changes_the_bucket_is_the_tree() {
    for seed in 0..25 {
        rounds(seed, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_interruption_the_next_commit_completes_it() {
    for seed in 100..112 {
        rounds(seed, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_and_not_heard_of_is_ours_to_replace() {
    for name in ["new", "over", "copied"] {
        for (is_mounted_again, is_removed) in [(false, false), (true, false), (false, true), (true, true)] {
            let layers = layers(&[("over", "lower"), ("from", "from")]);
            let mut mount = mount(&layers);
            let first = match name {
                "copied" => {
                    mount.mv("from", name).await.unwrap();
                    "from"
                }
                _ => {
                    mount.write(name, "first").await.unwrap();
                    "first"
                }
            };
            // The store does it, and says so when nobody listens any more.
            let late = FaultKind::Latency(Duration::from_secs(60));
            layers.world.lab.faults().add(Rule::new(late).op(Op::Put));
            let arrived = async {
                while bucket(&layers)
                    .get(name)
                    .is_none_or(|bytes| *bytes != first.as_bytes())
                {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::select! {
                done = commit_as(&layers, &mount, BucketOptions::default()) => panic!("{done:?}"),
                () = within(arrived) => {}
            }
            layers.world.lab.faults().clear();
            if is_mounted_again {
                mount = again(&layers, mount);
            }
            if is_removed {
                mount.unlink(name).await.unwrap();
            } else {
                mount.write(name, "second").await.unwrap();
            }
            let before = tree(&mount).await;
            let done = commit(&layers, &mount).await;
            let case = format!("{name}, mounted again: {is_mounted_again}, removed: {is_removed}");
            assert_eq!(done.conflicts, [], "{case}");
            same(&bucket(&layers), &before);
            // What somebody else puts there from now on is not ours.
            layers.world.put(name, first);
            mount.write(name, "third").await.unwrap();
            let done = commit(&layers, &mount).await;
            assert_eq!(done.conflicts.len(), 1, "{case}");
            assert_eq!(bucket(&layers)[name], first.as_bytes(), "{case}");
            mount.forget_all();
        }
    }
}
