//! A directory tree as an object store, that nothing can lead out of.
//!
//! [`FileStore::open`] takes hold of one directory. A **read** resolves its key beneath that directory (`cap-std`:
//! openat2 with RESOLVE_BENEATH on Linux, the same walk by hand elsewhere), makes sure that it is a regular file,
//! opens it once, and takes everything from that descriptor: size, ETag ([`meta`]), bytes ([`read`]). The bytes leave
//! in [`pieces`]; after each of them the descriptor is asked whether the file is still the same, so a file that
//! changes under a reader ends in [`FileStoreError::Changed`], never in mixed bytes or a short success.
//! A **write** walks down to the directory of its key one name at a time and through no symbolic link, writes to a
//! temporary name beside its goal ([`staged`]) and appears there whole, by rename or, if it may replace nothing, by
//! hard link ([`mod@write`]: put, copy, rename, delete; [`multipart`]). A **listing** ([`list`]) walks depth first in
//! small steps and holds one open directory per level, whatever the number of files.

use std::fmt;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use cap_std::fs::Dir;
use forebay_types::printable;
use futures::future::Either;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result,
};
use rustix::fs::{Mode, OFlags};

mod error;
mod list;
pub(crate) mod meta;
mod multipart;
mod pieces;
pub(crate) mod read;
pub(crate) mod staged;
mod write;

#[cfg(test)]
mod tests;

pub use error::FileStoreError;
use list::Skip;
use staged::Way;

/// How many deletes of one stream run at a time: enough to hide the hop to the blocking pool.
const DELETES_AT_ONCE: usize = 8;

/// What a [`FileStore`] does beyond the plain reading and writing of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStoreOptions {
    /// Whether a put, a multipart completion, a copy or a rename is on stable storage when it returns: the file is
    /// fsynced before it gets its name, and so is every directory that got a new entry. Costs a disk flush or two per
    /// object. Off: the operating system writes when it likes, and on network file systems an error that only close(2)
    /// reports is not seen. Deletes are never synced: after a crash a deleted object may be there again.
    pub sync_writes: bool,
    /// Whether [`FileStore::open`] makes the directory (and its parents) if there is none. Off: that is an error, which
    /// catches a mistyped path.
    pub create_root: bool,
}

/// An object store over a directory tree. Cheap to clone: clones share everything.
///
/// What the file system has and an object store has not:
///
/// - **Keys are raw file names**: `a/b%20c` is the file `b%20c` in `a`; nothing is percent-encoded or decoded on the
///   way. A key with characters that [`Path::from`](object_store::path::Path) would encode is made by `Path::parse`.
/// - **Names that no key can hold** (not UTF-8, control characters, over-long) do not fail a listing: they are left
///   out, counted ([`Self::skipped`]) and said once. Names that begin with `.forebay-tmp-` are ours: unfinished
///   writes, never listed, and no key may use them.
/// - **Symbolic links that stay inside the tree are followed by reads**, and listed with the size of the file they
///   lead to. Links to directories can be read and listed through, but a listing does not descend into them nor name
///   them: each file is listed once, and no cycle can be walked. Dangling links and links that leave the tree are
///   skipped and counted. Nothing is ever written through a link; a put replaces a link, a delete removes it.
/// - **FIFOs, sockets and devices** are skipped, counted and not opened: even a harmless-looking open wakes a waiting
///   writer or rewinds a tape.
/// - **Directories** are made as needed and never removed. An empty one is a common prefix.
/// - **The ETag** is made of inode, time of change (ns) and size. A foreign program that writes in place, keeps
///   the size and sets the old time again (or writes twice within one step of the file system's clock: up to 10 ms on
///   Linux before 6.13) is not noticed.
/// - **No attributes** (an error), no tags (ignored, as the trait asks), no versions, and no `PutMode::Update`: a
///   file system has no atomic compare-and-swap, and an emulated one would lose updates between processes.
///
/// An operation whose future is dropped goes on to its end on the blocking pool: a put given up may still appear. A
/// crash can leave a temporary file behind (`find -name '.forebay-tmp-*'`), nothing else.
#[derive(Clone)]
pub struct FileStore {
    pub(crate) inner: Arc<Inner>,
}

/// What all clones and all running operations share.
pub(crate) struct Inner {
    root: Dir,
    /// Where `root` was opened; only to be shown, all access goes through `root`.
    path: PathBuf,
    options: FileStoreOptions,
    buffers: Arc<pieces::Buffers>,
    skipped: [AtomicU64; Skip::COUNT],
    /// Calls of fsync so far, on files and directories.
    syncs: AtomicU64,
}

