//! Names that go.

use super::{Upper, entry};
use crate::overlay::attrs::{NodeId, NodeKind};
use crate::overlay::error::UpperError;
use crate::overlay::names::{check, shown};
use crate::overlay::record::{Change, Slot};
use crate::overlay::state::Dir;

/// What lost a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Which node.
    pub id: NodeId,
    /// What it is.
    pub kind: NodeKind,
    /// Names that it still has. None: it is gone, unless somebody holds it.
    pub links: u32,
}

impl Upper {
    /// Takes the name of what is no directory. `whiteout`: something below has this name too, and must not be seen.
    ///
    /// # Errors
    /// [`UpperError::NoEntry`], [`UpperError::IsADir`], the disk.
    pub fn unlink(&self, parent: NodeId, name: &[u8], whiteout: bool) -> Result<Removed, UpperError> {
        self.take(parent, name, whiteout, |kind, _| {
            if kind == NodeKind::Dir {
                return Err(UpperError::IsADir { name: shown(name) });
            }
            Ok(())
        })
    }

    /// Removes a directory that is empty above; that nothing shines through, the caller knows. `whiteout`: something below
    /// has this name too, and must not be seen.
    ///
    /// # Errors
    /// [`UpperError::NoEntry`], [`UpperError::NotADir`], [`UpperError::NotEmpty`], the disk.
    pub fn rmdir(&self, parent: NodeId, name: &[u8], whiteout: bool) -> Result<Removed, UpperError> {
        self.take(parent, name, whiteout, |_, dir| match dir {
            None => Err(UpperError::NotADir { name: shown(name) }),
            Some(dir) => check_empty(dir, name),
        })
    }

    /// Hides a lower thing of which nothing is known above.
    ///
    /// # Errors
    /// [`UpperError::Exists`] if something is; [`UpperError::NoEntry`] if it is hidden already; the disk.
    pub fn hide(&self, parent: NodeId, name: &[u8]) -> Result<(), UpperError> {
        self.hide_as(parent, name, None)
    }

    /// `version`: that of the lower file, if it is one.
    pub(super) fn hide_as(
        &self,
        parent: NodeId,
        name: &[u8],
        version: Option<&str>,
    ) -> Result<(), UpperError> {
        check(name)?;
        let now = self.shared.now();
        self.shared.change(|inner| {
            let place = inner.vacancy(parent, name)?;
            if place.origin.is_none() || place.entries.contains_key(name) {
                return Err(UpperError::NoEntry { name: shown(name) });
            }
            let mut changes = vec![
                entry(parent, name, Some(Slot::Whiteout)),
                Change::Touch { id: parent, at: now },
            ];
            changes.extend(inner.hidden(parent, name, version));
            inner.commit(parent, &changes)
        })
    }

    fn take(
        &self,
        parent: NodeId,
        name: &[u8],
        whiteout: bool,
        check: impl Fn(NodeKind, Option<&Dir>) -> Result<(), UpperError>,
    ) -> Result<Removed, UpperError> {
        let now = self.shared.now();
        let (removed, has_data) = self.shared.change(|inner| {
            let (id, node) = inner.named(parent, name)?;
            check(node.kind(), node.dir())?;
            let removed = Removed {
                id,
                kind: node.kind(),
                links: node.links - 1,
            };
            let has_data = node.has_data();
            inner.place(parent, name)?;
            let slot = inner.left(parent, name, whiteout)?;
            let mut changes = inner.farewell(id);
            changes.extend([
                Change::Ctime { id, at: now },
                entry(parent, name, slot),
                Change::Touch { id: parent, at: now },
            ]);
            inner.commit(id, &changes)?;
            Ok((removed, has_data && inner.state.node(id).is_some()))
        })?;
        self.bump(removed.id, has_data);
        Ok(removed)
    }
}

/// That a directory has no names above.
pub(super) fn check_empty(dir: &Dir, name: &[u8]) -> Result<(), UpperError> {
    if dir.entries.values().any(|slot| matches!(slot, Slot::Node(_))) {
        return Err(UpperError::NotEmpty { name: shown(name) });
    }
    Ok(())
}
