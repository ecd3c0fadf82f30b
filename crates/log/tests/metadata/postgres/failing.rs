use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use forebay_log::metadata::{MetadataError, MetadataStore};
use forebay_testkit::within;
use ulid::Ulid;

use super::PostgresRig;
use crate::rig::{LONG, Rig, at, check, create, leased, segment, topic, write};

/// The server dies and comes back while writers commit: nothing that was said to be committed is missing, nothing is
/// there twice, and no call failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_loses_no_commit_and_fails_no_call() {
    let Some(rig) = PostgresRig::own().await else {
        return;
    };
    within(async {
        let store = Arc::new(rig.store().await);
        create(&*store, "t", 3).await;
        let which: Vec<_> = (0..3).map(|n| at("t", n)).collect();
        let leases = store.acquire(Ulid::generate(), &which, LONG).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut changes = store.changes();
        let writers: Vec<_> = leases
            .into_iter()
            .map(|lease| {
                let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut next = 0u64;
                    while !stop.load(Ordering::Relaxed) {
                        write(
                            &*store,
                            vec![segment(lease.at.clone(), lease.epoch, next, next + 1, 1)],
                        )
                        .await
                        .unwrap();
                        next += 1;
                        store
                            .commit_offsets("g", &[(lease.at.clone(), next, None)])
                            .await
                            .unwrap();
                    }
                    next
                })
            })
            .collect();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            tokio::task::block_in_place(|| rig.server.as_ref().unwrap().restart());
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        stop.store(true, Ordering::Relaxed);
        let ends = {
            let mut ends = Vec::new();
            for writer in writers {
                ends.push(writer.await.unwrap());
            }
            ends
        };
        for (at, end) in which.iter().zip(ends) {
            let found = store
                .partitions(std::slice::from_ref(at))
                .await
                .unwrap()
                .remove(0);
            assert!(end > 3, "{end}");
            assert_eq!((found.high_watermark, found.segments), (end, end));
            let offset = store
                .committed_offsets("g", std::slice::from_ref(at))
                .await
                .unwrap()
                .remove(0);
            assert_eq!(offset.unwrap().offset, end);
        }
        check(&rig).await;
        // Whoever listened listens again.
        changes.borrow_and_update();
        let other = rig.store().await;
        let renewed = other.acquire(Ulid::generate(), &which[..1], LONG).await;
        assert!(matches!(renewed.unwrap_err(), MetadataError::Held { .. }));
        create(&other, "u", 1).await;
        let lease = other
            .acquire(Ulid::generate(), &[at("u", 0)], LONG)
            .await
            .unwrap()
            .remove(0);
        write(&other, vec![segment(at("u", 0), lease.epoch, 0, 1, 1)])
            .await
            .unwrap();
        tokio::time::timeout(Duration::from_secs(10), changes.changed())
            .await
            .unwrap()
            .unwrap();
    })
    .await;
}

/// Connections are ended by an operator in the middle of everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_sessions_are_made_anew() {
    let Some(rig) = PostgresRig::own().await else {
        return;
    };
    within(async {
        let store = rig.store().await;
        let lease = leased(&store, Ulid::generate()).await;
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE application_name = 'forebay'";
        for n in 0..5 {
            assert!(rig.number(end).await > 0);
            write(&store, vec![segment(at("t", 0), lease.epoch, n, n + 1, 1)])
                .await
                .unwrap();
            assert!(rig.number(end).await > 0);
            store
                .find_segment_for_offset(&at("t", 0), n)
                .await
                .unwrap()
                .unwrap();
        }
        assert_eq!(store.partitions(&[at("t", 0)]).await.unwrap()[0].segments, 5);
    })
    .await;
}

/// A server that is away for longer than the deadline is told, and calls go on when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stays_away_is_told_in_time() {
    let Some(rig) = PostgresRig::own().await else {
        return;
    };
    within(async {
        let deadline = Duration::from_secs(2);
        let url = &rig.url;
        let store = forebay_log::metadata::PostgresMetadataStore::connect_within(url, deadline)
            .await
            .unwrap();
        create(&store, "t", 1).await;
        let server = rig.server.as_ref().unwrap();
        tokio::task::block_in_place(|| server.stop());
        let begun = tokio::time::Instant::now();
        let error = store.topic(&topic("t")).await.unwrap_err();
        assert!(begun.elapsed() < deadline * 2);
        assert!(error.kind().is_transient(), "{error}");
        tokio::task::block_in_place(|| server.resume());
        assert!(store.topic(&topic("t")).await.unwrap().is_some());
    })
    .await;
}
