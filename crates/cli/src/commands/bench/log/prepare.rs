//! Topics as some cases want to find them.

use forebay_log::metadata::{
    MetadataError, Restored, RestoredPartition, SegmentInfo, TopicConfig, TopicInfo,
};
use forebay_log::{NewRecord, Producer, ProducerOptions, TopicName, TopicPartition};
use forebay_types::ByteSize;
use ulid::Ulid;

use super::super::sample::Done;
use super::values::Values;
use super::work::Bench;
use super::{Result, failed, topic as named};

/// Segments among which one is looked up.
pub(super) const CROWD: u64 = 100_000;
/// Records of each.
pub(super) const CROWD_RECORDS: u64 = 1000;

/// Writes the topic of a case, if it is not there, and brings it into the cache.
pub(super) async fn topic(bench: &Bench<'_>) -> Result<Done> {
    let topic = bench.spec.topic()?;
    let made = bench.log.create_topic(&topic, 1, &TopicConfig::default()).await;
    match made {
        Ok(_) => write(bench, &topic).await?,
        Err(forebay_log::LogError::Metadata(MetadataError::TopicExists { .. })) => {}
        Err(error) => return Err(error.into()),
    }
    super::read::verbatim(bench).await?;
    bench.log.reader().flush().await;
    Ok(Done::default())
}

async fn write(bench: &Bench<'_>, topic: &TopicName) -> Result<()> {
    let options = ProducerOptions {
        codec: bench.spec.shape.codec,
        // Segments as compaction makes them.
        batch_bytes: ByteSize::mib(64).bytes() as usize,
        buffer_memory: ByteSize::mib(256).bytes() as usize,
        linger: std::time::Duration::from_secs(60),
        uploads: 3,
        ..ProducerOptions::default()
    };
    let producer = Producer::new(&bench.log, options);
    let mut values = Values::new(bench.spec.shape.value);
    for _ in 0..bench.spec.records() {
        let record = NewRecord::value(values.next()).partition(0);
        producer.send(topic, &record).await?;
    }
    Ok(producer.close().await?)
}

/// A partition of many segments, known to the metadata alone.
pub(super) async fn crowd(bench: &Bench<'_>) -> Result<Done> {
    let at = crowd_partition()?;
    let index = real_index(&at).map_err(|e| failed(&e))?;
    let segments = (0..CROWD).map(|n| SegmentInfo {
        at: at.clone(),
        base_offset: n * CROWD_RECORDS,
        next_offset: (n + 1) * CROWD_RECORDS,
        object: Ulid(u128::from(n)),
        key: format!("crowd/{n:08}.seg").into(),
        object_size: ByteSize::mib(1).bytes(),
        etag: "\"tag\"".into(),
        position: 32,
        length: ByteSize::mib(1).bytes() - 128,
        records: CROWD_RECORDS,
        max_timestamp: n as i64,
        epoch: 1,
        index: index.clone(),
    });
    let restored = Restored {
        topics: vec![TopicInfo {
            name: at.topic.clone(),
            partitions: 1,
            config: TopicConfig::default(),
            created_ms: 0,
        }],
        partitions: vec![RestoredPartition {
            at: at.clone(),
            log_start: 0,
            high_watermark: CROWD * CROWD_RECORDS,
            epoch: 1,
            segments: segments.collect(),
        }],
        groups: Vec::new(),
    };
    bench.log.metadata().restore(&restored, true).await?;
    Ok(Done::default())
}

pub(super) fn crowd_partition() -> Result<TopicPartition> {
    Ok(TopicPartition::new(named("crowd")?, 0))
}

/// An index as long as that of a MiB, by a real segment.
fn real_index(at: &TopicPartition) -> std::result::Result<bytes::Bytes, forebay_log::segment::SegmentError> {
    use forebay_log::batch::{BatchBuilder, Codec};
    let mut builder =
        forebay_log::segment::SegmentBuilder::new(Ulid(0), forebay_log::segment::SegmentKind::Compacted);
    builder.begin_section(at, 1)?;
    let mut values = Values::new(1000);
    for base in (0..CROWD_RECORDS).step_by(50) {
        let mut batch = BatchBuilder::new(Codec::None);
        for n in 0..50 {
            batch.push(n, None, Some(&values.next()), &[])?;
        }
        builder.push_batch(batch.finish(base)?)?;
    }
    let built = builder.finish()?;
    Ok(built
        .sections
        .first()
        .map(|section| section.index.encode())
        .unwrap_or_default())
}
