//! Which bytes a range means, in all forms.

use bytes::Bytes;
use forebay_range::{Discard, RangeError, Target};
use forebay_testkit::{FaultKind, Rule};
use forebay_types::{ByteRange, ErrorKind, RangeSpec};
use object_store::ObjectStoreExt;

use crate::world::{DOORS, Door, FORMS, KIB, MIB, WHOLE, World, bounded, small_parts, take, within};

#[tokio::test(flavor = "multi_thread")]
async fn ranges_mean_what_http_says() {
    let size = MIB + 7;
    let world = World::new(small_parts());
    let content = world.put("object", 1, size);
    let cases: [(RangeSpec, (u64, u64)); 14] = [
        (WHOLE, (0, size)),
        (bounded(0, 1), (0, 1)),
        (bounded(0, size), (0, size)),
        (bounded(10, 400 * KIB), (10, 400 * KIB)),
        (
            bounded(192 * KIB - 1, 192 * KIB + 1),
            (192 * KIB - 1, 192 * KIB + 1),
        ),
        (bounded(size - 1, size), (size - 1, size)),
        (bounded(size - 10, size + 1000), (size - 10, size)),
        (bounded(5, 10 * size), (5, size)),
        (bounded(7, 7), (7, 7)),
        (bounded(0, 0), (0, 0)),
        (RangeSpec::From(size - 5), (size - 5, size)),
        (RangeSpec::From(300_000), (300_000, size)),
        (RangeSpec::Last(300_000), (size - 300_000, size)),
        (RangeSpec::Last(10 * size), (0, size)),
    ];
    for (spec, (start, end)) in cases {
        for door in DOORS {
            for form in FORMS {
                let taken = within(world.take(door, form, "object", spec)).await;
                taken.version_of(std::slice::from_ref(&content));
                let stats = taken
                    .outcome
                    .unwrap_or_else(|e| panic!("{spec:?} {door:?} {form:?}: {e}"));
                assert_eq!(
                    taken.range,
                    Some(ByteRange::new(start, end)),
                    "{spec:?} {door:?} {form:?}"
                );
                assert_eq!(stats.bytes_downloaded, end - start, "{spec:?} {door:?} {form:?}");
                world.settled().await;
            }
        }
    }
    assert_eq!(world.lab.counts().heads, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_past_the_end_are_refused_with_the_size() {
    let world = World::new(small_parts());
    world.put("object", 1, 1000);
    world.put("empty", 1, 0);
    for (key, size, spec) in [
        ("object", 1000, bounded(1000, 1001)),
        ("object", 1000, bounded(1 << 40, 1 << 41)),
        ("object", 1000, RangeSpec::From(1000)),
        ("empty", 0, bounded(0, 1)),
        ("empty", 0, RangeSpec::From(1)),
    ] {
        for door in DOORS {
            for known in [false, true] {
                let mut target = world.target(door, key);
                if known {
                    let source = world.source(door, key);
                    target = target.known(&source.store.head(&source.path).await.unwrap());
                }
                let error = within(world.engine.read(target, spec)).await.unwrap_err();
                assert!(
                    matches!(&error, RangeError::OutOfRange { size: s, .. } if *s == size),
                    "{key} {spec:?} {door:?}: {error}"
                );
                assert_eq!(error.kind(), ErrorKind::Invalid);
                assert!(error.to_string().contains(&format!("{size} bytes")), "{error}");
            }
        }
    }
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_object_is_read_as_nothing() {
    let world = World::new(small_parts());
    let content = world.put("empty", 1, 0);
    for spec in [WHOLE, RangeSpec::Last(10)] {
        for door in DOORS {
            for form in FORMS {
                let taken = within(world.take(door, form, "empty", spec)).await;
                taken.version_of(std::slice::from_ref(&content));
                assert_eq!(
                    taken.outcome.unwrap().bytes_downloaded,
                    0,
                    "{spec:?} {door:?} {form:?}"
                );
                assert_eq!(taken.range, Some(ByteRange::new(0, 0)));
            }
        }
    }
    assert_eq!(world.lab.counts().heads, 0);
    world.settled().await;
}

/// The plain GET after a 416 answers from byte 0, which is not where a tail begins.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_fills_up_while_it_is_found_empty_is_read_at_the_right_place() {
    for spec in [WHOLE, RangeSpec::Last(1000)] {
        for door in DOORS {
            for form in FORMS {
                let world = World::new(small_parts());
                let content = world.put("object", 1, 100 * KIB);
                world.lab.faults().add(
                    Rule::new(FaultKind::Status {
                        code: 416,
                        retry_after: None,
                    })
                    .times(1),
                );
                let taken = within(world.take(door, form, "object", spec)).await;
                taken.version_of(&[content]);
                taken.outcome.unwrap();
                world.settled().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_is_read_in_any_range() {
    let size = MIB + 7;
    let world = World::new(small_parts());
    let content = world.put("object", 1, size);
    world.put("empty", 1, 0);
    world.lab.faults().add(Rule::new(FaultKind::WholeBody));
    for spec in [
        WHOLE,
        bounded(0, 10),
        bounded(10, 400_000),
        RangeSpec::From(size - 5),
        RangeSpec::Last(70_000),
    ] {
        for form in FORMS {
            let taken = within(world.take(Door::Http, form, "object", spec)).await;
            taken.version_of(std::slice::from_ref(&content));
            taken.outcome.unwrap_or_else(|e| panic!("{spec:?} {form:?}: {e}"));
            world.settled().await;
        }
    }
    let error = within(
        world
            .engine
            .read(world.target(Door::Http, "object"), bounded(size, size + 1)),
    )
    .await;
    assert!(
        matches!(error, Err(RangeError::OutOfRange { size: s, .. }) if s == size),
        "{error:?}"
    );
    let (bytes, _) = within(world.engine.read(world.target(Door::Http, "empty"), WHOLE))
        .await
        .unwrap();
    assert!(bytes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_files_are_read_like_the_rest() {
    let world = World::new(small_parts());
    let dir = tempfile::tempdir().unwrap();
    let content = forebay_testkit::Content::pattern(1, MIB + 7);
    let whole = content.read(ByteRange::new(0, MIB + 7));
    std::fs::write(dir.path().join("object"), &whole).unwrap();
    let file = world
        .opener
        .open(&dir.path().join("object").to_str().unwrap().parse().unwrap())
        .unwrap();
    let memory = world.opener.memory();
    let path = object_store::path::Path::from("object");
    memory.store.put(&path, whole.into()).await.unwrap();
    for (source, path) in [(&file, file.path.clone()), (&memory, path)] {
        for form in FORMS {
            for spec in [
                WHOLE,
                bounded(10, 400_000),
                bounded(0, 0),
                RangeSpec::Last(300_000),
            ] {
                let target = Target::at(source, path.clone(), world.config.clone());
                let taken = within(take(&world.engine, target, form, spec)).await;
                taken.version_of(std::slice::from_ref(&content));
                taken.outcome.unwrap_or_else(|e| panic!("{spec:?} {form:?}: {e}"));
            }
            let target = Target::at(source, path.clone(), world.config.clone());
            let taken = within(take(&world.engine, target, form, bounded(2 * MIB, 3 * MIB))).await;
            let error = taken.outcome.unwrap_err();
            assert!(matches!(error, RangeError::OutOfRange { .. }), "{error}");
            let empty = object_store::path::Path::from("empty");
            source.store.put(&empty, Vec::new().into()).await.unwrap();
            for spec in [WHOLE, RangeSpec::Last(10)] {
                let target = Target::at(source, empty.clone(), world.config.clone());
                let taken = within(take(&world.engine, target, form, spec)).await;
                assert_eq!(taken.outcome.unwrap().bytes_downloaded, 0);
            }
        }
    }
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_short_ways_give_the_same_bytes() {
    use futures::TryStreamExt;
    let world = World::new(small_parts());
    let content = world.put("object", 1, MIB);
    let target = || world.target(Door::S3, "object");
    let streamed: Vec<Bytes> = within(async {
        world
            .engine
            .stream(target(), WHOLE)
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap()
    })
    .await;
    content.check(0, &streamed.concat()).unwrap();
    let (read, stats) = within(world.engine.read(target(), WHOLE)).await.unwrap();
    content.check(0, &read).unwrap();
    let sunk = within(
        world
            .engine
            .read_to(target(), WHOLE, std::sync::Arc::new(Discard)),
    )
    .await
    .unwrap();
    assert_eq!((stats.bytes_downloaded, sunk.bytes_downloaded), (MIB, MIB));
    assert!((stats.amplification() - 1.0).abs() < 1e-9 && stats.throughput_mbps() > 0.0);
    let totals = world.engine.stats();
    assert_eq!(totals.bytes_downloaded, 3 * MIB);
    assert_eq!(totals.requests, world.lab.counts().gets);
}
