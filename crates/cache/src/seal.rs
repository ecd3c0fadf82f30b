//! Sealing: a complete object is checked and synced, then says so, and is trusted from then on.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use forebay_types::{BLOCK, BlockRange};

use crate::files::TABLE_READ;
use crate::map::Record;
use crate::object::{CachedObject, Open};
use crate::sys::sync_data;
use crate::table::{crc_in, crc32c};

impl CachedObject {
    /// Has the object sealed if the table has all its blocks.
    pub(crate) fn seal_if_complete(self: &Arc<Self>, open: &Arc<Open>) {
        if self.wants_care(open)
            && open.known.is_complete(&open.files)
            && !open.known.sealing.swap(true, Ordering::AcqRel)
        {
            self.shared.queue.seal(self);
        }
    }

    /// Has the object sealed if every block was written or checked by this process: nothing must be read for it.
    pub(crate) fn seal_if_all_good(&self, open: &Arc<Open>) {
        if self.wants_care(open)
            && open.known.all_good()
            && open.known.is_complete(&open.files)
            && let Some(me) = self.me()
            && !open.known.sealing.swap(true, Ordering::AcqRel)
        {
            self.shared.queue.seal(&me);
        }
    }

    /// Small objects are never sealed: syncing them would cost more than checking them.
    fn wants_seal(&self, open: &Open) -> bool {
        open.files.is_separate() && !open.known.has_seal()
    }

    /// Whether anything is to be done once it is complete.
    fn wants_care(&self, open: &Open) -> bool {
        self.wants_seal(open) || self.wants_proof(open)
    }

    /// Checks what was not checked, syncs, and writes the seal.
    pub(crate) fn seal(self: &Arc<Self>) {
        let Some(open) = self.open() else {
            return;
        };
        if self.wants_care(&open) {
            self.seal_now(&open);
        }
        open.known.sealing.store(false, Ordering::Release);
    }

    pub(crate) fn seal_now(&self, open: &Arc<Open>) {
        let epoch = open.known.epoch();
        if !self.check_rest(open) || !open.known.all_good() || !open.known.is_complete(&open.files) {
            return;
        }
        if !self.prove_now(open, epoch) || !self.wants_seal(open) {
            return;
        }
        // Nothing is taken away from here on.
        let _io = self.io.read().unwrap_or_else(PoisonError::into_inner);
        if open.known.epoch() != epoch || !open.known.all_good() || !open.files.map.is_linked() {
            return;
        }
        let files = &open.files;
        // Data before table before seal: whichever of them a crash lets through, none promises too much.
        let synced = sync_data(files.data_fd())
            .and_then(|()| sync_data(&files.map.fd))
            .and_then(|()| files.map.put(Record::Seal, 1));
        if self.shared.note_failure(synced).is_some() {
            open.known.seal(!self.shared.options.verify_sealed);
            self.note_change(open);
        }
    }

    /// Reads the blocks that this process neither wrote nor checked; `false` if one is bad or gone.
    fn check_rest(&self, open: &Arc<Open>) -> bool {
        let all = BlockRange::of_size(self.id().size);
        let mut bytes = Vec::new();
        let mut at = 0;
        loop {
            at = open.known.first(BlockRange::new(at, all.end()), false);
            if at == all.end() {
                return true;
            }
            let end = open.known.first(BlockRange::new(at, all.end()), true);
            let some = BlockRange::new(at, end.min(at + TABLE_READ));
            let Ok(entries) = open.files.map.entries(some) else {
                return false;
            };
            for (block, entry) in some.iter().zip(entries) {
                let epoch = open.known.epoch();
                let one = BlockRange::new(block, block + 1);
                let Some(crc) = crc_in(entry, block, open.known.instance) else {
                    return false;
                };
                bytes.resize(BLOCK as usize, 0);
                let bytes = &mut bytes[..one.bytes(self.id().size).len() as usize];
                if !self.read_raw(open, block * BLOCK, bytes) {
                    return false;
                }
                if crc32c(bytes) != crc {
                    if open.known.epoch() == epoch {
                        self.is_corrupt(open, block);
                    }
                    return false;
                }
                open.known.checked(one, epoch);
            }
            at = some.end();
        }
    }
}
