//! Where the names of a directory stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::ino::Ino;
use crate::path::DirPath;

/// A directory's place in the tree. Nothing is ever renamed, so it never changes; it may be gone.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) ino: Ino,
    pub(crate) path: DirPath,
    /// The place above; the root has none.
    above: Option<Arc<Self>>,
    gone: AtomicBool,
}

impl Place {
    pub(crate) fn root() -> Self {
        Self {
            ino: Ino::ROOT,
            path: DirPath::root(),
            above: None,
            gone: AtomicBool::new(false),
        }
    }

    /// The place of the directory `name` in this one.
    pub(crate) fn child(self: &Arc<Self>, ino: Ino, name: &str) -> Self {
        Self {
            ino,
            path: self.path.child(name),
            above: Some(self.clone()),
            gone: AtomicBool::new(false),
        }
    }

    /// It is gone from now on.
    pub(crate) fn vanish(&self) {
        self.gone.store(true, Relaxed);
    }

    /// The directory above; the root is above itself.
    pub(crate) fn parent(&self) -> Ino {
        self.above.as_ref().map_or(self.ino, |above| above.ino)
    }

    /// The place above; the root has none.
    #[cfg(target_os = "linux")]
    pub(crate) fn above(&self) -> Option<&Arc<Self>> {
        self.above.as_ref()
    }

    /// Whether it is gone, or anything above it: then so are the names in it, even if another directory of its name has
    /// the same names.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed) || self.above.as_ref().is_some_and(|above| above.is_gone())
    }
}
