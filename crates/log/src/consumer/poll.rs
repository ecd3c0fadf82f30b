//! One poll: which partitions, how much of each, side by side.

use futures::future::join_all;

use super::{Consumer, PartitionRecords};
use crate::error::Result;
use crate::partition::ReadLimit;

/// Partitions that are read side by side.
pub(super) const SIDE_BY_SIDE: usize = 32;

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
        loop {
            let candidates = self.candidates(SIDE_BY_SIDE.min(max_records)).await?;
            let (polled, moved) = self.read_from(&candidates, max_records).await;
            match self.failed.take() {
                Some(error) if polled.is_empty() => return Err(error),
                // There were no records, only what is none: others may have some.
                None if polled.is_empty() && moved => {}
                failed => {
                    self.failed = failed;
                    return Ok(polled);
                }
            }
        }
    }

    /// Reads these partitions side by side; whether any position moved. The first error is kept in `failed`.
    async fn read_from(&mut self, candidates: &[usize], max_records: usize) -> (Vec<PartitionRecords>, bool) {
        let Some(last) = candidates.last().copied() else {
            return (Vec::new(), false);
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
        let results = join_all(reads).await;
        self.turn = (last + 1) % self.parts.len();
        let (mut polled, mut moved) = (Vec::with_capacity(results.len()), false);
        for (n, result) in results {
            match result {
                Ok(read) => {
                    moved |= self.parts[n].position != read.next_offset;
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
        (polled, moved)
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
        let asked: Vec<u64> = asked.iter().map(|info| info.high_watermark).collect();
        Ok(self.with_something(&asked, most))
    }

    fn with_something(&self, high_watermarks: &[u64], most: usize) -> Vec<usize> {
        let count = self.parts.len();
        let in_turn = (0..count).map(|n| (self.turn + n) % count);
        in_turn
            .filter(|&n| self.parts[n].position != high_watermarks[n])
            .take(most)
            .collect()
    }
}
