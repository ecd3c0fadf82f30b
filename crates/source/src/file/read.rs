//! GET: one open, and everything from that descriptor.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cap_std::fs::{Metadata, OpenOptions, OpenOptionsExt};
use object_store::path::Path;
use object_store::{Attributes, Extensions, GetOptions, GetRange, GetResult, GetResultPayload, Result};
use rustix::fs::OFlags;

use super::meta::{Stamp, what};
use super::pieces::{OpenFile, WARM_PIECE, pieces};
use super::{FileStoreError, Inner};

/// A regular file, open for reading.
pub(crate) struct Found {
    pub(crate) file: std::fs::File,
    /// Which version it had when it was opened.
    pub(crate) stamp: Stamp,
    /// Its path, for errors.
    pub(crate) shown: String,
}

/// What opens for reading have in common. A FIFO that took a file's place must not make them wait.
const FLAGS: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);

impl Inner {
    /// Opens the regular file at `location`.
    ///
    /// It is looked at before it is opened, because opening a FIFO for reading wakes whoever waits to write to it, and
    /// opening a device may do anything. If it is replaced by one in between, O_NONBLOCK keeps the open from hanging and
    /// the descriptor is refused.
    pub(crate) fn find(&self, location: &Path) -> Result<Found, FileStoreError> {
        let path = self.readable(location)?;
        self.stat(path)?;
        let file = self
            .root
            .open_with(
                path,
                OpenOptions::new()
                    .read(true)
                    .custom_flags(FLAGS.bits().cast_signed()),
            )
            .map_err(|e| FileStoreError::lookup("open", self.shown(location.as_ref()), e))?
            .into_std();
        self.found(location, file)
    }

    /// As [`Self::find`], if that needs no waiting: the kernel knows the way by heart (Linux 5.12, openat2 with
    /// RESOLVE_CACHED). `None` says nothing but that it has to be asked in earnest.
    #[cfg(target_os = "linux")]
    pub(crate) fn find_now(&self, location: &Path) -> Option<Found> {
        use rustix::fs::{FileType, Mode, ResolveFlags, openat2};
        let path = self.readable(location).ok()?;
        let open = |flags: OFlags| {
            let resolve = ResolveFlags::CACHED | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve).ok()
        };
        let seen = rustix::fs::fstat(open(OFlags::PATH)?).ok()?;
        if !FileType::from_raw_mode(seen.st_mode).is_file() {
            return None;
        }
        let file = open(OFlags::RDONLY | FLAGS)?;
        self.found(location, file.into()).ok()
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn find_now(&self, _: &Path) -> Option<Found> {
        None
    }

    /// Insists that what was opened is a regular file, and looks at its version.
    fn found(&self, location: &Path, file: std::fs::File) -> Result<Found, FileStoreError> {
        let shown = self.shown(location.as_ref());
        let found = Metadata::from_file(&file).map_err(|source| FileStoreError::Io {
            action: "look up",
            path: shown.clone(),
            source,
        })?;
        if !found.is_file() {
            return Err(FileStoreError::NotAFile {
                path: shown,
                what: what(&found.file_type()),
            });
        }
        Ok(Found {
            file,
            stamp: Stamp::of(&found),
            shown,
        })
    }

    /// [`Self::find`], to be read through the page cache.
    pub(super) fn open_file(&self, location: &Path) -> Result<OpenFile, FileStoreError> {
        let Found { file, stamp, shown } = self.find(location)?;
        Ok(OpenFile::new(file, stamp, shown, Arc::clone(&self.buffers)))
    }
}

/// A directory keeps one version of a file: answering with it would be answering with the wrong one.
pub(crate) fn refuse_version(options: &GetOptions) -> Result<()> {
    if options.version.is_none() {
        return Ok(());
    }
    Err(object_store::Error::NotSupported {
        source: "a directory keeps no versions of its files; ask without one".into(),
    })
}

/// Answers a GET or, with `options.head`, only describes the object. The first piece is read here, so that a small
/// file costs one visit to the blocking pool.
pub(super) fn get(inner: &Inner, location: Path, options: &GetOptions) -> Result<GetResult> {
    refuse_version(options)?;
    let file = if options.head {
        None
    } else {
        Some(inner.open_file(&location)?)
    };
    let stamp = match &file {
        Some(file) => file.stamp(),
        None => Stamp::of(&inner.stat(inner.readable(&location)?)?),
    };
    let meta = stamp.describe(location);
    options.check_preconditions(&meta)?;
    let range = match &options.range {
        Some(range) => resolve(range, meta.size, || inner.shown(meta.location.as_ref()))?,
        None => 0..meta.size,
    };
    let payload = match file {
        Some(file) => {
            let first = range.start..range.end.min(range.start + WARM_PIECE);
            let bytes = file.read(first.clone())?;
            pieces(file, bytes, first.end..range.end)
        }
        None => Box::pin(futures::stream::empty()),
    };
    Ok(GetResult {
        payload: GetResultPayload::Stream(payload),
        meta,
        range,
        attributes: Attributes::new(),
        extensions: Extensions::new(),
    })
}

/// Reads several ranges of one version of a file: one open, one visit to the blocking pool.
pub(super) fn get_ranges(
    inner: &Inner,
    location: &Path,
    ranges: Vec<Range<u64>>,
) -> Result<Vec<Bytes>, FileStoreError> {
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    let file = inner.open_file(location)?;
    let size = file.stamp().size;
    ranges
        .into_iter()
        .map(|range| {
            file.read(resolve(&GetRange::Bounded(range), size, || {
                inner.shown(location.as_ref())
            })?)
        })
        .collect()
}

/// The bytes meant by `range` in a file of `size` bytes; none, or past the end, is an error, as the trait asks.
pub(crate) fn resolve(
    range: &GetRange,
    size: u64,
    shown: impl FnOnce() -> String,
) -> Result<Range<u64>, FileStoreError> {
    range.as_range(size).map_err(|e| FileStoreError::Range {
        path: shown(),
        source: e.into(),
    })
}
