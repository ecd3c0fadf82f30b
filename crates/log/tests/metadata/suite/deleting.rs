use std::collections::BTreeSet;
use std::time::Duration;

use forebay_log::metadata::{MetadataError, MetadataStore};
use ulid::Ulid;

use crate::rig::{LONG, Rig, at, commit_of, compaction_of, create, leased, register, segment, write};

async fn dead(store: &dyn MetadataStore) -> BTreeSet<Ulid> {
    let dead = store.dead_objects(Duration::ZERO, 100).await.unwrap();
    dead.into_iter().map(|object| object.id).collect()
}

async fn bases(store: &dyn MetadataStore) -> Vec<u64> {
    let found = store.segments_from(&[(at("t", 0), 0)], 100).await.unwrap();
    found[0].iter().map(|segment| segment.base_offset).collect()
}

/// So many segments of ten offsets each in partition 0.
async fn tens(store: &dyn MetadataStore, epoch: u64, count: u64) -> Vec<Ulid> {
    let mut ids = Vec::new();
    for n in 0..count {
        let ten = segment(at("t", 0), epoch, n * 10, n * 10 + 10, 1);
        ids.push(write(store, vec![ten]).await.unwrap());
    }
    ids
}

pub(crate) async fn the_log_start_moves_forward(rig: &dyn Rig) {
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    let t = at("t", 0);
    let ids = tens(&*store, lease.epoch, 3).await;
    assert_eq!(store.advance_log_start(&t, 0).await.unwrap(), 0);
    // Inside the first: it stays until it lies wholly below.
    assert_eq!(store.advance_log_start(&t, 9).await.unwrap(), 9);
    assert_eq!(bases(&*store).await, [0, 10, 20]);
    assert!(dead(&*store).await.is_empty());
    assert_eq!(store.advance_log_start(&t, 10).await.unwrap(), 10);
    assert_eq!(bases(&*store).await, [10, 20]);
    assert_eq!(dead(&*store).await, BTreeSet::from([ids[0]]));
    assert_eq!(store.advance_log_start(&t, 3).await.unwrap(), 10, "never back");
    assert_eq!(store.find_segment_for_offset(&t, 5).await.unwrap(), None);
    assert_eq!(store.next_segment(&t, 0).await.unwrap().unwrap().base_offset, 10);
    assert_eq!(
        store.advance_log_start(&t, u64::MAX).await.unwrap(),
        30,
        "not beyond the end"
    );
    let ends = store
        .partitions(std::slice::from_ref(&t))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (ends.log_start, ends.high_watermark, ends.segments, ends.bytes),
        (30, 30, 0, 0)
    );
    assert_eq!(dead(&*store).await, ids.into_iter().collect());
    write(&*store, vec![segment(t.clone(), lease.epoch, 30, 31, 1)])
        .await
        .unwrap();
    assert_eq!(bases(&*store).await, [30]);
}

pub(crate) async fn compaction_takes_places(rig: &dyn Rig) {
    let store = rig.open().await;
    create(&*store, "t", 2).await;
    let leases = store
        .acquire(Ulid::generate(), &[at("t", 0), at("t", 1)], LONG)
        .await
        .unwrap();
    let mut ids = Vec::new();
    for n in 0..4u64 {
        // The second partition shares the first three objects.
        let shared = leases.iter().take(if n < 3 { 2 } else { 1 });
        let sections = shared.map(|l| segment(l.at.clone(), l.epoch, n * 10, n * 10 + 10, 100 - n as i64));
        ids.push(write(&*store, sections.collect()).await.unwrap());
    }
    let id = register(&*store).await;
    let mut new = segment(at("t", 0), 0, 10, 40, 99);
    new.length = 250;
    let replaces = vec![(10, ids[1]), (20, ids[2]), (30, ids[3])];
    let compaction = compaction_of(id, new, replaces);
    store.commit_compaction(&compaction).await.unwrap();
    rig.open().await.commit_compaction(&compaction).await.unwrap();
    assert_eq!(bases(&*store).await, [0, 10]);
    let found = store
        .find_segment_for_offset(&at("t", 0), 39)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.object, found.base_offset, found.next_offset, found.length),
        (id, 10, 40, 250)
    );
    let ends = store.partitions(&[at("t", 0), at("t", 1)]).await.unwrap();
    assert_eq!(
        (ends[0].segments, ends[0].bytes, ends[0].high_watermark),
        (2, 350, 40)
    );
    assert_eq!((ends[1].segments, ends[1].bytes), (3, 300));
    // Only the one that nothing else refers to.
    assert_eq!(dead(&*store).await, BTreeSet::from([ids[3]]));
    let mut other = compaction.clone();
    other.segment.length = 249;
    assert!(matches!(
        store.commit_compaction(&other).await.unwrap_err(),
        MetadataError::Invalid { .. }
    ));
    // The second partition lets go of them too.
    store.advance_log_start(&at("t", 1), 30).await.unwrap();
    assert_eq!(dead(&*store).await, BTreeSet::from([ids[1], ids[2], ids[3]]));
    store.commit_compaction(&compaction).await.unwrap();
}

