use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn step(to: &str, reads: Option<&str>, size: u64) -> Step {
    Step {
        to: to.into(),
        reads: reads.map(Into::into),
        size,
        after: Vec::new(),
    }
}

#[test]
fn what_is_read_is_written_later() {
    // A log that is rotated: 1 becomes 2, the current one 1, and a new one is begun.
    let steps = [
        step("log", None, 0),
        step("log.1", Some("log"), 9),
        step("log.2", Some("log.1"), 9),
    ];
    let order = order(&steps);
    assert_eq!(
        order,
        Order {
            bring: vec![],
            waves: vec![vec![2], vec![1], vec![0]],
            next: vec![vec![], vec![0], vec![1]],
        }
    );
}

#[test]
fn of_a_swap_the_smaller_one_is_brought() {
    let steps = [
        step("a", Some("b"), 100),
        step("b", Some("a"), 7),
        // In place, with a part of it below.
        step("c", Some("c"), 1),
    ];
    let order = order(&steps);
    assert_eq!(order.bring, [1]);
    assert_eq!(order.waves, [vec![2], vec![0], vec![1]]);
}

#[test]
fn a_name_that_becomes_a_directory_is_read_first() {
    // `a` was moved to `a/b`: in a file system it must go before.
    let mut moved = step("a/b", Some("a"), 5);
    moved.after.push(1);
    let order = order(&[moved, step("a", None, 0)]);
    assert_eq!(order.bring, [0]);
    assert_eq!(order.waves, [vec![1], vec![0]]);
}

/// What a name has in the end: nothing, new content, or what another one had.
#[derive(Clone, Debug)]
enum End {
    Nothing,
    New,
    Of(usize),
}

const NAMES: usize = 9;

fn name(at: usize) -> String {
    format!("n{at}")
}

fn ends() -> impl Strategy<Value = Vec<(End, u64)>> {
    let end = prop_oneof![
        1 => Just(End::Nothing),
        1 => Just(End::New),
        5 => (0..NAMES).prop_map(End::Of),
    ];
    prop::collection::vec((end, 0..100_u64), NAMES)
}

proptest! {
    #[test]
    fn nothing_is_lost_however_names_are_moved(ends in ends(), seed in any::<u64>()) {
        let old = |at: usize| format!("old {at}");
        let mut expected = BTreeMap::new();
        let mut steps = Vec::new();
        for (at, (end, size)) in ends.iter().enumerate() {
            let (reads, content) = match end {
                End::Nothing => continue,
                End::New => (None, format!("new {at}")),
                End::Of(other) => (Some(name(*other)), old(*other)),
            };
            expected.insert(name(at), content);
            if matches!(end, End::Of(other) if *other == at) {
                continue;
            }
            steps.push(step(&name(at), reads.as_deref(), *size));
        }
        let planned = order(&steps);
        let mut bucket: BTreeMap<String, String> = (0..NAMES).map(|at| (name(at), old(at))).collect();
        let read = |bucket: &BTreeMap<String, String>, step: &Step| match &step.reads {
            Some(path) => bucket[&**path].clone(),
            None => expected[&*step.to].clone(),
        };
        let brought: HashMap<usize, String> =
            planned.bring.iter().map(|at| (*at, read(&bucket, &steps[*at]))).collect();
        let mut done = vec![false; steps.len()];
        let mut random = seed;
        for wave in &planned.waves {
            // In any order.
            let mut wave = wave.clone();
            for at in (1..wave.len()).rev() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                wave.swap(at, (random >> 33) as usize % (at + 1));
            }
            for at in wave {
                prop_assert!(!done[at], "twice");
                done[at] = true;
                let content = brought.get(&at).cloned().unwrap_or_else(|| read(&bucket, &steps[at]));
                prop_assert_eq!(&content, &expected[&*steps[at].to], "a source was lost");
                bucket.insert(steps[at].to.to_string(), content);
            }
        }
        prop_assert!(done.iter().all(|done| *done), "{planned:?}");
        bucket.retain(|path, _| expected.contains_key(path));
        prop_assert_eq!(bucket, expected);
        // What reads an object is told to whoever writes it.
        for (at, step) in steps.iter().enumerate() {
            for (later, other) in steps.iter().enumerate() {
                if later != at && step.reads.as_deref() == Some(&other.to) {
                    prop_assert!(planned.next[at].contains(&later));
                }
            }
        }
    }
}
