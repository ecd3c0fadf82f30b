use std::sync::Arc;
use std::time::Duration;

use forebay_log::metadata::{MetadataError, MetadataStore, SqliteMetadataStore};
use forebay_types::{Clock, ErrorKind};
use ulid::Ulid;

use crate::rig::{Rig, SqliteRig, at, create, segment, topic, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_open_a_new_store_at_once() {
    let rig = SqliteRig::new();
    let opening = (0..16).map(|_| {
        let path = rig.path.clone();
        tokio::spawn(async move { SqliteMetadataStore::new(&path).await.map(drop) })
    });
    for opened in futures::future::join_all(opening).await {
        opened.unwrap().unwrap();
    }
    assert_eq!(rig.number("PRAGMA user_version").await, 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let rig = SqliteRig::new();
    drop(rig.open().await);
    let db = rusqlite::Connection::open(&rig.path).unwrap();
    db.pragma_update(None, "user_version", 2).unwrap();
    drop(db);
    let error = SqliteMetadataStore::open(&rig.path).await.unwrap_err();
    let MetadataError::Schema { found, known, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((found, known), (2, 1));
    assert_eq!(rig.number("PRAGMA user_version").await, 2);
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_refused() {
    let rig = SqliteRig::new();
    std::fs::write(&rig.path, vec![7u8; 10_000]).unwrap();
    let error = SqliteMetadataStore::open(&rig.path).await.unwrap_err();
    assert!(matches!(error, MetadataError::Corrupt { .. }), "{error}");
    assert_eq!(std::fs::read(&rig.path).unwrap(), vec![7u8; 10_000]);
    let rig = SqliteRig::new();
    let db = rusqlite::Connection::open(&rig.path).unwrap();
    db.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(db);
    let error = SqliteMetadataStore::open(&rig.path).await.unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
    for path in ["/dev/null/log.db", "/proc/log.db", "/"] {
        assert!(SqliteMetadataStore::open(path).await.is_err(), "{path}");
    }
}

/// One segment of one record in partition 0.
async fn write_one(store: &dyn MetadataStore) {
    store
        .acquire(Ulid::generate(), &[at("t", 0)], Duration::from_secs(9))
        .await
        .unwrap();
    write(store, vec![segment(at("t", 0), 1, 0, 1, 1)]).await.unwrap();
}

#[tokio::test]
async fn damage_is_told_as_such() {
    let rig = SqliteRig::new();
    {
        let store = rig.open().await;
        create(&*store, "t", 2000).await;
        write_one(&*store).await;
    }
    // Its thread ends a moment after the store is dropped and takes the log along.
    let wal = rig.path.with_extension("db-wal");
    while wal.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut bytes = std::fs::read(&rig.path).unwrap();
    let end = bytes.len();
    // All but the first page, which says what the file is.
    bytes[4096..end].fill(0xA5);
    std::fs::write(&rig.path, bytes).unwrap();
    let store = match SqliteMetadataStore::open(&rig.path).await {
        Err(MetadataError::Corrupt { .. }) => return,
        Err(error) => panic!("{error}"),
        Ok(store) => store,
    };
    let error = store.partitions_of(&topic("t")).await.unwrap_err();
    assert!(matches!(error, MetadataError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("forebay log recover"), "{error}");
}

#[tokio::test]
async fn values_that_cannot_be_are_told_and_not_used() {
    let rig = SqliteRig::new();
    let store = rig.open().await;
    create(&*store, "t", 1).await;
    write_one(&*store).await;
    let db = rusqlite::Connection::open(&rig.path).unwrap();
    for (damage, repair) in [
        (
            "UPDATE segments SET length = -1",
            "UPDATE segments SET length = 100",
        ),
        (
            "UPDATE segments SET object = x'00'",
            "UPDATE segments SET object = (SELECT id FROM objects)",
        ),
        (
            "UPDATE segments SET object = zeroblob(16)",
            "UPDATE segments SET object = (SELECT id FROM objects)",
        ),
    ] {
        assert_eq!(db.execute(damage, []).unwrap(), 1);
        let error = store.find_segment_for_offset(&at("t", 0), 0).await.unwrap_err();
        assert!(
            matches!(error, MetadataError::Corrupt { .. }),
            "{damage}: {error}"
        );
        db.execute(repair, []).unwrap();
        store
            .find_segment_for_offset(&at("t", 0), 0)
            .await
            .unwrap()
            .unwrap();
    }
    db.execute("UPDATE topics SET config = '{'", []).unwrap();
    assert!(matches!(
        store.topic(&topic("t")).await.unwrap_err(),
        MetadataError::Corrupt { .. }
    ));
}

/// A clock that may be set back.
#[derive(Debug)]
struct Settable(std::sync::atomic::AtomicU64);

impl Clock for Settable {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> Duration {
        Duration::from_secs(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_locks_nobody_out_and_fences_as_ever() {
    let rig = SqliteRig::new();
    let clock = Arc::new(Settable(1_000_000.into()));
    let (a, b) = (Ulid::generate(), Ulid::generate());
    let store = SqliteMetadataStore::open_with_clock(&rig.path, Arc::<Settable>::clone(&clock))
        .await
        .unwrap();
    create(&store, "t", 1).await;
    let t = [at("t", 0)];
    let ttl = Duration::from_secs(10);
    let first = store.acquire(a, &t, ttl).await.unwrap().remove(0);
    clock.0.store(999_995, std::sync::atomic::Ordering::SeqCst);
    assert!(matches!(
        store.acquire(b, &t, ttl).await.unwrap_err(),
        MetadataError::Held { left_ms: 15_000, .. }
    ));
    clock.0.store(500_000, std::sync::atomic::Ordering::SeqCst);
    let second = store.acquire(b, &t, ttl).await.unwrap().remove(0);
    assert!(second.epoch > first.epoch && !second.clean);
    let error = write(&store, vec![segment(t[0].clone(), first.epoch, 0, 1, 1)])
        .await
        .unwrap_err();
    assert!(matches!(error, MetadataError::Fenced { .. }));
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
