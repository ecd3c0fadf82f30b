use std::time::Duration;

use forebay_log::metadata::{MetadataError, MetadataStore};
use ulid::Ulid;

use crate::rig::{LONG, Rig, at, create, lease, leased, segment, write};

const SHORT: Duration = Duration::from_millis(500);

async fn commit(store: &dyn MetadataStore, epoch: u64, from: u64) -> forebay_log::metadata::Result<()> {
    write(store, vec![segment(at("t", 0), epoch, from, from + 1, 1)])
        .await
        .map(drop)
}

pub(crate) async fn leases_fence(rig: &dyn Rig) {
    let store = rig.open().await;
    let (a, b) = (Ulid::generate(), Ulid::generate());
    create(&*store, "t", 1).await;
    let none = commit(&*store, 0, 0).await.unwrap_err();
    assert!(matches!(none, MetadataError::Fenced { .. }), "{none}");
    let first = lease(&*store, a).await;
    assert_eq!(
        (first.next_offset, first.clean, &first.at),
        (0, true, &at("t", 0))
    );
    commit(&*store, first.epoch, 0).await.unwrap();
    // The same writer again: a new epoch, and the old one is over.
    let second = lease(&*store, a).await;
    assert!(second.epoch > first.epoch);
    assert_eq!((second.next_offset, second.clean), (1, false));
    let error = commit(&*store, first.epoch, 1).await.unwrap_err();
    let MetadataError::Fenced { epoch, current, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((epoch, current), (first.epoch, second.epoch));
    let error = commit(&*store, second.epoch + 1, 1).await.unwrap_err();
    assert!(matches!(error, MetadataError::Fenced { .. }));
    commit(&*store, second.epoch, 1).await.unwrap();
    store.release(a, &[at("t", 0)]).await.unwrap();
    let error = commit(&*store, second.epoch, 2).await.unwrap_err();
    assert!(matches!(error, MetadataError::Fenced { .. }), "{error}");
    assert!(error.to_string().contains("given back"), "{error}");
    let third = lease(&*store, b).await;
    assert!(third.epoch > second.epoch);
    assert_eq!(
        store.partitions(&[at("t", 0)]).await.unwrap()[0].epoch,
        third.epoch
    );
    // What another writer gives back is not its own.
    store.release(a, &[at("t", 0)]).await.unwrap();
    commit(&*store, third.epoch, 2).await.unwrap();
}

pub(crate) async fn leases_are_all_or_nothing(rig: &dyn Rig) {
    let store = rig.open().await;
    let (a, b) = (Ulid::generate(), Ulid::generate());
    create(&*store, "t", 3).await;
    let all = [at("t", 0), at("t", 1), at("t", 2)];
    let held = store.acquire(a, &all[1..2], LONG).await.unwrap().remove(0);
    let error = store.acquire(b, &all, LONG).await.unwrap_err();
    let MetadataError::Held { at: place, left_ms } = error else {
        panic!("{error}")
    };
    assert_eq!(place, all[1]);
    assert!((1..=60_000).contains(&left_ms), "{left_ms}");
    let epochs: Vec<_> = store
        .partitions(&all)
        .await
        .unwrap()
        .iter()
        .map(|ends| ends.epoch)
        .collect();
    assert_eq!(epochs, [0, held.epoch, 0]);
    // Answers come in the order of the question.
    let given = store
        .acquire(a, &[all[2].clone(), all[0].clone(), all[1].clone()], LONG)
        .await
        .unwrap();
    let places: Vec<_> = given.iter().map(|lease| lease.at.partition).collect();
    assert_eq!(places, [2, 0, 1]);
    assert!(store.acquire(a, &[], LONG).await.unwrap().is_empty());
    for (which, ttl) in [
        (&[all[0].clone(), all[0].clone()][..], LONG),
        (&all[..], Duration::ZERO),
        (&all[..], Duration::MAX),
    ] {
        let error = store.acquire(a, which, ttl).await.unwrap_err();
        assert!(matches!(error, MetadataError::Invalid { .. }), "{error}");
    }
    assert!(store.renew(a, Duration::MAX).await.is_err());
}

pub(crate) async fn leases_expire_and_are_renewed(rig: &dyn Rig) {
    let store = rig.open().await;
    let other = rig.open().await;
    let (a, b) = (Ulid::generate(), Ulid::generate());
    create(&*store, "t", 1).await;
    let t = [at("t", 0)];
    let first = store.acquire(a, &t, SHORT).await.unwrap().remove(0);
    assert!(matches!(
        other.acquire(b, &t, SHORT).await.unwrap_err(),
        MetadataError::Held { .. }
    ));
    rig.pass(SHORT + SHORT).await;
    // It ran out, but nobody else took it: its epoch is still the present one, and it can be prolonged.
    commit(&*store, first.epoch, 0).await.unwrap();
    store.renew(a, LONG).await.unwrap();
    assert!(matches!(
        other.acquire(b, &t, SHORT).await.unwrap_err(),
        MetadataError::Held { .. }
    ));
    store.renew(a, SHORT).await.unwrap();
    rig.pass(SHORT + SHORT).await;
    let second = other.acquire(b, &t, LONG).await.unwrap().remove(0);
    assert_eq!((second.next_offset, second.clean), (1, false));
    assert!(matches!(
        commit(&*store, first.epoch, 1).await.unwrap_err(),
        MetadataError::Fenced { .. }
    ));
    // A renewal of who lost it takes nothing back.
    assert!(store.renew(a, LONG).await.unwrap().is_empty());
    commit(&*other, second.epoch, 1).await.unwrap();
    assert!(matches!(
        store.acquire(a, &t, LONG).await.unwrap_err(),
        MetadataError::Held { .. }
    ));
}

pub(crate) async fn a_wish_is_told_to_the_holder(rig: &dyn Rig) {
    let store = rig.open().await;
    let (a, b, c) = (Ulid::generate(), Ulid::generate(), Ulid::generate());
    create(&*store, "t", 3).await;
    let all = [at("t", 0), at("t", 1), at("t", 2)];
    store.acquire(a, &all, LONG).await.unwrap();
    assert!(store.renew(a, LONG).await.unwrap().is_empty());
    assert!(rig.open().await.acquire(b, &all[1..], LONG).await.is_err());
    assert_eq!(store.renew(a, LONG).await.unwrap(), &all[1..]);
    assert_eq!(
        store.renew(a, LONG).await.unwrap(),
        &all[1..],
        "until it is given back"
    );
    assert!(store.renew(c, LONG).await.unwrap().is_empty());
    // A new epoch of the same writer changes no hands; giving back and taking does.
    store.acquire(a, &all[1..2], LONG).await.unwrap();
    assert_eq!(store.renew(a, LONG).await.unwrap(), &all[1..]);
    store.release(a, &all[1..2]).await.unwrap();
    assert_eq!(store.renew(a, LONG).await.unwrap(), &all[2..]);
    store.acquire(b, &all[1..2], LONG).await.unwrap();
    assert!(store.renew(b, LONG).await.unwrap().is_empty());
}

pub(crate) async fn released_is_clean(rig: &dyn Rig) {
    let store = rig.open().await;
    let (a, b) = (Ulid::generate(), Ulid::generate());
    assert!(leased(&*store, a).await.clean);
    store.release(b, &[at("t", 0)]).await.unwrap();
    assert!(matches!(
        store.acquire(b, &[at("t", 0)], LONG).await.unwrap_err(),
        MetadataError::Held { .. }
    ));
    store.release(a, &[at("t", 0), at("t", 0)]).await.unwrap();
    assert!(lease(&*store, b).await.clean);
    store.release(b, &[at("t", 0)]).await.unwrap();
    let short = store.acquire(a, &[at("t", 0)], SHORT).await.unwrap().remove(0);
    assert!(short.clean);
    rig.pass(SHORT + SHORT).await;
    assert!(!lease(&*store, b).await.clean, "it ran out");
    store.release(a, &[at("t", 0)]).await.unwrap();
    assert!(
        store.acquire(a, &[at("t", 0)], LONG).await.is_err(),
        "it was not its own to give back"
    );
    store.release(b, &[at("t", 0)]).await.unwrap();
    assert!(lease(&*store, a).await.clean);
}
