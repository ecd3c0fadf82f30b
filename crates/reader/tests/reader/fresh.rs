//! Which version is read: always one, and the right one.

use std::time::Duration;

use forebay_reader::{Freshness, OpenOptions};
use forebay_testkit::{FaultKind, Rule};
use forebay_types::{Clock, ErrorKind, ManualClock, RangeSpec, SystemClock};
use futures::TryStreamExt;

use crate::world::{KIB, MIB, Setup, World, check, settled, within};

async fn whole(world: &World, reader: &forebay_reader::Reader) -> Vec<u8> {
    let stream = within(reader.stream(world.target("object"), RangeSpec::From(0)))
        .await
        .unwrap();
    let chunks: Vec<_> = within(stream.try_collect()).await.unwrap();
    chunks.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_at_every_open_a_new_version_shows_at_once() {
    let world = World::new(Setup::small_parts());
    let reader = world.reader();
    for (seed, size) in [(1, 2 * MIB), (2, 2 * MIB), (3, 300), (4, 3 * MIB + 1)] {
        let content = world.put("object", seed, size);
        for _ in 0..3 {
            content.check(0, &whole(&world, &reader).await).unwrap();
        }
    }
    settled(&world, &reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn within_its_ttl_a_version_is_not_asked_for() {
    let clock = ManualClock::default();
    let ttl = Duration::from_secs(60);
    let world = World::new(Setup::small_parts().freshness(Freshness::Ttl(ttl)).clock(&clock));
    let reader = world.reader();
    let old = world.put("object", 1, MIB);
    old.check(0, &whole(&world, &reader).await).unwrap();
    reader.flush().await;
    let new = world.put("object", 2, MIB);
    let gets = world.gets("object");
    clock.advance(Duration::from_secs(59));
    old.check(0, &whole(&world, &reader).await).unwrap();
    assert_eq!(world.gets("object"), gets);
    // Another process trusts it as long.
    old.check(0, &whole(&world, &world.reader()).await).unwrap();
    assert_eq!(world.gets("object"), gets);
    clock.advance(Duration::from_secs(2));
    new.check(0, &whole(&world, &reader).await).unwrap();
    assert!(world.gets("object") > gets);
}

#[tokio::test(flavor = "multi_thread")]
async fn confirming_a_version_starts_its_ttl_anew() {
    let clock = ManualClock::default();
    let ttl = Duration::from_secs(60);
    let world = World::new(Setup::small_parts().freshness(Freshness::Ttl(ttl)).clock(&clock));
    let reader = world.reader();
    let content = world.put("object", 1, MIB);
    content.check(0, &whole(&world, &reader).await).unwrap();
    reader.flush().await;
    clock.advance(Duration::from_secs(61));
    let sent = world.lab.counts().bytes_sent;
    content.check(0, &whole(&world, &reader).await).unwrap();
    let gets = world.gets("object");
    assert!(
        world.lab.counts().bytes_sent - sent < 2000,
        "not modified brings no bytes"
    );
    clock.advance(Duration::from_secs(59));
    content.check(0, &whole(&world, &reader).await).unwrap();
    assert_eq!(world.gets("object"), gets);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_by_its_content_is_never_asked_for() {
    let world = World::new(Setup::small_parts().freshness(Freshness::Never));
    let reader = world.reader();
    let content = world.put("object", 1, MIB);
    content.check(0, &whole(&world, &reader).await).unwrap();
    reader.flush().await;
    let gets = world.gets("object");
    content.check(0, &whole(&world, &world.reader()).await).unwrap();
    assert_eq!(world.gets("object"), gets);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_stays_with_its_version() {
    let world = World::new(Setup::small_parts().no_read_ahead());
    let reader = world.reader();
    let old = world.put("object", 1, 4 * MIB);
    let handle = world.open(&reader, "object").await;
    check(&handle, &old, 0, MIB).await;
    // On disk: what is only in memory goes when its place is needed.
    reader.flush().await;
    let new = world.put("object", 2, 4 * MIB);
    // What it has it still reads; what it has not is gone for good.
    check(&handle, &old, 100, 200 * KIB).await;
    let error = within(handle.read_at(3 * MIB, 1000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    // Who opens it now reads the new one, and the old handle goes on beside it.
    let again = world.open(&reader, "object").await;
    for start in [0, 3 * MIB] {
        check(&again, &new, start, 300 * KIB).await;
    }
    reader.flush().await;
    check(&handle, &old, 100, 200 * KIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_went_away_is_not_found_though_it_is_cached() {
    let world = World::new(Setup::small_parts());
    let reader = world.reader();
    world.put("object", 1, MIB);
    whole(&world, &reader).await;
    reader.flush().await;
    world.lab.objects().delete(crate::world::BUCKET, "object");
    let error = within(reader.open(world.target("object"), OpenOptions::default()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let cached = within(reader.open(
        world.target("object"),
        OpenOptions::default().freshness(Freshness::Never),
    ));
    assert_eq!(cached.await.unwrap().size(), MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_date_tells_apart_is_kept_once_the_date_is_past() {
    let clock = ManualClock::default();
    let world = World::new(Setup::small_parts().clock(&clock));
    world.lab.faults().add(Rule::new(FaultKind::MissingETag));
    let content = world.put("object", 1, MIB);
    // The lab's dates are those of the machine; the clock here stands at the same moment.
    clock.advance(SystemClock::new().wall().saturating_sub(clock.wall()));
    let reader = world.reader();
    let entries = || reader.stats().cache.unwrap().entry_count;
    for (wait, kept) in [(0, 0), (5, 1)] {
        clock.advance(Duration::from_secs(wait));
        let handle = within(reader.open(world.http_target("object"), OpenOptions::default()))
            .await
            .unwrap();
        check(&handle, &content, 0, MIB).await;
        drop(handle);
        reader.flush().await;
        assert_eq!(entries(), kept, "after {wait} s");
    }
}