pub(crate) async fn compaction_of_what_moved_fails(rig: &dyn Rig) {
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    let t = at("t", 0);
    let ids = tens(&*store, lease.epoch, 4).await;
    let id = register(&*store).await;
    let new = |from, to| segment(at("t", 0), 0, from, to, 1);
    let moved = [
        (new(0, 20), vec![(0, ids[0]), (10, ids[0])]),
        (new(0, 20), vec![(0, ids[0])]),
        (new(0, 20), vec![(0, ids[0]), (11, ids[1])]),
        (new(0, 30), vec![(0, ids[0]), (20, ids[2])]),
        (new(0, 15), vec![(0, ids[0]), (10, ids[1])]),
        (new(30, 50), vec![(30, ids[3])]),
        (new(50, 60), vec![(50, ids[3])]),
    ];
    for (n, (segment, replaces)) in moved.into_iter().enumerate() {
        let error = store
            .commit_compaction(&compaction_of(id, segment, replaces))
            .await
            .unwrap_err();
        assert!(matches!(error, MetadataError::Moved { .. }), "{n}: {error}");
    }
    for (segment, replaces) in [
        (new(0, 20), vec![]),
        (new(0, 20), vec![(10, ids[1])]),
        (new(0, 20), vec![(0, ids[0]), (0, ids[0])]),
    ] {
        let error = store
            .commit_compaction(&compaction_of(id, segment, replaces))
            .await
            .unwrap_err();
        assert!(matches!(error, MetadataError::Invalid { .. }), "{error}");
    }
    // Retention was quicker.
    store.advance_log_start(&t, 10).await.unwrap();
    let both = vec![(0, ids[0]), (10, ids[1])];
    let error = store
        .commit_compaction(&compaction_of(id, new(0, 20), both))
        .await
        .unwrap_err();
    assert!(matches!(error, MetadataError::Moved { .. }), "{error}");
    assert_eq!(bases(&*store).await, [10, 20, 30]);
    store.abandon_upload(id).await.unwrap();
    let good = compaction_of(id, new(10, 30), vec![(10, ids[1]), (20, ids[2])]);
    let error = store.commit_compaction(&good).await.unwrap_err();
    assert!(matches!(error, MetadataError::UploadDead { .. }), "{error}");
}

pub(crate) async fn dead_objects_wait_for_their_time(rig: &dyn Rig) {
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    let id = write(&*store, vec![segment(at("t", 0), lease.epoch, 0, 1, 1)])
        .await
        .unwrap();
    store.advance_log_start(&at("t", 0), 1).await.unwrap();
    let grace = Duration::from_millis(500);
    assert!(store.dead_objects(LONG, 10).await.unwrap().is_empty());
    rig.pass(grace + grace).await;
    let never = register(&*store).await;
    store.abandon_upload(never).await.unwrap();
    let due = store.dead_objects(grace, 10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].id, &*due[0].key), (id, &*format!("flush/{id}.seg")));
    assert_eq!(
        store.dead_objects(Duration::ZERO, 1).await.unwrap(),
        due,
        "the oldest first"
    );
    let live = write(&*store, vec![segment(at("t", 0), lease.epoch, 1, 2, 1)])
        .await
        .unwrap();
    let waiting = register(&*store).await;
    for not_dead in [live, waiting] {
        // All or nothing.
        let error = store.forget_objects(&[never, not_dead]).await.unwrap_err();
        assert!(matches!(error, MetadataError::Invalid { .. }), "{error}");
    }
    assert_eq!(dead(&*store).await.len(), 2);
    store
        .forget_objects(&[id, never, Ulid::generate(), id])
        .await
        .unwrap();
    store.forget_objects(&[id]).await.unwrap();
    assert!(dead(&*store).await.is_empty());
    let commit = commit_of(waiting, vec![segment(at("t", 0), lease.epoch, 2, 3, 1)]);
    store.commit_upload(&commit).await.unwrap();
}

pub(crate) async fn timestamps_survive_what_was_dropped(rig: &dyn Rig) {
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    let t = at("t", 0);
    let times = [1000, 10, 900, 20, 30, 5];
    let mut ids = Vec::new();
    for (n, time) in times.into_iter().enumerate() {
        let n = n as u64;
        ids.push(
            write(&*store, vec![segment(t.clone(), lease.epoch, n, n + 1, time)])
                .await
                .unwrap(),
        );
    }
    let first = async |time| {
        let found = store.find_segment_for_timestamp(&t, time).await.unwrap();
        found.map(|segment| segment.base_offset)
    };
    assert_eq!(first(15).await, Some(0));
    store.advance_log_start(&t, 1).await.unwrap();
    assert_eq!(
        (first(5).await, first(15).await, first(901).await),
        (Some(1), Some(2), None)
    );
    // A compaction that lost the greatest one.
    let id = register(&*store).await;
    let replaces = vec![(1, ids[1]), (2, ids[2])];
    store
        .commit_compaction(&compaction_of(id, segment(t.clone(), 0, 1, 3, 15), replaces))
        .await
        .unwrap();
    assert_eq!(
        (first(15).await, first(16).await, first(21).await),
        (Some(1), Some(3), Some(4))
    );
    assert_eq!(first(31).await, None);
    // And one that has a greater one.
    let id = register(&*store).await;
    store
        .commit_compaction(&compaction_of(
            id,
            segment(t.clone(), 0, 3, 4, 50),
            vec![(3, ids[3])],
        ))
        .await
        .unwrap();
    assert_eq!((first(21).await, first(50).await), (Some(3), Some(3)));
    write(&*store, vec![segment(t.clone(), lease.epoch, 6, 7, 60)])
        .await
        .unwrap();
    assert_eq!(first(51).await, Some(6));
    crate::rig::check(rig).await;
}
