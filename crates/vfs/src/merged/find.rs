//! Names: above first, then below.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::numbers::{LowerRef, Side};
use super::{Merged, MergedError, TRIES};
use crate::attr::Attr;
use crate::error::VfsError;
use crate::ino::{Ino, Kind};
use crate::overlay::{NodeId, NodeKind, UpperEntry, UpperError, check, join_lower, shown};

/// A directory.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) ino: Ino,
    /// Known above.
    pub(super) node: Option<NodeId>,
    /// The lower directory whose names are seen in it.
    pub(super) lower: Option<Ino>,
    /// Keeps that number.
    _held: Option<Arc<LowerRef>>,
}

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Found {
    Upper {
        id: NodeId,
        kind: NodeKind,
    },
    /// Held until it is dropped.
    Lower(LowerRef, Attr),
    /// For how long that may be believed.
    Missing {
        valid: Duration,
        /// The lower directory was asked, and has no such name.
        is_free: bool,
    },
}

impl Found {
    /// Nothing, whatever the lower tree has: only what is done here changes that.
    const HIDDEN: Self = Self::Missing {
        valid: Duration::MAX,
        is_free: false,
    };

    /// Whether the lower directory is known to have no such name.
    pub(super) fn is_free(&self) -> bool {
        matches!(self, Self::Missing { is_free: true, .. })
    }

    pub(super) fn kind(&self) -> Option<NodeKind> {
        match self {
            Self::Upper { kind, .. } => Some(*kind),
            Self::Lower(_, attr) => Some(attr.kind.into()),
            Self::Missing { .. } => None,
        }
    }
}

impl Merged {
    /// The directory behind a number.
    pub(super) async fn dir(&self, ino: Ino) -> Result<Dir, MergedError> {
        let (node, lower, held) = match self.shared.numbers.side(ino)? {
            Side::Lower => (None, Some(ino), None),
            Side::Gone(attr) if attr.kind == NodeKind::Dir => (None, None, None),
            Side::Gone(_) => {
                return Err(MergedError::Upper(UpperError::NotADir {
                    name: ino.to_string().into(),
                }));
            }
            Side::Node(id) => {
                let below = self.below(id).await?;
                let (lower, held) = below.map_or((None, None), |(ino, held)| (Some(ino), held));
                (Some(id), lower, held)
            }
        };
        Ok(Dir {
            ino,
            node,
            lower,
            _held: held,
        })
    }

    /// The lower directory behind a node; `None`: there is none, or it is there no more.
    pub(super) async fn below(
        &self,
        id: NodeId,
    ) -> Result<Option<(Ino, Option<Arc<LowerRef>>)>, MergedError> {
        let Some(origin) = self.shared.upper.dir_origin(id)? else {
            return Ok(None);
        };
        if origin.is_empty() {
            return Ok(Some((Ino::ROOT, None)));
        }
        if let Some(known) = self.shared.numbers.below(id) {
            return Ok(Some(known));
        }
        let Some(found) = self.walk(&origin).await? else {
            return Ok(None);
        };
        let found = Arc::new(found);
        self.shared.numbers.set_below(id, &found);
        Ok(Some((found.ino(), Some(found))))
    }

