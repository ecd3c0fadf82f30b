//! What a file is read from.

use forebay_range::Target;
use forebay_types::Version;

use super::Tree;
use crate::attr::Attr;
use crate::error::VfsError;
use crate::ino::Ino;

/// What to open for a file.
#[derive(Clone, Debug)]
pub struct OpenTarget {
    /// The object, with the version that the attributes are of.
    pub target: Target,
    /// What the kernel believes of the file, or will.
    pub attr: Attr,
}

impl Tree {
    /// What to open for a file that the kernel holds, as far as it is known: who wants the present version asks for
    /// [`Self::attr`] first.
    ///
    /// # Errors
    /// [`VfsError::NotAFile`]; [`VfsError::Stale`] if it is gone.
    pub fn file(&self, ino: Ino) -> Result<OpenTarget, VfsError> {
        let shared = &self.shared;
        let inode = shared.table().node(ino)?.clone();
        let Some(meta) = inode.file() else {
            let path = inode.path();
            return Err(VfsError::NotAFile { path });
        };
        Ok(OpenTarget {
            target: shared.namespace.target(&inode.dir.path, &inode.name, &meta),
            attr: inode.attr(shared.now()),
        })
    }

    /// A program opened `version` of a file: until [`Self::closed`] its number stands for that version alone, and a newer
    /// one gets another number. `false`: it is another version already.
    pub fn opened(&self, ino: Ino, version: &Version) -> bool {
        let table = self.shared.table();
        table.node(ino).is_ok_and(|inode| inode.opened(version))
    }

    /// One open less. Its number may be that of a name that is gone.
    pub fn closed(&self, ino: Ino) {
        if let Some(inode) = self.shared.table().any(ino) {
            inode.closed();
        }
    }

    /// Where a symbolic link points that the kernel holds, as it is written.
    ///
    /// # Errors
    /// [`VfsError::NotALink`]; [`VfsError::Stale`] if it is gone.
    pub fn link_target(&self, ino: Ino) -> Result<Box<str>, VfsError> {
        let inode = self.shared.table().node(ino)?.clone();
        inode
            .link_target()
            .ok_or_else(|| VfsError::NotALink { path: inode.path() })
    }
}
