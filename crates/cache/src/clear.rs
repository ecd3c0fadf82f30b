//! Emptying the directory.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rustix::fs::FlockOperation;

use crate::cache::Cache;
use crate::dir::{Shard, failed};
use crate::error::CacheError;
use crate::files::{self, LOCK_TRIES};
use crate::ledger::Figures;
use crate::name::{FileKind, Name, shard_dir};
use crate::shared::Shared;
use crate::sys::lock_soon;

/// What [`Cache::clear`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cleared {
    /// Objects.
    pub entries: u64,
    /// Bytes charged for them.
    pub bytes: u64,
}

impl Cache {
    /// Removes all objects and starts the counters anew. What somebody holds open is removed all the same: he reads on, and its space
    /// comes back when he closes it; other processes of the cache do so within a second or two of their next use of it.
    ///
    /// # Errors
    /// If a directory cannot be listed or a file not removed; what was removed before stays removed.
    pub fn clear(&self) -> Result<Cleared, CacheError> {
        let shared = self.shared();
        let _room = shared.room.lock().unwrap_or_else(PoisonError::into_inner);
        shared.forget_all();
        let mut cleared = Cleared::default();
        for shard in 0..=u8::MAX {
            let Ok(dir) = shared.dir.shard(shard) else {
                continue;
            };
            shared.clear_shard(shard, &dir, &mut cleared).map_err(|errno| {
                let path = shared.dir.path().join("objects").join(shard_dir(shard));
                failed("clear", &path)(errno)
            })?;
        }
        let clears = shared.update(|figures| {
            shared.pending.clears.fetch_add(1, Ordering::AcqRel);
            let under_way = shared.pending.outstanding.load(Ordering::Acquire);
            *figures = Figures {
                // Fills of ours that are under way go into new files.
                total: under_way,
                in_flight: under_way,
                added: figures.added,
                clears: figures.clears + 1,
                scanned: 1,
                ..Figures::default()
            };
            figures.clears
        });
        if let Some(clears) = clears {
            shared.saw_clears(clears);
            // `update` took the news for that of another process.
            shared.bell.take_forget();
        }
        // Again: what was opened while the files went is unlinked by now.
        shared.forget_all();
        Ok(cleared)
    }
}

impl Shared {
    fn clear_shard(&self, shard: u8, dir: &Shard, cleared: &mut Cleared) -> Result<(), rustix::io::Errno> {
        let mut loose = Vec::new();
        for file in dir.list()? {
            match Name::parse(shard, &file) {
                Some(FileKind::Map(name)) => {
                    if let Some(taken) = files::take_out(dir, name)? {
                        cleared.entries += 1;
                        cleared.bytes += self.removed(name, taken, dir, false);
                    }
                }
                Some(FileKind::Data(..) | FileKind::Temporary) => loose.push(file),
                None => {}
            }
        }
        for file in loose {
            // Most went with their maps. What stays locked belongs to an object that is just being made; somebody else's scan
            // holds it for a moment only.
            if let Ok(fd) = dir.open_to_read(&file)
                && lock_soon(&fd, FlockOperation::NonBlockingLockExclusive, LOCK_TRIES)?
            {
                match dir.unlink(&file) {
                    Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }
}
