//! One part on its way: into the staging table chunk by chunk, to the disk in pieces of whole blocks.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use forebay_cache::{Cache, CachedObject, Claim, Fill, Stored};
use forebay_range::{PartOut, RangeError};
use forebay_types::BLOCK;

use crate::object::{Memory, Object};

/// Bytes given to the disk at a time. A direct write of 1 MiB costs 0.1 CPU seconds per GiB, smaller ones three times
/// that (docs/benchmarks.md, writing the cache); larger ones would keep memory longer.
const PIECE: u64 = 1024 * 1024;

/// Bytes that may wait for the disk before a patient source waits too.
const PATIENCE: u64 = 32 * 1024 * 1024;

/// Between two looks whether there is room.
const PAUSE: Duration = Duration::from_millis(2);

/// Takes the chunks of a part.
pub(crate) struct Stage {
    claim: Arc<Claim<Memory, Arc<RangeError>>>,
    disk: Option<Disk>,
    arrived: u64,
    /// Bytes that come before the first block and are not wanted.
    skip: u64,
    /// How much of it may be in memory.
    most: u64,
}

/// What is still to be given to the disk.
struct Disk {
    cache: Cache,
    object: Arc<CachedObject>,
    /// Lives until all of it is on disk: who opens it before must find what is still in memory.
    staged: Arc<Object>,
    chunks: VecDeque<Bytes>,
    /// Below this the disk was given everything.
    given: u64,
    /// How much is given at a time.
    piece: u64,
    /// Nobody waits for these bytes: the source waits for the disk.
    patient: bool,
}

impl Stage {
    /// A part whose bytes go to `disk` as well; `skip` bytes come before it.
    pub(crate) fn new(
        claim: Arc<Claim<Memory, Arc<RangeError>>>,
        disk: Option<(Cache, Arc<Object>)>,
        patient: bool,
        skip: u64,
    ) -> Self {
        let start = claim.range().start();
        Self {
            claim,
            disk: disk.and_then(|(cache, staged)| {
                Some(Disk {
                    cache,
                    object: staged.cached.clone()?,
                    staged,
                    chunks: VecDeque::new(),
                    given: start,
                    piece: PIECE,
                    patient,
                })
            }),
            arrived: start,
            skip,
            most: u64::MAX,
        }
    }

    /// A part that is longer than its memory: the source waits while so many bytes of it are in memory.
    pub(crate) fn no_further_ahead_than(&mut self, bytes: u64) {
        self.most = bytes.max(BLOCK);
        if let Some(disk) = &mut self.disk {
            // A piece must fit, or nothing would ever land.
            disk.piece = PIECE.min(self.most / 2).max(BLOCK);
        }
    }

    /// Gives the disk what is here in whole blocks, if it is `at_least` so much.
    fn land(&mut self, at_least: u64) {
        let Some(disk) = &mut self.disk else { return };
        let end = if self.arrived == self.claim.range().end() {
            self.arrived
        } else {
            self.arrived - self.arrived % BLOCK
        };
        if end < disk.given + at_least.max(1) {
            return;
        }
        let fill = Fill {
            at: disk.given,
            chunks: disk.cut(end),
            patient: disk.patient,
            hold: Box::new(disk.staged.clone()),
            done: {
                let (staging, id) = (self.claim.staging().clone(), self.claim.id());
                Box::new(move |stored| staging.settled(id, end, stored == Stored::Written))
            },
        };
        self.claim.landing(end);
        // Refused: the disk is slower than the source. The bytes are served, and not kept.
        if disk.object.store(fill).is_err() {
            disk.cache.count_drop();
            self.claim.staging().settled(self.claim.id(), end, false);
        }
    }
}

impl Disk {
    /// The bytes from where the last piece ended up to `end`.
    fn cut(&mut self, end: u64) -> Vec<Bytes> {
        let mut left = end - self.given;
        self.given = end;
        let mut piece = Vec::new();
        while left > 0 {
            let Some(mut chunk) = self.chunks.pop_front() else {
                break;
            };
            if chunk.len() as u64 > left {
                let rest = chunk.split_off(left as usize);
                self.chunks.push_front(rest);
            }
            left -= chunk.len() as u64;
            piece.push(chunk);
        }
        piece
    }
}

impl PartOut for Stage {
    async fn room(&mut self) {
        if let Some(disk) = self.disk.as_ref().filter(|disk| disk.patient) {
            while disk.cache.backlog() >= PATIENCE {
                tokio::time::sleep(PAUSE).await;
            }
        }
        if self.most == u64::MAX {
            return;
        }
        loop {
            let (staging, id) = (self.claim.staging(), self.claim.id());
            let (here, waited) = staging.pressure(id);
            if here < self.most {
                return;
            }
            if waited {
                // The reader is further on than what is kept for him.
                staging.clear(id);
                if staging.pressure(id).0 < self.most {
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn chunk(&mut self, _offset: u64, mut bytes: Bytes) -> io::Result<()> {
        let skipped = self.skip.min(bytes.len() as u64);
        self.skip -= skipped;
        bytes.advance(skipped as usize);
        if bytes.is_empty() {
            return Ok(());
        }
        self.arrived += bytes.len() as u64;
        self.claim.arrived(bytes.clone());
        if let Some(disk) = &mut self.disk {
            disk.chunks.push_back(bytes);
            let piece = disk.piece;
            self.land(piece);
        }
        Ok(())
    }
}

impl Drop for Stage {
    /// What came is good, whatever ended the part.
    fn drop(&mut self) {
        self.land(0);
    }
}
