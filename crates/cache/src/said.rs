//! What is worth a line in the log.

use std::sync::atomic::{AtomicU32, Ordering};

use forebay_types::ObjectId;
use rustix::io::Errno;

use crate::dir::Dir;
use crate::fill::Fill;
use crate::name::Name;

/// What was said already: each trouble is worth one line in the log, and a counter for the rest.
#[derive(Debug, Default)]
pub(crate) struct Said {
    said: AtomicU32,
}

impl Said {
    fn first(&self, topic: u32) -> bool {
        self.said.fetch_or(1 << topic, Ordering::Relaxed) >> topic & 1 == 0
    }

    pub(crate) fn failure(&self, errno: Errno, dir: &Dir) {
        let full = matches!(errno, Errno::NOSPC | Errno::DQUOT);
        if self.first(u32::from(full)) {
            let dir = dir.path().display();
            if full {
                tracing::warn!(%dir, "no space left for the cache: what does not fit is read from its source again");
            } else {
                tracing::warn!(%dir, %errno, "the cache directory fails: what it cannot give is read from its source");
            }
        }
    }

    pub(crate) fn ledger(&self) {
        if self.first(2) {
            tracing::warn!(
                "the cache's ledger cannot be written: nothing is added to the cache until it can be"
            );
        }
    }

    pub(crate) fn corrupt(&self, id: &ObjectId, block: u64) {
        if self.first(3) {
            tracing::warn!(%id, block, "a cached block is damaged and is fetched again; `cache verify` looks for more");
        }
    }

    pub(crate) fn damaged(&self, name: Name) {
        if self.first(4) {
            tracing::warn!(?name, "a damaged map was removed from the cache");
        }
    }

    pub(crate) fn broken(&self, name: Name) {
        if self.first(5) {
            tracing::warn!(?name, "a cached object whose data was cut or lost was removed");
        }
    }

    pub(crate) fn refused_direct(&self) {
        if self.first(6) {
            tracing::info!("the cache's file system refuses O_DIRECT: writes go through the page cache");
        }
    }

    pub(crate) fn refused_nowait(&self) {
        if self.first(7) {
            tracing::info!(
                "the cache's file system cannot read only what is in memory: such reads go to worker threads"
            );
        }
    }

    pub(crate) fn no_room(&self, bytes: u64) {
        if self.first(8) {
            tracing::warn!(
                bytes,
                "nothing can leave the cache to make room: the bytes are not kept"
            );
        }
    }

    pub(crate) fn malformed(&self, fill: &Fill) {
        if self.first(9) {
            tracing::error!(
                ?fill,
                "a fill is not made of whole blocks of its object: it is dropped"
            );
        }
    }

    pub(crate) fn oversized(&self, bytes: u64, max_size: u64) {
        if self.first(10) {
            tracing::warn!(bytes, max_size, "larger than the whole cache: not kept");
        }
    }

    pub(crate) fn unfit(&self, id: &ObjectId) {
        if self.first(11) {
            tracing::warn!(%id, "its names are too long for the cache: not kept");
        }
    }
}