impl FileStore {
    /// Takes hold of the directory `root`. Blocks for a few system calls.
    ///
    /// `root` itself may be or pass through symbolic links; they are resolved now and never again, so moving or
    /// replacing the directory later does not move the store.
    pub fn open(root: &std::path::Path, options: FileStoreOptions) -> Result<Self, FileStoreError> {
        let shown = || printable(&root.to_string_lossy()).into_owned();
        let failed = |action| {
            move |source| FileStoreError::Io {
                action,
                path: shown(),
                source,
            }
        };
        if options.create_root {
            std::fs::create_dir_all(root).map_err(failed("create the directory"))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(root, flags, Mode::empty())
            .map_err(|errno| failed("open the directory")(errno.into()))?;
        let path = std::path::absolute(root).map_err(failed("find the directory"))?;
        Ok(Self {
            inner: Arc::new(Inner {
                root: Dir::from_std_file(dir.into()),
                path,
                options,
                buffers: Arc::default(),
                skipped: Default::default(),
                syncs: AtomicU64::new(0),
            }),
        })
    }

    /// The directory, as an absolute path.
    pub fn root(&self) -> &std::path::Path {
        &self.inner.path
    }

    /// The options it was opened with.
    pub fn options(&self) -> FileStoreOptions {
        self.inner.options
    }

    /// How many names listings have left out so far: names that no key can hold, links that dangle, leave the tree or
    /// lead to directories, and files that are not regular. A name counts again in every listing that meets it.
    pub fn skipped(&self) -> u64 {
        self.inner
            .skipped
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// Runs `work` on the blocking pool with the shared state.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Inner>) -> Result<T, FileStoreError> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send + 'static {
        let inner = Arc::clone(&self.inner);
        blocking(move || Ok(work(&inner)?))
    }
}

impl Inner {
    /// `key` as it is shown in errors: the full path, safe to print.
    fn shown(&self, key: &str) -> String {
        printable(&self.path.join(key).to_string_lossy()).into_owned()
    }

    /// Flushes a directory whose entries changed, if the store syncs.
    fn sync_dir(&self, dir: impl AsFd, shown: &str) -> Result<(), FileStoreError> {
        if self.options.sync_writes {
            self.syncs.fetch_add(1, Ordering::Relaxed);
            rustix::fs::fsync(dir).map_err(|errno| FileStoreError::Io {
                action: "sync the directory of",
                path: shown.to_owned(),
                source: errno.into(),
            })?;
        }
        Ok(())
    }
}

/// Starts `work` on the blocking pool at once; without a tokio runtime it runs where the future is polled.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> impl Future<Output = Result<T>> + Send + 'static {
    let started = match tokio::runtime::Handle::try_current() {
        Ok(runtime) => Either::Left(runtime.spawn_blocking(work)),
        Err(_) => Either::Right(work),
    };
    async move {
        match started {
            Either::Left(task) => task.await?,
            Either::Right(work) => work(),
        }
    }
}

#[async_trait]
impl ObjectStore for FileStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.put_by(Way::Buffered, location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.upload_by(Way::Buffered, location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let inner = Arc::clone(&self.inner);
        let location = location.clone();
        blocking(move || read::get(&inner, location, &options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (location, ranges) = (location.clone(), ranges.to_vec());
        self.run(move |inner| read::get_ranges(inner, &location, ranges))
            .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .map(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    store
                        .run(move |inner| write::delete(inner, &location).map(|()| location))
                        .await
                }
            })
            .buffered(DELETES_AT_ONCE)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        list::stream(Arc::clone(&self.inner), prefix.cloned().unwrap_or_default(), None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        list::stream(
            Arc::clone(&self.inner),
            prefix.cloned().unwrap_or_default(),
            Some(offset.clone()),
        )
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        self.run(move |inner| list::one_level(inner, &prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        let create_only = options.mode == CopyMode::Create;
        self.run(move |inner| write::copy(inner, &from, &to, create_only))
            .await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        let create_only = options.target_mode == RenameTargetMode::Create;
        self.run(move |inner| write::rename(inner, &from, &to, create_only))
            .await
    }
}

impl fmt::Display for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileStore({})", self.inner.shown(""))
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("root", &self.inner.path)
            .field("options", &self.inner.options)
            .field("skipped", &self.skipped())
            .finish()
    }
}
