//! From a name to a node, which the kernel then holds.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use forebay_types::printable;

use super::dir::Known;
use super::{Shared, Tree};
use crate::attr::Attr;
use crate::error::VfsError;
use crate::freshness::left;
use crate::ino::Ino;
use crate::inode::Inode;
use crate::names;
use crate::place::Place;

impl Tree {
    /// What a name in a directory stands for, if that is known. The kernel holds one more reference to it if the answer
    /// is `Ok`.
    ///
    /// # Errors
    /// [`VfsError::NotFound`] if it is known that there is no such name, which a name that is not UTF-8 never is;
    /// [`VfsError::BadName`], [`VfsError::NotADirectory`], [`VfsError::Stale`].
    pub fn try_lookup(&self, parent: Ino, name: &OsStr) -> Option<Result<Attr, VfsError>> {
        let counters = &self.shared.counters;
        let known = self.shared.try_lookup(parent, name);
        if known.is_some() {
            counters.lookups.count(&counters.hits, true);
        }
        known
    }

    /// What a name in a directory stands for, asked if it is not known. The kernel holds one more reference to it when
    /// the answer is `Ok`.
    ///
    /// # Errors
    /// As [`Self::try_lookup`], and what the namespace says.
    ///
    /// # Cancel safety
    /// Dropping the future gives up its wait, and counts no reference. The request ends when nobody waits for it.
    pub async fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Attr, VfsError> {
        let shared = &self.shared;
        let known = shared.try_lookup(parent, name);
        let counters = &shared.counters;
        counters.lookups.count(&counters.hits, known.is_some());
        if let Some(known) = known {
            return known;
        }
        let name = valid(name)?;
        let place = shared.table().dir(parent)?.place.clone();
        let found = shared.refresh(&place, name, None).await?;
        shared.hold(&place, name, found.as_ref())
    }
}

/// The name as namespaces know them.
fn valid(name: &OsStr) -> Result<&str, VfsError> {
    let Some(text) = name.to_str() else {
        return Err(VfsError::NotFound {
            path: printable(&name.to_string_lossy()).into(),
            // No namespace has such names, but that is for it to say for ever.
            valid: Duration::ZERO,
        });
    };
    names::check(text).map_err(|why| VfsError::BadName {
        name: printable(&text.chars().take(40).collect::<String>()).into(),
        why,
    })?;
    Ok(text)
}

impl Shared {
    fn try_lookup(&self, parent: Ino, name: &OsStr) -> Option<Result<Attr, VfsError>> {
        let name = match valid(name) {
            Ok(name) => name,
            Err(error) => return Some(Err(error)),
        };
        let now = self.now();
        let mut table = self.table();
        let dir = match table.dir(parent) {
            Ok(dir) => dir,
            Err(error) => return Some(Err(error)),
        };
        let missing = |until| {
            let path = dir.place.path.shown(name);
            let valid = left(until, now);
            Some(Err(VfsError::NotFound { path, valid }))
        };
        match dir.known(name, now) {
            Known::Found(inode) if inode.is_fresh(now) => {
                let inode = inode.clone();
                table.hold_known(&inode);
                Some(Ok(inode.tell(now)))
            }
            Known::Missing { until, .. } if until > now => missing(until),
            Known::NotListed { until } => missing(self.beliefs.missing_in(now, until)),
            Known::Found(_) | Known::Missing { .. } | Known::Nothing => None,
        }
    }

    /// Gives the kernel a reference to what was found.
    pub(super) fn hold(
        &self,
        place: &Place,
        name: &str,
        found: Option<&Arc<Inode>>,
    ) -> Result<Attr, VfsError> {
        let now = self.now();
        let missing = |until| VfsError::NotFound {
            path: place.path.shown(name),
            valid: left(until, now),
        };
        let Some(inode) = found else {
            return Err(missing(self.beliefs.missing(now)));
        };
        // It may have gone again since it was found.
        let held = self.table().hold(inode, now).ok_or_else(|| missing(now))?;
        Ok(held.tell(now))
    }
}
