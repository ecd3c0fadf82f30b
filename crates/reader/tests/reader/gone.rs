//! Several who read what is not to be had: each hears why.

use std::sync::Arc;
use std::time::Duration;

use forebay_range::Discard;
use forebay_testkit::FaultKind;
use forebay_testkit::Rule;
use forebay_types::{ByteRange, ErrorKind};
use futures::future::{join, join_all};

use crate::world::{KIB, MIB, Setup, World, check, content_of, settled, within};

#[tokio::test(flavor = "multi_thread")]
async fn all_who_read_a_version_that_is_gone_hear_that_it_changed() {
    let world = World::new(Setup::small_parts().no_read_ahead());
    let (first, second) = (world.reader(), world.reader());
    for round in 0..60 {
        let key = format!("object-{round}");
        world.put_tagged(&key, 1, 200 * KIB);
        let handle = world.open(&first, &key).await;
        check(&handle, &content_of(handle.id()), 0, 200 * KIB).await;
        first.flush().await;
        world.put_tagged(&key, 2, 256 * KIB);
        // What the first has on disk goes.
        second.cache().unwrap().clear().unwrap();
        first.cache().unwrap().clear().unwrap();
        let mut buf = vec![0; 177_407];
        let (large, small) = within(join(
            handle.read_into(17_700, &mut buf),
            handle.read_at(74_600, 94),
        ))
        .await;
        for outcome in [large.map(drop), small.map(drop)] {
            // Or they were in memory still.
            if let Err(error) = outcome {
                assert_eq!(error.kind(), ErrorKind::Changed, "round {round}: {error}");
            }
        }
        drop(handle);
    }
    settled(&world, &first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_on_in_a_version_that_is_gone_hears_it_each_time() {
    for cached in [true, false] {
        let world = World::new(Setup::small_parts().no_read_ahead());
        world.put("object", 1, 4 * MIB);
        let reader = if cached { world.reader() } else { world.uncached() };
        let handle = world.open(&reader, "object").await;
        world.put("object", 2, 4 * MIB);
        let mut buf = vec![0; 1000];
        for round in 0..500 {
            let error = within(handle.read_into(3 * MIB + 77, &mut buf))
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Changed, "round {round}: {error}");
        }
        drop(handle);
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_reads_of_one_handle_get_on_with_what_little_memory_there_is() {
    let mut setup = Setup::small_parts();
    setup.engine.memory_budget = MIB;
    let world = World::new(setup.no_read_ahead());
    let content = world.put("object", 1, 2 * MIB + 300 * KIB + 5);
    let reader = world.reader();
    for _ in 0..20 {
        let handle = world.open(&reader, "object").await;
        // None of them begins with a block.
        let reads = [(MIB + 77, 5), (1_300_001, 148_856), (2 * MIB + 1, 1)];
        join_all(reads.map(|(at, len)| check(&handle, &content, at, len))).await;
        drop(handle);
        settled(&world, &reader).await;
        reader.cache().unwrap().clear().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_the_request_of_another_is_not_told_of_its_failure() {
    for cached in [true, false] {
        let world = World::new(Setup::small_parts().no_read_ahead());
        let content = world.put("object", 1, 4 * MIB);
        let reader = if cached { world.reader() } else { world.uncached() };
        let one = world.open(&reader, "object").await;
        let two = world.open(&reader, "object").await;
        check(&one, &content, 0, MIB).await;
        let faults = world.lab.faults();
        faults.add(Rule::new(FaultKind::Latency(Duration::from_millis(30))));
        let refused = FaultKind::Status {
            code: 503,
            retry_after: None,
        };
        // As often as the first one tries, and no more.
        faults.add(Rule::new(refused).range_start(2 * MIB).times(3));
        let before = world.gets("object");
        let failing = one.read_at(2 * MIB, 1000);
        let waiting = async {
            while world.gets("object") == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            check(&two, &content, 2 * MIB, 1000).await;
        };
        let (failed, ()) = within(join(failing, waiting)).await;
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
        faults.clear();
        check(&one, &content, 2 * MIB, 1000).await;
        drop((one, two));
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_side_by_side_end_with_little_memory() {
    let mut setup = Setup::small_parts().no_read_ahead();
    setup.range.stall_timeout = Duration::from_secs(20);
    setup.engine.memory_budget = 2 * MIB;
    // No room on disk for anything.
    setup.cache_size = 64 * KIB;
    let size = 2 * MIB + 300 * KIB + 5;
    for round in 0..30 {
        let world = World::new(setup.clone());
        world.put("object", 1, size);
        let reader = world.reader();
        let handle = world.open(&reader, "object").await;
        let other = world.open(&reader, "object").await;
        let copy = |handle: &forebay_reader::Handle, start| {
            let (handle, range) = (handle.clone(), ByteRange::new(start, size));
            async move { handle.copy_to(range, Arc::new(Discard)).await }
        };
        let copies = join_all([
            copy(&handle, 860_003 - round * 10_000),
            copy(&handle, 1_600_000),
            copy(&other, 77),
        ]);
        for copied in tokio::time::timeout(Duration::from_secs(15), copies)
            .await
            .expect("the copies wait for each other")
        {
            copied.unwrap();
        }
        drop((handle, other));
        settled(&world, &reader).await;
    }
}
