//! What went wrong on the read side of a log of this kind before, each as a test.

use std::sync::Arc;

use bytes::Bytes;
use forebay_cache::{Cache, CacheOptions};
use forebay_log::batch::Codec;
use forebay_log::{Log, LogError, LogOptions, ReadLimit};
use forebay_range::{RangeEngine, RangeEngineConfig};
use forebay_reader::{Freshness, Reader, ReaderOptions};
use forebay_types::{ErrorKind, SystemClock};

use crate::records::{assert_dense, create, dense, fill, first, fixture, holed, segments, send_batches};
use crate::spy::Spy;
use crate::world::{World, within};

/// What was fetched ahead is what the next read uses, in the next segments too.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_prefetched_is_used() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 1).await;
    fill(&log, &topic, Codec::None, 20, 1000, 200).await;
    let log = world.log("reader").await;
    world.lab.reset_counts();
    let reader = log.partition(topic, 0);
    let (mut next, mut ahead) = (0, 0);
    while next < 20_000 {
        let before = world.lab.counts().gets;
        let read = within(reader.read(next, 500)).await.unwrap();
        assert_dense(&read.records, next, next + 500);
        next = read.next_offset;
        // What this read asked for is there before the next one.
        world.rest().await;
        ahead += u64::from(next > 5000 && world.lab.counts().gets == before);
    }
    // Forty reads of 500: from the fifth segment on nearly none has to ask for anything.
    assert!(ahead >= 20, "{ahead} of 30 reads found everything here");
    let gets = world.only_gets();
    assert!(gets <= 45, "{gets} GETs for 20 segments");
    let stats = log.reader().stats();
    assert!(
        stats.hits * 10 >= stats.reads * 8,
        "{} hits of {}",
        stats.hits,
        stats.reads
    );
    // The last one was there before it was asked for: with all of the rest.
    world.lab.reset_counts();
    let again = log.partition(create(&log, "other", 1).await, 0);
    assert_eq!(within(again.read(0, 10)).await.unwrap().records, []);
    assert_eq!(world.lab.counts().gets, 0);
}

/// The metadata says what comes next, however many offsets there are between: here segments of 1, 7 and 3,000 records, and
/// one with a hole of 50,000.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_segment_is_no_guess() {
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "orders", 1).await;
    let at = first(&topic);
    let mut batches = Vec::new();
    let mut expected = Vec::new();
    let mut base = 0;
    for (count, end) in [(1, 1), (7, 7), (3000, 3000), (2, 50_000), (5, 5)] {
        let records: Vec<_> = (0..count)
            .map(|n| (n, 1000, dense(base + u64::from(n), 20)))
            .collect();
        expected.extend((0..count).map(|n| base + u64::from(n)));
        batches.push(holed(Codec::None, &records, end));
        base += u64::from(end);
    }
    send_batches(&log, &at, &batches).await;
    let spy = Spy::on(world.metadata().await);
    let log = world.log_with("reader", spy.clone(), LogOptions::default());
    world.lab.reset_counts();
    let reader = log.partition(topic, 0);
    let all = within(reader.read(0, usize::MAX)).await.unwrap();
    let offsets: Vec<_> = all.records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, expected);
    assert_eq!((all.next_offset, all.high_watermark), (base, base));
    assert_eq!(spy.calls_of("segments_from"), 1);
    assert_eq!(world.only_gets(), 5);
}

/// Polls of 500 fetch every byte once, and decompress every batch once.
#[tokio::test(flavor = "multi_thread")]
async fn small_polls_are_linear() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 1).await;
    fill(&log, &topic, Codec::Lz4, 4, 5000, 100).await;
    let stored = segments(&log, &first(&topic)).await;
    let bytes: u64 = stored.iter().map(|segment| segment.length).sum();
    let log = world.log("reader").await;
    world.lab.reset_counts();
    let reader = log.partition(topic.clone(), 0);
    let mut next = 0;
    while next < 20_000 {
        let read = within(reader.read(next, 500)).await.unwrap();
        assert_dense(&read.records, next, next + 500);
        next = read.next_offset;
    }
    assert_eq!(log.reader().stats().served, bytes);
    let decoded = log.decoded_stats();
    // Batches of 16 KiB before compression, of 20,000 records of 100 bytes and a little; those that the codec did not make
    // smaller are stored as they are.
    assert!((60..150).contains(&decoded.decompressed), "{decoded:?}");
    assert_eq!(decoded.found, 0);
    world.only_gets();

    // A second reader, and one for each read, decompress nothing.
    world.lab.reset_counts();
    for from in (0..20_000).step_by(500) {
        let read = within(log.partition(topic.clone(), 0).read(from, 500))
            .await
            .unwrap();
        assert_dense(&read.records, from, from + 500);
    }
    assert_eq!(log.decoded_stats().decompressed, decoded.decompressed);
    assert_eq!(world.lab.counts().gets, 0);
}

