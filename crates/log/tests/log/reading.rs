//! What is written is read.

use forebay_log::{LogError, Producer, ReadLimit};

use crate::world::{World, assert_records, create, quick, within, write};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_by_another_process() {
    let world = World::new();
    let log = world.log("writer").await;
    let topic = create(&log, "orders", 2).await;
    let producer = Producer::new(&log, quick());
    write(&producer, &topic, 0, 1000).await;
    write(&producer, &topic, 1000, 1500).await;
    within(producer.close()).await.unwrap();

    let other = world.log("reader").await;
    let reader = other.partition(topic.clone(), 0);
    let all = within(reader.read(0, usize::MAX)).await.unwrap();
    assert_records(&all.records, 0, 1500);
    assert_eq!(
        (all.log_start, all.high_watermark, all.next_offset),
        (0, 1500, 1500)
    );
    // In the middle of a batch, some records, some bytes.
    let some = within(reader.read(733, 10)).await.unwrap();
    assert_records(&some.records, 733, 743);
    assert_eq!(some.high_watermark, 1500, "the partition's, not the segment's");
    let bytes = within(reader.read(990, ReadLimit::bytes(24))).await.unwrap();
    assert_records(&bytes.records, 990, 992);
    let across = within(reader.read(990, 20)).await.unwrap();
    assert_records(&across.records, 990, 1010);
    // At the end, and beyond both.
    let end = within(reader.read(1500, 10)).await.unwrap();
    assert_eq!((end.records.len(), end.next_offset), (0, 1500));
    let beyond = within(reader.read(1501, 10)).await.unwrap_err();
    assert!(
        matches!(
            beyond,
            LogError::OffsetNotFound {
                log_start: 0,
                high_watermark: 1500,
                ..
            }
        ),
        "{beyond}"
    );
    // The other partition is empty, the third is none.
    let empty = other.partition(topic.clone(), 1);
    assert_eq!(within(empty.read(0, 10)).await.unwrap().records, []);
    let none = within(other.partition(topic, 2).read(0, 10)).await.unwrap_err();
    assert!(none.to_string().contains("no partition 2 (it has 2"), "{none}");
}
