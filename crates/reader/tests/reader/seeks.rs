//! Readers with a position, and what lies at the edges: nothing, everything, and objects without bytes.

use std::io::{Cursor, Seek, SeekFrom};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forebay_range::Discard;
use forebay_reader::{Freshness, OpenOptions};
use forebay_testkit::{Attributes, Content, FaultKind, Rule};
use forebay_types::{ByteRange, ErrorKind, RangeSpec};
use futures::TryStreamExt;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::runtime::Builder;

use crate::world::{BUCKET, KIB, MIB, Setup, World, check, settled, within};

const SIZE: u64 = MIB + 9;

#[derive(Clone, Copy, Debug)]
enum Step {
    Seek(SeekFrom),
    Read(usize),
    /// Begins to read and thinks better of it.
    Touch(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let near = || prop_oneof![-300i64..300, -(2 * MIB as i64)..2 * MIB as i64];
    prop_oneof![
        (0..2 * MIB).prop_map(|at| Step::Seek(SeekFrom::Start(at))),
        near().prop_map(|by| Step::Seek(SeekFrom::End(by))),
        near().prop_map(|by| Step::Seek(SeekFrom::Current(by))),
        (0usize..100).prop_map(Step::Read),
        (0usize..400_000).prop_map(Step::Read),
        (0usize..100_000).prop_map(Step::Touch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_is_a_cursor_over_the_bytes(steps in prop::collection::vec(any_step(), 1..60), cached in any::<bool>()) {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut setup = Setup::small_parts();
            setup.range.stall_timeout = Duration::from_secs(20);
            let world = World::new(setup);
            let content = world.put("object", 1, SIZE);
            let reader = if cached { world.reader() } else { world.uncached() };
            let mut model = Cursor::new(content.read(ByteRange::new(0, SIZE)));
            let mut ours = world.open(&reader, "object").await.reader();
            for step in steps {
                match step {
                    Step::Seek(to) => match (Seek::seek(&mut model, to), within(ours.seek(to)).await) {
                        (Ok(theirs), Ok(ours)) => assert_eq!(theirs, ours, "{to:?}"),
                        (Err(theirs), Err(ours)) => assert_eq!(theirs.kind(), ours.kind(), "{to:?}"),
                        (theirs, ours) => panic!("{to:?}: {theirs:?}, {ours:?}"),
                    },
                    Step::Read(len) => {
                        let (mut theirs, mut got) = (vec![0; len], vec![0; len]);
                        let mut done = 0;
                        while done < len {
                            match within(ours.read(&mut got[done..])).await.unwrap() {
                                0 => break,
                                n => done += n,
                            }
                        }
                        let expected = std::io::Read::read(&mut model, &mut theirs).unwrap();
                        assert_eq!(done, expected);
                        assert!(theirs == got, "{step:?} at {}", model.position());
                    }
                    Step::Touch(len) => {
                        // A read that is dropped has taken nothing.
                        let mut buf = vec![0; len];
                        let taken = futures::FutureExt::now_or_never(ours.read(&mut buf));
                        let taken = taken.map_or(0, Result::unwrap);
                        content.check(model.position().min(SIZE), &buf[..taken]).unwrap();
                        model.set_position(model.position() + taken as u64);
                    }
                }
            }
            drop(ours);
            settled(&world, &reader).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_and_everything_can_be_asked_for() {
    for cached in [true, false] {
        let world = World::new(Setup::small_parts());
        let content = world.put("object", 1, SIZE);
        let reader = if cached { world.reader() } else { world.uncached() };
        let handle = world.open(&reader, "object").await;
        for at in [0, 1, SIZE - 1, SIZE, SIZE + 1, u64::MAX - 1, u64::MAX] {
            assert!(within(handle.read_at(at, 0)).await.unwrap().is_empty());
            assert_eq!(within(handle.read_into(at, &mut [])).await.unwrap(), 0);
            assert_eq!(handle.try_read_at(at, &mut []), Some(0));
            let rest = within(handle.read_at(at, usize::MAX)).await.unwrap();
            assert_eq!(rest.len() as u64, SIZE.saturating_sub(at), "{at}");
            content.check(at.min(SIZE), &rest).unwrap();
            let range = ByteRange::new(at, u64::MAX);
            let copied = within(handle.copy_to(range, Arc::new(Discard))).await.unwrap();
            assert_eq!(copied, SIZE.saturating_sub(at), "{at}");
            let chunks: Vec<_> = within(handle.stream(range).try_collect()).await.unwrap();
            assert_eq!(chunks.concat().len() as u64, SIZE.saturating_sub(at), "{at}");
        }
        let gone = within(reader.stream(world.target("object"), RangeSpec::From(SIZE))).await;
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::Invalid);
        drop(handle);
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_bytes_is_an_object() {
    for cached in [true, false] {
        let world = World::new(Setup::small_parts());
        world.put("empty", 1, 0);
        let reader = if cached { world.reader() } else { world.uncached() };
        for _ in 0..3 {
            for target in [world.target("empty"), world.http_target("empty")] {
                let warmed = within(reader.warm(target.clone())).await.unwrap();
                assert_eq!((warmed.size, warmed.fetched), (0, 0));
                let handle = within(reader.open(target.clone(), OpenOptions::default())).await;
                let handle = handle.unwrap();
                assert_eq!(handle.size(), 0);
                assert!(within(handle.read_at(0, 100)).await.unwrap().is_empty());
                let whole = within(reader.stream(target, RangeSpec::From(0))).await.unwrap();
                let chunks: Vec<_> = within(whole.try_collect()).await.unwrap();
                assert!(chunks.is_empty());
                settled(&world, &reader).await;
            }
        }
        // It gets some, and loses them again.
        for (seed, size) in [(2, 300 * KIB), (3, 0), (4, 77)] {
            let content = world.put("empty", seed, size);
            let handle = world.open(&reader, "empty").await;
            assert_eq!(handle.size(), size);
            check(&handle, &content, 0, size + 1).await;
            drop(handle);
            settled(&world, &reader).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_tells_versions_by_their_date_is_asked_again_and_believed() {
    let dated = |age: u64| Attributes {
        last_modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 - age)),
        ..Attributes::default()
    };
    let world = World::new(Setup::small_parts());
    world.lab.faults().add(Rule::new(FaultKind::MissingETag));
    let reader = world.reader();
    for (seed, age) in [(1, 900), (2, 500)] {
        let content = Content::pattern(seed, SIZE);
        let objects = world.lab.objects();
        objects.put_with(BUCKET, "object", content.clone(), dated(age));
        for round in 0..3 {
            let handle = within(reader.open(world.http_target("object"), OpenOptions::default()))
                .await
                .unwrap_or_else(|error| panic!("round {round} of {seed}: {error}"));
            check(&handle, &content, 0, SIZE).await;
            drop(handle);
            settled(&world, &reader).await;
        }
    }
    let kept = OpenOptions::default().freshness(Freshness::Never);
    let handle = within(reader.open(world.http_target("object"), kept))
        .await
        .unwrap();
    assert!(handle.is_cached(), "a date tells versions apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_names_another_successor_gets_that_one() {
    let world = World::new(Setup::small_parts());
    let content = world.put("first", 1, 2 * MIB);
    let next = world.put("third", 3, 2 * MIB);
    world.put("second", 2, 2 * MIB);
    let reader = world.uncached();
    let handle = world.open(&reader, "first").await;
    handle.followed_by(&reader, world.target("second"));
    handle.followed_by(&reader, world.target("third"));
    let mut at = 0;
    while at < content.size() {
        check(&handle, &content, at, 128 * KIB).await;
        at += 128 * KIB;
    }
    let third = world.open(&reader, "third").await;
    check(&third, &next, 0, 2 * MIB).await;
    assert_eq!(world.gets("second"), 0);
    drop((handle, third));
    settled(&world, &reader).await;
}
