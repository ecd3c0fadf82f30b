//! The three tests that the plan of the read path named.

use std::sync::Arc;

use bytes::Bytes;
use forebay_log::{
    Consumer, ConsumerOptions, LogOptions, PartitionReader, Producer, ReadConfig, SegmentCache,
};
use forebay_source::{Connector, Transport, TransportOptions};
use forebay_testkit::s3_settings;
use object_store::aws::AmazonS3Builder;
use tempfile::tempdir;

use crate::records::{assert_records, create, first, quick, write};
use crate::world::{BUCKET, World, within};

#[tokio::test]
async fn test_read_from_cache() {
    let dir = tempdir().unwrap();
    let cache = SegmentCache::new(dir.path(), 100_000_000).unwrap();

    let data = Bytes::from("test data");
    cache.put("test-key", data.clone()).await.unwrap();

    let cached = cache.get("test-key").await.unwrap().unwrap();
    assert_eq!(cached, data);
}

#[tokio::test]
async fn test_cache_eviction() {
    let dir = tempdir().unwrap();
    let cache = SegmentCache::new(dir.path(), 100).unwrap();

    cache.put("key1", Bytes::from(vec![0u8; 50])).await.unwrap();
    cache.put("key2", Bytes::from(vec![1u8; 50])).await.unwrap();
    cache.put("key3", Bytes::from(vec![2u8; 50])).await.unwrap();

    assert!(cache.get("key1").await.unwrap().is_none());
    assert!(cache.get("key2").await.unwrap().is_some());
    assert!(cache.get("key3").await.unwrap().is_some());
}

/// A log at the root of a bucket, through an object store as any program has one.
#[tokio::test(flavor = "multi_thread")]
async fn test_consumer_poll() {
    let world = World::new();
    let metadata = world.metadata().await;
    let mut builder = AmazonS3Builder::new()
        .with_http_connector(Connector(Transport::new(TransportOptions::default())))
        .with_bucket_name(BUCKET);
    for (key, value) in s3_settings(&world.lab.endpoint()) {
        builder = builder.with_config(key.parse().unwrap(), value);
    }
    let object_store = Arc::new(builder.build().unwrap());
    let cache = Arc::new(SegmentCache::new(world.dir.path().join("segments"), 1 << 30).unwrap());
    let reader = Arc::new(PartitionReader::new("test", 0, metadata.clone(), object_store, &cache).unwrap());
    let log = reader.log().clone();
    let topic = create(&log, "test", 1).await;
    let producer = Producer::new(&log, quick());
    write(&producer, &topic, 0, 25).await;
    within(producer.close()).await.unwrap();

    let mut consumer = Consumer::new("test".to_string(), 0, None, reader, metadata)
        .await
        .unwrap();
    let records = within(consumer.poll(10)).await.unwrap();
    assert_eq!(records.len(), 10);
    assert_eq!(records[0].offset, 0);
    assert_eq!(records[9].offset, 9);
    assert_records(&records, 0, 10);
    assert_records(&within(consumer.poll(10)).await.unwrap(), 10, 20);
    assert_records(&within(consumer.poll(10)).await.unwrap(), 20, 25);
    assert_eq!(within(consumer.poll(10)).await.unwrap(), []);
    // What was read is in the cache directory.
    log.reader().flush().await;
    assert!(cache.stats().await.entry_count > 0);
}

/// The settings by their names: each one does what it says.
#[tokio::test(flavor = "multi_thread")]
async fn test_read_config() {
    let world = World::new();
    let dir = world.dir.path().join("configured");
    let json = |more: &str| format!("{{\"cache_dir\": \"{}\"{more}}}", dir.display());
    let config: ReadConfig = serde_json::from_str(&json("")).unwrap();
    assert_eq!(config, ReadConfig::new(&dir));
    serde_json::from_str::<ReadConfig>(&json(", \"cache_size\": 1")).unwrap_err();
    serde_json::from_str::<ReadConfig>("{}").unwrap_err();
    let more = ", \"cache_max_size\": 5000000, \"prefetch_enabled\": false, \"fetch_size\": 7";
    let config: ReadConfig = serde_json::from_str(&json(more)).unwrap();
    let cache = config.open_cache().unwrap();
    assert_eq!(cache.stats().await.max_size, 5_000_000);
    assert!(dir.exists());
    let options = LogOptions::from(&config);
    assert!(!options.prefetch_enabled);
    let log = world.log_with("reader", world.metadata().await, options);
    let topic = create(&log, "test", 1).await;
    let producer = Producer::new(&log, quick());
    write(&producer, &topic, 0, 25).await;
    within(producer.close()).await.unwrap();
    let mut consumer = Consumer::assign(&log, &[first(&topic)], &ConsumerOptions::default())
        .await
        .unwrap();
    assert_records(&within(consumer.poll_next()).await.unwrap(), 0, 7);
}