/// A reader for each fetch begins warm: no request, one look-up of segments, and what was decompressed before.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_reader_is_not_cold() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 1).await;
    fill(&log, &topic, Codec::Zstd, 1, 2000, 100).await;
    let spy = Spy::on(world.metadata().await);
    let log = world.log_with("reader", spy.clone(), LogOptions::default());
    within(log.partition(topic.clone(), 0).read(0, 2000))
        .await
        .unwrap();
    let decoded = log.decoded_stats().decompressed;
    world.lab.reset_counts();
    let before = spy.calls();
    let read = within(log.partition(topic, 0).read(777, 100)).await.unwrap();
    assert_dense(&read.records, 777, 877);
    assert_eq!(world.lab.counts().requests, 0, "{:?}", world.lab.counts());
    assert_eq!(log.decoded_stats().decompressed, decoded);
    assert!(spy.calls() - before <= 2, "{spy:?}");
}

/// The cache after a restart, and after an end in the middle of writing, keeps its limit and what it had.
#[tokio::test(flavor = "multi_thread")]
async fn the_cache_outlives_its_process_and_keeps_its_limit() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 1).await;
    fill(&log, &topic, Codec::None, 12, 1000, 1000).await;
    let limit = 6 << 20;
    let dir = world.dir.path().join("cache/limited");
    let open = || {
        let cache = Cache::open(CacheOptions::new(&dir, limit), Arc::new(SystemClock::new())).unwrap();
        let config = RangeEngineConfig::default();
        let options = ReaderOptions {
            freshness: Freshness::Never,
            ..ReaderOptions::default()
        };
        let reader = Reader::new(RangeEngine::new(config.clone()), Some(cache), options);
        (reader, Arc::new(config))
    };
    for round in 0..3 {
        let (reader, config) = open();
        let log = Log::new(
            world.source(),
            config,
            reader.clone(),
            world.metadata().await,
            LogOptions::default(),
        );
        let reader_of_all = log.partition(topic.clone(), 0);
        if round > 0 {
            // Of the twelve megabytes, most of the six that fit are here still.
            world.lab.reset_counts();
            for from in (0..12_000).step_by(1000) {
                let read = within(reader_of_all.read(from, 10)).await.unwrap();
                assert_dense(&read.records, from, from + 10);
            }
            let gets = world.lab.counts().gets;
            assert!(gets <= 9, "{gets} of 12 segments were asked for in round {round}");
        }
        let mut next = 0;
        while next < 12_000 {
            let read = within(reader_of_all.read(next, 400)).await.unwrap();
            assert_dense(&read.records, next, next + 400);
            next = read.next_offset;
        }
        let cache = reader.cache().unwrap().clone();
        let stats = tokio::task::spawn_blocking(move || {
            cache.flush();
            cache.stats()
        });
        let stats = stats.await.unwrap();
        // One object of a megabyte may be on its way in.
        assert!(stats.current_size <= limit + (2 << 20), "{stats:?}");
        assert!(stats.entry_count > 0, "{stats:?}");
        if round == 1 {
            // As a process that was killed leaves it: half a file, and one that nobody knows.
            std::fs::write(dir.join("half-written.tmp"), b"junk").unwrap();
        }
    }
}

