//! Moves.

use super::adopt::check_len;
use super::remove::check_empty;
use super::{Removed, Upper, entry};
use crate::overlay::attrs::{NodeId, NodeKind};
use crate::overlay::error::UpperError;
use crate::overlay::names::shown;
use crate::overlay::record::{Change, Slot};
use crate::overlay::shared::Inner;

/// What becomes of the name that something is moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// It is replaced.
    Replace,
    /// It must not be there.
    NoReplace,
    /// It is moved to the old place.
    Exchange,
}

impl Upper {
    /// Moves `from` (directory and name) to `to`; returns what was replaced. `whiteout`: something below has the old name
    /// too, and must not be seen; of no meaning to an exchange. What is moved must be known above, and what is at `to` if
    /// it is to be exchanged; if it is replaced and a directory, the caller knows that nothing shines through it.
    ///
    /// # Errors
    /// As the system call: [`UpperError::NoEntry`], [`UpperError::Exists`], [`UpperError::NotEmpty`],
    /// [`UpperError::IsADir`], [`UpperError::NotADir`], [`UpperError::IntoItself`]; the disk.
    pub fn rename(
        &self,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        how: Rename,
        whiteout: bool,
    ) -> Result<Option<Removed>, UpperError> {
        self.rename_over(from, to, how, whiteout, None)
    }

    /// The same onto a lower file of this version, of which nothing is known above.
    ///
    /// # Errors
    /// Those of [`Upper::rename`]; [`UpperError::TooLong`].
    pub fn rename_over(
        &self,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        how: Rename,
        whiteout: bool,
        version: Option<&str>,
    ) -> Result<Option<Removed>, UpperError> {
        check_len("the version of a lower file", version.unwrap_or_default())?;
        let (replaced, touched) = self.shared.change(|inner| match how {
            Rename::Exchange => self.exchange(inner, from, to),
            Rename::Replace | Rename::NoReplace => self.replace(inner, from, to, how, (whiteout, version)),
        })?;
        for id in touched {
            self.bump(id, true);
        }
        Ok(replaced)
    }

    fn replace(
        &self,
        inner: &mut Inner,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        how: Rename,
        (whiteout, version): (bool, Option<&str>),
    ) -> Result<(Option<Removed>, Vec<NodeId>), UpperError> {
        let (id, node) = inner.named(from.0, from.1)?;
        let target = inner.place(to.0, to.1)?.entries.get(to.1);
        let target = match target {
            Some(Slot::Node(target)) => Some((*target, inner.node(*target)?)),
            Some(Slot::Whiteout) | None => None,
        };
        if target.is_some() && how == Rename::NoReplace {
            return Err(UpperError::Exists { name: shown(to.1) });
        }
        inner.check_not_inside(id, to.0, from.1)?;
        if let Some((target, target_node)) = target {
            if target == id {
                // Two names of one file, or one: POSIX wants both to stay.
                return Ok((None, Vec::new()));
            }
            match (node.dir(), target_node.dir()) {
                (None, Some(_)) => return Err(UpperError::IsADir { name: shown(to.1) }),
                (Some(_), None) => return Err(UpperError::NotADir { name: shown(to.1) }),
                (Some(_), Some(dir)) => check_empty(dir, to.1)?,
                (None, None) => {}
            }
        }
        let now = self.shared.now();
        let mut changes = inner.farewell(id);
        changes.extend(inner.hidden(to.0, to.1, version));
        changes.extend(target.into_iter().flat_map(|(target, _)| inner.farewell(target)));
        changes.extend([
            Change::Ctime { id, at: now },
            entry(from.0, from.1, inner.left(from.0, from.1, whiteout)?),
            entry(to.0, to.1, Some(Slot::Node(id))),
            Change::Touch { id: from.0, at: now },
        ]);
        if to.0 != from.0 {
            changes.push(Change::Touch { id: to.0, at: now });
        }
        let removed = target.map(|(id, node)| Removed {
            id,
            kind: node.kind(),
            links: node.links - 1,
        });
        if let Some(removed) = removed {
            changes.insert(
                0,
                Change::Ctime {
                    id: removed.id,
                    at: now,
                },
            );
        }
        inner.commit(id, &changes)?;
        let touched = [Some(id), removed.map(|removed| removed.id)];
        Ok((removed, inner.with_data(touched.into_iter().flatten())))
    }

    fn exchange(
        &self,
        inner: &mut Inner,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
    ) -> Result<(Option<Removed>, Vec<NodeId>), UpperError> {
        let (id, node) = inner.named(from.0, from.1)?;
        let (other, other_node) = inner.named(to.0, to.1)?;
        if node.kind() == NodeKind::Dir {
            inner.check_not_inside(id, to.0, from.1)?;
        }
        if other_node.kind() == NodeKind::Dir {
            inner.check_not_inside(other, from.0, to.1)?;
        }
        if id == other {
            return Ok((None, Vec::new()));
        }
        let now = self.shared.now();
        let mut changes = inner.farewell(id);
        changes.extend(inner.farewell(other));
        changes.extend([
            entry(to.0, to.1, Some(Slot::Node(id))),
            entry(from.0, from.1, Some(Slot::Node(other))),
            Change::Ctime { id, at: now },
            Change::Ctime { id: other, at: now },
            Change::Touch { id: from.0, at: now },
        ]);
        if to.0 != from.0 {
            changes.push(Change::Touch { id: to.0, at: now });
        }
        inner.commit(id, &changes)?;
        Ok((None, inner.with_data([id, other].into_iter())))
    }
}

impl Inner {
    /// That `dir` is neither `id` nor below it.
    fn check_not_inside(&self, id: NodeId, dir: NodeId, name: &[u8]) -> Result<(), UpperError> {
        let mut at = dir;
        loop {
            if at == id {
                return Err(UpperError::IntoItself { name: shown(name) });
            }
            if at == NodeId::ROOT {
                return Ok(());
            }
            at = self.dir(at)?.parent;
        }
    }

    /// Those that are still there and have data.
    fn with_data(&self, ids: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
        ids.filter(|id| self.state.node(*id).is_some_and(|node| node.has_data()))
            .collect()
    }
}
