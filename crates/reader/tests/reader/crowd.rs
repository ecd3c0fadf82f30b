//! Many who read at random at the same time, with read-ahead on.

use futures::future::join_all;

use crate::world::{KIB, MIB, Setup, World, check, settled, within};

/// Reads of random blocks, each aligned to what is kept.
async fn at_random(
    handle: &forebay_reader::Handle,
    content: &forebay_testkit::Content,
    seed: u64,
    reads: u64,
) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..reads {
        let block = random.u64(0..content.size() / (64 * KIB) - 4);
        check(handle, content, block * 64 * KIB, 256 * KIB).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_on_one_handle_or_on_many_fetches_little_that_nobody_wants() {
    for shared in [true, false] {
        for cached in [true, false] {
            let mut setup = Setup::default();
            setup.range.stall_timeout = std::time::Duration::from_secs(20);
            let world = World::new(setup);
            let content = world.put("object", 1, 256 * MIB);
            let reader = if cached { world.reader() } else { world.uncached() };
            let one = world.open(&reader, "object").await;
            let crowd = (0..32).map(async |seed| {
                let handle = match shared {
                    true => one.clone(),
                    false => world.open(&reader, "object").await,
                };
                at_random(&handle, &content, seed, 8).await;
            });
            within(join_all(crowd)).await;
            let stats = reader.stats();
            // A MiB comes with an open if nothing is known yet.
            let opens = if shared { 1 } else { 33 };
            let fetched = stats.range.bytes_fetched.saturating_sub(opens * MIB);
            assert!(
                fetched * 10 <= stats.served * 13,
                "{fetched} for {}, one handle: {shared}, cache: {cached}",
                stats.served
            );
            drop(one);
            settled(&world, &reader).await;
        }
    }
}