/// Errors are errors, and no empty answers; out of range has both ends in it.
#[tokio::test(flavor = "multi_thread")]
async fn errors_are_not_empty_results() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 1).await;
    let at = first(&topic);
    fill(&log, &topic, Codec::None, 3, 100, 100).await;
    let spy = Spy::on(world.metadata().await);
    let log = world.log_with("reader", spy.clone(), LogOptions::default());
    let reader = log.partition(topic.clone(), 0);
    spy.fail();
    for offset in [0, 299, 300] {
        let error = within(reader.read(offset, 10)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    within(reader.read_batches(0, 10)).await.unwrap_err();
    within(reader.offset_for_timestamp(0)).await.unwrap_err();
    spy.clear();
    assert_dense(&within(reader.read(0, 10)).await.unwrap().records, 0, 10);

    // The log start is what it is.
    within(log.metadata().advance_log_start(&at, 150)).await.unwrap();
    tokio::time::sleep(log.options().ends_max_age).await;
    let read = within(reader.read(150, 10)).await.unwrap();
    assert_dense(&read.records, 150, 160);
    assert_eq!((read.log_start, read.high_watermark), (150, 300));
    for offset in [0, 149, 301, u64::MAX] {
        let error = within(reader.read(offset, 10)).await.unwrap_err();
        let LogError::OffsetNotFound {
            log_start: 150,
            high_watermark: 300,
            ..
        } = error
        else {
            panic!("{error}");
        };
        let same = within(reader.read_batches(offset, 10)).await.unwrap_err();
        assert_eq!(same.to_string(), error.to_string());
    }
}

/// A limit in bytes is one, across batches and segments; one record, or batch, is given in any case.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_in_bytes_is_in_bytes() {
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "orders", 1).await;
    // Batches of about 16 records of 1,000 bytes.
    fill(&log, &topic, Codec::Lz4, 3, 100, 1000).await;
    let reader = log.partition(topic.clone(), 0);
    for limit in [
        0, 1, 999, 1000, 1001, 15_999, 16_500, 33_333, 150_000, 299_999, 300_000,
    ] {
        for start in [0, 7, 15, 16, 99] {
            let read = within(reader.read(start, ReadLimit::bytes(limit))).await.unwrap();
            let fit = (limit as u64 / 1000).clamp(1, 300 - start);
            assert_dense(&read.records, start, start + fit);
            assert_eq!(read.next_offset, start + fit);
        }
    }
    // Batches as they are: whole ones, as many as fit.
    let sizes = batch_sizes(&within(reader.read_batches(0, usize::MAX)).await.unwrap().batches);
    for limit in [
        0,
        1,
        sizes[0],
        sizes[0] + sizes[1] - 1,
        sizes[0] + sizes[1],
        100_000,
    ] {
        let read = within(reader.read_batches(0, limit)).await.unwrap();
        let got = batch_sizes(&read.batches);
        assert_eq!(got, sizes[..got.len()]);
        assert!(got.len() == 1 || got.iter().sum::<usize>() <= limit);
        assert!(
            got.iter().sum::<usize>() + sizes[got.len()] > limit,
            "more would fit"
        );
    }
}

fn batch_sizes(pieces: &[Bytes]) -> Vec<usize> {
    let mut sizes = Vec::new();
    for piece in pieces {
        let mut rest = piece.clone();
        while !rest.is_empty() {
            let batch = forebay_log::batch::Batch::split_off_front(&mut rest).unwrap();
            sizes.push(batch.bytes().len());
        }
    }
    sizes
}

/// LZ4 in frames, snappy as Java frames it and bare, and the rest: as other clients made them.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_other_clients_are_read() {
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "orders", 1).await;
    let names = [
        "none",
        "lz4",
        "snappy",
        "snappy-raw",
        "gzip",
        "zstd",
        "zstd-streamed",
        "append-time",
    ];
    let batches: Vec<_> = names.iter().map(|name| fixture(name)).collect();
    send_batches(&log, &first(&topic), &batches).await;
    let log = world.log("reader").await;
    let reader = log.partition(topic, 0);
    let read = within(reader.read(0, usize::MAX)).await.unwrap();
    assert_eq!(read.records.len(), 7 * names.len());
    for (nth, records) in read.records.chunks(7).enumerate() {
        for (record, plain) in records.iter().zip(&read.records) {
            assert_eq!(record.offset, nth as u64 * 7 + plain.offset);
            assert_eq!(
                (&record.key, &record.value, record.tombstone, &record.headers),
                (&plain.key, &plain.value, plain.tombstone, &plain.headers)
            );
        }
    }
    assert_eq!(read.records[0].value, "value ".repeat(40));
    assert_eq!(read.records[3].key.as_deref(), Some(&b""[..]));
    assert!(read.records[2].tombstone);
    // Verbatim, all but the base offset.
    let stored = within(reader.read_batches(0, usize::MAX)).await.unwrap();
    let stored: Vec<u8> = stored.batches.concat();
    for (nth, piece) in names.iter().zip(stored_batches(&stored)) {
        assert_eq!(piece[12..], fixture(nth)[12..], "{nth}");
    }
}

fn stored_batches(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let len = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
        let (batch, rest) = bytes.split_at(len);
        batches.push(batch);
        bytes = rest;
    }
    batches
}
