//! What is read of a file above, without a copy of ours in between.

use std::sync::{Arc, Mutex, PoisonError};

use forebay_vfs::merged::MergedFile;
use forebay_vfs::overlay::Present;
use rustix::fd::AsFd;

use crate::map::Map;
use crate::reply::Reply;

/// A file above in the address space, from the first read on that we are asked for.
#[derive(Debug, Default)]
pub(super) struct Mapped(Mutex<Option<Arc<Map>>>);

impl Mapped {
    /// Answers a read; with how many bytes. Gives the reply back if they have to be copied, or must come first.
    pub(super) fn answer(
        &self,
        file: &MergedFile,
        offset: u64,
        size: usize,
        reply: Reply,
    ) -> Result<usize, Reply> {
        // Held until the kernel has the bytes: those of a file that is cut meanwhile would be an error to it.
        let Some(present) = file.present(offset, size) else {
            return Err(reply);
        };
        let range = present.range();
        let map = (!range.is_empty()).then(|| self.map(&present)).flatten();
        let len = usize::try_from(range.len()).unwrap_or(usize::MAX);
        let Some(piece) = map.as_ref().and_then(|map| map.here(range.start(), len)) else {
            return Err(reply);
        };
        reply.mapped(piece);
        Ok(len)
    }

    fn map(&self, present: &Present<'_>) -> Option<Arc<Map>> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = map.as_ref().map_or(0, |map| map.len());
        let wanted = present.range().end();
        // Who reads behind somebody who writes would have it mapped for each read: it has to grow by a quarter.
        if known < wanted && wanted >= known + known / 4 {
            *map = Map::of(present.as_fd()).map(Arc::new);
        }
        map.clone()
    }
}
