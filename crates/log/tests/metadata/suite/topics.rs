use std::sync::Arc;

use forebay_log::metadata::{MetadataError, TopicConfig};

use crate::rig::{Rig, at, create, topic};

pub(crate) async fn topics_are_made_found_and_listed(rig: &dyn Rig) {
    let store = rig.open().await;
    let config = TopicConfig {
        retention_ms: Some(5),
        retention_bytes: Some(u64::MAX),
    };
    let made = store.create_topic(&topic("b"), 3, &config).await.unwrap();
    assert_eq!((made.partitions, &made.config), (3, &config));
    // Byte order, whatever the language of the machine.
    for name in ["B", "a", "_", "b.c", "b-c", "Z"] {
        create(&*store, name, 1).await;
    }
    let again = store.create_topic(&topic("b"), 1, &config).await.unwrap_err();
    assert!(matches!(again, MetadataError::TopicExists { .. }), "{again}");
    let other = rig.open().await;
    assert_eq!(other.topic(&topic("b")).await.unwrap(), Some(made));
    assert_eq!(other.topic(&topic("c")).await.unwrap(), None);
    let names = |topics: Vec<forebay_log::metadata::TopicInfo>| -> Vec<String> {
        topics.iter().map(|topic| topic.name.to_string()).collect()
    };
    assert_eq!(
        names(other.topics(None, 100).await.unwrap()),
        ["B", "Z", "_", "a", "b", "b-c", "b.c"]
    );
    let after = topic("_");
    assert_eq!(names(other.topics(Some(&after), 2).await.unwrap()), ["a", "b"]);
    assert!(other.topics(None, 0).await.unwrap().is_empty());
    assert_eq!(other.topics(None, usize::MAX).await.unwrap().len(), 7);
    let ends = other.partitions_of(&topic("b")).await.unwrap();
    let numbers: Vec<_> = ends.iter().map(|ends| ends.at.clone()).collect();
    assert_eq!(numbers, [at("b", 0), at("b", 1), at("b", 2)]);
    assert!(
        ends.iter()
            .all(|ends| ends.high_watermark == 0 && ends.epoch == 0 && ends.segments == 0)
    );
}

pub(crate) async fn hostile_topics_are_refused(rig: &dyn Rig) {
    let store = rig.open().await;
    for partitions in [0, u32::MAX] {
        let error = store
            .create_topic(&topic("t"), partitions, &TopicConfig::default())
            .await
            .unwrap_err();
        assert!(matches!(error, MetadataError::Invalid { .. }), "{error}");
    }
    assert_eq!(store.topic(&topic("t")).await.unwrap(), None);
    // Many make the same one at once: one of them did.
    let tasks = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            store
                .create_topic(&topic("t"), 1, &TopicConfig::default())
                .await
                .is_ok()
        })
    });
    let made = futures::future::join_all(tasks).await;
    assert_eq!(made.into_iter().filter(|made| *made.as_ref().unwrap()).count(), 1);
}

pub(crate) async fn a_wide_topic_is_quick_to_ask(rig: &dyn Rig) {
    let store = rig.open().await;
    create(&*store, "before", 2).await;
    create(&*store, "wide", 100_000).await;
    create(&*store, "after", 1).await;
    let ends = store.partitions_of(&topic("wide")).await.unwrap();
    assert_eq!(ends.len(), 100_000);
    assert_eq!(ends[99_999].at, at("wide", 99_999));
    let asked = [
        at("wide", 99_999),
        at("before", 1),
        at("wide", 0),
        at("wide", 99_999),
    ];
    let ends = store.partitions(&asked).await.unwrap();
    assert!(ends.iter().map(|ends| &ends.at).eq(&asked));
}
