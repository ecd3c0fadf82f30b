//! Compaction: small segments that follow each other become one large one, batch for batch as they are.

use std::sync::Arc;

use super::plan::Joined;
use super::{MaintainOptions, Maintained};
use crate::batch::Batch;
use crate::error::{LogError, Result};
use crate::key::segment_key;
use crate::log::Log;
use crate::metadata::{Compaction, MetadataError, NewSegment, PartitionInfo, SegmentInfo, Upload};
use crate::partition::PartitionReader;
use crate::segment::{Built, SegmentBuilder, SegmentKind};

/// Segments looked at at a time.
const PAGE: usize = 256;

/// Bytes read at a time.
const PIECE: usize = 4 << 20;

impl Log {
    pub(super) async fn compact(
        &self,
        info: &PartitionInfo,
        options: &MaintainOptions,
        done: &mut Maintained,
    ) -> Result<()> {
        let full = info.bytes / options.segment_bytes.max(1);
        if info.segments < full.saturating_mul(2) + options.min_segments.max(2) as u64 {
            // Nearly all of it is large already.
            return Ok(());
        }
        let mut joined = Joined::default();
        let mut from = info.log_start;
        loop {
            let wanted = [(info.at.clone(), from)];
            let page = self.metadata().segments_from(&wanted, PAGE).await?;
            let page = page.into_iter().next().unwrap_or_default();
            let is_last = page.len() < PAGE;
            for segment in page {
                from = segment.next_offset;
                // What the log start lies in cannot be read whole; it goes when the log start goes on.
                if segment.base_offset >= info.log_start {
                    let ended = joined.push(segment, options);
                    self.rewrite(ended, done).await?;
                }
            }
            if is_last {
                let ended = joined.end(options);
                return self.rewrite(ended, done).await;
            }
        }
    }

    async fn rewrite(&self, found: Vec<Vec<SegmentInfo>>, done: &mut Maintained) -> Result<()> {
        for joined in found {
            match self.join(&joined).await {
                Ok(()) => {
                    done.compacted += 1;
                    done.replaced += joined.len() as u64;
                }
                // Somebody else was quicker, or retention was.
                Err(LogError::Metadata(MetadataError::Moved { .. }) | LogError::OffsetNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn join(&self, joined: &[SegmentInfo]) -> Result<()> {
        let built = self.copy(joined).await?;
        let (Some(first), Some(section)) = (joined.first(), built.sections.first()) else {
            return Ok(());
        };
        let id = built.id;
        let key = segment_key(self.shared.bucket.prefix(), &first.at, first.base_offset, id);
        let key: Arc<str> = key.into();
        let replaced = Compaction {
            id,
            object_size: built.size,
            etag: "".into(),
            segment: NewSegment {
                // As retention has gone by it so far.
                max_timestamp: joined
                    .iter()
                    .map(|segment| segment.max_timestamp)
                    .max()
                    .unwrap_or(-1),
                ..NewSegment::of(section, -1)
            },
            replaces: joined
                .iter()
                .map(|segment| (segment.base_offset, segment.object))
                .collect(),
        };
        let metadata = self.metadata();
        let upload = Upload { id, key: key.clone() };
        metadata.register_upload(&upload).await?;
        let done = async {
            let etag = self.shared.bucket.create(&key, built.chunks).await?.into();
            let compaction = Compaction { etag, ..replaced };
            Ok(metadata.commit_compaction(&compaction).await?)
        }
        .await;
        if done.is_err() {
            // Best effort: it expires by itself.
            let _ = metadata.abandon_upload(id).await;
        }
        done
    }

    /// One object with the batches of `joined`, as they are.
    async fn copy(&self, joined: &[SegmentInfo]) -> Result<Built> {
        let (Some(first), Some(last)) = (joined.first(), joined.last()) else {
            return Err(LogError::Invalid("a compaction of nothing".to_owned()));
        };
        let (at, base_offset, next_offset) = (&first.at, first.base_offset, last.next_offset);
        let damaged = |source| LogError::Segment {
            at: at.clone(),
            object: format!("the segment that offsets {base_offset}..{next_offset} are compacted to"),
            source,
        };
        let mut object = SegmentBuilder::new(self.new_id(), SegmentKind::Compacted);
        let epoch = joined
            .iter()
            .map(|segment| segment.epoch)
            .max()
            .unwrap_or_default();
        object.begin_section(at, epoch).map_err(damaged)?;
        let reader = PartitionReader::of(self.clone(), at.clone());
        let mut next = base_offset;
        while next < next_offset {
            let read = reader.read_batches(next, PIECE).await?;
            for mut piece in read.batches {
                while !piece.is_empty() {
                    let batch =
                        Batch::split_off_front_trusted(&mut piece).map_err(|source| LogError::Batch {
                            at: at.clone(),
                            offset: next,
                            source,
                        })?;
                    let header = batch.header();
                    // What was committed since is not part of it.
                    if header.base_offset >= base_offset && header.next_offset() <= next_offset {
                        object.push_batch(batch.bytes().clone()).map_err(damaged)?;
                    }
                }
            }
            if read.next_offset <= next {
                return Err(self.metadata_error(format!("{at} ends at {next}, before {next_offset}")));
            }
            next = read.next_offset;
        }
        let built = object.finish().map_err(damaged)?;
        let whole = |built: &Built| {
            let there = built.sections.first();
            let (records, length) = there.map_or((0, 0), |there| (there.records, there.length));
            records == joined.iter().map(|segment| segment.records).sum::<u64>()
                && length == joined.iter().map(|segment| segment.length).sum::<u64>()
        };
        if !whole(&built) {
            let what =
                format!("{at}: {base_offset}..{next_offset} read as something else than was committed");
            return Err(self.metadata_error(what));
        }
        Ok(built)
    }
}
