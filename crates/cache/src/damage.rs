//! What is not as it should be: said once, counted, and missing from then on.

use std::sync::{Arc, PoisonError};

use forebay_types::BlockRange;

use crate::files;
use crate::map::Record;
use crate::object::{CachedObject, Open};
use crate::options::Accounting;
use crate::stats::Count;
use crate::sys::sync_data;

impl CachedObject {
    /// Removes the object, whose files turned out not to be as they should.
    pub(crate) fn is_broken(&self, open: &Arc<Open>) {
        if let Ok(shard) = self.name.shard_in(&self.shared.dir) {
            self.shared.remove_broken(&shard, self.name, open.known.instance);
        }
        self.forget_files(open);
    }

    /// A block's checksum did not match: it is missing from now on.
    pub(crate) fn is_corrupt(&self, open: &Open, block: u64) {
        if open.known.is_bad(block) {
            // The seal first, and for good: it must not come back over a block that is filled anew.
            let unsealed = open.files.map.put(Record::Seal, 0);
            self.shared
                .note_failure(unsealed.and_then(|()| sync_data(&open.files.map.fd)));
        }
        let one = BlockRange::new(block, block + 1);
        let cleared = files::clear_entries(&open.files.map.fd, open.files.head(), one);
        if self.shared.note_failure(cleared).is_some()
            && self.shared.options.accounting == Accounting::Content
        {
            let bytes = one.bytes(self.id().size).len();
            let mut charged = open.known.charged.lock().unwrap_or_else(PoisonError::into_inner);
            let now = charged.saturating_sub(bytes);
            self.shared.resized(self.name, *charged, now);
            *charged = now;
        }
        self.note_change(open);
        self.shared.count(Count::Corrupt, 1);
        self.shared.said.corrupt(self.id(), block);
    }
}
