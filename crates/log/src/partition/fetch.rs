//! Bringing the stretches that a read needs.

use bytes::Bytes;
use forebay_reader::ReadError;
use forebay_types::{ByteRange, ErrorKind, RangeSpec};

use super::cursor::{Cursor, Stored};
use super::segments::Segment;
use super::{ReadLimit, not_found};
use crate::error::{LogError, Result};
use crate::log::Log;
use crate::segment::{IndexEntry, SegmentError, verify_stretch};
use crate::topic::TopicPartition;

/// Bytes of stretches that are fetched at a time: enough that a hop costs little, and little enough that a reader of
/// thousands of partitions does not hold much of each.
const AT_ONCE: u64 = 1 << 20;

/// Fetches in a row after which a reader is taken to read in order: who goes on where he was reads a log as logs are read.
const IN_ORDER: u32 = 1;

/// How often the metadata is asked again where a segment is, when its object is gone: it was compacted away under the
/// reader. Twice in one read would be a marvel.
const LOOKED_UP_ANEW: u32 = 3;

impl Cursor {
    /// Brings the stretches from the reader's place on, about as many as `limit` needs.
    pub(super) async fn fetch(&mut self, log: &Log, at: &TopicPartition, limit: ReadLimit) -> Result<()> {
        let mut tries = 0;
        loop {
            let missing = match self.try_fetch(log, at, limit).await {
                Err(error @ LogError::MissingObject { .. }) => error,
                done => return done,
            };
            // Compacted, and swept: the metadata knows where its records are now. If it names the same object again,
            // that one is lost.
            let before = self.segments.current().map(|segment| segment.info.object);
            self.segments.forget();
            let next = self.next();
            let now = self.segments.at(log, at, next).await?;
            tries += 1;
            if tries > LOOKED_UP_ANEW || now.map(|segment| segment.info.object) == before {
                return Err(missing);
            }
        }
    }

    async fn try_fetch(&mut self, log: &Log, at: &TopicPartition, limit: ReadLimit) -> Result<()> {
        let next = self.next();
        let segment = self.segments.at(log, at, next).await?;
        if segment.is_none_or(|segment| segment.info.base_offset > next) {
            // Either nothing is stored of these offsets, or they were retained long enough, a moment ago.
            let ends = log.shared.ends.now(at).await?.info;
            if next < ends.log_start {
                return Err(not_found(ends, next));
            }
        }
        let Some(segment) = self.segments.current() else {
            // Nothing is stored up to the end: it was lost, and a recovery gives no offset twice.
            self.skip_to(self.high_watermark);
            return Ok(());
        };
        let from = next.max(segment.info.base_offset);
        let Some(first) = segment.index.find(from) else {
            let end = segment.info.next_offset;
            self.skip_to(end);
            return Ok(());
        };
        let end = segment.info.next_offset;
        let last = last_needed(&segment.index.entries()[first..], from, end, limit);
        let stretches: Vec<IndexEntry> = segment.index.entries()[first..=first + last].to_vec();
        let handle = segment.open(log).await?;
        let (base, section, object) = (segment.info.base_offset, segment.section(), segment.info.object);
        let start = section.start() + stretches[0].position;
        let length = stretches.iter().map(|stretch| u64::from(stretch.length)).sum();
        let range = ByteRange::at(start, length);
        self.skip_to(from);
        self.read_ahead(log, at, base, &handle, section, start).await;
        let segment = self.segments.current().expect("it was just found");
        let bytes = read_stretches(segment, log, range, &stretches).await?;
        self.in_order += 1;
        self.stored = Stored {
            bytes,
            object,
            position: start,
        };
        Ok(())
    }

    /// Tells read-ahead what this reader's fetches show.
    async fn read_ahead(
        &mut self,
        log: &Log,
        at: &TopicPartition,
        base: u64,
        handle: &forebay_reader::Handle,
        section: ByteRange,
        start: u64,
    ) {
        if !log.shared.options.prefetch_enabled || self.in_order < IN_ORDER {
            return;
        }
        if let Err(error) = self.segments.link(log, at, self.high_watermark).await {
            // Whoever gets there will see it again.
            tracing::debug!(%at, %error, "what follows is not read ahead");
        }
        if self.declared != Some(base) {
            handle.will_read(ByteRange::new(start, section.end()));
            self.declared = Some(base);
        }
    }

