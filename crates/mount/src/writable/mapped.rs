//! What is read of a file above, without a copy of ours in between.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay_types::ByteRange;
use forebay_vfs::merged::MergedFile;
use forebay_vfs::overlay::Present;
use rustix::fd::AsFd;

use crate::map::{Map, Piece};
use crate::reply::Reply;

/// Shorter reads are copied: up to here that costs no more than to look whether the pages are in memory and to have them
/// mapped (decision 10 has figures).
const SHORT: usize = 128 << 10;

/// A file above in the address space, from the first long read on that we are asked for.
#[derive(Debug)]
pub(super) struct Mapped {
    state: Mutex<State>,
    /// Whether the reader waits for each answer: then there is time between two reads. Where the kernel reads ahead, the next
    /// request is there already.
    waits: bool,
}

#[derive(Debug, Default)]
struct State {
    map: Option<Arc<Map>>,
    /// Where the last long read ended.
    end: u64,
}

impl Mapped {
    pub(super) fn new(waits: bool) -> Self {
        Self {
            state: Mutex::default(),
            waits,
        }
    }

    /// Answers a read; with how many bytes. Gives the reply back if they have to be copied, or must come first.
    pub(super) fn answer(
        &self,
        file: &MergedFile,
        offset: u64,
        size: usize,
        reply: Reply,
    ) -> Result<usize, Reply> {
        if size <= SHORT {
            return Err(reply);
        }
        // Held until the kernel has the bytes: those of a file that is cut meanwhile would be an error to it.
        let Some(present) = file.present(offset, size) else {
            return Err(reply);
        };
        let Some(map) = self.map(&present) else {
            return Err(reply);
        };
        let Some(piece) = found(&map, &present) else {
            return Err(reply);
        };
        reply.mapped(piece);
        let range = present.range();
        drop(present);
        if self.waits && self.is_in_order(range) {
            // The reader is busy with what it got, and the kernel has the next ones mapped meanwhile.
            let next = file.present(range.end(), size);
            if let Some(piece) = next.and_then(|next| found(&map, &next)) {
                piece.map_pages();
            }
        }
        Ok(piece.len)
    }

    fn map(&self, present: &Present<'_>) -> Option<Arc<Map>> {
        let mut state = self.lock();
        let known = state.map.as_ref().map_or(0, |map| map.len());
        let wanted = present.range().end();
        // Who reads behind somebody who writes would have it mapped for each read: it has to grow by a quarter.
        if known < wanted && wanted >= known + known / 4 {
            state.map = Map::of(present.as_fd()).map(Arc::new);
        }
        state.map.clone()
    }

    /// Whether a long read goes on where the last one ended. A read of a megabyte into memory that begins inside a page comes
    /// in two, a long one and a short one.
    fn is_in_order(&self, range: ByteRange) -> bool {
        let before = std::mem::replace(&mut self.lock().end, range.end());
        let skipped = range.start().checked_sub(before);
        skipped.is_some_and(|skipped| skipped <= SHORT as u64)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the bytes lie; `None`: they are not in memory.
fn found(map: &Map, present: &Present<'_>) -> Option<Piece> {
    let range = present.range();
    let len = usize::try_from(range.len()).ok()?;
    if present.is_dense() {
        map.ends_here(range.start(), len)
    } else {
        map.here(range.start(), len)
    }
}
