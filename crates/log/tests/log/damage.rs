//! Bytes that are not as they were written.

use bytes::Bytes;
use forebay_log::batch::Codec;
use forebay_testkit::{Attributes, FaultKind, Rule};
use forebay_types::{ByteRange, ErrorKind};

use crate::records::{assert_dense, create, fill, first, read_all, segments};
use crate::world::{BUCKET, World, within};

/// A byte that is not as written is an error, wherever it came to be so, and is forgotten when it is right again.
#[tokio::test(flavor = "multi_thread")]
async fn checksums_are_checked_and_damage_does_not_stay() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 1).await;
    fill(&log, &topic, Codec::None, 2, 2000, 100).await;
    let stored = segments(&log, &first(&topic)).await;
    let (key, place) = (&*stored[0].key, stored[0].position as usize + 150_000);
    let object = world.lab.objects().get(BUCKET, key).unwrap();
    let good = object.content.read(ByteRange::at(0, object.size()));
    let put = |bytes: Bytes| {
        // In the same version, as a disk of the store would do it.
        let attributes = Attributes {
            etag: Some(object.etag.clone()),
            ..Attributes::default()
        };
        world
            .lab
            .objects()
            .put_with(BUCKET, key, bytes.into(), attributes);
    };
    let mut bad = good.to_vec();
    bad[place] ^= 0x10;
    put(bad.into());

    let log = world.log("reader").await;
    let reader = log.partition(topic.clone(), 0);
    // What lies before it is given, and then the error, again and again, and never a record.
    let before = within(reader.read(0, 4000)).await.unwrap();
    let given = before.records.len();
    assert!((500..1500).contains(&given), "{given}");
    assert_dense(&before.records, 0, before.next_offset);
    for _ in 0..2 {
        let error = within(reader.read(before.next_offset, 4000)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(key), "{error}");
        let error = within(reader.read_batches(before.next_offset, 1 << 20))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    // Behind it all is well.
    assert_dense(&within(reader.read(2000, 100)).await.unwrap().records, 2000, 2100);

    // Repaired in place: right at once, and nothing wrong stays in the cache.
    put(good);
    let after = within(reader.read(before.next_offset, 100)).await.unwrap();
    assert_dense(&after.records, before.next_offset, before.next_offset + 100);
    assert_dense(&read_all(&log, &topic, 0).await, 0, 4000);
}

/// What went wrong on the way, and into the cache, is read again from the bucket.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_read_again() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 1).await;
    fill(&log, &topic, Codec::None, 2, 2000, 100).await;
    let log = world.log("reader").await;
    // One byte of the first answer of each object.
    for segment in segments(&log, &first(&topic)).await {
        let rule = Rule::new(FaultKind::Corrupt { at: 300 });
        world.lab.faults().add(rule.key_prefix(&*segment.key).times(1));
    }
    assert_dense(&read_all(&log, &topic, 0).await, 0, 4000);
    // What was wrong and on its way to the disk then is found out by a later reader; after that everything is here, and a
    // process that comes later finds it, too.
    let mut gets = u64::MAX;
    for _ in 0..5 {
        world.rest().await;
        let cache = log.reader().cache().unwrap().clone();
        tokio::task::spawn_blocking(move || cache.flush()).await.unwrap();
        world.lab.reset_counts();
        let later = world.log("reader").await;
        assert_dense(&read_all(&later, &topic, 0).await, 0, 4000);
        gets = world.lab.counts().gets;
        if gets == 0 {
            break;
        }
    }
    assert_eq!(gets, 0);
}
