//! What a commit that changes what is below needs to know and to say.

use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures::future::BoxFuture;

use super::find::is_missing;
use super::remove::is_race;
use super::{Merged, MergedAttr, MergedError};
use crate::ino::Ino;
use crate::overlay::{Attrs, DataFile, DataStamp, NodeId, NodeKind, Origin, Recorded, Thing, UpperError};

/// A number that was told, until it is given back. The root is not counted.
struct Known<'a> {
    merged: &'a Merged,
    attr: MergedAttr,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        if self.attr.ino != Ino::ROOT {
            self.merged.forget(self.attr.ino, 1);
        }
    }
}

impl Merged {
    /// From now on no name is taken to be free below because it was so once: files are put there.
    pub(crate) fn puts_below(&self) {
        self.shared.is_put_below.store(true, Ordering::Release);
    }

    /// Notes that the content of a file was put below: see [`crate::overlay::Upper::record_put`]. Who has it open reads it
    /// there from now on.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn record_put(
        &self,
        id: NodeId,
        origin: &Origin,
        stamp: Option<DataStamp>,
    ) -> Result<Recorded, MergedError> {
        let recorded = self.shared.upper.record_put(id, origin, stamp)?;
        let files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.get(&id).and_then(std::sync::Weak::upgrade);
        drop(files);
        if let Some(file) = file {
            file.moved_below();
        }
        Ok(recorded)
    }

    /// The content of a file above, which has a data file then.
    ///
    /// # Errors
    /// [`crate::overlay::UpperError::Stale`]; the disk.
    pub(crate) fn data(&self, id: NodeId) -> Result<Arc<DataFile>, MergedError> {
        Ok(self.shared.file(id)?.here()?.clone())
    }

    /// Makes every file known above that lies in a lower directory that was moved, so that each knows where it comes from, and
    /// nothing else is seen in it: what is put where it was is not its.
    ///
    /// # Errors
    /// What the lower tree or the disk says.
    ///
    /// # Cancel safety
    /// Some of them are known then; nothing else changes.
    pub(crate) async fn raise_moved(&self) -> Result<(), MergedError> {
        for name in self.shared.upper.survey().names {
            let Thing::Dir {
                origin: Some(origin), ..
            } = &name.thing
            else {
                continue;
            };
            // What is in a directory that was not moved stays as it is.
            if origin.as_bytes() != &*name.path {
                self.raise_below(name.id, &name.path).await?;
            }
        }
        Ok(())
    }

    async fn raise_below(&self, id: NodeId, path: &[u8]) -> Result<(), MergedError> {
        let mut at = Known {
            merged: self,
            attr: self.attr(Ino::ROOT).await?,
        };
        for name in path.split(|byte| *byte == b'/') {
            // Moved or removed since?
            match self.told_of(at.attr.ino, name).await? {
                Some(found) => at = found,
                None => return Ok(()),
            }
        }
        match self.node(at.attr.ino) == Some(id) {
            true => self.raise_all(at.attr.ino).await,
            false => Ok(()),
        }
    }

    async fn told_of(&self, dir: Ino, name: &[u8]) -> Result<Option<Known<'_>>, MergedError> {
        match self.lookup(dir, std::ffi::OsStr::from_bytes(name)).await {
            Ok(attr) => Ok(Some(Known { merged: self, attr })),
            Err(MergedError::NotFound { .. } | MergedError::Stale { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is in a directory, and in all that are in it, which have nothing of below then.
    fn raise_all(&self, dir: Ino) -> BoxFuture<'_, Result<(), MergedError>> {
        Box::pin(async move {
            let listed = match self.read_dir(dir).await {
                Ok(listed) => Some(listed),
                Err(MergedError::Lower(error)) if is_missing(&error) => None,
                Err(error) => return Err(error),
            };
            for entry in listed.iter().flat_map(|listed| listed.iter_from(0)) {
                let Some(known) = self.told_of(dir, entry.name).await? else {
                    continue;
                };
                let attr = &known.attr;
                match self.raise(attr.ino).await {
                    Ok(_) if attr.kind == NodeKind::Dir => self.raise_all(attr.ino).await?,
                    Ok(_) => {}
                    // Removed since.
                    Err(error) if is_race(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            let Some(id) = self.node(dir) else {
                return Ok(());
            };
            match self.shared.upper.leave_below(id) {
                Ok(()) | Err(UpperError::Stale { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Lets go of what a commit put below: see [`crate::overlay::Upper::settle`]. Before the tree is used.
    ///
    /// # Errors
    /// The disk.
    pub fn settle(&self) -> Result<u64, MergedError> {
        let options = self.shared.options;
        let is_shown = |kind: NodeKind, attrs: &Attrs| {
            let mode = match kind {
                NodeKind::Dir => options.dir_mode,
                _ => options.file_mode,
            };
            (attrs.mode, attrs.uid, attrs.gid) == (mode, options.uid, options.gid)
        };
        Ok(self.shared.upper.settle(is_shown)?)
    }

    /// Whether names of the lower directory are to be seen in a directory, beside those that are above.
    pub(crate) async fn shows_more(&self, id: NodeId) -> Result<bool, MergedError> {
        self.shines(id).await
    }
}
