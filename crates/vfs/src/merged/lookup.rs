//! From a name to a number, which the kernel then holds.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::find::Found;
use super::{Merged, MergedAttr, MergedError, TRIES};
use crate::ino::Ino;
use crate::overlay::{NodeId, UpperError};

impl Merged {
    /// What a name in a directory stands for. The kernel holds one more reference to it if the answer is `Ok`.
    ///
    /// # Errors
    /// [`MergedError::NotFound`]; names that no file can have; [`MergedError::Stale`]; what the lower tree says.
    ///
    /// # Cancel safety
    /// Dropping the future gives up its wait, and counts no reference.
    pub async fn lookup(&self, parent: Ino, name: &OsStr) -> Result<MergedAttr, MergedError> {
        let name = name.as_bytes();
        for _ in 0..TRIES {
            let mut dir = self.dir(parent).await?;
            match self.find(&mut dir, name).await? {
                Found::Missing { valid, .. } => return Err(MergedError::missing(name, valid)),
                Found::Lower(held, attr) => {
                    held.keep();
                    return Ok(self.lower_attr(&attr));
                }
                Found::Upper { id, .. } => {
                    let place = (dir.node.unwrap_or(NodeId::ROOT), name);
                    match self.told(id, place) {
                        // Removed since it was found.
                        Err(MergedError::Upper(UpperError::Stale { .. })) => {}
                        told => return told,
                    }
                }
            }
        }
        Err(MergedError::busy(name))
    }

    /// The kernel is told of a node: one more reference.
    pub(super) fn told(&self, id: NodeId, place: (NodeId, &[u8])) -> Result<MergedAttr, MergedError> {
        let ino = self.shared.numbers.give(&self.shared.upper, id, place)?;
        let attr = self.node_attr(id, ino);
        if attr.is_err() {
            self.forget(ino, 1);
        }
        attr
    }

    /// The kernel gave back `references` of a number: as many as it was told. Tells whether it has others.
    pub fn forget(&self, ino: Ino, references: u64) -> bool {
        self.shared.numbers.forget(ino, references)
    }

    /// Where a symbolic link points.
    ///
    /// # Errors
    /// [`UpperError::Invalid`] and [`crate::VfsError::NotALink`] of what is none; [`MergedError::Stale`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn read_link(&self, ino: Ino) -> Result<Box<[u8]>, MergedError> {
        if let Some(id) = self.node(ino) {
            return Ok(self.shared.upper.target(id)?);
        }
        match self.tree().link_target(ino) {
            Ok(target) => Ok(target.as_bytes().into()),
            Err(error) => match self.node(ino) {
                Some(id) => Ok(self.shared.upper.target(id)?),
                None => Err(error.into()),
            },
        }
    }
}
