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

impl Inner {
    /// Opens the regular file at `location`.
    ///
    /// It is looked at before it is opened, because opening a FIFO for reading wakes whoever waits to write to it, and
    /// opening a device may do anything. If it is replaced by one in between, O_NONBLOCK keeps the open from hanging and
    /// the descriptor is refused.
    pub(super) fn open_file(&self, location: &Path) -> Result<OpenFile, FileStoreError> {
        let path = self.readable(location)?;
        self.stat(path)?;
        let shown = self.shown(location.as_ref());
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self
            .root
            .open_with(
                path,
                OpenOptions::new()
                    .read(true)
                    .custom_flags(flags.bits().cast_signed()),
            )
            .map_err(|e| FileStoreError::lookup("open", shown.clone(), e))?
            .into_std();
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
        Ok(OpenFile::new(
            file,
            Stamp::of(&found),
            shown,
            Arc::clone(&self.buffers),
        ))
    }
}

/// Answers a GET or, with `options.head`, only describes the object. The first piece is read here, so that a small
/// file costs one visit to the blocking pool.
pub(super) fn get(inner: &Inner, location: Path, options: &GetOptions) -> Result<GetResult> {
    if options.version.is_some() {
        // Answering with the present bytes would be answering with the wrong ones.
        return Err(object_store::Error::NotSupported {
            source: "a directory keeps no versions of its files; ask without one".into(),
        });
    }
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
        Some(range) => resolve(inner, range, &meta.location, meta.size)?,
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
        .map(|range| file.read(resolve(inner, &GetRange::Bounded(range), location, size)?))
        .collect()
}

/// The bytes meant by `range` in a file of `size` bytes; none, or past the end, is an error, as the trait asks.
fn resolve(
    inner: &Inner,
    range: &GetRange,
    location: &Path,
    size: u64,
) -> Result<Range<u64>, FileStoreError> {
    range.as_range(size).map_err(|e| FileStoreError::Range {
        path: inner.shown(location.as_ref()),
        source: e.into(),
    })
}
