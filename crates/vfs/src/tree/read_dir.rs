//! The names of a directory.

use std::sync::Arc;

use super::{Listed, Shared, Tree};
use crate::attr::Attr;
use crate::error::VfsError;
use crate::ino::Ino;
use crate::snapshot::DirSnapshot;

impl Tree {
    /// The names of a directory that the kernel holds, if they are known.
    ///
    /// # Errors
    /// [`VfsError::NotADirectory`], [`VfsError::Stale`].
    pub fn try_read_dir(&self, ino: Ino) -> Option<Result<Arc<DirSnapshot>, VfsError>> {
        let counters = &self.shared.counters;
        let known = self.shared.try_read_dir(ino);
        if known.is_some() {
            counters.read_dirs.count(&counters.hits, true);
        }
        known
    }

    /// The names of a directory that the kernel holds, asked if they are not known.
    ///
    /// # Errors
    /// As [`Self::try_read_dir`], [`VfsError::NotFound`] if it is gone, and what the namespace says.
    ///
    /// # Cancel safety
    /// Dropping the future gives up its wait. The request ends when nobody waits for it.
    pub async fn read_dir(&self, ino: Ino) -> Result<Arc<DirSnapshot>, VfsError> {
        let shared = &self.shared;
        let known = shared.try_read_dir(ino);
        let counters = &shared.counters;
        counters.read_dirs.count(&counters.hits, known.is_some());
        if let Some(known) = known {
            return known;
        }
        let place = shared.table().dir(ino)?.place.clone();
        shared.list_shared(&place, 0).await
    }

    /// Asks for the names of the root anew, though what is known of them may still be believed: for a source where names
    /// come and go without anybody looking. New names are there from then on, and of those that are gone the kernel hears
    /// by [`Changes`](crate::Changes). It shares the request with others only if that was begun after this call.
    ///
    /// # Errors
    /// What the namespace says; what was known stays as it was.
    ///
    /// # Cancel safety
    /// Dropping the future gives up its wait. The request ends when nobody waits for it.
    pub async fn refresh_root(&self) -> Result<(), VfsError> {
        let shared = &self.shared;
        let place = shared.table().dir(Ino::ROOT)?.place.clone();
        let since = shared.ask();
        shared.list_shared(&place, since).await.map(drop)
    }

    /// The attributes of the name at `index`, of which the kernel holds one more reference then: for readdirplus, once
    /// for each entry that goes into the reply. `None`, and no reference, if the name is not there any more.
    pub fn refer(&self, dir: &DirSnapshot, index: usize) -> Option<Attr> {
        let inode = dir.inodes().get(index)?;
        let now = self.shared.now();
        let mut table = self.shared.table();
        if inode.is_gone() {
            return None;
        }
        let held = table.hold(inode, now)?;
        drop(table);
        Some(held.tell(now))
    }
}

impl Shared {
    fn try_read_dir(&self, ino: Ino) -> Option<Listed> {
        let now = self.now();
        match self.table().dir(ino) {
            Ok(dir) => dir.fresh_listing(now).cloned().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}
