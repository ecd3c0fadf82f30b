//! A read that is given up leaves nothing behind, whenever that happens.

use std::sync::Arc;
use std::time::Duration;

use forebay_range::Discard;
use forebay_testkit::{FaultKind, Point, Profile, Rule};
use futures::StreamExt;

use crate::world::{DOORS, Door, FORMS, Form, MIB, WHOLE, World, small_parts, take, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_read_gives_everything_back() {
    let far = Profile::of("far", Duration::from_millis(5), Some(20_000_000));
    for door in DOORS {
        for form in FORMS {
            let world = World::at(far.clone(), small_parts());
            world.put("object", 1, 4 * MIB);
            let mut dice = fastrand::Rng::with_seed(11);
            for _ in 0..25 {
                let patience = Duration::from_micros(dice.u64(0..60_000));
                let read = take(&world.engine, world.target(door, "object"), form, WHOLE);
                // Most of these end by the timeout: the whole takes 50 ms and more.
                let _ = tokio::time::timeout(patience, read).await;
            }
            world.settled().await;
            // What the pool keeps is idle; all others are closed.
            let idle = world.opener.transport().idle_connections() as u64;
            for _ in 0..200 {
                if world.lab.counts().open_connections <= idle {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(
                world.lab.counts().open_connections <= idle,
                "{door:?} {form:?}: {:?}",
                world.lab.counts()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_dropped_after_some_bytes_gives_everything_back() {
    let world = World::at(
        Profile::of("far", Duration::from_millis(5), Some(20_000_000)),
        small_parts(),
    );
    let content = world.put("object", 1, 4 * MIB);
    for taken in [0, 1, 3, 10, 20] {
        let mut stream = within(world.engine.stream(world.target(Door::S3, "object"), WHOLE))
            .await
            .unwrap();
        let mut at = 0;
        for _ in 0..taken {
            let chunk = within(stream.next()).await.unwrap().unwrap();
            content.check(at, &chunk).unwrap();
            at += chunk.len() as u64;
        }
        drop(stream);
        world.settled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_a_silent_server_can_be_dropped() {
    for point in [Point::BeforeHeaders, Point::AfterBody(1000)] {
        for form in [Form::Stream, Form::Read, Form::ReadTo] {
            let mut config = small_parts();
            config.stall_timeout = Duration::from_secs(60);
            let world = World::new(config);
            world.put("object", 1, MIB);
            world.lab.faults().add(Rule::new(FaultKind::Stall {
                at: point,
                resume: None,
            }));
            let read = take(&world.engine, world.target(Door::S3, "object"), form, WHOLE);
            assert!(
                tokio::time::timeout(Duration::from_millis(100), read)
                    .await
                    .is_err()
            );
            world.settled().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opened_object_that_is_never_read_costs_nothing() {
    let world = World::new(small_parts());
    world.put("object", 1, 4 * MIB);
    let opened = within(world.engine.open(world.target(Door::S3, "object"), WHOLE))
        .await
        .unwrap();
    assert_eq!(opened.range().len(), 4 * MIB);
    drop(opened);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_ends_the_read() {
    struct Full;
    impl forebay_range::RangeSink for Full {
        fn write_at(&self, offset: u64, _: &[u8]) -> std::io::Result<()> {
            if offset > 300_000 {
                Err(std::io::ErrorKind::StorageFull.into())
            } else {
                Ok(())
            }
        }
    }
    let world = World::new(small_parts());
    world.put("object", 1, 4 * MIB);
    let error = within(
        world
            .engine
            .read_to(world.target(Door::S3, "object"), WHOLE, Arc::new(Full)),
    )
    .await;
    assert_eq!(error.unwrap_err().kind(), forebay_types::ErrorKind::NoSpace);
    world.settled().await;
    within(
        world
            .engine
            .read_to(world.target(Door::S3, "object"), WHOLE, Arc::new(Discard)),
    )
    .await
    .unwrap();
}
