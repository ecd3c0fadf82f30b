//! Random reads of an object that somebody else keeps rewriting: always exactly one version, or the word that it
//! changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use forebay_testkit::{Content, Rule};
use forebay_types::{ByteRange, ErrorKind, RangeSpec};
use futures::future::join_all;
use proptest::prelude::*;

use crate::world::{BUCKET, DOORS, FORMS, KIB, World, small_parts, take, within};

fn specs() -> impl Strategy<Value = RangeSpec> {
    let size = 900 * KIB;
    prop_oneof![
        (0..size, 0..size).prop_map(|(a, b)| RangeSpec::Bounded(ByteRange::new(a.min(b), a.max(b)))),
        (0..size).prop_map(RangeSpec::From),
        (1..size).prop_map(RangeSpec::Last),
        Just(RangeSpec::From(0)),
    ]
}

fn check(reads: &[(usize, usize, RangeSpec)], sizes: &[u64], pause: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(within(async {
        let world = World::new(small_parts());
        let versions: Vec<Content> = sizes
            .iter()
            .enumerate()
            .map(|(n, size)| Content::pattern(100 + n as u64, *size))
            .collect();
        world.lab.objects().put(BUCKET, "object", versions[0].clone());
        world
            .lab
            .faults()
            .add(Rule::slow_tail(0.2, Duration::from_millis(2), 1));
        let over = Arc::new(AtomicBool::new(false));
        let writer = {
            let (objects, versions, over) = (world.lab.objects().clone(), versions.clone(), over.clone());
            tokio::spawn(async move {
                for version in versions.iter().cycle().skip(1) {
                    tokio::time::sleep(Duration::from_micros(pause)).await;
                    if over.load(Relaxed) {
                        return;
                    }
                    objects.put(BUCKET, "object", version.clone());
                }
            })
        };
        let outcomes = join_all(reads.iter().map(|(door, form, spec)| {
            let target = world.target(DOORS[*door], "object");
            take(&world.engine, target, FORMS[*form], *spec)
        }))
        .await;
        over.store(true, Relaxed);
        writer.await.unwrap();
        for ((door, form, spec), taken) in reads.iter().zip(&outcomes) {
            let version = taken.version_of(&versions);
            match &taken.outcome {
                // The very bytes that the range means in that version. Versions may agree in what little was read,
                // so any that fits will do.
                Ok(_) => {
                    let meant: Vec<_> = versions.iter().filter_map(|v| spec.resolve(v.size())).collect();
                    assert!(
                        meant.contains(&taken.range.unwrap()),
                        "{spec:?}: {:?}",
                        taken.range
                    );
                    let _ = version;
                }
                Err(error) => {
                    let past_the_end = matches!(error, forebay_range::RangeError::OutOfRange { .. });
                    assert!(
                        error.kind() == ErrorKind::Changed || past_the_end,
                        "{spec:?} {:?} {:?}: {error}",
                        DOORS[*door],
                        FORMS[*form]
                    );
                }
            }
        }
        world.settled().await;
    }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn reads_see_exactly_one_version_or_say_that_it_changed(
        reads in prop::collection::vec((0..2_usize, 0..3_usize, specs()), 1..8),
        sizes in prop::collection::vec(prop_oneof![Just(0), 1..900 * KIB], 1..4),
        pause in 200..20_000_u64,
    ) {
        check(&reads, &sizes, pause);
    }
}
