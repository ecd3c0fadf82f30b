//! The door: one cache directory, open.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use forebay_types::{BlockRange, Clock, ObjectId, Origin};

use crate::dir::Dir;
use crate::error::CacheError;
use crate::files::{self, Found};
use crate::keeper::keep;
use crate::ledger::Ledger;
use crate::name::Name;
use crate::object::CachedObject;
use crate::options::CacheOptions;
use crate::shared::Shared;
use crate::stats::{CacheStats, Count};

/// A cache of objects' bytes in the files of one directory, which other processes of the same user may use at the same time. Clones
/// are the same cache; when the last of them goes, what was submitted is written.
#[derive(Clone, Debug)]
pub struct Cache {
    owner: Arc<Owner>,
}

/// Ends the threads.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

/// What is cached under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Which version.
    pub id: ObjectId,
    /// When the server last confirmed it: time since 1970.
    pub validated: Duration,
    /// Whether every block is there.
    pub complete: bool,
}

impl Cache {
    /// Opens the directory, or makes it. What is in it is looked through in the background; nothing waits for that.
    ///
    /// # Errors
    /// If the directory cannot be used, is not the caller's own, is no cache, or has another format.
    pub fn open(options: CacheOptions, clock: Arc<dyn Clock>) -> Result<Self, CacheError> {
        let dir = Dir::open(&options.dir)?;
        let ledger = Ledger::new(dir.file("ledger")?);
        let shared = Arc::new(Shared::new(options, clock, dir, ledger));
        if let Some(clears) = shared.update(|figures| figures.clears) {
            shared.saw_clears(clears);
        }
        let for_keeper = shared.clone();
        let keeper = thread::Builder::new()
            .name("cache-keeper".to_owned())
            .spawn(move || keep(&for_keeper))
            .map_err(|error| CacheError::Worker {
                why: error.to_string(),
            })?;
        Ok(Self {
            owner: Arc::new(Owner {
                shared,
                keeper: Some(keeper),
            }),
        })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        self.shared().dir.path()
    }

    /// Which version is cached under a name.
    pub fn lookup(&self, origin: &Origin, key: &str) -> Option<Cached> {
        let shared = self.shared();
        let name = Name::of(origin, key);
        let shard = name.shard_in(&shared.dir).ok()?;
        match shared.note_failure(files::find(&shard, name))? {
            Found::Absent => None,
            Found::Damaged => {
                shared.remove_damaged(&shard, name);
                None
            }
            // Another object whose name has the same hash.
            Found::Map(map) if map.head.id.origin != *origin || *map.head.id.key != *key => None,
            Found::Map(map) => {
                let blocks = BlockRange::of_size(map.head.id.size);
                Some(Cached {
                    complete: map.sealed || map.first_absent() == Ok(blocks.end()),
                    validated: map.validated,
                    id: map.head.id,
                })
            }
        }
    }

    /// The cached bytes of one version; nothing is made on disk before the first store. The same `Arc` for the same id while one is
    /// alive.
    pub fn object(&self, id: &ObjectId) -> Arc<CachedObject> {
        let shared = self.shared();
        let name = Name::of(&id.origin, &id.key);
        shared.index().used(name);
        shared.object(name, id)
    }

    /// Forgets what is kept of this version: its bytes are not what its reader knows they should be. Blocks for a few system
    /// calls.
    pub fn forget(&self, id: &ObjectId) {
        self.remove(id, |kept| kept == id);
    }

    /// Takes the entry of this name out of the directory, if it is one that `which` means.
    pub(crate) fn remove(&self, id: &ObjectId, which: impl FnOnce(&ObjectId) -> bool) {
        let shared = self.shared();
        let name = Name::of(&id.origin, &id.key);
        if let Some(object) = shared.object_of(name)
            && which(object.id())
            && let Some(open) = object.open()
            && let Ok(shard) = name.shard_in(&shared.dir)
        {
            let instance = open.known.instance;
            drop(open);
            shared.note_failure(shared.replace(&shard, name, instance));
        }
    }

    /// A read was answered from the cache.
    pub fn count_hit(&self, bytes: u64) {
        self.shared().count(Count::Hits, 1);
        self.shared().count(Count::BytesHit, bytes);
    }

    /// A fill was given back by [`CachedObject::store`], and is not tried again.
    pub fn count_drop(&self) {
        self.shared().count(Count::Drops, 1);
    }

    /// A read had to wait for the source.
    pub fn count_miss(&self, bytes: u64) {
        self.shared().count(Count::Misses, 1);
        self.shared().count(Count::BytesMissed, bytes);
    }

    /// The figures of all processes since the directory was made or cleared.
    pub fn stats(&self) -> CacheStats {
        let shared = self.shared();
        let max_size = shared.options.max_size;
        match shared.update(|figures| *figures) {
            Some(figures) => CacheStats::of(figures.total, figures.entries, max_size, &figures.counts),
            // The ledger cannot be read: what this process knows by itself.
            None => {
                let index = shared.index();
                CacheStats::of(index.bytes(), index.len() as u64, max_size, &shared.counts.peek())
            }
        }
    }

    /// Bytes that wait for the disk.
    pub fn backlog(&self) -> u64 {
        self.shared().queue.backlog()
    }

    /// Waits until everything submitted is written or dropped, and posts the figures.
    pub fn flush(&self) {
        self.shared().queue.flush();
        self.shared().update(|_| ());
        self.shared().keep_up();
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.queue.close();
        self.shared.bell.end();
        if let Some(keeper) = self.keeper.take()
            && keeper.thread().id() != thread::current().id()
        {
            // It panics only if we have a fault; then its hook has said so.
            let _ = keeper.join();
        }
        self.shared.update(|_| ());
        // The list holds objects, and they hold what the list is in.
        drop(self.shared.open.take_all());
    }
}
