//! Making a large object smaller: its longest-unused extents are given back to the file system.

use std::sync::{Arc, PoisonError};

use forebay_types::{BLOCK, BlockRange, ByteRange, ObjectId};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::files::{self, Found, clear_entries};
use crate::known::EXTENT;
use crate::map::Record;
use crate::name::Name;
use crate::object::{CachedObject, Open};
use crate::options::Accounting;
use crate::shared::Shared;
use crate::sys::{next_data, punch, sync_data, try_lock};
use crate::table::crc_in;

/// Below two extents there is nothing to choose.
const LEAST_EXTENTS: u64 = 2;

impl Shared {
    /// The object under a name, whichever version is there.
    pub(crate) fn object_of(self: &Arc<Self>, name: Name) -> Option<Arc<CachedObject>> {
        let shard = name.shard_in(&self.dir).ok()?;
        match files::find(&shard, name) {
            Ok(Found::Map(map)) => Some(self.object(name, &map.head.id)),
            _ => None,
        }
    }

    /// One version of the object under a name.
    pub(crate) fn object(self: &Arc<Self>, name: Name, id: &ObjectId) -> Arc<CachedObject> {
        self.objects
            .object(name, id, || CachedObject::new(id.clone(), name, self.clone()))
    }
}

impl CachedObject {
    /// Frees about `bytes` of the object, if it is large and no other process has it open; returns what came free.
    pub(crate) fn shrink(&self, bytes: u64) -> u64 {
        if self.id().size < LEAST_EXTENTS * EXTENT {
            return 0;
        }
        let Some(open) = self.open() else {
            return 0;
        };
        if !open.files.is_separate() {
            return 0;
        }
        // Nobody writes, seals or hands out meanwhile.
        let _io = self.io.write().unwrap_or_else(PoisonError::into_inner);
        let extents = choose(&open, bytes);
        if extents.is_empty() || open.was_handed_out() {
            return 0;
        }
        let fd = open.files.data_fd();
        match try_lock(fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(true) => {}
            Ok(false) | Err(_) => {
                self.take_lock_back(&open);
                return 0;
            }
        }
        let freed = self
            .shared
            .note_failure(self.take_away(&open, &extents))
            .unwrap_or(0);
        // Going down to shared can fail only if the file system forgot how to lock.
        if !try_lock(fd, FlockOperation::NonBlockingLockShared).unwrap_or(false) {
            self.forget_files(&open);
        }
        self.note_change(&open);
        freed
    }

    /// A lock that could not be raised is lost on the way: in between another process may have done as it liked.
    fn take_lock_back(&self, open: &Arc<Open>) {
        let held = try_lock(open.files.data_fd(), FlockOperation::NonBlockingLockShared).unwrap_or(false);
        let mut records = [0; crate::map::RECORDS_END];
        let same = forebay_disk::sys::read_at(&open.files.map.fd, &mut records, 0).is_ok_and(|len| {
            let found = Record::Generation.decode(&records[..len], open.known.instance);
            let known = open.known.generation.load(std::sync::atomic::Ordering::Acquire);
            found == crate::map::Value::Is(known)
        });
        if !held || !same || !open.files.map.is_linked() {
            open.known
                .take_away(BlockRange::of_size(self.id().size), u64::MAX);
            self.forget_files(open);
        }
    }

    /// Takes extents out of the map, of memory, and off the disk, in this order.
    fn take_away(&self, open: &Open, extents: &[ByteRange]) -> Result<u64, Errno> {
        let (files, head) = (&open.files, open.files.head());
        // The seal must be gone from the disk before any block is: a crash must not leave a seal over a hole.
        files.map.put(Record::Seal, 0)?;
        sync_data(&files.map.fd)?;
        let generation = fastrand::u64(..u64::MAX);
        files.map.put(Record::Generation, generation)?;
        let mut content = 0;
        for extent in extents {
            let blocks = BlockRange::new(extent.start() / BLOCK, extent.end().div_ceil(BLOCK));
            if self.shared.options.accounting == Accounting::Content {
                let entries = files.map.entries(blocks)?;
                content += blocks
                    .iter()
                    .zip(entries)
                    .filter(|(block, entry)| crc_in(*entry, *block, open.known.instance).is_some())
                    .map(|(block, _)| BlockRange::new(block, block + 1).bytes(head.id.size).len())
                    .sum::<u64>();
            }
            clear_entries(&files.map.fd, head, blocks)?;
            open.known.take_away(blocks, generation);
            // The last extent ends with the object; its last page goes too.
            punch(files.data_fd(), extent.start(), EXTENT)?;
        }
        let mut charged = open.known.charged.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match self.shared.options.accounting {
            Accounting::Disk => files.charged(),
            Accounting::Content => charged.saturating_sub(content),
        };
        let freed = charged.saturating_sub(now);
        self.shared.resized(self.name, *charged, now);
        *charged = now;
        // At once, for scans of other processes.
        self.shared.update(|_| ());
        Ok(freed)
    }
}

/// The extents to give up: those with data that were not used for longest. Of those that this process never used, the last: a file's
/// front is read more often than its end.
fn choose(open: &Open, bytes: u64) -> Vec<ByteRange> {
    let size = open.files.head().id.size;
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size
        && let Some(data) = next_data(open.files.data_fd(), at)
    {
        let extent = data / EXTENT;
        extents.push(extent);
        at = (extent + 1) * EXTENT;
    }
    if (extents.len() as u64) < LEAST_EXTENTS {
        return Vec::new();
    }
    extents.sort_by_key(|extent| match open.known.last_use(*extent) {
        0 => (0, u64::MAX - extent),
        stamp => (stamp, *extent),
    });
    // The one used last stays: somebody is in it.
    extents.pop();
    let enough = bytes.div_ceil(EXTENT).max(1) as usize;
    extents.truncate(enough);
    extents
        .into_iter()
        .map(|extent| ByteRange::at(extent * EXTENT, EXTENT).clamp_to(size))
        .collect()
}
