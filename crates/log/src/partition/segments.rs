//! The segments that lie before a reader, and their read-ahead.

use std::collections::VecDeque;

use forebay_reader::Handle;
use forebay_types::{ByteRange, ErrorKind};

use crate::error::{LogError, Result};
use crate::log::Log;
use crate::metadata::SegmentInfo;
use crate::segment::BatchIndex;
use crate::topic::TopicPartition;

/// Segments that are looked up at a time: so many round trips to the metadata are saved, and so far does read-ahead see.
const LOOK_AHEAD: usize = 16;

/// A segment, and the object it is in if that is open.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) info: SegmentInfo,
    pub(super) index: BatchIndex,
    pub(super) handle: Option<Handle>,
    /// Its object was asked for anew, for the bucket has another version than was told.
    asked_anew: bool,
}

impl Segment {
    fn of(log: &Log, info: SegmentInfo) -> Result<Self> {
        let index = BatchIndex::decode(&info.index, info.base_offset, info.next_offset, info.length)
            .map_err(|error| {
                log.metadata_error(format!(
                    "the index of {} at {}: {error}",
                    info.at, info.base_offset
                ))
            })?;
        Ok(Self {
            info,
            index,
            handle: None,
            asked_anew: false,
        })
    }

    /// Where its batches are in the object.
    pub(super) fn section(&self) -> ByteRange {
        ByteRange::at(self.info.position, self.info.length)
    }

    pub(super) fn name(&self, log: &Log) -> String {
        log.shared.bucket.shown(&self.info.key)
    }

    /// Opens its object, if it is not.
    pub(super) async fn open(&mut self, log: &Log) -> Result<Handle> {
        if let Some(handle) = &self.handle {
            return Ok(handle.clone());
        }
        let handle = log
            .open(&self.info, true)
            .await?
            .map_err(|error| self.read_error(log, error))?;
        self.handle = Some(handle.clone());
        Ok(handle)
    }

    /// Opens it anew when it is needed next.
    pub(super) fn close(&mut self) {
        self.handle = None;
        self.asked_anew = false;
    }

    /// The bucket has another version of the object than the metadata says: a copy of the bucket, perhaps. Its checksums
    /// will tell whether it is the same.
    pub(super) async fn ask_anew(&mut self, log: &Log) -> Result<bool> {
        if std::mem::replace(&mut self.asked_anew, true) {
            return Ok(false);
        }
        let handle = log
            .open(&self.info, false)
            .await?
            .map_err(|error| self.read_error(log, error))?;
        if handle.size() != self.info.object_size {
            let what = format!(
                "it has {} bytes, and had {}",
                handle.size(),
                self.info.object_size
            );
            return Err(LogError::Segment {
                at: self.info.at.clone(),
                object: self.name(log),
                source: crate::segment::SegmentError::damaged(what),
            });
        }
        tracing::warn!(
            object = self.name(log),
            "another version than was uploaded; its checksums decide"
        );
        self.handle = Some(handle);
        Ok(true)
    }

    pub(super) fn read_error(&self, log: &Log, source: forebay_reader::ReadError) -> LogError {
        if source.kind() == ErrorKind::NotFound {
            return LogError::MissingObject {
                at: self.info.at.clone(),
                base_offset: self.info.base_offset,
                next_offset: self.info.next_offset,
                object: self.name(log),
                source,
            };
        }
        LogError::Read {
            at: self.info.at.clone(),
            offset: self.info.base_offset,
            source,
        }
    }
}

/// The segments from the reader's on, as far as they were looked up.
#[derive(Debug, Default)]
pub(super) struct Segments {
    known: VecDeque<Segment>,
    /// So many after the present one are linked to those before them.
    linked: usize,
    /// The base offset of the segment at which that was looked after last.
    linked_from: Option<u64>,
}

impl Segments {
    /// The segment that holds `offset`, or the first after it; `None` if there is none.
    pub(super) async fn at(
        &mut self,
        log: &Log,
        at: &TopicPartition,
        offset: u64,
    ) -> Result<Option<&mut Segment>> {
        if self
            .known
            .front()
            .is_some_and(|first| offset < first.info.base_offset)
        {
            self.forget();
        }
        while self
            .known
            .front()
            .is_some_and(|first| first.info.next_offset <= offset)
        {
            self.known.pop_front();
            self.linked = self.linked.saturating_sub(1);
        }
        if self.known.is_empty() {
            self.look_up(log, at, offset).await?;
            self.linked = 0;
        }
        Ok(self.known.front_mut())
    }

    /// The present segment.
    pub(super) fn current(&mut self) -> Option<&mut Segment> {
        self.known.front_mut()
    }

    /// What was looked up is out of date.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The reader reads in order: what follows the present segment is opened, and read ahead when the window gets there.
    /// Done once for each segment; where few are known, more are looked up, as far as `high_watermark`.
    pub(super) async fn link(&mut self, log: &Log, at: &TopicPartition, high_watermark: u64) -> Result<()> {
        let Some(present) = self.known.front().map(|first| first.info.base_offset) else {
            return Ok(());
        };
        if self.linked_from == Some(present) {
            return Ok(());
        }
        self.linked_from = Some(present);
        if self.known.len() <= LOOK_AHEAD / 2
            && let Some(next) = self.known.back().map(|last| last.info.next_offset)
            && next < high_watermark
        {
            self.look_up(log, at, next).await?;
        }
        while self.linked + 1 < self.known.len() {
            let next = &mut self.known[self.linked + 1];
            // Opened as told: asks nothing of the bucket.
            let (handle, section) = (next.open(log).await?, next.section());
            if let Some(before) = &self.known[self.linked].handle {
                before.continues_in(&handle, section);
            }
            self.linked += 1;
        }
        Ok(())
    }

    async fn look_up(&mut self, log: &Log, at: &TopicPartition, offset: u64) -> Result<()> {
        let wanted = [(at.clone(), offset)];
        let found = log.shared.metadata.segments_from(&wanted, LOOK_AHEAD).await?;
        for info in found.into_iter().flatten() {
            match Segment::of(log, info) {
                Ok(segment) => self.known.push_back(segment),
                // It is looked up again when its turn comes.
                Err(_) if !self.known.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
