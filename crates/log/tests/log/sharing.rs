//! Many readers of the same bytes, and what a cold one costs.

use std::time::Duration;

use forebay_log::batch::Codec;
use forebay_log::{
    Consumer, ConsumerOptions, LogOptions, NewRecord, Producer, ProducerOptions, read_multiple_partitions,
};
use forebay_testkit::Profile;
use forebay_types::BLOCK;
use futures::future::join_all;

use crate::records::{
    assert_dense, assert_records, create, dense, fill, first, quick, segments, topic as topic_name, write,
};
use crate::spy::Spy;
use crate::world::{World, within};

/// A cold read in the middle is one GET of just the stretches it needs, and two questions to the metadata.
#[tokio::test(flavor = "multi_thread")]
async fn a_cold_read_is_one_get_of_what_it_needs() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 2).await;
    // Two partitions in one object, so that the section is somewhere in it; and all in one, however slow the machine is.
    let patient = ProducerOptions {
        linger: Duration::from_secs(60),
        ..ProducerOptions::default()
    };
    let producer = Producer::new(&log, patient);
    for n in 0..20_000 {
        let record = NewRecord::value(dense(n / 2, 100)).partition((n % 2) as u32);
        within(producer.send(&topic, &record)).await.unwrap();
    }
    within(producer.close()).await.unwrap();
    for (nth, (offset, count)) in [(0, 1), (4321, 100), (9999, 1)].into_iter().enumerate() {
        let spy = Spy::on(world.metadata().await);
        let log = world.log_with(&format!("cold-{nth}"), spy.clone(), LogOptions::default());
        world.lab.reset_counts();
        let reader = log.partition(topic.clone(), 1);
        let read = within(reader.read(offset, count)).await.unwrap();
        assert_dense(&read.records, offset, offset + count as u64);
        world.rest().await;
        assert_eq!(world.only_gets(), 1, "at {offset}");
        let sent = world.lab.counts().bytes_sent;
        // Two stretches of 64 KiB and a batch of 256 KiB at most each, and a block at each end.
        assert!(
            sent <= 2 * (BLOCK + (256 << 10)) + 2 * BLOCK,
            "{sent} bytes at {offset}"
        );
        assert_eq!(
            (spy.calls_of("partitions"), spy.calls_of("segments_from")),
            (1, 1)
        );
        assert_eq!(spy.calls(), 2, "{spy:?}");
    }
}

/// One, eight or 32 consumers of a partition: the same GETs, each byte once.
#[tokio::test(flavor = "multi_thread")]
async fn consumers_of_one_partition_share_their_requests() {
    let far = Profile::of("far", Duration::from_millis(5), None);
    let world = World::at(far);
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 1).await;
    fill(&log, &topic, Codec::Lz4, 6, 2000, 100).await;
    let stored: u64 = segments(&log, &first(&topic))
        .await
        .iter()
        .map(|segment| segment.length)
        .sum();
    for consumers in [1, 8, 32] {
        let log = world.log(&format!("shared-{consumers}")).await;
        world.lab.reset_counts();
        let all = (0..consumers).map(|_| async {
            let which = [first(&topic)];
            let mut consumer = Consumer::assign(&log, &which, &ConsumerOptions::default())
                .await
                .unwrap();
            let mut next = 0;
            while next < 12_000 {
                let records = within(consumer.poll(700)).await.unwrap();
                let end = next + records.len() as u64;
                assert_dense(&records, next, end);
                next = end;
            }
        });
        join_all(all).await;
        world.rest().await;
        world.only_gets();
        let sent = world.lab.counts().bytes_sent;
        assert!(
            sent <= stored + 6 * 4 * BLOCK,
            "{consumers} consumers: {sent} bytes of {stored}"
        );
        // A batch is decompressed once, however many want it, but for those that want it in the same moment.
        if consumers == 1 {
            assert_eq!(log.decoded_stats().found, 0);
        } else {
            let stats = log.decoded_stats();
            assert!(stats.found > stats.decompressed, "{stats:?}");
        }
    }
}

/// A thousand partitions in one consumer: no task, no descriptor for each, and each has its turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_partitions_cost_no_task_and_no_descriptor_each() {
    let world = World::new();
    let log = world.log("log").await;
    let topic = create(&log, "many", 1000).await;
    let producer = Producer::new(&log, quick());
    for n in 0..3000_u64 {
        let record = NewRecord::value(n.to_string()).partition((n % 1000) as u32);
        within(producer.send(&topic, &record)).await.unwrap();
    }
    within(producer.close()).await.unwrap();
    let spy = Spy::on(world.metadata().await);
    let log = world.log_with("reader", spy.clone(), LogOptions::default());
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = (tasks(), descriptors());
    let options = ConsumerOptions::default();
    let mut consumer = within(Consumer::of_topic(&log, &topic, &options)).await.unwrap();
    let mut seen = vec![0; 1000];
    let mut polls = 0;
    loop {
        let polled = within(consumer.poll_partitions(96)).await.unwrap();
        if polled.is_empty() {
            break;
        }
        polls += 1;
        assert!(polled.len() <= 32);
        assert!(polled.iter().map(|part| part.records.len()).sum::<usize>() <= 96);
        for part in polled {
            let p = part.at.partition;
            for record in &part.records {
                assert_eq!(record.offset, seen[p as usize]);
                assert_eq!(
                    record.value,
                    (u64::from(p) + 1000 * record.offset).to_string(),
                    "of {p}"
                );
                seen[p as usize] += 1;
            }
        }
        let now = (tasks(), descriptors());
        assert!(now.0 <= before.0 + 50, "{} tasks, {} before", now.0, before.0);
        assert!(
            now.1 <= before.1 + 100,
            "{} descriptors, {} before",
            now.1,
            before.1
        );
    }
    assert_eq!(seen, vec![3; 1000]);
    // Three of each in a turn, but for partitions whose records lie in several segments of one turn.
    assert!(polls <= 110, "{polls} polls");
    // For each partition its segments are looked up once, or once more; the ends of all of them together.
    assert!(spy.calls_of("partitions") <= 120, "{spy:?}");
    assert!(spy.calls_of("segments_from") <= 2100, "{spy:?}");
}

/// Two processes with one cache directory: what one fetched the other need not.
#[tokio::test(flavor = "multi_thread")]
async fn processes_share_a_cache_directory() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 1).await;
    let producer = Producer::new(&log, quick());
    write(&producer, &topic, 0, 5000).await;
    within(producer.close()).await.unwrap();
    let one = world.log("both").await;
    let read = within(one.partition(topic.clone(), 0).read(0, 5000))
        .await
        .unwrap();
    assert_records(&read.records, 0, 5000);
    let cache = one.reader().cache().unwrap().clone();
    tokio::task::spawn_blocking(move || cache.flush()).await.unwrap();
    world.lab.reset_counts();
    let other = world.log("both").await;
    let read = within(other.partition(topic.clone(), 0).read(0, 5000))
        .await
        .unwrap();
    assert_records(&read.records, 0, 5000);
    assert_eq!(world.lab.counts().requests, 0);
    // Side by side, with each their own offsets, in the order asked for.
    let (a, b) = (one.partition(topic.clone(), 0), other.partition(topic, 0));
    let which = [(&a, 100), (&b, 4990)];
    let both = within(read_multiple_partitions(&which, 20)).await.unwrap();
    assert_records(&both[0].records, 100, 120);
    assert_records(&both[1].records, 4990, 5000);
    let none = one.partition(topic_name("none"), 0);
    let which = [(&a, 0), (&none, 0)];
    within(read_multiple_partitions(&which, 20)).await.unwrap_err();
}
