use forebay_log::metadata::{MetadataError, SegmentInfo};
use forebay_types::ErrorKind;
use ulid::Ulid;

use crate::rig::{LONG, Rig, at, create, leased, segment, topic, write};

fn ends(found: Option<SegmentInfo>) -> Option<(u64, u64)> {
    found.map(|segment| (segment.base_offset, segment.next_offset))
}

pub(crate) async fn segments_are_found_by_offset(rig: &dyn Rig) {
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    let t = at("t", 0);
    assert_eq!(store.find_segment_for_offset(&t, 0).await.unwrap(), None);
    assert_eq!(store.next_segment(&t, 0).await.unwrap(), None);
    let mut new = segment(t.clone(), lease.epoch, 0, 10, 7);
    (new.position, new.length, new.records) = (400, 600, 9);
    let id = write(&*store, vec![new]).await.unwrap();
    write(&*store, vec![segment(t.clone(), lease.epoch, 10, 11, -1)])
        .await
        .unwrap();
    let other = rig.open().await;
    let first = other.find_segment_for_offset(&t, 9).await.unwrap().unwrap();
    let expected = SegmentInfo {
        at: t.clone(),
        base_offset: 0,
        next_offset: 10,
        object: id,
        key: format!("flush/{id}.seg").into(),
        object_size: 1000,
        etag: format!("\"{id}\"").into(),
        position: 400,
        length: 600,
        records: 9,
        max_timestamp: 7,
        epoch: lease.epoch,
        index: vec![0u8; 3].into(),
    };
    assert_eq!(first, expected);
    for (offset, holding, next) in [
        (0, Some((0, 10)), Some((0, 10))),
        (1, Some((0, 10)), Some((10, 11))),
        (10, Some((10, 11)), Some((10, 11))),
        (11, None, None),
        (u64::MAX, None, None),
        (i64::MAX as u64, None, None),
    ] {
        assert_eq!(
            ends(other.find_segment_for_offset(&t, offset).await.unwrap()),
            holding,
            "{offset}"
        );
        assert_eq!(
            ends(other.next_segment(&t, offset).await.unwrap()),
            next,
            "{offset}"
        );
    }
    let info = other
        .partitions(std::slice::from_ref(&t))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (info.log_start, info.high_watermark, info.segments, info.bytes),
        (0, 11, 2, 700)
    );
    assert_eq!(info.epoch, lease.epoch);
}

pub(crate) async fn segments_are_found_by_time(rig: &dyn Rig) {
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    let t = at("t", 0);
    // In no order, one without any.
    for (n, time) in [-1, 50, 20, -1, 70, 60].into_iter().enumerate() {
        let n = n as u64;
        write(&*store, vec![segment(t.clone(), lease.epoch, n, n + 1, time)])
            .await
            .unwrap();
    }
    for (time, first) in [
        (i64::MIN, Some(1)),
        (-1, Some(1)),
        (0, Some(1)),
        (50, Some(1)),
        (51, Some(4)),
        (70, Some(4)),
        (71, None),
        (i64::MAX, None),
    ] {
        let found = store.find_segment_for_timestamp(&t, time).await.unwrap();
        assert_eq!(found.map(|segment| segment.base_offset), first, "{time}");
    }
}

pub(crate) async fn segments_of_many_partitions_come_at_once(rig: &dyn Rig) {
    let store = rig.open().await;
    let writer = Ulid::generate();
    create(&*store, "a", 2).await;
    create(&*store, "b", 1).await;
    let which = [at("a", 0), at("a", 1), at("b", 0)];
    let leases = store.acquire(writer, &which, LONG).await.unwrap();
    for n in 0..3 {
        let sections = leases
            .iter()
            .map(|lease| segment(lease.at.clone(), lease.epoch, n * 10, n * 10 + 10, 1));
        write(&*store, sections.collect()).await.unwrap();
    }
    let wanted = [
        (at("b", 0), 15),
        (at("a", 0), 30),
        (at("a", 1), 0),
        (at("b", 0), u64::MAX),
        (at("a", 0), 20),
    ];
    let found = store.segments_from(&wanted, 2).await.unwrap();
    let bases: Vec<Vec<u64>> = found
        .iter()
        .map(|all| all.iter().map(|segment| segment.base_offset).collect())
        .collect();
    assert_eq!(bases, [vec![10, 20], vec![], vec![0, 10], vec![], vec![20]]);
    assert!(found[0].iter().all(|segment| segment.at == at("b", 0)));
    assert_eq!(store.segments_from(&wanted, 0).await.unwrap(), vec![vec![]; 5]);
    assert!(store.segments_from(&[], 5).await.unwrap().is_empty());
}

pub(crate) async fn what_is_not_there_has_its_error(rig: &dyn Rig) {
    let store = rig.open().await;
    create(&*store, "t", 2).await;
    let writer = Ulid::generate();
    for (wrong, unknown_topic) in [
        (at("none", 0), true),
        (at("t", 2), false),
        (at("t", u32::MAX), false),
    ] {
        let which = std::slice::from_ref(&wrong);
        let errors: Vec<MetadataError> = vec![
            store.partitions(&[at("t", 0), wrong.clone()]).await.unwrap_err(),
            store.find_segment_for_offset(&wrong, 0).await.unwrap_err(),
            store.next_segment(&wrong, 0).await.unwrap_err(),
            store.find_segment_for_timestamp(&wrong, 0).await.unwrap_err(),
            store
                .segments_from(&[(at("t", 1), 0), (wrong.clone(), 0)], 1)
                .await
                .unwrap_err(),
            store.acquire(writer, which, LONG).await.unwrap_err(),
            store.release(writer, which).await.unwrap_err(),
            store.advance_log_start(&wrong, 0).await.unwrap_err(),
            store.committed_offsets("g", which).await.unwrap_err(),
            store
                .commit_offsets("g", &[(wrong.clone(), 0, None)])
                .await
                .unwrap_err(),
            write(&*store, vec![segment(wrong.clone(), 1, 0, 1, 1)])
                .await
                .unwrap_err(),
        ];
        for (n, error) in errors.into_iter().enumerate() {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{n}");
            match error {
                MetadataError::UnknownTopic { topic } => {
                    assert!(unknown_topic && topic == wrong.topic, "{n}");
                }
                MetadataError::UnknownPartition { at, partitions } => {
                    assert!(!unknown_topic && at == wrong && partitions == 2, "{n}");
                }
                other => panic!("{n}: {other}"),
            }
        }
    }
    let error = store.partitions_of(&topic("none")).await.unwrap_err();
    assert!(matches!(error, MetadataError::UnknownTopic { .. }));
    assert!(store.groups(None, 10).await.unwrap().is_empty());
}
