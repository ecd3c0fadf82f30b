//! One object on its way into the bucket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay_types::ErrorKind;
use tokio::task::JoinHandle;
use ulid::Ulid;

use super::delivery::{Failure, Outcome};
use super::pending::{Content, Filling};
use crate::error::{LogError, Result};
use crate::key::flush_key;
use crate::log::Log;
use crate::metadata::{Commit, MetadataError, NewSegment, Upload};
use crate::segment::{Built, SegmentBuilder, SegmentKind};
use crate::topic::TopicPartition;

/// The first pause before something is tried again; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is cut of one partition: its epoch, where it begins, its batches.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) at: TopicPartition,
    pub(super) epoch: u64,
    pub(super) base_offset: u64,
    pub(super) batches: Vec<Filling>,
}

/// Who is to be told of a batch, and where it begins.
#[derive(Debug)]
pub(super) struct Waiting {
    outcome: Arc<Outcome>,
    base_offset: u64,
}

/// An object being uploaded, and what follows then.
#[derive(Debug)]
pub(super) struct Flight {
    id: Ulid,
    /// Ends with the entity tag.
    pub(super) upload: JoinHandle<Result<String>>,
    size: u64,
    segments: Vec<NewSegment>,
    waiting: Vec<Waiting>,
    /// What it takes of the producer's buffer.
    pub(super) cost: usize,
}

/// What has its offsets and its bytes.
#[derive(Debug)]
pub(super) struct Ready {
    built: Built,
    waiting: Vec<Waiting>,
    cost: usize,
}

/// Gives every batch its offset, compresses them, and puts them into one object. Works for milliseconds: not for a thread of
/// the runtime.
pub(super) fn build(id: Ulid, cuts: Vec<Cut>) -> Result<Ready> {
    let cost = cuts
        .iter()
        .flat_map(|cut| &cut.batches)
        .map(|batch| batch.cost)
        .sum();
    let mut object = SegmentBuilder::new(id, SegmentKind::Flush);
    let mut waiting = Vec::new();
    for cut in cuts {
        let damaged = |source| LogError::Segment {
            at: cut.at.clone(),
            object: id.to_string(),
            source,
        };
        object.begin_section(&cut.at, cut.epoch).map_err(damaged)?;
        let mut offset = cut.base_offset;
        for batch in cut.batches {
            let (bytes, next): (Bytes, u64) = match batch.content {
                Content::Records(builder) => {
                    let next = offset + u64::from(builder.records());
                    let bytes = builder.finish(offset).map_err(|source| LogError::Record {
                        at: cut.at.clone(),
                        source,
                    })?;
                    (bytes, next)
                }
                Content::Whole(batch) => {
                    let batch = batch.with_base_offset(offset);
                    (batch.bytes().clone(), batch.header().next_offset())
                }
            };
            object.push_batch(bytes).map_err(damaged)?;
            waiting.push(Waiting {
                outcome: batch.outcome,
                base_offset: offset,
            });
            offset = next;
        }
    }
    let built = object.finish().map_err(|source| LogError::Store {
        object: id.to_string(),
        what: "built",
        source: object_store::Error::Generic {
            store: "segment",
            source: Box::new(source),
        },
    })?;
    Ok(Ready { built, waiting, cost })
}

impl Flight {
    /// Sends it off.
    pub(super) fn begin(log: &Log, ready: Ready, timeout: Duration) -> Self {
        let Ready { built, waiting, cost } = ready;
        let now = log.now_ms();
        let segments = built
            .sections
            .iter()
            .map(|section| NewSegment::of(section, now))
            .collect();
        let upload = Upload {
            id: built.id,
            key: flush_key(log.shared.bucket.prefix(), built.id).into(),
        };
        let (id, size) = (built.id, built.size);
        let work = upload_object(log.clone(), upload, built.chunks, timeout);
        Self {
            id,
            upload: tokio::spawn(work),
            size,
            segments,
            waiting,
            cost,
        }
    }

    /// The partitions that it has a section for.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.segments.iter().map(|segment| &segment.at)
    }

    /// Where each of its partitions goes on.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&TopicPartition, u64)> {
        self.segments
            .iter()
            .map(|segment| (&segment.at, segment.next_offset))
    }

    /// It is in the bucket: makes it part of its partitions, and tells.
    pub(super) async fn commit(
        &self,
        log: &Log,
        etag: String,
        timeout: Duration,
    ) -> std::result::Result<(), Failure> {
        let commit = Commit {
            id: self.id,
            object_size: self.size,
            etag: etag.into(),
            segments: self.segments.clone(),
        };
        let metadata = log.metadata();
        let done = until(log, timeout, || async {
            Ok(metadata.commit_upload(&commit).await?)
        })
        .await;
        match done {
            Ok(()) => {
                for waiting in &self.waiting {
                    waiting.outcome.written(waiting.base_offset);
                }
                Ok(())
            }
            // The store could not be asked, or did not answer: its last word is not known.
            Err(error @ (LogError::Metadata(MetadataError::Store { .. }) | LogError::Task(_))) => {
                Err(Failure::Unknown(Arc::new(error)))
            }
            Err(error) => Err(Failure::NotWritten(Arc::new(error))),
        }
    }

    /// It will not be part of anything.
    pub(super) fn fail(&self, failure: &Failure) {
        self.upload.abort();
        for waiting in &self.waiting {
            waiting.outcome.failed(failure.clone());
        }
    }

    /// Whether it is in the bucket or not, the sweeper sees to it, the sooner if the metadata knows.
    pub(super) async fn abandon(&self, log: &Log) {
        if let Err(error) = log.metadata().abandon_upload(self.id).await {
            tracing::warn!(id = %self.id, %error, "an upload could not be given up");
        }
    }
}

async fn upload_object(log: Log, upload: Upload, chunks: Vec<Bytes>, timeout: Duration) -> Result<String> {
    let metadata = log.metadata();
    until(&log, timeout, || async {
        Ok(metadata.register_upload(&upload).await?)
    })
    .await?;
    until(&log, timeout, || {
        log.shared.bucket.create(&upload.key, chunks.clone())
    })
    .await
}

/// Whether it may go away by itself: a disk may get room again.
pub(super) fn may_pass(error: &LogError) -> bool {
    error.kind().is_transient() || error.kind() == ErrorKind::NoSpace
}

/// Tries again while it may help and there is time. No answer in time is a [`LogError::Task`].
async fn until<T, F: Future<Output = Result<T>>>(
    log: &Log,
    timeout: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T> {
    let deadline = log.clock().now().saturating_add(timeout);
    let mut pause = PAUSE;
    loop {
        let left = deadline.saturating_sub(log.clock().now());
        let error = match tokio::time::timeout(left, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error,
            Err(_) => {
                let what = format!("no answer within {} s", timeout.as_secs_f64());
                return Err(LogError::Task(what));
            }
        };
        if !may_pass(&error) || log.clock().now().saturating_add(pause) >= deadline {
            return Err(error);
        }
        tracing::warn!(%error, "tried again in {} ms", pause.as_millis());
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
