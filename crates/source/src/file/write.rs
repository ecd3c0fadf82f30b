//! Put, copy, rename, delete. Each happens whole or not at all.

use std::io::ErrorKind;
use std::sync::Arc;

use cap_std::fs::MetadataExt;
use object_store::path::Path;
use object_store::{Attributes, Extensions, PutMode, PutOptions, PutPayload, PutResult, Result};

use super::meta::what;
use super::staged::{Parents, Place, Staged, Way, link};
use super::{FileStore, FileStoreError, Inner};

impl FileStore {
    /// A put whose bytes go this way.
    pub(crate) async fn put_by(
        &self,
        way: Way,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let create_only = create_only(self, &options)?;
        let location = location.clone();
        self.run(move |inner| put(inner, &location, &payload, create_only, &way))
            .await
    }
}

/// Whether the put of `options` may replace nothing; an error if it asks for what a file system cannot do.
fn create_only(store: &FileStore, options: &PutOptions) -> Result<bool> {
    refuse_attributes(store, &options.attributes)?;
    match options.mode {
        PutMode::Overwrite => Ok(false),
        PutMode::Create => Ok(true),
        PutMode::Update(_) => Err(object_store::Error::NotImplemented {
            operation: "a put with PutMode::Update (a file system has no atomic compare-and-swap)".into(),
            implementer: store.to_string(),
        }),
    }
}

/// Attributes cannot be stored: extended attributes are not on every file system, and other programs lose them.
pub(super) fn refuse_attributes(store: &FileStore, attributes: &Attributes) -> Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    Err(object_store::Error::NotImplemented {
        operation: "a put with attributes (a file has no place for them)".into(),
        implementer: store.to_string(),
    })
}

fn put(
    inner: &Arc<Inner>,
    location: &Path,
    payload: &PutPayload,
    create_only: bool,
    way: &Way,
) -> Result<PutResult, FileStoreError> {
    let staged = stage(inner, location, create_only, way)?;
    staged.write_at(payload, 0)?;
    Ok(published(staged.publish(create_only)?))
}

/// A temporary file for `location`. That a create-only write must fail is often known before its bytes are written.
fn stage(
    inner: &Arc<Inner>,
    location: &Path,
    create_only: bool,
    way: &Way,
) -> Result<Staged, FileStoreError> {
    let place = inner.place(location, Parents::Make)?;
    if create_only && place.is_taken() {
        return Err(place.taken());
    }
    Staged::create(inner, place, way)
}

pub(super) fn published(e_tag: String) -> PutResult {
    PutResult {
        e_tag: Some(e_tag),
        version: None,
        extensions: Extensions::new(),
    }
}

/// Copies the bytes (the kernel does it, sharing blocks where the file system can). Not a hard link: a program that
/// writes to one of the two in place must not change the other.
pub(super) fn copy(
    inner: &Arc<Inner>,
    from: &Path,
    to: &Path,
    create_only: bool,
) -> Result<(), FileStoreError> {
    let source = inner.open_file(from)?;
    let staged = stage(inner, to, create_only, &Way::Buffered)?;
    let copied = std::io::copy(&mut source.file(), &mut staged.file())
        .map_err(|e| staged.place().failed("copy to", e))?;
    source.unchanged()?;
    if copied != source.stamp().size {
        return Err(source.ended_early());
    }
    staged.publish(create_only)?;
    Ok(())
}

/// Renames within the tree. A link is not moved (a relative one would lead elsewhere from there): what it leads to is
/// copied, and the link removed. The same for a file of several names, which rename(2) may leave where it is, and for a
/// goal on another file system.
pub(super) fn rename(
    inner: &Arc<Inner>,
    from: &Path,
    to: &Path,
    create_only: bool,
) -> Result<(), FileStoreError> {
    inner.stat(inner.readable(from)?)?;
    let source = inner.place(from, Parents::MustExist)?;
    let goal = inner.place(to, Parents::Make)?;
    if from == to {
        return if create_only { Err(goal.taken()) } else { Ok(()) };
    }
    let itself = source.lookup()?;
    let moved = if itself.is_symlink() || itself.nlink() > 1 {
        false
    } else if create_only {
        link(&source.dir, &source.name, &goal)?;
        source.remove()?;
        true
    } else {
        match source.dir.rename(&source.name, &goal.dir, &goal.name) {
            Ok(()) => true,
            Err(e) if e.kind() == ErrorKind::CrossesDevices => false,
            Err(e) => return Err(goal.failed("rename to", e)),
        }
    };
    if !moved {
        copy(inner, from, to, create_only)?;
        source.remove()?;
    }
    inner.sync_dir(&goal.dir, &goal.shown)?;
    inner.sync_dir(&source.dir, &source.shown)
}

/// Removes a file, or the link that has its name, dangling or not.
pub(super) fn delete(inner: &Inner, location: &Path) -> Result<(), FileStoreError> {
    inner.readable(location)?;
    let place = inner.place(location, Parents::MustExist)?;
    let found = place.lookup()?;
    if !found.is_file() && !found.is_symlink() {
        return Err(FileStoreError::NotAFile {
            path: place.shown,
            what: what(&found.file_type()),
        });
    }
    place.remove()
}

impl Place {
    /// What has the name; a link is not followed.
    fn lookup(&self) -> Result<cap_std::fs::Metadata, FileStoreError> {
        let found = self.dir.symlink_metadata(&self.name);
        found.map_err(|e| FileStoreError::lookup("look up", self.shown.clone(), e))
    }

    fn remove(&self) -> Result<(), FileStoreError> {
        let removed = self.dir.remove_file(&self.name);
        removed.map_err(|e| FileStoreError::lookup("remove", self.shown.clone(), e))
    }
}
