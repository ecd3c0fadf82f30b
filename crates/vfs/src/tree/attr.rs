//! What is known of a node by its number.

use super::{Shared, Tree};
use crate::attr::Attr;
use crate::error::VfsError;
use crate::ino::Ino;

impl Tree {
    /// The attributes of a node that the kernel holds, if they are known.
    ///
    /// # Errors
    /// [`VfsError::Stale`] if it is gone.
    pub fn try_attr(&self, ino: Ino) -> Option<Result<Attr, VfsError>> {
        let counters = &self.shared.counters;
        let known = self.shared.try_attr(ino);
        if known.is_some() {
            counters.attrs.count(&counters.hits, true);
        }
        known
    }

    /// The attributes of a node that the kernel holds, asked if they are not known.
    ///
    /// # Errors
    /// [`VfsError::Stale`] if it is gone, and what the namespace says.
    ///
    /// # Cancel safety
    /// Dropping the future gives up its wait. The request ends when nobody waits for it.
    pub async fn attr(&self, ino: Ino) -> Result<Attr, VfsError> {
        let shared = &self.shared;
        let known = shared.try_attr(ino);
        let counters = &shared.counters;
        counters.attrs.count(&counters.hits, known.is_some());
        if let Some(known) = known {
            return known;
        }
        let inode = shared.table().node(ino)?.clone();
        let found = shared.refresh(&inode.dir, &inode.name, Some(&inode)).await?;
        match found {
            Some(found) if found.ino == ino && !found.is_gone() => Ok(found.tell(shared.now())),
            Some(_) | None => Err(VfsError::Stale { ino }),
        }
    }
}

impl Shared {
    fn try_attr(&self, ino: Ino) -> Option<Result<Attr, VfsError>> {
        let now = self.now();
        match self.table().node(ino) {
            Ok(inode) if inode.is_fresh(now) => {
                let mut attr = inode.tell(now);
                // It is always there, but not always as old.
                if ino == Ino::ROOT {
                    attr.valid = self.beliefs.ttl().unwrap_or(attr.valid);
                }
                Some(Ok(attr))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
