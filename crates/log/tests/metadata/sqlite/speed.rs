use std::sync::Arc;
use std::time::Duration;

use crate::rig::{Rig, SqliteRig, at, leased, segment, write};
use forebay_types::{Clock, SystemClock};
use ulid::Ulid;

/// Commits that wait together share a sync: twenty at once need far fewer transactions than calls. Counted by the file's
/// own version of its data, not by time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_wait_share_a_transaction_and_fail_alone() {
    let rig = SqliteRig::new();
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    crate::rig::create(&*store, "u", 200).await;
    let which: Vec<_> = (0..200).map(|n| at("u", n)).collect();
    let leases = store
        .acquire(Ulid::generate(), &which, crate::rig::LONG)
        .await
        .unwrap();
    // Somebody else writes for a moment: all calls wait.
    let mut other = rusqlite::Connection::open(&rig.path).unwrap();
    let held = other
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .unwrap();
    let wal = rig.path.with_extension("db-wal");
    let before = std::fs::metadata(&wal).unwrap().len();
    let tasks: Vec<_> = leases
        .into_iter()
        .map(|lease| {
            let store = Arc::clone(&store);
            // Every tenth goes on at a wrong place.
            let from = u64::from(lease.at.partition.is_multiple_of(10));
            tokio::spawn(async move {
                let upload = forebay_log::metadata::Upload {
                    id: Ulid::generate(),
                    key: lease.at.to_string().into(),
                };
                let never = crate::rig::commit_of(
                    Ulid::generate(),
                    vec![segment(lease.at.clone(), lease.epoch, from, 5, 1)],
                );
                let (registered, wrong) =
                    tokio::join!(store.register_upload(&upload), store.commit_upload(&never));
                registered.unwrap();
                wrong.unwrap_err();
                let commit =
                    crate::rig::commit_of(upload.id, vec![segment(lease.at, lease.epoch, from, 5, 1)]);
                store.commit_upload(&commit).await.is_ok() == (from == 0)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    held.rollback().unwrap();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    let ends = store.partitions(&which).await.unwrap();
    assert_eq!(ends.iter().filter(|ends| ends.high_watermark == 5).count(), 180);
    // 400 transactions of their own would each have written a dozen pages of 4 KiB.
    let grown = std::fs::metadata(&wal).unwrap().len() - before;
    assert!(grown < 8 << 20, "{grown} bytes for 400 calls");
    write(&*store, vec![segment(at("t", 0), lease.epoch, 0, 1, 1)])
        .await
        .unwrap();
}

/// A lookup does not wait for a writer: it answers while another process holds the file for writing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_do_not_wait_for_writers() {
    let rig = SqliteRig::new();
    let store = rig.open().await;
    let lease = leased(&*store, Ulid::generate()).await;
    write(&*store, vec![segment(at("t", 0), lease.epoch, 0, 1, 1)])
        .await
        .unwrap();
    let mut other = rusqlite::Connection::open(&rig.path).unwrap();
    let held = other
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .unwrap();
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            write(&*store, vec![segment(at("t", 0), lease.epoch, 1, 2, 1)])
                .await
                .map(drop)
        }
    });
    for _ in 0..100 {
        assert!(
            store
                .find_segment_for_offset(&at("t", 0), 0)
                .await
                .unwrap()
                .is_some()
        );
    }
    assert!(!writing.is_finished());
    held.rollback().unwrap();
    writing.await.unwrap().unwrap();
}

/// Prints how long lookups take among 100,000 segments: `cargo nextest run --run-ignored only --no-capture figures`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn figures() {
    let rig = SqliteRig::new();
    let store = rig.open().await;
    let all = crate::figures::many(100_000);
    let clock = SystemClock::new();
    store.restore(&all, false).await.unwrap();
    println!("sqlite: 100,000 segments restored in {:?}", clock.now());
    crate::figures::print("sqlite", &*store).await;
}
