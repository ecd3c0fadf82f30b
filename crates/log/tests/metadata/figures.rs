//! How long calls take among 100,000 segments. Printed by ignored tests.

use std::time::Duration;

use forebay_log::metadata::{
    MetadataStore, NewSegment, Restored, RestoredPartition, SegmentInfo, TopicConfig, TopicInfo,
};
use forebay_types::{Clock, SystemClock};
use ulid::Ulid;

use crate::rig::{LONG, at, commit_of, create, register, topic};

/// A topic of one partition with so many segments of ten records, an index of 1 KiB each, ten in one object.
pub(crate) fn many(segments: u64) -> Restored {
    let place = at("t", 0);
    let mut objects = Vec::new();
    let found = (0..segments).map(|n| {
        if n % 10 == 0 {
            objects.push(Ulid::generate());
        }
        let object = objects[objects.len() - 1];
        SegmentInfo {
            at: place.clone(),
            base_offset: n * 10,
            next_offset: n * 10 + 10,
            object,
            key: format!("flush/{object}.seg").into(),
            object_size: 1 << 20,
            etag: "\"0123456789abcdef0123456789abcdef\"".into(),
            position: n % 10 * 1000,
            length: 1000,
            records: 10,
            max_timestamp: n as i64,
            epoch: 1,
            index: vec![n as u8; 1024].into(),
        }
    });
    Restored {
        topics: vec![TopicInfo {
            name: topic("t"),
            partitions: 1,
            config: TopicConfig::default(),
            created_ms: 1,
        }],
        partitions: vec![RestoredPartition {
            at: place.clone(),
            log_start: 0,
            high_watermark: segments * 10,
            epoch: 1,
            segments: found.collect(),
        }],
        groups: Vec::new(),
    }
}

fn line(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{what}: p50 {p50:?}, p99 {p99:?} of {}", times.len());
}

/// Asks a store that was restored from [`many`].
pub(crate) async fn print(name: &str, store: &dyn MetadataStore) {
    let clock = SystemClock::new();
    let t = at("t", 0);
    let (mut by_offset, mut by_time) = (Vec::new(), Vec::new());
    for _ in 0..5000 {
        let offset = fastrand::u64(0..1_000_000);
        let begun = clock.now();
        let found = store.find_segment_for_offset(&t, offset).await.unwrap().unwrap();
        by_offset.push(clock.now() - begun);
        assert_eq!(found.base_offset, offset / 10 * 10);
        let begun = clock.now();
        store
            .find_segment_for_timestamp(&t, (offset / 10) as i64)
            .await
            .unwrap()
            .unwrap();
        by_time.push(clock.now() - begun);
    }
    line(&format!("{name}: find_segment_for_offset"), by_offset);
    line(&format!("{name}: find_segment_for_timestamp"), by_time);
    create(store, "wide", 1000).await;
    let which: Vec<_> = (0..1000).map(|n| at("wide", n)).collect();
    let leases = store.acquire(Ulid::generate(), &which, LONG).await.unwrap();
    let (mut wide, mut narrow) = (Vec::new(), Vec::new());
    for round in 0..20u64 {
        for (count, times) in [(1000, &mut wide), (1, &mut narrow)] {
            let sections = leases.iter().take(count).map(|lease| NewSegment {
                at: lease.at.clone(),
                epoch: lease.epoch,
                base_offset: if lease.at.partition == 0 {
                    round * 2 + u64::from(count == 1)
                } else {
                    round
                },
                next_offset: if lease.at.partition == 0 {
                    round * 2 + u64::from(count == 1) + 1
                } else {
                    round + 1
                },
                position: 0,
                length: 10,
                records: 1,
                max_timestamp: 1,
                index: vec![1; 64].into(),
            });
            let commit = commit_of(register(store).await, sections.collect());
            let begun = clock.now();
            store.commit_upload(&commit).await.unwrap();
            times.push(clock.now() - begun);
        }
    }
    line(&format!("{name}: commit of 1,000 sections"), wide);
    line(&format!("{name}: commit of 1 section"), narrow);
}
