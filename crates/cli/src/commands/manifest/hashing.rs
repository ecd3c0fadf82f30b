//! The hash of a file as it was at one moment.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use forebay_manifest::{Content, FileEntry, FileKind, Hash, Hasher, ManifestPath, Stamp};
use forebay_types::{Clock, ErrorKind, SystemClock};
use indicatif::ProgressBar;
use rustix::fs::OFlags;

use super::tree::{Found, Tree, What};
use super::work;
use crate::exit::{CliError, Result};

/// What tells that a file was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    stamp: Stamp,
    id: (u64, u64),
    pub(super) runnable: bool,
}

impl Stat {
    pub(super) fn of(stat: &Metadata) -> Self {
        /// The owner may run it: what the draft's authors look at.
        const OWNER_RUNS: u32 = 0o100;
        Self {
            stamp: Stamp {
                size: stat.size(),
                mtime: nanos(stat.mtime(), stat.mtime_nsec()),
                ctime: nanos(stat.ctime(), stat.ctime_nsec()),
            },
            id: (stat.dev(), stat.ino()),
            runnable: stat.mode() & OWNER_RUNS != 0,
        }
    }

    /// Bytes.
    pub(super) fn size(&self) -> u64 {
        self.stamp.size
    }

    /// Microseconds since 1970.
    pub(super) fn mtime(&self) -> i64 {
        self.stamp.mtime_micros()
    }

    /// The entry of a manifest. `with_mode`: that its owner may run it is said.
    pub(super) fn entry<'a>(&self, path: &'a [u8], content: Content<'a>, with_mode: bool) -> FileEntry<'a> {
        FileEntry {
            path: ManifestPath::new(path),
            kind: FileKind::Regular {
                size: self.size(),
                mtime: self.mtime(),
                runnable: with_mode && self.runnable,
                content,
            },
        }
    }
}

/// Nanoseconds since 1970.
fn nanos(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

/// A file and the hashes of its bytes.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) stat: Stat,
    /// One of the whole, or one of each chunk.
    hashes: Hashes,
}

#[derive(Debug)]
enum Hashes {
    Whole(Hash),
    Chunks(Vec<Hash>),
}

impl Hashed {
    /// As a manifest has it.
    pub(super) fn content(&self) -> Content<'_> {
        match &self.hashes {
            Hashes::Whole(hash) => Content::Hash(hash.clone()),
            Hashes::Chunks(hashes) => Content::Chunks(hashes),
        }
    }

    /// As [`Stat::entry`].
    pub(super) fn entry<'a>(&'a self, path: &'a [u8], with_mode: bool) -> FileEntry<'a> {
        self.stat.entry(path, self.content(), with_mode)
    }
}

/// Hashes the files of `wanted`, on all cores; `chunk` is the size above which they are cut. The first error ends it.
///
/// # Errors
/// A file that cannot be read, or keeps changing, by its name.
pub(super) fn all(
    tree: &Tree,
    wanted: &[&Found],
    chunk: Option<u64>,
    bar: &ProgressBar,
) -> Result<Vec<Hashed>> {
    work::each(wanted, Result::is_err, |found, buffer| {
        one(tree, found, chunk, bar, buffer)
    })
    .into_iter()
    // Those that were not begun: another one failed, whose error is among the rest.
    .flatten()
    .collect()
}

/// Bytes of the files of `wanted` as they were found.
pub(super) fn total(wanted: &[&Found]) -> u64 {
    let sizes = wanted.iter().map(|found| match &found.what {
        What::File { stat, .. } => stat.size(),
        _ => 0,
    });
    sizes.fold(0, u64::saturating_add)
}

/// Hashes one file, which is found to be one.
///
/// # Errors
/// As [`all`].
pub(super) fn one(
    tree: &Tree,
    found: &Found,
    chunk: Option<u64>,
    bar: &ProgressBar,
    buffer: &mut [u8],
) -> Result<Hashed> {
    let place = || tree.place(&found.path);
    let real = match &found.what {
        What::File { real: Some(real), .. } => real.clone(),
        _ => {
            use std::os::unix::ffi::OsStrExt;
            Path::new(std::ffi::OsStr::from_bytes(&found.path)).to_owned()
        }
    };
    for _ in 0..=Stamp::AGAIN {
        let attempt = attempt(&tree.dir, &real, chunk, bar, buffer);
        match attempt.map_err(|e| CliError::local(&place(), "hash", &e))? {
            Some(hashed) => return Ok(hashed),
            None => tracing::debug!("{} changed while it was hashed", tree.shown_place(&found.path)),
        }
    }
    Err(CliError::new(
        ErrorKind::Changed,
        format!(
            "{} changes while it is hashed: {} times in a row",
            tree.shown_place(&found.path),
            Stamp::AGAIN + 1
        ),
    )
    .hint("wait until nobody writes to it"))
}

/// `None`: it changed meanwhile.
fn attempt(
    dir: &Dir,
    path: &Path,
    chunk: Option<u64>,
    bar: &ProgressBar,
    buffer: &mut [u8],
) -> io::Result<Option<Hashed>> {
    let mut options = OpenOptions::new();
    // A pipe that took the file's place would be waited for.
    options
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    let file = dir.open_with(path, &options)?.into_std();
    let before = regular(&file)?;
    if before.stamp.is_fresh(SystemClock::new().wall()) {
        std::thread::sleep(Stamp::STEP);
        if regular(&file)? != before {
            return Ok(None);
        }
    }
    let (len, hashes) = hashes(&file, &before, chunk, bar, buffer)?;
    let unchanged = len == before.size() && regular(&file)? == before;
    Ok(unchanged.then_some(Hashed { stat: before, hashes }))
}

fn regular(file: &File) -> io::Result<Stat> {
    let stat = file.metadata()?;
    if stat.is_file() {
        Ok(Stat::of(&stat))
    } else {
        Err(io::Error::other("it is no file any more"))
    }
}

/// How many bytes there were, and their hashes.
fn hashes(
    mut file: &File,
    stat: &Stat,
    chunk: Option<u64>,
    bar: &ProgressBar,
    buffer: &mut [u8],
) -> io::Result<(u64, Hashes)> {
    let chunk = chunk.filter(|chunk| stat.size() > *chunk);
    let (mut len, mut in_chunk) = (0, 0);
    let mut hasher = Hasher::new();
    let mut done = Vec::new();
    loop {
        // A byte more than there should be tells that it grows; it need not be followed to its end.
        if len > stat.size() {
            break;
        }
        let room = chunk.map_or(u64::MAX, |chunk| chunk - in_chunk);
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
        let read = match file.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..read]);
        bar.inc(read as u64);
        len += read as u64;
        in_chunk += read as u64;
        if chunk == Some(in_chunk) {
            done.push(std::mem::take(&mut hasher).finish());
            in_chunk = 0;
        }
    }
    if chunk.is_none() {
        return Ok((len, Hashes::Whole(hasher.finish())));
    }
    if in_chunk > 0 {
        done.push(hasher.finish());
    }
    Ok((len, Hashes::Chunks(done)))
}
