//! Files that are opened.

use std::sync::Arc;

use super::numbers::Side;
use super::{Merged, MergedError, MergedFile};
use crate::ino::Ino;
use crate::overlay::{NodeId, NodeKind, UpperError};

/// What a file is opened for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// To be read.
    pub read: bool,
    /// To be written.
    pub write: bool,
    /// To be empty. Nothing is brought from below for that.
    pub truncate: bool,
}

/// A file that was opened.
#[derive(Clone, Debug)]
pub enum MergedOpen {
    /// For reading only, and nothing of it is above: [`Tree::file`](crate::Tree::file) says what to read.
    Lower,
    /// It is above.
    Upper(Arc<MergedFile>),
}

impl Merged {
    /// Opens a file. To be written it becomes known above, and nothing more: it differs from the lower one only when it is
    /// changed.
    ///
    /// # Errors
    /// [`UpperError::IsADir`]; [`UpperError::Invalid`] and [`crate::VfsError::NotAFile`] of what else has no bytes;
    /// [`MergedError::Stale`]; what the lower tree or the disk says.
    ///
    /// # Cancel safety
    /// It may be empty then, if it was to be.
    pub async fn open(&self, ino: Ino, how: OpenHow) -> Result<MergedOpen, MergedError> {
        let is_changed = how.write || how.truncate;
        match self.shared.numbers.side(ino)? {
            Side::Node(_) => {}
            // Removed, but its bytes are where they were.
            Side::Gone(_) if is_changed => return Err(MergedError::Stale { ino }),
            Side::Gone(_) => return Ok(MergedOpen::Lower),
            Side::Lower => {
                let attr = self.attr(ino).await?;
                self.check_file(attr.kind, ino)?;
                if !is_changed && self.still_lower(ino) {
                    return Ok(MergedOpen::Lower);
                }
            }
        }
        let id = self.raise(ino).await?;
        self.check_file(self.shared.upper.kind(id)?, ino)?;
        let file = self.shared.file(id)?;
        if how.truncate {
            file.truncate(0).await?;
        }
        Ok(MergedOpen::Upper(file))
    }

    fn check_file(&self, kind: NodeKind, ino: Ino) -> Result<(), MergedError> {
        match kind {
            NodeKind::File => Ok(()),
            NodeKind::Dir => Err(MergedError::Upper(UpperError::IsADir {
                name: ino.to_string().into(),
            })),
            NodeKind::Symlink | NodeKind::Special(_) => Err(MergedError::Upper(UpperError::Invalid {
                id: self.node(ino).unwrap_or(NodeId::ROOT),
                what: "not a file",
            })),
        }
    }

    /// The file behind a number, if it was written to: whoever opened it before that reads it here from now on. Costs a
    /// look into a table, for most numbers.
    ///
    /// # Errors
    /// It was written to, and cannot be opened.
    pub fn opened_above(&self, ino: Ino) -> Result<Option<Arc<MergedFile>>, MergedError> {
        match self.node(ino) {
            Some(id) if self.shared.upper.kind(id)? == NodeKind::File => self.shared.file_with_data(id),
            Some(_) | None => Ok(None),
        }
    }

    /// The file behind a node, for a commit.
    ///
    /// # Errors
    /// [`UpperError::Stale`]; [`UpperError::Invalid`] of what is no file; the disk.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn open_node(&self, id: NodeId) -> Result<Arc<MergedFile>, MergedError> {
        self.shared.file(id)
    }
}
