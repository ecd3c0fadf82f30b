//! Reading while bucket, disk or metadata fail.

use std::time::Duration;

use bytes::Bytes;
use forebay_log::batch::Codec;
use forebay_log::{LogError, LogOptions, MaintainOptions, PartitionReader, TopicName};
use forebay_testkit::{FaultKind, Point, Rule, WrongRange};
use forebay_types::{ByteRange, ErrorKind};

use crate::records::{assert_dense, create, fill, first, segments};
use crate::spy::Spy;
use crate::world::{BUCKET, World, within};

const RECORDS: u64 = 6000;

/// A log of six segments, 1,000 records of 200 bytes each.
async fn filled(world: &World) -> TopicName {
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 1).await;
    fill(&log, &topic, Codec::None, 6, 1000, 200).await;
    topic
}

/// Reads everything; what fails is tried again, up to `errors` times in all. Gives their number.
async fn read_through(reader: &PartitionReader, errors: u32) -> u32 {
    let (mut next, mut failed) = (0, 0);
    while next < RECORDS {
        match within(reader.read(next, 300)).await {
            Ok(read) => {
                let given = read.records.len() as u64;
                assert!(given > 0, "nothing at {next}, and no error");
                assert_dense(&read.records, next, next + given);
                next = read.next_offset;
            }
            Err(error) => {
                failed += 1;
                assert!(failed <= errors, "{error}");
                assert!(error.to_string().contains("orders"), "{error}");
                assert!(
                    !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Internal),
                    "{error}"
                );
            }
        }
    }
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_pass_are_not_seen() {
    let ms = Duration::from_millis;
    let faults = [
        FaultKind::Status {
            code: 503,
            retry_after: None,
        },
        FaultKind::Reset(Point::BeforeHeaders),
        FaultKind::Reset(Point::AfterBody(10_000)),
        FaultKind::Truncate { after: 20_000 },
        FaultKind::Stall {
            at: Point::AfterBody(1000),
            resume: Some(ms(100)),
        },
        FaultKind::Stall {
            at: Point::BeforeHeaders,
            resume: None,
        },
        FaultKind::Latency(ms(50)),
        FaultKind::Corrupt { at: 100 },
        FaultKind::MissingContentLength,
        FaultKind::WrongETag("\"another\"".to_owned()),
    ];
    for fault in faults {
        let world = World::new();
        let topic = filled(&world).await;
        // One in three.
        world.lab.faults().add(Rule::new(fault.clone()).every(3));
        let log = world.log("reader").await;
        let failed = read_through(&log.partition(topic, 0), 6).await;
        let class = world.lab.faults().injected(fault.class());
        assert!(class > 0, "{fault:?} was never met");
        // Damage is read again once, and that answer may be damaged too; a wrong tag is another version.
        if !matches!(fault, FaultKind::WrongETag(_) | FaultKind::Corrupt { .. }) {
            assert_eq!(failed, 0, "{fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_stay_are_errors_until_they_go() {
    let faults = [
        FaultKind::Status {
            code: 500,
            retry_after: None,
        },
        FaultKind::Status {
            code: 403,
            retry_after: None,
        },
        FaultKind::Reset(Point::BeforeHeaders),
        FaultKind::Truncate { after: 0 },
        FaultKind::Stall {
            at: Point::BeforeHeaders,
            resume: None,
        },
        FaultKind::ContentRange(WrongRange::Shifted(4096)),
        FaultKind::ContentRange(WrongRange::Total(1)),
        FaultKind::Corrupt { at: 100 },
    ];
    for fault in faults {
        let world = World::new();
        let topic = filled(&world).await;
        world.lab.faults().add(Rule::new(fault.clone()));
        let log = world.log("reader").await;
        let reader = log.partition(topic, 0);
        for _ in 0..2 {
            let Err(error) = within(reader.read(0, 100)).await else {
                panic!("{fault:?} was not noticed");
            };
            let message = error.to_string();
            assert!(message.contains("orders"), "{fault:?}: {message}");
            assert!(
                !matches!(
                    error,
                    LogError::OffsetNotFound { .. } | LogError::MissingObject { .. }
                ),
                "{fault:?}: {message}"
            );
            // An object of another size is another object.
            let corrupt = matches!(
                fault,
                FaultKind::Corrupt { .. } | FaultKind::ContentRange(WrongRange::Total(1))
            );
            assert_eq!(
                error.kind() == ErrorKind::Corrupt,
                corrupt,
                "{fault:?}: {message}"
            );
            assert!(
                within(reader.read_batches(0, 1000)).await.is_err(),
                "{fault:?} was not noticed"
            );
        }
        world.lab.faults().clear();
        assert_eq!(read_through(&reader, 0).await, 0, "{fault:?}");
    }
}

/// Compacted and swept away under a reader: the metadata says where the records are now.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_under_a_reader_goes_unnoticed() {
    let world = World::new();
    let topic = filled(&world).await;
    let log = world.log("writer").await;
    let reading = world.log("reader").await;
    let options = LogOptions {
        prefetch_enabled: false,
        ..LogOptions::default()
    };
    let other = world.log_with("other", world.metadata().await, options);
    let readers = [
        reading.partition(topic.clone(), 0),
        other.partition(topic.clone(), 0),
    ];
    for reader in &readers {
        let read = within(reader.read(0, 450)).await.unwrap();
        assert_dense(&read.records, 0, 450);
    }
    let maintain = MaintainOptions {
        min_segments: 2,
        grace: Duration::ZERO,
        ..MaintainOptions::default()
    };
    let mut deleted = 0;
    for _ in 0..5 {
        let done = Box::pin(within(log.maintain(&maintain))).await.unwrap();
        assert_eq!(done.problems, [""; 0]);
        deleted += done.deleted;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((deleted, segments(&log, &first(&topic)).await.len()), (6, 1));
    assert!(world.keys().iter().all(|key| !key.starts_with("flush/")));
    for reader in &readers {
        let read = within(reader.read(450, 5550)).await.unwrap();
        assert_dense(&read.records, 450, 6000);
        let read = within(reader.read_batches(10, 1)).await.unwrap();
        assert_eq!(read.log_start, 0);
    }
}

/// Retained away under a reader: out of range, and not silently further on.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_retained_away_is_not_passed_over() {
    let world = World::new();
    let topic = filled(&world).await;
    let log = world.log("reader").await;
    let known = log.partition(topic.clone(), 0);
    let new = log.partition(topic.clone(), 0);
    within(known.read(0, 10)).await.unwrap();
    // The metadata knows at once, this process in a while, and the bucket has nothing any more.
    let at = first(&topic);
    let gone = segments(&log, &at).await;
    within(log.metadata().advance_log_start(&at, 3500)).await.unwrap();
    for segment in &gone[..3] {
        world.lab.objects().delete(BUCKET, &segment.key);
    }
    for reader in [&known, &new] {
        let error = within(reader.read(1500, 10)).await.unwrap_err();
        assert!(
            matches!(
                error,
                LogError::OffsetNotFound {
                    log_start: 3500,
                    offset: 1500,
                    ..
                }
            ),
            "{error}"
        );
        let error = within(reader.read(3400, 10)).await.unwrap_err();
        assert!(matches!(error, LogError::OffsetNotFound { .. }), "{error}");
        assert_dense(&within(reader.read(3500, 10)).await.unwrap().records, 3500, 3510);
    }
    within(log.metadata().advance_log_start(&at, RECORDS))
        .await
        .unwrap();
    let error = within(log.partition(topic, 0).read(4000, 10)).await.unwrap_err();
    assert!(matches!(error, LogError::OffsetNotFound { .. }), "{error}");
}

/// Really gone: said with key and offsets, and what is left is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_object_is_named() {
    let world = World::new();
    let topic = filled(&world).await;
    let log = world.log("reader").await;
    let stored = segments(&log, &first(&topic)).await;
    let key = &*stored[2].key;
    let object = world.lab.objects().get(BUCKET, key).unwrap();
    assert!(world.lab.objects().delete(BUCKET, key));
    let reader = log.partition(topic, 0);
    // What lies before it is given.
    let read = within(reader.read(1500, 2000)).await.unwrap();
    assert_dense(&read.records, 1500, 2000);
    for _ in 0..2 {
        let error = within(reader.read(2000, 100)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let LogError::MissingObject {
            base_offset: 2000,
            next_offset: 3000,
            ..
        } = &error
        else {
            panic!("{error}");
        };
        let message = error.to_string();
        assert!(
            message.contains(key) && message.contains("2000..3000"),
            "{message}"
        );
    }
    assert_dense(&within(reader.read(3000, 100)).await.unwrap().records, 3000, 3100);
    // Put back by somebody, as another version: read on.
    let bytes = object.content.read(ByteRange::at(0, object.size()));
    world.lab.objects().put(BUCKET, key, bytes);
    assert_eq!(read_through(&reader, 0).await, 0);
}

/// The same bytes with another tag (a bucket that was copied) are as good; other bytes, or fewer, are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_copied_bucket_is_read_and_another_is_not() {
    let world = World::new();
    let topic = filled(&world).await;
    let log = world.log("reader").await;
    let stored = segments(&log, &first(&topic)).await;
    let reader = log.partition(topic.clone(), 0);
    assert_dense(&within(reader.read(0, 500)).await.unwrap().records, 0, 500);
    for segment in &stored {
        world.change(&segment.key, |_| {});
    }
    assert_eq!(read_through(&reader, 0).await, 0);
    let cold = world.log("cold").await;
    assert_eq!(read_through(&cold.partition(topic.clone(), 0), 0).await, 0);
    // And the cache serves it to the next one.
    world.rest().await;
    let read = within(cold.partition(topic.clone(), 0).read(5990, 10))
        .await
        .unwrap();
    assert_dense(&read.records, 5990, 6000);

    let bytes = |n: usize| -> Bytes {
        let object = world.lab.objects().get(BUCKET, &stored[n].key).unwrap();
        object.content.read(ByteRange::at(0, object.size()))
    };
    // Of the same size: another segment. Shorter: cut off. Longer: something follows.
    let (other, cut, longer) = (
        bytes(1),
        bytes(2).slice(..100_000),
        [bytes(3), Bytes::from("x")].concat(),
    );
    let put = |n: usize, bytes: Bytes| world.lab.objects().put(BUCKET, &stored[n].key, bytes);
    put(0, other);
    put(2, cut);
    put(3, longer.into());
    let log = world.log("later").await;
    let reader = log.partition(topic, 0);
    for from in [0, 2000, 3000] {
        for _ in 0..2 {
            let error = within(reader.read(from, 100)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "at {from}: {error}");
            assert!(error.to_string().contains(".seg"), "{error}");
        }
    }
    assert_dense(&within(reader.read(1000, 100)).await.unwrap().records, 1000, 1100);
}

/// The metadata fails in the middle: errors and no empty answers, and then on.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_fails_for_a_while() {
    let world = World::new();
    let topic = filled(&world).await;
    let spy = Spy::on(world.metadata().await);
    let options = LogOptions {
        ends_max_age: Duration::ZERO,
        ..LogOptions::default()
    };
    let log = world.log_with("reader", spy.clone(), options);
    let reader = log.partition(topic, 0);
    let (mut next, mut failed) = (0, 0);
    for turn in 0.. {
        match turn % 3 {
            1 => spy.fail(),
            _ => spy.clear(),
        }
        match within(reader.read(next, 300)).await {
            Ok(read) if read.records.is_empty() => break,
            Ok(read) => {
                assert_dense(&read.records, next, next + read.records.len() as u64);
                next = read.next_offset;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                failed += 1;
            }
        }
    }
    assert_eq!(next, RECORDS);
    assert!(failed > 3);
}

