//! Follows one partition of a topic for a group, from an S3 server at `localhost:9000`.
//!
//! ```sh
//! cargo run -p forebay-log --example consume
//! ```

use std::sync::Arc;
use std::time::Duration;

use forebay_log::metadata::SqliteMetadataStore;
use forebay_log::{Consumer, PartitionReader, SegmentCache};
use forebay_source::{Connector, Transport, TransportOptions};
use object_store::aws::AmazonS3Builder;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let metadata = Arc::new(SqliteMetadataStore::new("metadata.db").await?);

    let object_store = Arc::new(
        AmazonS3Builder::new()
            .with_http_connector(Connector(Transport::new(TransportOptions::default())))
            .with_bucket_name("forebay")
            .with_region("us-east-1")
            .with_endpoint("http://localhost:9000")
            .with_allow_http(true)
            .with_access_key_id("minioadmin")
            .with_secret_access_key("minioadmin")
            .build()?,
    );

    let cache = Arc::new(SegmentCache::new("forebay-cache", 1 << 30)?);

    let reader = Arc::new(PartitionReader::new(
        "orders",
        0,
        metadata.clone(),
        object_store,
        &cache,
    )?);

    let mut consumer =
        Consumer::new("orders", 0, Some("analytics-group".to_string()), reader, metadata).await?;

    loop {
        // Waits for more where there is none; `poll` would come back with nothing.
        let records = consumer.poll_wait(100, Duration::from_secs(10)).await?;
        for record in &records {
            let value = String::from_utf8_lossy(&record.value);
            println!("Offset {}: {}", record.offset, value.escape_debug());
        }
        consumer.commit().await?;
    }
}
