use forebay_log::metadata::{GroupInfo, MetadataError};

use crate::rig::{Rig, at, create};

pub(crate) async fn groups_commit_and_are_listed(rig: &dyn Rig) {
    let store = rig.open().await;
    create(&*store, "a", 2).await;
    create(&*store, "b", 1).await;
    let which = [at("b", 0), at("a", 1), at("a", 0)];
    assert_eq!(store.committed_offsets("g", &which).await.unwrap(), vec![None; 3]);
    let offsets = [
        (at("a", 1), 7, Some("seven".to_owned())),
        (at("b", 0), i64::MAX as u64, None),
    ];
    store.commit_offsets("g", &offsets).await.unwrap();
    store
        .commit_offsets(
            "g",
            &[(at("a", 1), 3, None), (at("a", 0), 1, Some(String::new()))],
        )
        .await
        .unwrap();
    store.commit_offsets("G", &offsets[..1]).await.unwrap();
    store.commit_offsets("nothing", &[]).await.unwrap();
    let other = rig.open().await;
    let found = other.committed_offsets("g", &which).await.unwrap();
    let found: Vec<_> = found
        .into_iter()
        .flatten()
        .map(|one| (one.offset, one.metadata))
        .collect();
    assert_eq!(
        found,
        [(i64::MAX as u64, None), (3, None), (1, Some(String::new()))]
    );
    let groups = other.groups(None, 10).await.unwrap();
    let count = |group: &GroupInfo| (group.name.clone(), group.partitions);
    assert_eq!(
        groups.iter().map(count).collect::<Vec<_>>(),
        [("G".to_owned(), 1), ("g".to_owned(), 3)]
    );
    assert!(groups[0].committed_ms > 0);
    assert_eq!(other.groups(Some("G"), 10).await.unwrap(), &groups[1..]);
    assert_eq!(other.groups(None, 1).await.unwrap(), &groups[..1]);
    let all = other.group_offsets("g").await.unwrap();
    let places: Vec<_> = all.iter().map(|(at, _)| at.clone()).collect();
    assert_eq!(places, [at("a", 0), at("a", 1), at("b", 0)]);
    assert_eq!(
        all[2].1.committed_ms,
        groups[1].committed_ms.min(all[2].1.committed_ms)
    );
    assert!(other.group_offsets("none").await.unwrap().is_empty());
    assert!(other.delete_group("g").await.unwrap());
    assert!(!store.delete_group("g").await.unwrap());
    assert!(store.group_offsets("g").await.unwrap().is_empty());
    assert_eq!(store.groups(None, 10).await.unwrap(), &groups[..1]);
}

pub(crate) async fn impossible_groups_are_refused(rig: &dyn Rig) {
    let store = rig.open().await;
    create(&*store, "t", 2).await;
    let good = [(at("t", 0), 1, None)];
    let long = "g".repeat(1025);
    for group in ["", "a\0b", &long] {
        let error = store.commit_offsets(group, &good).await.unwrap_err();
        assert!(matches!(error, MetadataError::Invalid { .. }), "{error}");
    }
    for bad in [
        (at("t", 1), u64::MAX, None),
        (at("t", 1), 1, Some("a\0b".to_owned())),
        (at("t", 1), 1, Some("m".repeat(100_000))),
        (at("t", 0), 2, None),
    ] {
        let error = store
            .commit_offsets("g", &[good[0].clone(), bad])
            .await
            .unwrap_err();
        assert!(matches!(error, MetadataError::Invalid { .. }), "{error}");
    }
    let error = store
        .commit_offsets("g", &[good[0].clone(), (at("t", 2), 1, None)])
        .await
        .unwrap_err();
    assert!(matches!(error, MetadataError::UnknownPartition { .. }), "{error}");
    assert!(store.groups(None, 10).await.unwrap().is_empty(), "all or nothing");
    // Names are as wild as users are.
    for group in ["\u{202e}x", "'; DROP TABLE topics; --", "ünïcode \n", "%s"] {
        store.commit_offsets(group, &good).await.unwrap();
        assert_eq!(store.group_offsets(group).await.unwrap().len(), 1);
    }
}
