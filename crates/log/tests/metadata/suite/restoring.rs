use forebay_log::TopicPartition;
use forebay_log::metadata::{
    CommittedOffset, MetadataError, Restored, RestoredPartition, SegmentInfo, TopicConfig, TopicInfo,
};
use ulid::Ulid;

use crate::rig::{LONG, Rig, at, commit_of, create, leased, register, segment, topic, write};

fn found(at: TopicPartition, object: Ulid, from: u64, to: u64, time: i64) -> SegmentInfo {
    SegmentInfo {
        at,
        base_offset: from,
        next_offset: to,
        object,
        key: format!("flush/{object}.seg").into(),
        object_size: 1000,
        etag: "e".into(),
        position: 0,
        length: 100,
        records: 1,
        max_timestamp: time,
        epoch: 4,
        index: vec![1, 2].into(),
    }
}

/// Two topics; partition 0 of the first has a hole and shares an object with partition 1; partition 2 is not mentioned.
fn whole(objects: [Ulid; 2]) -> Restored {
    let info = |name: &str, partitions| TopicInfo {
        name: topic(name),
        partitions,
        config: TopicConfig {
            retention_ms: Some(9),
            retention_bytes: None,
        },
        created_ms: 77,
    };
    let partition = |at: TopicPartition, segments: Vec<SegmentInfo>| RestoredPartition {
        at,
        log_start: 5,
        high_watermark: 40,
        epoch: 4,
        segments,
    };
    let committed = CommittedOffset {
        offset: 8,
        metadata: Some("m".into()),
        committed_ms: 55,
    };
    let [one, two] = objects;
    Restored {
        topics: vec![info("t", 3), info("u", 1)],
        partitions: vec![
            partition(
                at("t", 0),
                vec![
                    found(at("t", 0), one, 0, 10, 50),
                    found(at("t", 0), two, 20, 30, 40),
                    found(at("t", 0), two, 30, 31, 60),
                ],
            ),
            partition(at("t", 1), vec![found(at("t", 1), two, 5, 6, -1)]),
        ],
        groups: vec![
            ("g".into(), at("t", 1), committed.clone()),
            ("g".into(), at("u", 0), committed),
        ],
    }
}

pub(crate) async fn a_store_is_restored(rig: &dyn Rig) {
    let store = rig.open().await;
    let objects = [Ulid::generate(), Ulid::generate()];
    let all = whole(objects);
    store.restore(&all, false).await.unwrap();
    crate::rig::check(rig).await;
    assert_eq!(store.topics(None, 10).await.unwrap(), all.topics);
    let found = store
        .segments_from(&[(at("t", 0), 0), (at("t", 1), 0)], 10)
        .await
        .unwrap();
    assert_eq!(
        found,
        [
            all.partitions[0].segments.clone(),
            all.partitions[1].segments.clone()
        ]
    );
    assert_eq!(
        store.find_segment_for_offset(&at("t", 0), 15).await.unwrap(),
        None,
        "a hole"
    );
    assert_eq!(
        store
            .next_segment(&at("t", 0), 15)
            .await
            .unwrap()
            .unwrap()
            .base_offset,
        20
    );
    let by_time = store.find_segment_for_timestamp(&at("t", 0), 51).await.unwrap();
    assert_eq!(by_time.unwrap().base_offset, 30);
    let ends = store.partitions_of(&topic("t")).await.unwrap();
    assert_eq!(
        (
            ends[0].log_start,
            ends[0].high_watermark,
            ends[0].segments,
            ends[0].bytes
        ),
        (5, 40, 3, 300)
    );
    assert_eq!(
        (ends[2].log_start, ends[2].high_watermark, ends[2].epoch),
        (0, 0, 0)
    );
    let groups = store.group_offsets("g").await.unwrap();
    assert_eq!(
        groups,
        [
            (at("t", 1), all.groups[0].2.clone()),
            (at("u", 0), all.groups[1].2.clone())
        ]
    );
    assert_eq!(store.groups(None, 10).await.unwrap()[0].partitions, 2);
    // It goes on where the bucket ends, and whoever wrote before is fenced.
    let which = [at("t", 0), at("t", 1), at("t", 2), at("u", 0)];
    let leases = store.acquire(Ulid::generate(), &which, LONG).await.unwrap();
    assert_eq!((leases[0].epoch, leases[0].next_offset), (5, 40));
    assert!(leases.iter().all(|lease| !lease.clean));
    write(&*store, vec![segment(at("t", 0), 5, 40, 41, 1)])
        .await
        .unwrap();
    create(&*store, "v", 2).await;
    // Objects are known with all that refer to them.
    store.advance_log_start(&at("t", 0), 41).await.unwrap();
    let dead = store.dead_objects(std::time::Duration::ZERO, 10).await.unwrap();
    assert!(dead.iter().any(|dead| dead.id == objects[0]) && dead.iter().all(|dead| dead.id != objects[1]));
    store.advance_log_start(&at("t", 1), 6).await.unwrap();
    let dead = store.dead_objects(std::time::Duration::ZERO, 10).await.unwrap();
    assert!(dead.iter().any(|dead| dead.id == objects[1]));
}

