use std::sync::Arc;
use std::time::Duration;

use forebay_log::metadata::{MetadataError, NewSegment, Upload};
use ulid::Ulid;

use crate::rig::{LONG, Rig, at, commit_of, create, leased, register, segment, write};

pub(crate) async fn a_commit_is_all_or_nothing(rig: &dyn Rig) {
    let store = rig.open().await;
    create(&*store, "t", 3).await;
    let writer = Ulid::generate();
    let which = [at("t", 0), at("t", 1), at("t", 2)];
    let leases = store.acquire(writer, &which, LONG).await.unwrap();
    let sections = |from: u64| -> Vec<_> {
        leases
            .iter()
            .map(|lease| segment(lease.at.clone(), lease.epoch, from, from + 5, 1))
            .collect()
    };
    // The last of them goes on at another place: none is there.
    let mut wrong = sections(0);
    wrong[2].base_offset = 1;
    let error = write(&*store, wrong).await.unwrap_err();
    let MetadataError::OutOfOrder {
        at: place,
        expected,
        got,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((place, expected, got), (at("t", 2), 0, 1));
    let ends = store.partitions(&which).await.unwrap();
    assert!(
        ends.iter()
            .all(|ends| ends.high_watermark == 0 && ends.segments == 0)
    );
    let id = write(&*store, sections(0)).await.unwrap();
    let ends = store.partitions(&which).await.unwrap();
    assert!(
        ends.iter()
            .all(|ends| ends.high_watermark == 5 && ends.segments == 1 && ends.bytes == 100)
    );
    for place in &which {
        assert_eq!(
            store
                .find_segment_for_offset(place, 4)
                .await
                .unwrap()
                .unwrap()
                .object,
            id
        );
    }
}

pub(crate) async fn commits_are_in_order(rig: &dyn Rig) {
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    let part = |from, to| vec![segment(at("t", 0), lease.epoch, from, to, 1)];
    write(&*store, part(0, 10)).await.unwrap();
    for (from, to) in [(0, 10), (9, 11), (11, 12)] {
        let error = write(&*store, part(from, to)).await.unwrap_err();
        let MetadataError::OutOfOrder { expected, got, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((expected, got), (10, from));
    }
    write(&*store, part(10, i64::MAX as u64)).await.unwrap();
    let error = write(&*store, part(i64::MAX as u64, i64::MAX as u64 + 1))
        .await
        .unwrap_err();
    assert!(matches!(error, MetadataError::Invalid { .. }), "{error}");
}

pub(crate) async fn a_commit_can_be_said_again(rig: &dyn Rig) {
    let store = rig.open().await;
    let writer = Ulid::generate();
    let lease = leased(&*store, writer).await;
    let id = register(&*store).await;
    let commit = commit_of(id, vec![segment(at("t", 0), lease.epoch, 0, 5, 1)]);
    store.commit_upload(&commit).await.unwrap();
    write(&*store, vec![segment(at("t", 0), lease.epoch, 5, 6, 1)])
        .await
        .unwrap();
    // Also after the lease is gone: it was committed.
    store.release(writer, &[at("t", 0)]).await.unwrap();
    rig.open().await.commit_upload(&commit).await.unwrap();
    assert_eq!(
        store.partitions(&[at("t", 0)]).await.unwrap()[0].high_watermark,
        6
    );
    let mut other = commit.clone();
    other.segments[0].length = 99;
    let mut tag = commit.clone();
    tag.etag = "other".into();
    for different in [other, tag] {
        let error = store.commit_upload(&different).await.unwrap_err();
        assert!(matches!(error, MetadataError::Invalid { .. }), "{error}");
    }
    // And after its segments are gone.
    store.advance_log_start(&at("t", 0), 6).await.unwrap();
    store.commit_upload(&commit).await.unwrap();
    assert_eq!(store.partitions(&[at("t", 0)]).await.unwrap()[0].segments, 0);
    let upload = Upload {
        id,
        key: format!("flush/{id}.seg").into(),
    };
    assert!(matches!(
        store.register_upload(&upload).await.unwrap_err(),
        MetadataError::Invalid { .. }
    ));
}

pub(crate) async fn impossible_commits_are_refused(rig: &dyn Rig) {
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    let good = segment(at("t", 0), lease.epoch, 0, 5, 1);
    let id = register(&*store).await;
    let mut bad = vec![vec![], vec![good.clone(), good.clone()]];
    let changes: [fn(&mut NewSegment); 8] = [
        |s: &mut NewSegment| s.next_offset = 0,
        |s: &mut NewSegment| s.next_offset = u64::MAX,
        |s: &mut NewSegment| s.position = 901,
        |s: &mut NewSegment| s.position = u64::MAX,
        |s: &mut NewSegment| s.length = u64::MAX,
        |s: &mut NewSegment| s.records = u64::MAX,
        |s: &mut NewSegment| s.epoch = u64::MAX,
        |s: &mut NewSegment| s.max_timestamp = -2,
    ];
    for change in changes {
        let mut segment = good.clone();
        change(&mut segment);
        bad.push(vec![segment]);
    }
    for (n, segments) in bad.into_iter().enumerate() {
        let error = store.commit_upload(&commit_of(id, segments)).await.unwrap_err();
        assert!(matches!(error, MetadataError::Invalid { .. }), "{n}: {error}");
    }
    for key in ["", "a\0b", &"k".repeat(1025)] {
        let upload = Upload {
            id: Ulid::generate(),
            key: key.into(),
        };
        let error = store.register_upload(&upload).await.unwrap_err();
        assert!(matches!(error, MetadataError::Invalid { .. }), "{error}");
    }
    // The same upload once more is nothing new; its key for another, or another key for it, would lose an object.
    let same = |id, key: &str| Upload { id, key: key.into() };
    let key = format!("flush/{id}.seg");
    store.register_upload(&same(id, &key)).await.unwrap();
    for wrong in [same(id, "other"), same(Ulid::generate(), &key)] {
        let error = store.register_upload(&wrong).await.unwrap_err();
        assert!(matches!(error, MetadataError::Invalid { .. }), "{error}");
    }
    store.commit_upload(&commit_of(id, vec![good])).await.unwrap();
}

pub(crate) async fn uploads_that_died_stay_dead(rig: &dyn Rig) {
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    let good = || vec![segment(at("t", 0), lease.epoch, 0, 5, 1)];
    let dead = |error: MetadataError, id: Ulid| {
        let MetadataError::UploadDead { id: told } = error else {
            panic!("{error}")
        };
        assert_eq!(told, id);
    };
    let never = Ulid::generate();
    dead(
        store.commit_upload(&commit_of(never, good())).await.unwrap_err(),
        never,
    );
    let abandoned = register(&*store).await;
    store.abandon_upload(abandoned).await.unwrap();
    store.abandon_upload(abandoned).await.unwrap();
    store.abandon_upload(Ulid::generate()).await.unwrap();
    dead(
        store
            .commit_upload(&commit_of(abandoned, good()))
            .await
            .unwrap_err(),
        abandoned,
    );
    let old = register(&*store).await;
    rig.pass(Duration::from_millis(400)).await;
    let young = register(&*store).await;
    assert_eq!(store.expire_uploads(LONG).await.unwrap(), 0);
    assert_eq!(store.expire_uploads(Duration::from_millis(300)).await.unwrap(), 1);
    dead(
        store.commit_upload(&commit_of(old, good())).await.unwrap_err(),
        old,
    );
    store.commit_upload(&commit_of(young, good())).await.unwrap();
    // What is committed neither expires nor is abandoned.
    assert_eq!(store.expire_uploads(Duration::ZERO).await.unwrap(), 0);
    store.abandon_upload(young).await.unwrap();
    assert!(
        store
            .find_segment_for_offset(&at("t", 0), 0)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(store.dead_objects(Duration::ZERO, 10).await.unwrap().len(), 2);
}

pub(crate) async fn wide_commits_and_racing_writers(rig: &dyn Rig) {
    let first = rig.open().await;
    let second = rig.open().await;
    create(&*first, "wide", 1000).await;
    create(&*first, "t", 1).await;
    let which: Vec<_> = (0..1000).map(|n| at("wide", n)).collect();
    let writer = Ulid::generate();
    let leases = first.acquire(writer, &which, LONG).await.unwrap();
    let sections = leases
        .iter()
        .map(|lease| segment(lease.at.clone(), lease.epoch, 0, 3, 1))
        .collect();
    write(&*first, sections).await.unwrap();
    assert!(
        second
            .partitions(&which)
            .await
            .unwrap()
            .iter()
            .all(|ends| ends.high_watermark == 3)
    );
    // Ten tasks on two instances write the same partitions in opposite orders. Each offset is won once.
    let tasks = (0..10u64).map(|n| {
        let store = Arc::clone(if n % 2 == 0 { &first } else { &second });
        let leases = leases.clone();
        tokio::spawn(async move {
            let mut won = 0u64;
            for round in 0..5u64 {
                let from = 3 + round;
                let mut sections: Vec<_> = leases
                    .iter()
                    .take(20)
                    .map(|l| segment(l.at.clone(), l.epoch, from, from + 1, 1))
                    .collect();
                if n % 3 == 0 {
                    sections.reverse();
                }
                loop {
                    match write(&*store, sections.clone()).await {
                        Ok(_) => won += 1,
                        Err(MetadataError::OutOfOrder { expected, got, .. }) if expected < got => continue,
                        Err(MetadataError::OutOfOrder { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    break;
                }
            }
            won
        })
    });
    let won: u64 = futures::future::join_all(tasks)
        .await
        .into_iter()
        .map(Result::unwrap)
        .sum();
    assert_eq!(won, 5);
    let ends = first.partitions(&which).await.unwrap();
    assert!(
        ends.iter()
            .take(20)
            .all(|ends| ends.high_watermark == 8 && ends.segments == 6)
    );
}

pub(crate) async fn changes_are_told(rig: &dyn Rig) {
    let (store, other) = (rig.open().await, rig.open().await);
    let lease = leased(&*store, Ulid::generate()).await;
    for round in 0..3u64 {
        let (mut own, mut others) = (store.changes(), other.changes());
        // Whatever was before this.
        tokio::time::sleep(Duration::from_millis(150)).await;
        own.borrow_and_update();
        others.borrow_and_update();
        write(
            &*store,
            vec![segment(at("t", 0), lease.epoch, round, round + 1, 1)],
        )
        .await
        .unwrap();
        assert!(own.has_changed().unwrap(), "its own are told at once");
        tokio::time::timeout(Duration::from_secs(10), others.changed())
            .await
            .unwrap()
            .unwrap();
        // Without receivers nobody looks; new ones find the next change all the same.
        drop((own, others));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) async fn given_up_calls_are_done_or_not(rig: &dyn Rig) {
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    for round in 0..20u32 {
        let from = store.partitions(&[at("t", 0)]).await.unwrap()[0].high_watermark;
        let id = register(&*store).await;
        let commit = commit_of(id, vec![segment(at("t", 0), lease.epoch, from, from + 1, 1)]);
        let _ = tokio::time::timeout(Duration::from_micros(50) * round, store.commit_upload(&commit)).await;
        // Said again it is done, once.
        store.commit_upload(&commit).await.unwrap();
        assert_eq!(
            store.partitions(&[at("t", 0)]).await.unwrap()[0].high_watermark,
            from + 1
        );
    }
}
