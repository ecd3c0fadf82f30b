//! Every face gives the bytes of the object, cold and warm.

use std::io::SeekFrom;
use std::sync::{Arc, Mutex};

use forebay_range::RangeSink;
use forebay_types::{BLOCK, ByteRange, RangeSpec};
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::world::{KIB, MIB, Setup, World, check, settled, within};

const SIZES: [u64; 8] = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, MIB, 3 * MIB + 17, 20 * MIB + 1];

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_all_bytes_cold_warm_and_after_a_restart() {
    for size in SIZES {
        let world = World::new(Setup::small_parts());
        let content = world.put("object", 1, size);
        for (round, gets_bytes) in [("cold", true), ("warm", false), ("restarted", false)] {
            let reader = world.reader();
            let sent = world.lab.counts().bytes_sent;
            let mut stream = within(reader.stream(world.target("object"), RangeSpec::From(0)))
                .await
                .unwrap();
            let mut at = 0;
            while let Some(chunk) = within(stream.next()).await {
                let chunk = chunk.unwrap();
                content.check(at, &chunk).unwrap();
                at += chunk.len() as u64;
            }
            assert_eq!(at, size, "{round}");
            drop(stream);
            settled(&world, &reader).await;
            let sent = world.lab.counts().bytes_sent - sent;
            if gets_bytes {
                assert!(sent >= size, "{round}: {sent} of {size}");
            } else {
                assert!(
                    sent < 2000,
                    "{round}: {sent} bytes of an object of {size} were sent again"
                );
            }
        }
        assert_eq!(world.lab.counts().heads, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_as_people_ask_for_them() {
    let world = World::new(Setup::small_parts());
    let content = world.put("object", 1, 5 * MIB + 3);
    for reader in [world.reader(), world.uncached()] {
        for spec in [
            RangeSpec::Bounded(ByteRange::new(10, 20)),
            RangeSpec::Bounded(ByteRange::new(BLOCK - 1, 2 * MIB + 1)),
            RangeSpec::From(4 * MIB),
            RangeSpec::Last(70_000),
            RangeSpec::Bounded(ByteRange::new(5 * MIB, 99 * MIB)),
        ] {
            for _ in 0..2 {
                let stream = within(reader.stream(world.target("object"), spec)).await.unwrap();
                let range = stream.range();
                let chunks: Vec<_> = within(stream.try_collect()).await.unwrap();
                assert_eq!(Some(range), spec.resolve(content.size()));
                content.check(range.start(), &chunks.concat()).unwrap();
                assert_eq!(chunks.concat().len() as u64, range.len());
            }
        }
        let error = within(reader.stream(world.target("object"), RangeSpec::From(6 * MIB)))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), forebay_types::ErrorKind::Invalid, "{error}");
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_anywhere_are_exact() {
    let size = 6 * MIB + 12_345;
    let world = World::new(Setup::small_parts());
    let content = world.put("object", 1, size);
    for reader in [world.reader(), world.uncached()] {
        let handle = world.open(&reader, "object").await;
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let start = random.u64(0..size + 100);
            let len = random.u64(0..300 * KIB);
            check(&handle, &content, start, len).await;
        }
        let mut buf = vec![0; 100_000];
        let got = within(handle.read_into(size - 5, &mut buf)).await.unwrap();
        assert_eq!(got, 5);
        content.check(size - 5, &buf[..5]).unwrap();
        drop(handle);
        settled(&world, &reader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_is_answered_on_the_spot_and_a_miss_is_not() {
    let world = World::new(Setup::small_parts().no_read_ahead());
    let content = world.put("object", 1, 4 * MIB);
    let reader = world.reader();
    let handle = world.open(&reader, "object").await;
    let mut buf = vec![0; 4096];
    assert_eq!(handle.try_read_at(3 * MIB, &mut buf), None);
    check(&handle, &content, 3 * MIB, 8192).await;
    // From memory, and from the disk once memory has let it go.
    for _ in 0..2 {
        assert_eq!(handle.try_read_at(3 * MIB + 100, &mut buf), Some(4096));
        content.check(3 * MIB + 100, &buf).unwrap();
        reader.flush().await;
    }
    assert_eq!(handle.try_read_at(4 * MIB, &mut buf), Some(0), "nothing is there");
    assert_eq!(handle.try_read_at(u64::MAX, &mut buf), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_read_fetches_its_block_and_no_more() {
    let world = World::new(Setup::default());
    let content = world.put("object", 1, 40 * MIB);
    let reader = world.reader();
    let handle = world.open(&reader, "object").await;
    check(&handle, &content, 0, 4096).await;
    let sent = world.lab.counts().bytes_sent;
    check(&handle, &content, 30 * MIB + 5, 4096).await;
    let sent = world.lab.counts().bytes_sent - sent;
    assert!((BLOCK..BLOCK + 2000).contains(&sent), "{sent}");
    let requests = world.lab.counts().gets;
    check(&handle, &content, 30 * MIB + 20_000, 4096).await;
    assert_eq!(world.lab.counts().gets, requests, "the rest of the block is here");
}

#[tokio::test(flavor = "multi_thread")]
async fn async_read_and_seek_go_where_they_are_told() {
    let world = World::new(Setup::small_parts());
    let content = world.put("object", 1, 3 * MIB);
    let reader = world.reader();
    let handle = world.open(&reader, "object").await;
    let mut file = handle.reader();
    let mut buf = vec![0; 1000];
    within(file.read_exact(&mut buf)).await.unwrap();
    content.check(0, &buf).unwrap();
    assert_eq!(file.seek(SeekFrom::Current(500)).await.unwrap(), 1500);
    within(file.read_exact(&mut buf)).await.unwrap();
    content.check(1500, &buf).unwrap();
    assert_eq!(file.seek(SeekFrom::End(-10)).await.unwrap(), 3 * MIB - 10);
    let mut rest = Vec::new();
    within(file.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest.len(), 10);
    content.check(3 * MIB - 10, &rest).unwrap();
    assert!(file.seek(SeekFrom::Current(-4 * MIB as i64)).await.is_err());
    file.seek(SeekFrom::Start(5 * MIB)).await.unwrap();
    assert_eq!(
        file.read(&mut buf).await.unwrap(),
        0,
        "past the end there is nothing"
    );
    file.rewind().await.unwrap();
    let mut all = Vec::new();
    within(file.read_to_end(&mut all)).await.unwrap();
    content.check(0, &all).unwrap();
    assert_eq!(all.len() as u64, 3 * MIB);
}

#[derive(Default)]
struct Pieces(Mutex<Vec<(u64, Vec<u8>)>>);

impl RangeSink for Pieces {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.0.lock().unwrap().push((offset, bytes.to_vec()));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_puts_each_byte_to_its_place_once() {
    let world = World::new(Setup::small_parts());
    let content = world.put("object", 1, 5 * MIB + 9);
    for reader in [world.reader(), world.uncached()] {
        for range in [ByteRange::new(0, 5 * MIB + 9), ByteRange::new(100, 3 * MIB)] {
            for _ in 0..2 {
                let handle = world.open(&reader, "object").await;
                let sink = Arc::new(Pieces::default());
                let copied = within(handle.copy_to(range, sink.clone())).await.unwrap();
                assert_eq!(copied, range.len());
                let mut pieces = std::mem::take(&mut *sink.0.lock().unwrap());
                pieces.sort_by_key(|(offset, _)| *offset);
                let mut at = 0;
                for (offset, bytes) in pieces {
                    assert_eq!(offset, at);
                    content.check(range.start() + offset, &bytes).unwrap();
                    at += bytes.len() as u64;
                }
                assert_eq!(at, range.len());
            }
        }
        settled(&world, &reader).await;
    }
}