pub(crate) async fn a_restore_is_checked(rig: &dyn Rig) {
    let store = rig.open().await;
    let all = whole([Ulid::generate(), Ulid::generate()]);
    type Change = fn(&mut Restored);
    let changes: [Change; 17] = [
        |all| all.topics[1].name = all.topics[0].name.clone(),
        |all| all.topics[1].partitions = 0,
        |all| all.topics[1].partitions = u32::MAX,
        |all| all.partitions[1].at.partition = 0,
        |all| all.partitions[0].log_start = 41,
        |all| all.partitions[0].log_start = 10,
        |all| all.partitions[0].high_watermark = 30,
        |all| all.partitions[0].high_watermark = u64::MAX,
        |all| all.partitions[0].epoch = u64::MAX,
        |all| all.partitions[0].segments.swap(0, 1),
        |all| all.partitions[0].segments[1].base_offset = 9,
        |all| all.partitions[0].segments[1].at = at("u", 0),
        |all| all.partitions[0].segments[1].key = "other".into(),
        |all| all.partitions[0].segments[0].key = all.partitions[0].segments[1].key.clone(),
        |all| all.partitions[0].segments[1].length = 1001,
        |all| all.groups[1].1 = at("t", 1),
        |all| all.groups[1].2.offset = u64::MAX,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut wrong = all.clone();
        change(&mut wrong);
        let error = store.restore(&wrong, true).await.unwrap_err();
        assert!(matches!(error, MetadataError::Invalid { .. }), "{n}: {error}");
    }
    let mut unknown = all.clone();
    unknown.groups[0].1 = at("w", 0);
    assert!(matches!(
        store.restore(&unknown, true).await.unwrap_err(),
        MetadataError::UnknownTopic { .. }
    ));
    let mut unknown = all.clone();
    unknown.partitions[1].at = at("t", 3);
    assert!(matches!(
        store.restore(&unknown, true).await.unwrap_err(),
        MetadataError::UnknownPartition { .. }
    ));
    assert!(store.topics(None, 10).await.unwrap().is_empty());
    store.restore(&Restored::default(), false).await.unwrap();
}

pub(crate) async fn a_restore_replaces(rig: &dyn Rig) {
    let store = rig.open().await;
    let writer = Ulid::generate();
    let lease = leased(&*store, writer).await;
    create(&*store, "old", 2).await;
    let id = write(&*store, vec![segment(at("t", 0), lease.epoch, 0, 10, 5)])
        .await
        .unwrap();
    store
        .commit_offsets("old", &[(at("old", 1), 1, None)])
        .await
        .unwrap();
    let waiting = register(&*store).await;
    let all = whole([id, waiting]);
    let error = store.restore(&all, false).await.unwrap_err();
    let MetadataError::NotEmpty { topics, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(topics, 2);
    assert_eq!(
        store.partitions(&[at("t", 0)]).await.unwrap()[0].high_watermark,
        10
    );
    store.restore(&all, true).await.unwrap();
    assert_eq!(rig.open().await.topics(None, 10).await.unwrap(), all.topics);
    assert_eq!(store.groups(None, 10).await.unwrap().len(), 1);
    // Of what was before, nothing holds.
    let error = store
        .commit_upload(&commit_of(
            waiting,
            vec![segment(at("t", 0), lease.epoch, 40, 41, 1)],
        ))
        .await
        .unwrap_err();
    assert!(matches!(error, MetadataError::Invalid { .. }), "{error}");
    let error = write(&*store, vec![segment(at("t", 0), 4, 40, 41, 1)])
        .await
        .unwrap_err();
    assert!(matches!(error, MetadataError::Fenced { .. }), "{error}");
    assert!(store.renew(writer, LONG).await.unwrap().is_empty());
    store.restore(&Restored::default(), true).await.unwrap();
    assert!(store.topics(None, 10).await.unwrap().is_empty());
}
