//! Directories of a local tree: in a bucket they are gone with their last object.

use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A local tree. Nothing here is an error: a directory that stays is empty, or is not.
#[derive(Debug)]
pub(super) struct Local(Option<OwnedFd>);

impl Local {
    pub(super) fn open(root: &Path) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self(fs::open(root, flags, Mode::empty()).ok())
    }

    /// Removes the directories above a path that are empty now.
    pub(super) fn prune(&self, path: &str) {
        let mut path = path;
        while let Some((above, _)) = path.rsplit_once('/') {
            if !self.remove(above) {
                return;
            }
            path = above;
        }
    }

    /// Removes a directory, if it is empty; through no symbolic link.
    pub(super) fn remove(&self, path: &str) -> bool {
        let removed = || {
            let Some(root) = &self.0 else {
                return Err(Errno::NOENT);
            };
            let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let above = fs::openat2(root, above, flags, Mode::empty(), beneath)?;
            fs::unlinkat(above, name, AtFlags::REMOVEDIR)
        };
        match removed() {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, path, "a directory stays");
                false
            }
        }
    }
}