    /// A lower directory, found by its path.
    async fn walk(&self, path: &str) -> Result<Option<LowerRef>, MergedError> {
        let mut at = self.shared.numbers.lower_ref(Ino::ROOT);
        for name in path.split('/') {
            let found = match self.tree().lookup(at.ino(), name.as_ref()).await {
                Ok(attr) => attr,
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            at = self.shared.numbers.lower_ref(found.ino);
            if found.kind != Kind::Dir {
                return Ok(None);
            }
        }
        Ok(Some(at))
    }

    /// What a name stands for. A name that no file can have is an error.
    pub(super) async fn find(&self, dir: &mut Dir, name: &[u8]) -> Result<Found, MergedError> {
        check(name)?;
        for _ in 0..TRIES {
            if let Some(found) = self.find_above(dir, name)? {
                return Ok(found);
            }
            let Some(lower) = dir.lower else {
                return Ok(Found::HIDDEN);
            };
            match self.tree().lookup(lower, os_str(name)).await {
                Ok(attr) => {
                    let held = self.shared.numbers.lower_ref(attr.ino);
                    // The name may have come up, or gone, while the tree was asked.
                    self.look_again(dir);
                    let is_above = match dir.node {
                        Some(node) => self.shared.upper.entry(node, name)?.is_some(),
                        None => false,
                    };
                    if !is_above && self.still_lower(attr.ino) {
                        return Ok(Found::Lower(held, attr));
                    }
                }
                Err(VfsError::NotFound { valid, .. }) => {
                    self.look_again(dir);
                    if let Some(found) = self.find_above(dir, name)? {
                        return Ok(found);
                    }
                    return Ok(Found::Missing { valid, is_free: true });
                }
                // What is above stays, though what was below is gone.
                Err(error) if dir.node.is_some() && is_missing(&error) => {
                    return Ok(Found::Missing {
                        valid: Duration::ZERO,
                        is_free: false,
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(MergedError::busy(name))
    }

    fn find_above(&self, dir: &Dir, name: &[u8]) -> Result<Option<Found>, MergedError> {
        let Some(node) = dir.node else {
            return Ok(None);
        };
        Ok(match self.shared.upper.entry(node, name)? {
            Some(UpperEntry::Node { id, kind }) => Some(Found::Upper { id, kind }),
            Some(UpperEntry::Whiteout) => Some(Found::HIDDEN),
            None => None,
        })
    }

    /// A lower directory may have come up.
    fn look_again(&self, dir: &mut Dir) {
        if dir.node.is_none() {
            dir.node = self.shared.numbers.node(dir.ino);
        }
    }

    /// The node of a directory in which something is to be changed.
    pub(super) async fn node_of(&self, dir: &mut Dir) -> Result<NodeId, MergedError> {
        if let Some(node) = dir.node {
            return Ok(node);
        }
        if dir.lower.is_none() {
            return Err(MergedError::missing(
                dir.ino.to_string().as_bytes(),
                Duration::MAX,
            ));
        }
        let node = self.raise(dir.ino).await?;
        dir.node = Some(node);
        Ok(node)
    }

    /// Whether the lower directory has a name under which the node `id` is above: then it must not be seen when the node
    /// goes. It is not asked again about a name that it did not have when it was made. If it cannot be told, or a commit puts
    /// files there, it is hidden: that is never wrong.
    pub(super) async fn is_below(&self, dir: &Dir, name: &[u8], id: NodeId) -> Result<bool, MergedError> {
        // Before all that is believed of the lower tree, the directory itself may have come with what was put.
        if self.shared.is_put_below.load(Ordering::Acquire) {
            return Ok(true);
        }
        let (Some(lower), Some(node)) = (dir.lower, dir.node) else {
            return Ok(false);
        };
        if self.shared.numbers.is_free_below(id, (node, name)) {
            return Ok(false);
        }
        let upper = &self.shared.upper;
        // What came up in this place is below in this place.
        let origin = match upper.kind(id)? {
            NodeKind::Dir => upper.dir_origin(id)?,
            NodeKind::File => upper.content(id)?.0.map(|origin| origin.path),
            NodeKind::Symlink | NodeKind::Special(_) => None,
        };
        if let (Some(origin), Some(above)) = (origin, upper.dir_origin(node)?)
            && join_lower(&above, name).as_deref() == Some(&*origin)
        {
            return Ok(true);
        }
        match self.tree().lookup(lower, os_str(name)).await {
            Ok(attr) => {
                drop(self.shared.numbers.lower_ref(attr.ino));
                Ok(true)
            }
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => {
                tracing::debug!(%error, name = %shown(name), "hidden, since the lower tree could not tell whether it has it");
                Ok(true)
            }
        }
    }

    /// Whether names of the lower directory are seen in a directory above.
    pub(super) async fn shines(&self, id: NodeId) -> Result<bool, MergedError> {
        let Some((lower, _held)) = self.below(id).await? else {
            return Ok(false);
        };
        let listed = match self.tree().read_dir(lower).await {
            Ok(listed) => listed,
            Err(error) if is_missing(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let above = self.shared.upper.entries(id)?;
        Ok(listed.iter_from(0).any(|entry| {
            let name = entry.name.as_bytes();
            above.binary_search_by(|(above, _)| (**above).cmp(name)).is_err()
        }))
    }
}

/// That there is no such name, or no such directory any more.
pub(super) fn is_missing(error: &VfsError) -> bool {
    matches!(
        error,
        VfsError::NotFound { .. } | VfsError::Stale { .. } | VfsError::NotADirectory { .. }
    )
}

pub(super) fn os_str(name: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}
