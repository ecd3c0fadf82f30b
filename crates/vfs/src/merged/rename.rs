//! Moves.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::find::Found;
use super::remove::{is_race, version};
use super::{Merged, MergedError, TRIES};
use crate::ino::Ino;
use crate::overlay::{NodeId, NodeKind, Rename, UpperError, shown};

impl Merged {
    /// Moves `from` (directory and name) to `to`. A lower directory moves with all that is in it, and nothing of that is
    /// looked at.
    ///
    /// # Errors
    /// As the system call: [`MergedError::NotFound`], [`UpperError::Exists`], [`UpperError::NotEmpty`],
    /// [`UpperError::IsADir`], [`UpperError::NotADir`], [`UpperError::IntoItself`]; what the lower tree or the disk says.
    ///
    /// # Cancel safety
    /// It is moved, or it is not.
    pub async fn rename(
        &self,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        how: Rename,
    ) -> Result<(), MergedError> {
        let (from, to) = ((from.0, from.1.as_bytes()), (to.0, to.1.as_bytes()));
        let mut last = None;
        for _ in 0..TRIES {
            match self.rename_once(from, to, how).await {
                Err(error) if is_race(&error) && !is_answer(&error, how) => last = Some(error),
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| MergedError::busy(from.1)))
    }

    async fn rename_once(
        &self,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        how: Rename,
    ) -> Result<(), MergedError> {
        let (mut from_dir, mut to_dir) = (self.dir(from.0).await?, self.dir(to.0).await?);
        let source = match self.find(&mut from_dir, from.1).await? {
            Found::Missing { valid, .. } => return Err(MergedError::missing(from.1, valid)),
            found => found,
        };
        let target = self.find(&mut to_dir, to.1).await?;
        match (how, &target) {
            (Rename::NoReplace, Found::Upper { .. } | Found::Lower(..)) => {
                return Err(MergedError::exists(to.1));
            }
            (Rename::Exchange, Found::Missing { valid, .. }) => {
                return Err(MergedError::missing(to.1, *valid));
            }
            _ => {}
        }
        if from == to {
            return Ok(());
        }
        let source_kind = source.kind();
        let from_node = self.node_of(&mut from_dir).await?;
        let to_node = self.node_of(&mut to_dir).await?;
        let (id, whiteout) = match &source {
            Found::Lower(held, _) => (self.raise(held.ino()).await?, true),
            Found::Upper { id, .. } => {
                let whiteout = how != Rename::Exchange && self.is_below(&from_dir, from.1, *id).await?;
                (*id, whiteout)
            }
            Found::Missing { valid, .. } => return Err(MergedError::missing(from.1, *valid)),
        };
        let mut other = None;
        match &target {
            Found::Lower(held, _) if how == Rename::Exchange => other = Some(self.raise(held.ino()).await?),
            Found::Upper { id, .. } if how == Rename::Exchange => other = Some(*id),
            Found::Lower(..) | Found::Upper { .. } => {
                self.check_replaced(source_kind, id, &target, to.1).await?;
            }
            Found::Missing { .. } => {}
        }
        {
            // Nothing comes up meanwhile: what is replaced is what was looked at.
            let _alone = self.shared.numbers.raising();
            let is_above = self.shared.upper.entry(to_node, to.1)?.is_some();
            if matches!(target, Found::Lower(..)) && other.is_none() && is_above {
                return Err(MergedError::Stale { ino: to.0 });
            }
            let (from, to) = ((from_node, from.1), (to_node, to.1));
            let replaced = match (&target, other) {
                (Found::Lower(_, attr), None) => Some(version(attr)),
                _ => None,
            };
            let upper = &self.shared.upper;
            upper.rename_over(from, to, how, whiteout, replaced.as_deref())?;
            if let (Found::Lower(held, attr), None) = (&target, other) {
                self.went(held, attr);
            }
        }
        self.shared.numbers.moved(id, (to_node, to.1), target.is_free());
        if let Some(other) = other {
            self.shared.numbers.moved(other, (from_node, from.1), false);
        }
        Ok(())
    }

    /// Whether what is at the new name may be replaced, as far as the lower tree says.
    async fn check_replaced(
        &self,
        source: Option<NodeKind>,
        id: NodeId,
        target: &Found,
        name: &[u8],
    ) -> Result<(), MergedError> {
        let is_dir = source == Some(NodeKind::Dir);
        let target_is_dir = target.kind() == Some(NodeKind::Dir);
        let name = || shown(name);
        match (is_dir, target_is_dir) {
            (false, true) => return Err(MergedError::Upper(UpperError::IsADir { name: name() })),
            (true, false) => return Err(MergedError::Upper(UpperError::NotADir { name: name() })),
            (false, false) => return Ok(()),
            (true, true) => {}
        }
        let is_empty = match target {
            Found::Lower(held, _) => self.is_empty_below(held.ino()).await?,
            Found::Upper { id: target, .. } => *target == id || !self.shines(*target).await?,
            Found::Missing { .. } => true,
        };
        if is_empty {
            Ok(())
        } else {
            Err(MergedError::Upper(UpperError::NotEmpty { name: name() }))
        }
    }
}

/// Whether an error that a race may cause is the answer, too.
fn is_answer(error: &MergedError, how: Rename) -> bool {
    how == Rename::NoReplace && matches!(error, MergedError::Upper(UpperError::Exists { .. }))
}
