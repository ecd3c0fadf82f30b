//! One poll: which partitions, how much of each, side by side.

use super::{Consumer, PartitionRecords, Result, StreamExt, stream};
use crate::metadata::PartitionInfo;
use crate::partition::ReadLimit;

/// Partitions that are read side by side.
const SIDE_BY_SIDE: usize = 32;

/// Bytes that one poll gives, shared by its partitions.
const POLL_BYTES: usize = 64 << 20;

impl Consumer {
    /// The next records of its partitions, at most `max_records`. Partitions that have something take turns: each poll asks up
    /// to 32 of them side by side for an equal share, and the next poll goes on with those after them.
    ///
    /// If one partition fails while others gave records, those are given, and the error comes with the next poll.
    ///
    /// # Errors
    /// As [`Self::poll`].
    ///
    /// # Cancel safety
    /// Positions move when the records are given.
    pub async fn poll_partitions(&mut self, max_records: usize) -> Result<Vec<PartitionRecords>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if max_records == 0 {
            return Ok(Vec::new());
        }
        let candidates = self.candidates(SIDE_BY_SIDE.min(max_records)).await?;
        let Some(last) = candidates.last().copied() else {
            return Ok(Vec::new());
        };
        let (share, more) = (max_records / candidates.len(), max_records % candidates.len());
        let bytes = POLL_BYTES / candidates.len();
        let reads = candidates.iter().enumerate().map(|(nth, &n)| {
            let part = &self.parts[n];
            let limit = ReadLimit {
                records: share + usize::from(nth < more),
                bytes,
            };
            async move { (n, part.reader.read(part.position, limit).await) }
        });
        let results: Vec<_> = stream::iter(reads).buffered(SIDE_BY_SIDE).collect().await;
        self.turn = (last + 1) % self.parts.len();
        let mut polled = Vec::new();
        for (n, result) in results {
            match result {
                Ok(read) => {
                    self.parts[n].position = read.next_offset;
                    if !read.records.is_empty() {
                        polled.push(PartitionRecords {
                            at: self.parts[n].reader.at().clone(),
                            records: read.records,
                            high_watermark: read.high_watermark,
                        });
                    }
                }
                Err(error) => self.failed = self.failed.take().or(Some(error)),
            }
        }
        match self.failed.take() {
            Some(error) if polled.is_empty() => Err(error),
            failed => {
                self.failed = failed;
                Ok(polled)
            }
        }
    }

    /// Up to `most` partitions that have something, from the one whose turn it is on; those beyond their ends as well, whose
    /// reads will say so.
    async fn candidates(&self, most: usize) -> Result<Vec<usize>> {
        if self.parts.len() == 1 {
            // Its read finds out.
            return Ok(vec![0]);
        }
        let ends = &self.log.shared.ends;
        // What is known will do while it shows work for a whole poll; before a consumer says that there is nothing, it asks.
        if let Some(known) = ends.young(&self.which) {
            let found = self.with_something(&known, most);
            if found.len() == most {
                return Ok(found);
            }
        }
        let asked = ends.ask(&self.which).await?;
        Ok(self.with_something(&asked, most))
    }

    fn with_something(&self, ends: &[PartitionInfo], most: usize) -> Vec<usize> {
        let count = self.parts.len();
        let in_turn = (0..count).map(|n| (self.turn + n) % count);
        in_turn
            .filter(|&n| self.parts[n].position != ends[n].high_watermark)
            .take(most)
            .collect()
    }
}