/// No room on the disk of the cache: everything is read from the bucket.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_error() {
    use std::sync::Arc;

    use forebay_cache::{Cache, CacheOptions};
    use forebay_range::{RangeEngine, RangeEngineConfig};
    use forebay_reader::{Reader, ReaderOptions};
    use forebay_types::SystemClock;

    let world = World::new();
    let topic = filled(&world).await;
    let options = CacheOptions {
        // More than there is.
        keep_free: u64::MAX / 2,
        ..CacheOptions::new(world.dir.path().join("cache/full"), 1 << 30)
    };
    let cache = Cache::open(options, Arc::new(SystemClock::new())).unwrap();
    let config = RangeEngineConfig::default();
    let reader = Reader::new(
        RangeEngine::new(config.clone()),
        Some(cache.clone()),
        ReaderOptions::default(),
    );
    let log = forebay_log::Log::new(
        world.source(),
        Arc::new(config),
        reader,
        world.metadata().await,
        LogOptions::default(),
    );
    for _ in 0..2 {
        assert_eq!(read_through(&log.partition(topic.clone(), 0), 0).await, 0);
    }
    let stats = tokio::task::spawn_blocking(move || cache.stats()).await.unwrap();
    assert!(stats.drops > 0 && stats.bytes_stored == 0, "{stats:?}");
}
