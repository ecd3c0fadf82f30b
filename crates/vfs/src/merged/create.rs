//! New names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::find::{Dir, Found};
use super::numbers::Side;
use super::{Merged, MergedAttr, MergedError, MergedFile};
use crate::ino::Ino;
use crate::overlay::{NewNode, NodeId, NodeKind, SpecialKind, UpperError};

impl Merged {
    /// Makes an empty file and opens it. The kernel holds one more reference to it if the answer is `Ok`; so with all that
    /// make something.
    ///
    /// # Errors
    /// [`UpperError::Exists`]; [`UpperError::NoEntry`] or [`MergedError::NotFound`] in a directory that was removed; names
    /// that no file can have; what the lower tree or the disk says.
    ///
    /// # Cancel safety
    /// Nothing is made, or all; here and with the others.
    pub async fn create(
        &self,
        parent: Ino,
        name: &OsStr,
        new: NewNode,
    ) -> Result<(MergedAttr, Arc<MergedFile>), MergedError> {
        let name = name.as_bytes();
        let (dir, is_free) = self.vacancy(parent, name).await?;
        let (id, data) = self.shared.upper.create(dir, name, new)?;
        let file = self.shared.file(id)?;
        drop(data);
        Ok((self.made(id, (dir, name), is_free)?, file))
    }

    /// Makes an empty directory. What the lower tree has in its place is not seen in it.
    ///
    /// # Errors
    /// Those of [`Self::create`].
    pub async fn mkdir(&self, parent: Ino, name: &OsStr, new: NewNode) -> Result<MergedAttr, MergedError> {
        let name = name.as_bytes();
        let (dir, is_free) = self.vacancy(parent, name).await?;
        let id = self.shared.upper.mkdir(dir, name, new)?;
        self.made(id, (dir, name), is_free)
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// Those of [`Self::create`]; a target that is empty or longer than 4095 bytes.
    pub async fn symlink(
        &self,
        parent: Ino,
        name: &OsStr,
        target: &[u8],
        new: NewNode,
    ) -> Result<MergedAttr, MergedError> {
        let name = name.as_bytes();
        let (dir, is_free) = self.vacancy(parent, name).await?;
        let id = self.shared.upper.symlink(dir, name, target, new)?;
        self.made(id, (dir, name), is_free)
    }

    /// Makes a pipe, a socket or a device.
    ///
    /// # Errors
    /// Those of [`Self::create`].
    pub async fn mknod(
        &self,
        parent: Ino,
        name: &OsStr,
        kind: SpecialKind,
        rdev: u64,
        new: NewNode,
    ) -> Result<MergedAttr, MergedError> {
        let name = name.as_bytes();
        let (dir, is_free) = self.vacancy(parent, name).await?;
        let id = self.shared.upper.mknod(dir, name, kind, rdev, new)?;
        self.made(id, (dir, name), is_free)
    }

    /// Gives what is no directory one more name.
    ///
    /// # Errors
    /// Those of [`Self::create`]; [`UpperError::NotPermitted`] for a directory; [`UpperError::TooManyLinks`];
    /// [`UpperError::NoEntry`] or [`MergedError::Stale`] if it has no name any more.
    pub async fn link(&self, ino: Ino, parent: Ino, name: &OsStr) -> Result<MergedAttr, MergedError> {
        let name = name.as_bytes();
        let is_dir = match self.shared.numbers.side(ino)? {
            Side::Node(id) => self.shared.upper.kind(id)? == NodeKind::Dir,
            Side::Gone(_) => {
                return Err(MergedError::Upper(UpperError::NoEntry {
                    name: ino.to_string().into(),
                }));
            }
            Side::Lower => self.attr(ino).await?.kind == NodeKind::Dir,
        };
        if is_dir {
            return Err(MergedError::Upper(UpperError::NotPermitted {
                id: self.node(ino).unwrap_or(NodeId::ROOT),
                what: "a directory has one name only",
            }));
        }
        let (dir, is_free) = self.vacancy(parent, name).await?;
        let id = self.raise(ino).await?;
        self.shared.upper.link(id, dir, name)?;
        self.made(id, (dir, name), is_free)
    }

    /// A directory in which a name is free, above and below; and whether the lower directory has none of that name, not even
    /// one that is hidden.
    async fn vacancy(&self, parent: Ino, name: &[u8]) -> Result<(NodeId, bool), MergedError> {
        let mut dir: Dir = self.dir(parent).await?;
        match self.find(&mut dir, name).await? {
            Found::Missing { is_free, .. } => Ok((self.node_of(&mut dir).await?, is_free)),
            Found::Upper { .. } | Found::Lower(..) => Err(MergedError::exists(name)),
        }
    }

    fn made(&self, id: NodeId, place: (NodeId, &[u8]), is_free: bool) -> Result<MergedAttr, MergedError> {
        let attr = self.told(id, place)?;
        self.shared.numbers.moved(id, place, is_free);
        Ok(attr)
    }
}
