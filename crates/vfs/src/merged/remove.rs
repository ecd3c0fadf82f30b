//! Names that go.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::find::{Dir, Found, is_missing};
use super::numbers::LowerRef;
use super::{Merged, MergedError, TRIES};
use crate::attr::Attr;
use crate::ino::{Ino, Kind};
use crate::overlay::{DIR_VERSION, NodeId, NodeKind, UpperError, shown};

impl Merged {
    /// Takes the name of what is no directory.
    ///
    /// # Errors
    /// [`MergedError::NotFound`]; [`UpperError::IsADir`]; what the lower tree or the disk says.
    ///
    /// # Cancel safety
    /// The name is gone, or it is not; so with [`Self::rmdir`].
    pub async fn unlink(&self, parent: Ino, name: &OsStr) -> Result<(), MergedError> {
        let name = name.as_bytes();
        for _ in 0..TRIES {
            let mut dir = self.dir(parent).await?;
            let done = match self.find(&mut dir, name).await? {
                Found::Missing { valid, .. } => return Err(MergedError::missing(name, valid)),
                found if found.kind() == Some(NodeKind::Dir) => {
                    return Err(MergedError::Upper(UpperError::IsADir { name: shown(name) }));
                }
                Found::Lower(held, attr) => self.hide(&mut dir, name, &held, &attr).await,
                Found::Upper { id, .. } => self.unlink_node(&dir, name, id).await,
            };
            match done {
                Err(error) if is_race(&error) => {}
                done => return done,
            }
        }
        Err(MergedError::busy(name))
    }

    async fn unlink_node(&self, dir: &Dir, name: &[u8], id: NodeId) -> Result<(), MergedError> {
        let whiteout = self.is_below(dir, name, id).await?;
        let node = dir.node.unwrap_or(NodeId::ROOT);
        self.shared.upper.unlink(node, name, whiteout)?;
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`MergedError::NotFound`]; [`UpperError::NotADir`]; [`UpperError::NotEmpty`]; what the lower tree or the disk says.
    pub async fn rmdir(&self, parent: Ino, name: &OsStr) -> Result<(), MergedError> {
        let name = name.as_bytes();
        let not_empty = || MergedError::Upper(UpperError::NotEmpty { name: shown(name) });
        for _ in 0..TRIES {
            let mut dir = self.dir(parent).await?;
            let done = match self.find(&mut dir, name).await? {
                Found::Missing { valid, .. } => return Err(MergedError::missing(name, valid)),
                found if found.kind() != Some(NodeKind::Dir) => {
                    return Err(MergedError::Upper(UpperError::NotADir { name: shown(name) }));
                }
                Found::Lower(held, attr) => {
                    if !self.is_empty_below(attr.ino).await? {
                        return Err(not_empty());
                    }
                    self.hide(&mut dir, name, &held, &attr).await
                }
                Found::Upper { id, .. } => {
                    if self.shines(id).await? {
                        return Err(not_empty());
                    }
                    let whiteout = self.is_below(&dir, name, id).await?;
                    let node = dir.node.unwrap_or(NodeId::ROOT);
                    let done = self.shared.upper.rmdir(node, name, whiteout);
                    done.map(drop).map_err(MergedError::Upper)
                }
            };
            match done {
                Err(error) if is_race(&error) => {}
                done => return done,
            }
        }
        Err(MergedError::busy(name))
    }

    /// Whether a lower directory of which nothing is above has no names.
    pub(super) async fn is_empty_below(&self, ino: Ino) -> Result<bool, MergedError> {
        match self.tree().read_dir(ino).await {
            Ok(listed) => Ok(listed.is_empty()),
            Err(error) if is_missing(&error) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a lower thing of which nothing is above.
    async fn hide(
        &self,
        dir: &mut Dir,
        name: &[u8],
        held: &LowerRef,
        attr: &Attr,
    ) -> Result<(), MergedError> {
        let node = self.node_of(dir).await?;
        // Nothing comes up meanwhile.
        let _alone = self.shared.numbers.raising();
        self.shared.upper.hide_file(node, name, &version(attr))?;
        self.went(held, attr);
        Ok(())
    }

    /// A lower thing is not to be seen any more. The kernel may have it open.
    pub(super) fn went(&self, held: &LowerRef, attr: &Attr) {
        let mut attr = self.lower_attr(attr);
        if attr.kind != NodeKind::from(Kind::Dir) {
            attr.ctime = self.shared.upper.now();
        }
        (attr.nlink, attr.valid, attr.entry_valid) = (0, Duration::ZERO, Duration::ZERO);
        self.shared.numbers.removed(held.ino(), attr);
    }
}

/// What an overlay knows of a lower thing that it hides.
pub(super) fn version(attr: &Attr) -> String {
    match attr.kind {
        Kind::Dir => DIR_VERSION.to_owned(),
        Kind::File | Kind::Symlink => attr.version.to_text(),
    }
}

/// That a name was found to be another thing than it is now: it came up, or went.
pub(super) fn is_race(error: &MergedError) -> bool {
    matches!(
        error,
        MergedError::Upper(UpperError::NoEntry { .. } | UpperError::Exists { .. } | UpperError::Stale { .. })
            | MergedError::Stale { .. }
    )
}
