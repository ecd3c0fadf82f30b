//! The memory budget is kept, whoever sits on it, and nobody starves for it.

use std::time::Duration;

use forebay_range::{EngineOptions, RangeEngineConfig};
use forebay_source::Profile;
use forebay_testkit::{FaultKind, Lab, Rule};
use futures::StreamExt;
use futures::future::join_all;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::world::{DOORS, Door, FORMS, Form, KIB, MIB, WHOLE, World, small_parts, take, within};

fn tight(config: RangeEngineConfig, budget: u64) -> World {
    let options = EngineOptions {
        memory_budget: budget,
        ..EngineOptions::default()
    };
    World::with(Lab::builder(), config, options, |_| {})
}

/// Bytes that came over the wire and that no reader has taken.
fn buffered(world: &World, taken: u64) -> u64 {
    world.opener.transport().meter().received_bytes() - taken
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_finish_beside_one_that_does_not_read() {
    let world = tight(
        RangeEngineConfig {
            chunk_size: 512 * KIB,
            min_split_size: MIB,
            ..small_parts()
        },
        2 * MIB,
    );
    let content = world.put("object", 1, 6 * MIB);
    // It takes nothing, and may hold the whole budget.
    let mut stalled = within(world.engine.stream(world.target(Door::S3, "object"), WHOLE))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(world.engine.budget().in_flight() > 0);

    let readers = 5;
    let reads = (0..readers).map(|n| {
        let (world, content) = (&world, &content);
        async move {
            let taken = world
                .take(Door::S3, FORMS[n % FORMS.len()], "object", WHOLE)
                .await;
            taken.version_of(std::slice::from_ref(content));
            taken.outcome.unwrap();
        }
    });
    let watch = async {
        let most = 2 * MIB + (readers as u64 + 1) * MIB;
        loop {
            let held = world.engine.budget().in_flight();
            assert!(held <= most, "{held} bytes in flight");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(async {
        tokio::select! {
            _ = join_all(reads) => {}
            () = watch => {}
        }
    })
    .await;

    // And the one that slept goes on where it was.
    let mut at = 0;
    while let Some(chunk) = within(stalled.next()).await {
        let chunk = chunk.unwrap();
        content.check(at, &chunk).unwrap();
        at += chunk.len() as u64;
    }
    assert_eq!(at, 6 * MIB);
    drop(stalled);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_do_not_run_ahead_of_their_readers_by_more_than_the_budget() {
    let size = 32 * MIB;
    let budget = 2 * MIB;
    let whole_bodies = Rule::new(FaultKind::WholeBody);
    let split = RangeEngineConfig {
        chunk_size: 8 * MIB,
        min_split_size: 12 * MIB,
        ..small_parts()
    };
    let unsplit = RangeEngineConfig {
        min_split_size: u64::MAX,
        ..split.clone()
    };
    for (door, config, rule) in [
        (Door::S3, split.clone(), None),
        (Door::S3, unsplit, None),
        (Door::Http, split, Some(whole_bodies)),
    ] {
        let world = tight(config, budget);
        let content = world.put("object", 1, size);
        if let Some(rule) = rule {
            world.lab.faults().add(rule);
        }
        let mut stream = within(world.engine.stream(world.target(door, "object"), WHOLE))
            .await
            .unwrap();
        let mut at = 0;
        while let Some(chunk) = within(stream.next()).await {
            let chunk = chunk.unwrap();
            content.check(at, &chunk).unwrap();
            at += chunk.len() as u64;
            if at % (4 * MIB) < chunk.len() as u64 {
                tokio::time::sleep(Duration::from_millis(30)).await;
                // The codec's buffer and one chunk come on top, for each connection.
                let ahead = buffered(&world, at).min(size);
                assert!(ahead <= budget + 2 * MIB, "{door:?}: {ahead} bytes ahead at {at}");
            }
        }
        assert_eq!(at, size);
        drop(stream);
        world.settled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_below_one_part_is_enough_in_every_form() {
    for door in DOORS {
        for form in FORMS {
            let world = tight(small_parts(), 4 * KIB);
            let content = world.put("object", 1, MIB);
            let taken = within(world.take(door, form, "object", WHOLE)).await;
            taken.version_of(&[content]);
            taken.outcome.unwrap();
            world.settled().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_is_asked_once_however_little_memory_there_is() {
    for form in FORMS {
        let world = tight(small_parts(), 64 * KIB);
        let content = world.put("object", 1, 4 * MIB);
        world.lab.faults().add(Rule::new(FaultKind::WholeBody));
        // Somebody else has it all.
        let other = world.engine.budget().reserve(64 * KIB).await;
        let taken = within(world.take(Door::Http, form, "object", WHOLE)).await;
        taken.version_of(&[content]);
        assert_eq!(taken.outcome.unwrap().requests, 1, "{form:?}");
        drop(other);
        world.settled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsplit_source_is_one_request() {
    let world = tight(RangeEngineConfig::for_profile(&Profile::MEMORY), 64 * KIB);
    let memory = world.opener.memory();
    let content = forebay_testkit::Content::pattern(1, 20 * MIB);
    let path = Path::from("object");
    let bytes = content.read(forebay_types::ByteRange::new(0, 20 * MIB));
    memory.store.put(&path, bytes.into()).await.unwrap();
    for form in [Form::Stream, Form::Read, Form::ReadTo] {
        let target = forebay_range::Target::at(&memory, path.clone(), world.config.clone());
        let taken = within(take(&world.engine, target, form, WHOLE)).await;
        taken.version_of(std::slice::from_ref(&content));
        assert_eq!(taken.outcome.unwrap().requests, 1, "{form:?}");
    }
    world.settled().await;
}
