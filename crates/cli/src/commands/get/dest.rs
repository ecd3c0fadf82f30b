//! Where fetched bytes go: files beneath one directory, each under a temporary name until it is whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use forebay_range::{FileSink, RangeError, RangeSink};
use forebay_reader::ReadError;
use forebay_types::{ByteSize, ErrorKind, printable};
use indicatif::ProgressBar;

use crate::exit::{CliError, Result};

/// A directory that nothing is written outside of: names with `..`, absolute names and symlinks that lead out of it
/// are refused by the way it is opened (openat2 with RESOLVE_BENEATH on Linux).
#[derive(Clone)]
pub(crate) struct Directory {
    dir: Arc<Dir>,
    path: PathBuf,
}

/// Directory and file name for `dest` as typed; `name` is what the object is called.
pub(crate) fn resolve(dest: Option<&str>, name: &str) -> Result<(Directory, PathBuf)> {
    let Some(dest) = dest else {
        return Ok((Directory::open(Path::new("."))?, name.into()));
    };
    let path = Path::new(dest);
    if dest.ends_with('/') || path.is_dir() {
        return Ok((Directory::open(path)?, name.into()));
    }
    // What the user typed is followed wherever it leads: the path's last part is the file's name.
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let file = path
        .file_name()
        .ok_or_else(|| CliError::usage(format!("'{}' names no file", printable(dest))))?;
    Ok((Directory::open(parent)?, file.into()))
}

impl Directory {
    /// Opens a directory that exists.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())
            .map_err(|e| CliError::local(path, "open the directory", &e))?;
        Ok(Self {
            dir: Arc::new(dir),
            path: path.to_owned(),
        })
    }

    /// Opens a directory, made if need be.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Dir::create_ambient_dir_all(path, ambient_authority())
            .map_err(|e| CliError::local(path, "make the directory", &e))?;
        Self::open(path)
    }

    /// A name in it as it may be shown.
    pub(crate) fn shown(&self, name: &Path) -> String {
        let path = if self.path == Path::new(".") {
            name.to_owned()
        } else {
            self.path.join(name)
        };
        printable(&path.to_string_lossy()).into_owned()
    }

    /// Whether something has this name, links not followed.
    pub(crate) fn has(&self, name: &Path) -> bool {
        self.dir.symlink_metadata(name).is_ok()
    }

    /// Refuses early what could not be finished.
    pub(crate) fn check_free(&self, name: &Path, no_clobber: bool) -> Result<()> {
        if no_clobber && self.has(name) {
            return Err(exists(&self.shown(name)));
        }
        if self.dir.metadata(name).is_ok_and(|m| m.is_dir()) {
            return Err(CliError::usage(format!("{} is a directory", self.shown(name))));
        }
        Ok(())
    }

    /// A temporary file beside the place that `name` will have, with room for `len` bytes.
    pub(crate) fn stage(&self, name: &Path, len: u64) -> Result<Staged> {
        let fail = |action: &'static str| move |e: io::Error| self.failed(name, action, &e);
        if let Some(parent) = name.parent().filter(|p| !p.as_os_str().is_empty()) {
            self.dir
                .create_dir_all(parent)
                .map_err(fail("make the directory of"))?;
        }
        let id = TEMPORARY.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let temporary = name.with_file_name(format!(".forebay-{}-{id}.part", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let file = self
            .dir
            .open_with(&temporary, &options)
            .map_err(fail("write"))?
            .into_std();
        let staged = Staged {
            directory: self.clone(),
            temporary,
            name: name.to_owned(),
            file: Arc::new(file),
            done: false,
        };
        staged.check_room(len)?;
        Ok(staged)
    }
}

impl Directory {
    /// The error of a name in it: a link that leads out of the directory shows as all sorts of errors.
    fn failed(&self, name: &Path, action: &str, error: &io::Error) -> CliError {
        let is_link = |above: &Path| self.dir.symlink_metadata(above).is_ok_and(|m| m.is_symlink());
        let leads_out = name
            .ancestors()
            .skip(1)
            .filter(|above| !above.as_os_str().is_empty());
        if leads_out
            .into_iter()
            .any(|above| is_link(above) && self.dir.metadata(above).is_err())
        {
            let message = format!("{} would be written outside of the destination", self.shown(name));
            return CliError::new(ErrorKind::Denied, message)
                .hint("a symbolic link in the destination leads out of it");
        }
        CliError::local(&self.path.join(name), action, error)
    }
}

/// Told apart within the process; the process id tells processes apart.
static TEMPORARY: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// A file that is being written. Removed when dropped before it is finished.
pub(crate) struct Staged {
    directory: Directory,
    temporary: PathBuf,
    name: PathBuf,
    file: Arc<std::fs::File>,
    done: bool,
}

impl Staged {
    /// A full disk is better said before the download than after.
    fn check_room(&self, len: u64) -> Result<()> {
        let Ok(stat) = rustix::fs::fstatvfs(&*self.file) else {
            return Ok(());
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free >= len {
            return Ok(());
        }
        let place = self.directory.shown(&self.name);
        Err(CliError::new(
            ErrorKind::NoSpace,
            format!(
                "no room for {place}: it needs {:#}, {:#} are free",
                ByteSize(len),
                ByteSize(free)
            ),
        ))
    }

    /// The way for bytes into it.
    pub(crate) fn sink(&self, bar: ProgressBar) -> Arc<dyn RangeSink> {
        Arc::new(Watched {
            sink: FileSink::shared(self.file.clone()),
            bar,
        })
    }

    /// What a failed read means, with the file's name if it was the file that failed.
    pub(crate) fn explain(&self, error: ReadError) -> CliError {
        let failed = |source: &io::Error| self.directory.failed(&self.name, "write", source);
        match &error {
            ReadError::Sink(source) => failed(source),
            ReadError::Range(range) => match &**range {
                RangeError::Sink { source } => failed(source),
                _ => error.into(),
            },
            _ => error.into(),
        }
    }

    /// Gives the file its name: all of it is there.
    pub(crate) fn finish(mut self, no_clobber: bool) -> Result<()> {
        let dir = &self.directory.dir;
        let outcome = if no_clobber {
            // A hard link fails if the name is taken, which a rename would not.
            dir.hard_link(&self.temporary, dir, &self.name)
                .and_then(|()| dir.remove_file(&self.temporary))
        } else {
            dir.rename(&self.temporary, dir, &self.name)
        };
        self.done = outcome.is_ok();
        outcome.map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.directory.shown(&self.name)),
            _ => self.directory.failed(&self.name, "write", &e),
        })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.done {
            // Nothing can be done about a temporary file that cannot be removed.
            let _ = self.directory.dir.remove_file(&self.temporary);
        }
    }
}

struct Watched {
    sink: FileSink,
    bar: ProgressBar,
}

impl RangeSink for Watched {
    fn begin(&self, len: u64) -> io::Result<()> {
        self.sink.begin(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.sink.write_at(offset, bytes)?;
        self.bar.inc(bytes.len() as u64);
        Ok(())
    }
}

fn exists(shown: &str) -> CliError {
    CliError::new(ErrorKind::Conflict, format!("{shown} exists")).hint("leave out --no-clobber to replace it")
}
