//! Single flight: what one fetches the others get.

use forebay_types::{ByteRange, RangeSpec};
use futures::TryStreamExt;
use futures::future::join_all;

use crate::world::{KIB, MIB, Setup, World, check, settled, within};

#[tokio::test(flavor = "multi_thread")]
async fn eight_readers_send_the_gets_of_one() {
    let size = 40 * MIB;
    let alone = World::new(Setup::small_parts());
    alone.put("object", 1, size);
    let reader = alone.reader();
    let stream = within(reader.stream(alone.target("object"), RangeSpec::From(0)))
        .await
        .unwrap();
    let _: Vec<_> = within(stream.try_collect()).await.unwrap();
    settled(&alone, &reader).await;

    let world = World::new(Setup::small_parts());
    let content = world.put("object", 1, size);
    let reader = world.reader();
    let read = async || {
        let stream = reader
            .stream(world.target("object"), RangeSpec::From(0))
            .await
            .unwrap();
        let chunks: Vec<_> = stream.try_collect().await.unwrap();
        content.check(0, &chunks.concat()).unwrap();
        assert_eq!(chunks.concat().len() as u64, size);
    };
    // The first one finds out the version; until then the others could not know that it is the same.
    let first = reader
        .open(world.target("object"), forebay_reader::OpenOptions::default())
        .await
        .unwrap();
    let opens = 8;
    within(join_all((0..opens).map(|_| read()))).await;
    drop(first);
    settled(&world, &reader).await;
    let (one, many) = (alone.lab.counts(), world.lab.counts());
    // Each open asks whether the version is still the present one; that brings no bytes.
    assert!(
        many.gets <= one.gets + opens + 2,
        "{} for eight, {} for one",
        many.gets,
        one.gets
    );
    assert!(
        many.bytes_sent < size + size / 50 + 9 * MIB,
        "{}",
        many.bytes_sent
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_misses_download_once() {
    for cached in [true, false] {
        let world = World::new(Setup::small_parts().no_read_ahead());
        let content = world.put("object", 1, 10 * MIB);
        let reader = if cached { world.reader() } else { world.uncached() };
        let handle = world.open(&reader, "object").await;
        check(&handle, &content, 0, 10).await;
        let before = world.gets("object");
        let reads = (0..16).map(|i| check(&handle, &content, 5 * MIB + i * 100, 200 * KIB));
        within(join_all(reads)).await;
        assert!(
            world.gets("object") - before <= 2,
            "{} GETs",
            world.gets("object") - before
        );
        drop(handle);
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_leaves_takes_nothing_from_the_others() {
    let world = World::new(Setup::small_parts().no_read_ahead());
    let content = world.put("object", 1, 10 * MIB);
    let slow = forebay_testkit::FaultKind::Latency(std::time::Duration::from_millis(100));
    let reader = world.reader();
    let handle = world.open(&reader, "object").await;
    check(&handle, &content, 0, 10).await;
    world.lab.faults().add(forebay_testkit::Rule::new(slow));
    let stays = check(&handle, &content, 4 * MIB, 100 * KIB);
    let leaves = handle.read_at(4 * MIB, 100 * 1024);
    let leaves = tokio::time::timeout(std::time::Duration::from_millis(20), leaves);
    let (_, left) = futures::join!(stays, leaves);
    assert!(left.is_err(), "it was to leave before its bytes came");
    // And one who leaves alone ends his request.
    let alone = tokio::time::timeout(
        std::time::Duration::from_millis(20),
        handle.read_at(8 * MIB, 100 * 1024),
    );
    assert!(alone.await.is_err());
    drop(handle);
    settled(&world, &reader).await;
    let whole = ByteRange::new(0, 10 * MIB);
    assert_eq!(whole.len(), content.size());
}
