//! Compaction: small segments that follow each other become one large one, batch for batch as they are.

use std::sync::Arc;

use super::{MaintainOptions, Maintained};
use crate::batch::Batch;
use crate::error::{LogError, Result};
use crate::key::segment_key;
use crate::log::Log;
use crate::metadata::{Compaction, MetadataError, NewSegment, PartitionInfo, SegmentInfo, Upload};
use crate::partition::PartitionReader;
use crate::segment::{SegmentBuilder, SegmentKind};

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
        let mut run: Vec<SegmentInfo> = Vec::new();
        let mut from = info.log_start;
        loop {
            let wanted = [(info.at.clone(), from)];
            let page = self.metadata().segments_from(&wanted, PAGE).await?;
            let page = page.into_iter().next().unwrap_or_default();
            let is_last = page.len() < PAGE;
            for segment in page {
                from = segment.next_offset;
                let joins = run
                    .last()
                    .is_none_or(|last| last.next_offset == segment.base_offset);
                let bytes: u64 = run.iter().map(|segment| segment.length).sum();
                let large = segment.length >= options.segment_bytes / 2;
                if large || !joins || bytes + segment.length > options.segment_bytes {
                    let fills = bytes >= options.segment_bytes / 2;
                    self.rewrite(std::mem::take(&mut run), fills, options, done)
                        .await?;
                }
                if !large {
                    run.push(segment);
                }
            }
            if is_last {
                return self.rewrite(run, false, options, done).await;
            }
        }
    }

    /// Rewrites `run`, if it is worth it: it fills a segment, or is many.
    async fn rewrite(
        &self,
        run: Vec<SegmentInfo>,
        fills: bool,
        options: &MaintainOptions,
        done: &mut Maintained,
    ) -> Result<()> {
        if run.len() < 2 || (!fills && run.len() < options.min_segments) {
            return Ok(());
        }
        match self.join(&run).await {
            Ok(()) => {
                done.compacted += 1;
                done.replaced += run.len() as u64;
                Ok(())
            }
            // Somebody else was quicker, or retention was.
            Err(LogError::Metadata(MetadataError::Moved { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn join(&self, run: &[SegmentInfo]) -> Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Ok(());
        };
        let (at, base_offset, next_offset) = (&first.at, first.base_offset, last.next_offset);
        let damaged = |source| LogError::Segment {
            at: at.clone(),
            object: format!("the segment that offsets {base_offset}..{next_offset} are compacted to"),
            source,
        };
        let id = self.new_id();
        let mut object = SegmentBuilder::new(id, SegmentKind::Compacted);
        let epoch = run.iter().map(|segment| segment.epoch).max().unwrap_or_default();
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
        let key: Arc<str> = segment_key(self.shared.bucket.prefix(), at, base_offset, id).into();
        let metadata = self.metadata();
        let upload = Upload { id, key: key.clone() };
        metadata.register_upload(&upload).await?;
        let etag = self.shared.bucket.create(&key, built.chunks).await?;
        let Some(section) = built.sections.first() else {
            return Ok(());
        };
        let compaction = Compaction {
            id,
            object_size: built.size,
            etag: etag.into(),
            segment: NewSegment {
                // As retention has gone by it so far.
                max_timestamp: run
                    .iter()
                    .map(|segment| segment.max_timestamp)
                    .max()
                    .unwrap_or(-1),
                ..NewSegment::of(section, -1)
            },
            replaces: run
                .iter()
                .map(|segment| (segment.base_offset, segment.object))
                .collect(),
        };
        let committed = metadata.commit_compaction(&compaction).await;
        if committed.is_err() {
            // Best effort: it expires by itself.
            let _ = metadata.abandon_upload(id).await;
        }
        Ok(committed?)
    }
}
