//! What becomes of reads when the server misbehaves.

use std::time::Duration;

use forebay_reader::{Freshness, OpenOptions};
use forebay_testkit::{Attributes, Content, FaultKind, Rule};
use forebay_types::{ErrorKind, ManualClock};
use futures::future::join;

use crate::world::{BUCKET, KIB, MIB, Setup, World, check, settled, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_fails_asks_no_more_often_than_its_retries_allow() {
    for (code, requests) in [(503, 3), (403, 1)] {
        let world = World::new(Setup::small_parts().no_read_ahead());
        let content = world.put("object", 1, 4 * MIB);
        let reader = world.uncached();
        let handle = world.open(&reader, "object").await;
        check(&handle, &content, 0, MIB).await;
        let fault = FaultKind::Status {
            code,
            retry_after: None,
        };
        world.lab.faults().add(Rule::new(fault));
        let before = world.gets("object");
        within(handle.read_at(2 * MIB, 1000)).await.unwrap_err();
        assert_eq!(world.gets("object") - before, requests, "{code}");
        drop(handle);
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_that_the_object_changed_finds_the_new_version_when_he_opens_it_again() {
    let clock = ManualClock::default();
    let ttl = Freshness::Ttl(Duration::from_secs(60));
    let world = World::new(Setup::small_parts().no_read_ahead().freshness(ttl).clock(&clock));
    let old = world.put("object", 1, 4 * MIB);
    let reader = world.reader();
    let handle = world.open(&reader, "object").await;
    check(&handle, &old, 0, MIB).await;
    let cache = reader.cache().unwrap();
    within(async {
        while cache.lookup(&handle.id().origin, "object").is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let new = world.put("object", 2, 4 * MIB);
    let error = within(handle.read_at(3 * MIB, 1000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    // "Start again to read the new version", it says.
    let again = world.open(&reader, "object").await;
    check(&again, &new, 3 * MIB, 1000).await;
    check(&again, &new, 0, MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_a_weak_tag_that_became_shorter_has_changed() {
    let tagged = |tag: &str| Attributes {
        etag: Some(tag.to_owned()),
        ..Attributes::default()
    };
    for size in [MIB, 0] {
        let world = World::new(Setup::small_parts().no_read_ahead());
        let old = Content::pattern(1, 4 * MIB);
        world
            .lab
            .objects()
            .put_with(BUCKET, "object", old.clone(), tagged("W/\"one\""));
        for reader in [world.reader(), world.uncached()] {
            world
                .lab
                .objects()
                .put_with(BUCKET, "object", old.clone(), tagged("W/\"one\""));
            let target = world.http_target("object");
            let handle = within(reader.open(target, OpenOptions::default())).await.unwrap();
            check(&handle, &old, 0, 100).await;
            let new = Content::pattern(2, size);
            world
                .lab
                .objects()
                .put_with(BUCKET, "object", new, tagged("W/\"two\""));
            let error = within(handle.read_at(3 * MIB, 1000)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_warm_the_same_object_both_wait_until_it_is_warm() {
    let world = World::new(Setup::small_parts());
    let content = world.put("object", 1, 8 * MIB);
    let slow = FaultKind::Latency(Duration::from_millis(200));
    world.lab.faults().add(Rule::new(slow));
    let reader = world.reader();
    let warm = || within(reader.warm(world.target("object")));
    let (one, two) = join(warm(), warm()).await;
    assert_eq!(one.unwrap().cached, content.size());
    assert_eq!(two.unwrap().cached, content.size());
    assert!(
        world.lab.counts().bytes_sent < content.size() + 2 * MIB + 64 * KIB,
        "and it came once"
    );
}