    /// Passes over stretches of the present segment that are older than `timestamp`; whether one is left that is not.
    pub(super) async fn skip_stretches_before(
        &mut self,
        log: &Log,
        at: &TopicPartition,
        timestamp: i64,
    ) -> Result<bool> {
        let next = self.next();
        let Some(segment) = self.segments.at(log, at, next).await? else {
            self.skip_to(self.high_watermark);
            return Ok(false);
        };
        let entries = segment.index.entries();
        let from = segment
            .index
            .find(next.max(segment.info.base_offset))
            .unwrap_or(entries.len());
        let found = entries[from..]
            .iter()
            .find(|stretch| stretch.max_timestamp >= timestamp);
        let (to, is_there) = match found {
            Some(stretch) => (stretch.base_offset, true),
            None => (segment.info.next_offset, false),
        };
        self.skip_to(to);
        Ok(is_there)
    }
}

/// The last of `stretches`, which go on to offset `end`, that is needed for what a read from `from` on may give. A hole
/// counts as records: what it hides is fetched later.
fn last_needed(stretches: &[IndexEntry], from: u64, end: u64, limit: ReadLimit) -> usize {
    let (records, bytes) = (limit.records as u64, (limit.bytes as u64).min(AT_ONCE));
    let mut have_bytes = 0_u64;
    for (at, stretch) in stretches.iter().enumerate() {
        have_bytes += u64::from(stretch.length);
        let next = stretches.get(at + 1);
        let have_records = next.map_or(end, |next| next.base_offset) - from;
        let longer = next.map_or(0, |next| u64::from(next.length));
        if have_records >= records || have_bytes >= bytes || have_bytes + longer > AT_ONCE {
            return at;
        }
    }
    stretches.len().saturating_sub(1)
}

/// Reads stretches that lie side by side, and looks at their checksums.
async fn read_stretches(
    segment: &mut Segment,
    log: &Log,
    range: ByteRange,
    stretches: &[IndexEntry],
) -> Result<Bytes> {
    let bytes = loop {
        let handle = segment.open(log).await?;
        match handle.read_at(range.start(), range.len() as usize).await {
            Ok(bytes) => break bytes,
            Err(error) if error.kind() == ErrorKind::Changed && segment.ask_anew(log).await? => {}
            Err(error) => return Err(segment.read_error(log, error)),
        }
    };
    match verify(stretches, &bytes) {
        Ok(()) => Ok(bytes),
        Err((_, error)) => read_past_the_cache(segment, log, range, stretches, error).await,
    }
}

/// The bytes are not those that were written. If the bucket has the right ones, something went wrong on the way, and what
/// is in the cache may be as wrong: it goes in any case.
async fn read_past_the_cache(
    segment: &mut Segment,
    log: &Log,
    range: ByteRange,
    stretches: &[IndexEntry],
    error: SegmentError,
) -> Result<Bytes> {
    let name = segment.name(log);
    tracing::warn!(object = name, %error, "wrong bytes: read again from the bucket, and forgotten by the cache");
    let id = segment.open(log).await?.id().clone();
    // With the handle goes what it keeps in memory, and which version it was.
    segment.close();
    if let Some(cache) = log.reader().cache().cloned() {
        // What is on its way to the disk must be there first, or it comes after.
        let forget = move || {
            cache.flush();
            cache.forget(&id);
        };
        let _ = tokio::task::spawn_blocking(forget).await;
    }
    let mut target = log.target(&segment.info)?;
    target.known = None;
    let read = log
        .reader()
        .engine()
        .read(target, RangeSpec::Bounded(range))
        .await;
    let (bytes, _) = read.map_err(|error| segment.read_error(log, ReadError::from(error)))?;
    match verify(stretches, &bytes) {
        Ok(()) => Ok(bytes),
        // What lies before the damaged stretch is good. That one comes again by itself.
        Err((good @ 1.., _)) => Ok(bytes.slice(..good)),
        Err((_, source)) => Err(LogError::Segment {
            at: segment.info.at.clone(),
            object: name,
            source,
        }),
    }
}

/// Whether all these stretches are as they were written, or how many bytes of them are before the first that is not.
fn verify(stretches: &[IndexEntry], bytes: &[u8]) -> std::result::Result<(), (usize, SegmentError)> {
    let mut good = 0;
    for stretch in stretches {
        let end = bytes.len().min(good + stretch.length as usize);
        verify_stretch(stretch, &bytes[good..end]).map_err(|error| (good, error))?;
        good = end;
    }
    Ok(())
}
