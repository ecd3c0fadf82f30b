//! Files to read that are not there yet, and are gone afterwards.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use forebay_types::{ErrorKind, printable};
use tempfile::TempDir;

use super::pages;
use crate::exit::{CliError, Result};

/// Bytes that are made and written at a time: between two an interrupt is seen.
const STEP: usize = 16 << 20;

/// The file that was named: the user's, or made here and removed when dropped.
pub(in crate::commands::bench) struct Subject {
    path: PathBuf,
    size: u64,
    made: Option<File>,
}

impl Subject {
    /// Looks at what is there; if nothing is, makes an empty file that will have `size` bytes.
    pub(in crate::commands::bench) fn take(path: &Path, size: u64) -> Result<Self> {
        let mut subject = Self {
            path: path.to_owned(),
            size,
            made: None,
        };
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => subject.size = found.len(),
            Ok(_) => {
                let name = path.to_string_lossy();
                return Err(CliError::usage(format!("{} is no file", printable(&name))));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut new = File::options();
                new.write(true).create_new(true).mode(0o600);
                let file = new
                    .open(path)
                    .map_err(|e| CliError::local(path, "make the file", &e))?;
                subject.made = Some(file);
            }
            Err(error) => return Err(CliError::local(path, "read", &error)),
        }
        Ok(subject)
    }

    pub(in crate::commands::bench) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Writes the bytes of a file that was made here; it is on the disk then.
    pub(in crate::commands::bench) async fn fill(&self) -> Result<()> {
        match &self.made {
            Some(file) => random_bytes(file, &self.path, self.size).await,
            None => Ok(()),
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if self.made.is_some()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            let name = self.path.to_string_lossy();
            tracing::warn!(%error, "{} is left behind", printable(&name));
        }
    }
}

/// A directory of files of one size beside the subject; removed with them when dropped.
pub(super) struct Files {
    directory: TempDir,
    size: u64,
    count: usize,
}

impl Files {
    pub(super) async fn make(beside: &Path, size: u64, count: usize) -> Result<Self> {
        let place = match beside.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let directory = tempfile::Builder::new()
            .prefix(".forebay-bench-")
            .tempdir_in(place)
            .map_err(|e| CliError::local(place, "make a directory in", &e))?;
        for number in 0..count {
            let path = directory.path().join(format!("{number:05}"));
            let file = File::create_new(&path).map_err(|e| CliError::local(&path, "make", &e))?;
            random_bytes(&file, &path, size).await?;
        }
        Ok(Self {
            directory,
            size,
            count,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn are(&self, size: u64, count: usize) -> bool {
        (self.size, self.count) == (size, count)
    }
}

/// Writes them, sees them to the disk, and out of the page cache.
async fn random_bytes(file: &File, path: &Path, size: u64) -> Result<()> {
    let failed = |error: std::io::Error| CliError::local(path, "write", &error);
    let mut left = size;
    while left > 0 {
        let len = left.min(STEP as u64) as usize;
        let mut file = file.try_clone().map_err(failed)?;
        let write = move || {
            let mut bytes = vec![0; len];
            fastrand::Rng::new().fill(&mut bytes);
            file.write_all(&bytes)
        };
        in_background(write).await?.map_err(failed)?;
        left -= len as u64;
    }
    let file = file.try_clone().map_err(failed)?;
    in_background(move || pages::drop_from_cache(&file))
        .await?
        .map_err(failed)
}

/// Off the thread that waits for interrupts.
pub(super) async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let lost = |e: tokio::task::JoinError| CliError::new(ErrorKind::Internal, e.to_string());
    tokio::task::spawn_blocking(work).await.map_err(lost)
}
