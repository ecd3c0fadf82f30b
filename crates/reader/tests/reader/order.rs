//! Positions, lengths and the order of requests.

use std::sync::mpsc;
use std::time::Duration;

use forebay_reader::OpenOptions;
use forebay_testkit::{Face, Profile};
use forebay_types::{ByteRange, RangeSpec};
use futures::TryStreamExt;
use tokio::runtime::Builder;

use crate::world::{BUCKET, KIB, MIB, Setup, World, check, settled, within};

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_unknown_object_costs_one_request() {
    for (size, len) in [(20 * MIB, 1000), (20 * MIB + 5, 1000), (20 * MIB + 5, 300 * KIB)] {
        let world = World::new(Setup::default().no_read_ahead());
        let content = world.put("object", 1, size);
        let reader = world.reader();
        let stream = within(reader.stream(world.target("object"), RangeSpec::Last(len)))
            .await
            .unwrap();
        let chunks: Vec<_> = within(stream.try_collect()).await.unwrap();
        content.check(size - len, &chunks.concat()).unwrap();
        assert_eq!(chunks.concat().len() as u64, len);
        assert_eq!(world.gets("object"), 1, "the last {len} of {size}");
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_fetches_nothing_twice() {
    // A line on which the first answer takes longer than the reader does to begin.
    let slow = Profile::of("slow", Duration::from_millis(5), Some(30_000_000));
    for ahead in [true, false] {
        for cached in [true, false] {
            let setup = Setup::default();
            let setup = if ahead { setup } else { setup.no_read_ahead() };
            let world = World::at(slow.clone(), Face::Fast, setup);
            let size = 20 * MIB + 5;
            let content = world.put("object", 1, size);
            let reader = if cached { world.reader() } else { world.uncached() };
            let stream = within(reader.stream(world.target("object"), RangeSpec::From(0)))
                .await
                .unwrap();
            let handle = stream.handle().clone();
            tokio::time::sleep(Duration::from_millis(120)).await;
            let chunks: Vec<_> = within(stream.try_collect()).await.unwrap();
            content.check(0, &chunks.concat()).unwrap();
            let fetched = handle.stats().range.bytes_fetched;
            assert_eq!(fetched, size, "read-ahead {ahead}, cache {cached}");
            drop(handle);
            settled(&world, &reader).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_somebody_waits_for_goes_before_read_ahead() {
    let mut setup = Setup::small_parts();
    setup.range.max_concurrent_ranges = 2;
    setup.range.ask_early = false;
    let slow = Profile::of("slow", Duration::from_millis(10), Some(5_000_000));
    let world = World::at(slow, Face::Fast, setup);
    let content = world.put("object", 1, 64 * MIB);
    let reader = world.uncached();
    let handle = world.open(&reader, "object").await;
    // Some dozens of parts are asked for ahead, of which two flow.
    handle.will_read(ByteRange::new(0, 64 * MIB));
    check(&handle, &content, 0, 128 * KIB).await;
    assert!(handle.stats().read_ahead.asked_ahead > 4 * MIB);
    let before = world.gets("object");
    check(&handle, &content, 50 * MIB, 1000).await;
    let counts = world.lab.counts();
    let ranges = &counts.keys[&format!("{BUCKET}/object")].ranges;
    let place = ranges[before as usize..]
        .iter()
        .position(|range| matches!(range, Some(RangeSpec::Bounded(range)) if range.start() == 50 * MIB))
        .unwrap();
    // Those that flowed may have made way for one more each while it was on its way to the queue.
    assert!(place <= 2, "{place} requests went before it");
    drop(handle);
    settled(&world, &reader).await;
}

#[test]
fn a_handle_that_outlives_its_runtime_reads_or_fails_but_does_not_hang() {
    let runtime = || {
        Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let world = World::new(Setup::small_parts().no_read_ahead());
    let content = world.put("object", 1, 4 * MIB);
    let reader = world.uncached();
    let first = runtime();
    let handle = first.block_on(async {
        let handle = reader
            .open(world.target("object"), OpenOptions::default())
            .await
            .unwrap();
        check(&handle, &content, 0, MIB).await;
        handle
    });
    drop(first);
    let (told, tell) = mpsc::channel();
    // A thread of its own: a read that spins would never let a deadline in its runtime ring.
    std::thread::spawn(move || {
        let read = runtime().block_on(handle.read_at(2 * MIB, 1000));
        let _ = told.send(read);
    });
    match tell.recv_timeout(Duration::from_secs(10)) {
        Ok(Ok(bytes)) => content.check(2 * MIB, &bytes).unwrap(),
        Ok(Err(_)) => {}
        Err(_) => panic!("the read hangs"),
    }
}
