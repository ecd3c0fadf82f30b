//! A directory tree as an object store, read and written past the page cache.
//!
//! [`DirectStore`] is a [`FileStore`] (names, listings, versions and safety are its own) whose bytes go the other way: a
//! GET finds its file ([`open`]: kept from the read's last request, or on the spot where the kernel knows the way, or on
//! the blocking pool), and its range is read in aligned pieces, two at a time, each handed on in the memory that
//! the disk wrote to ([`pieces`]). After each piece the descriptor is asked whether the file is still the same. What is
//! put is written the same way.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use forebay_disk::{Disk, Wanted};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Extensions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result,
};

use crate::file::read::{refuse_version, resolve};
use crate::file::staged::Way;
use crate::file::{FileStore, FileStoreError, FileStoreOptions};

mod open;
mod pieces;

use open::Files;

/// Ranges of one `get_ranges` that are read at a time.
const RANGES_AT_ONCE: usize = 16;

/// How a [`DirectStore`] reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectStoreOptions {
    /// Whether it goes past the page cache at all.
    pub direct_io: bool,
    /// What offsets, lengths and addresses are multiples of, a power of two; `None` for what the kernel says of each
    /// file. What is less than a file needs is raised to that.
    pub alignment: Option<u64>,
    /// The least that one request to the disk brings, in bytes.
    pub min_io_size: u64,
    /// As [`FileStoreOptions::sync_writes`].
    pub sync_writes: bool,
    /// As [`FileStoreOptions::create_root`].
    pub create_root: bool,
}

impl Default for DirectStoreOptions {
    fn default() -> Self {
        let wanted = Wanted::default();
        Self {
            direct_io: wanted.direct,
            alignment: wanted.alignment,
            min_io_size: wanted.min_io_size,
            sync_writes: false,
            create_root: false,
        }
    }
}

impl DirectStoreOptions {
    fn wanted(&self) -> Wanted {
        Wanted {
            direct: self.direct_io,
            alignment: self.alignment,
            min_io_size: self.min_io_size,
        }
    }
}

/// An object store over a directory tree that leaves the page cache as it is. Cheap to clone: clones share everything.
///
/// Everything that is said of [`FileStore`] holds, and besides:
///
/// - **A file system that refuses O_DIRECT** is read and written through the page cache; that is said once for each
///   mount point and counted ([`forebay_disk::DiskStats`]). tmpfs has nothing but the page cache and does not refuse.
/// - **A read goes on with the file that it began with**: one that is replaced by another in the middle is read to its
///   end, as it was; one that is written to in place ends in [`FileStoreError::Changed`].
/// - **A put** comes from aligned buffers in whole units. The end of a file that is no whole unit goes through the page
///   cache and out of it, which waits for the disk: a small object costs a request to the disk before it appears.
/// - **A copy** is the kernel's, which may share blocks, and may go through the page cache.
#[derive(Clone)]
pub struct DirectStore {
    names: FileStore,
    files: Arc<Files>,
    /// How puts go.
    way: Way,
}

impl DirectStore {
    /// Takes hold of the directory `root`, as [`FileStore::open`] does.
    ///
    /// # Errors
    /// If it is not there, or no directory.
    pub fn open(
        root: &std::path::Path,
        options: DirectStoreOptions,
        disk: &Disk,
    ) -> Result<Self, FileStoreError> {
        let of_names = FileStoreOptions {
            sync_writes: options.sync_writes,
            create_root: options.create_root,
        };
        Ok(Self {
            names: FileStore::open(root, of_names)?,
            files: Arc::new(Files::new(disk.clone(), options.wanted())),
            way: match options.direct_io {
                true => Way::Direct(disk.clone(), options.wanted()),
                false => Way::Buffered,
            },
        })
    }

    /// The store of its names, which reads and writes through the page cache.
    pub fn files(&self) -> &FileStore {
        &self.names
    }

    /// The disk that it reads with.
    pub fn disk(&self) -> &Disk {
        self.files.disk()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for DirectStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.names.put_by(self.way.clone(), location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.names.upload_by(self.way.clone(), location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            return self.names.get_opts(location, options).await;
        }
        refuse_version(&options)?;
        let file = self.files.find(&self.names, location, &options).await?;
        let meta = file.meta.clone();
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => resolve(range, meta.size, || file.shown.clone())?,
            None => 0..meta.size,
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(pieces::stream(file, range.clone().into())),
            meta,
            range,
            attributes: Attributes::new(),
            extensions: Extensions::new(),
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let file = self
            .files
            .find(&self.names, location, &GetOptions::default())
            .await?;
        let read = |range: Range<u64>| {
            let file = file.clone();
            async move {
                let range = resolve(&GetRange::Bounded(range), file.meta.size, || file.shown.clone())?;
                pieces::collect(file, range.into()).await
            }
        };
        futures::stream::iter(ranges.to_vec())
            .map(read)
            .buffered(RANGES_AT_ONCE)
            .try_collect()
            .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.names.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.names.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.names.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.names.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.names.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.names.rename_opts(from, to, options).await
    }
}

impl fmt::Display for DirectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "DirectStore({})",
            forebay_types::printable(&self.names.root().to_string_lossy())
        )
    }
}

impl fmt::Debug for DirectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectStore")
            .field("files", &self.names)
            .field("disk", &self.disk().stats())
            .finish_non_exhaustive()
    }
}
