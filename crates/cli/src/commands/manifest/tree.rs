//! What lies below a directory: names, and what each is. Nothing is read yet.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use forebay_manifest::Limits;
use forebay_types::{ErrorKind, printable};

use super::hashing::Stat;
use super::name::shown;
use crate::exit::{CliError, Result};

/// Parts of a path, as in manifests: links can make more of them than a stack holds.
const DEPTH: usize = 128;

/// What is done with symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    /// What they lead to is taken in their place, as the reference does it for v2023-03-03.
    Follow,
    /// They stay links.
    Keep,
}

/// Something below the directory.
#[derive(Debug)]
pub(super) struct Found {
    /// From the directory on.
    pub(super) path: Vec<u8>,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    File {
        stat: Stat,
        /// Where it is below the directory, if a link led to it.
        real: Option<PathBuf>,
    },
    Link {
        /// From the directory on; `.` is the directory itself.
        target: Vec<u8>,
    },
    Dir,
    /// A pipe, a socket, a device: nothing that a manifest has, or that may be opened to look.
    Special,
    /// What no manifest can hold, and why.
    Bad(String),
}

impl What {
    /// What it is, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::File { .. } => "a file",
            Self::Link { .. } => "a link",
            Self::Dir => "a directory",
            Self::Special => "a pipe, a socket or a device",
            Self::Bad(_) => "something that no manifest can hold",
        }
    }
}

/// A directory and what is below it, sorted by the bytes of the paths.
pub(super) struct Tree {
    /// As typed.
    shown: PathBuf,
    /// Files are opened beneath it: no link leads out of it, whoever puts one there meanwhile.
    pub(super) dir: Dir,
    pub(super) found: Vec<Found>,
}

impl Tree {
    /// Finds out what lies below `path`.
    ///
    /// # Errors
    /// A directory that cannot be read, and more names than a manifest may have.
    pub(super) fn walk(path: &Path, links: Links) -> Result<Self> {
        let root = fs::canonicalize(path).map_err(|e| CliError::local(path, "read", &e))?;
        let dir = Dir::open_ambient_dir(&root, ambient_authority())
            .map_err(|e| CliError::local(path, "read the directory", &e))?;
        let stat = fs::metadata(&root).map_err(|e| CliError::local(path, "read", &e))?;
        let mut walk = Walk {
            shown: path,
            root: &root,
            links,
            found: Vec::new(),
            above: vec![(stat.dev(), stat.ino())],
        };
        walk.level(&[], &root)?;
        let mut found = walk.found;
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            shown: path.to_owned(),
            dir,
            found,
        })
    }

    /// The files among what was found.
    pub(super) fn files(&self) -> impl Iterator<Item = &Found> {
        self.found
            .iter()
            .filter(|found| matches!(found.what, What::File { .. }))
    }

    /// Whether something lies in a directory.
    pub(super) fn has_any_in(&self, dir: &[u8]) -> bool {
        let below = [dir, b"/"].concat();
        let first = self
            .found
            .partition_point(|found| found.path.as_slice() < below.as_slice());
        self.found
            .get(first)
            .is_some_and(|found| found.path.starts_with(&below))
    }

    /// The place of a path, for messages.
    pub(super) fn place(&self, path: &[u8]) -> PathBuf {
        self.shown.join(OsStr::from_bytes(path))
    }

    /// What a manifest cannot hold is an error; what it has no words for is left out, and said.
    pub(super) fn check(&self) -> Result<()> {
        for found in &self.found {
            match &found.what {
                What::Bad(why) => {
                    let message = format!("{}: {why}", self.shown_place(&found.path));
                    return Err(CliError::usage(message)
                        .hint("take it away, or take a manifest of another directory"));
                }
                What::Special => tracing::warn!(
                    "{} is left out: it is no file, directory or link",
                    self.shown_place(&found.path)
                ),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn shown_place(&self, path: &[u8]) -> String {
        let dir = self.shown.to_string_lossy();
        format!("{}/{}", printable(&dir).trim_end_matches('/'), shown(path))
    }

    /// The first directory that no file lies in, at whatever depth.
    pub(super) fn empty_dir(&self) -> Option<&[u8]> {
        let mut full = HashSet::new();
        for found in &self.found {
            if matches!(found.what, What::File { .. } | What::Link { .. }) {
                let mut path = found.path.as_slice();
                while let Some(slash) = path.iter().rposition(|byte| *byte == b'/')
                    && full.insert(&path[..slash])
                {
                    path = &path[..slash];
                }
            }
        }
        self.found
            .iter()
            .find(|found| matches!(found.what, What::Dir) && !full.contains(found.path.as_slice()))
            .map(|found| found.path.as_slice())
    }
}

struct Walk<'a> {
    shown: &'a Path,
    root: &'a Path,
    links: Links,
    found: Vec<Found>,
    /// Device and inode of each directory on the way here: a link to one of them would never end.
    above: Vec<(u64, u64)>,
}

impl Walk<'_> {
    /// What lies in the directory `path`, which is `real`.
    fn level(&mut self, path: &[u8], real: &Path) -> Result<()> {
        let failed = |e: &io::Error| {
            CliError::local(&self.shown.join(OsStr::from_bytes(path)), "read the directory", e)
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(real).map_err(|e| failed(&e))? {
            names.push(entry.map_err(|e| failed(&e))?.file_name());
        }
        for name in names {
            let below = match path {
                [] => name.as_bytes().to_vec(),
                _ => [path, b"/", name.as_bytes()].concat(),
            };
            let real = real.join(&name);
            let stat = fs::symlink_metadata(&real)
                .map_err(|e| CliError::local(&self.shown.join(OsStr::from_bytes(&below)), "look at", &e))?;
            if stat.is_symlink() {
                self.link(below, &real)?;
            } else {
                self.entry(below, &real, &stat)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, path: Vec<u8>, what: What) -> Result<()> {
        let most = Limits::default().entries;
        if self.found.len() >= most {
            return Err(CliError::new(
                ErrorKind::Unsupported,
                format!(
                    "{}: more than the {most} files and directories that a manifest may have",
                    printable(&self.shown.to_string_lossy())
                ),
            )
            .hint("take several manifests, of directories below it"));
        }
        self.found.push(Found { path, what });
        Ok(())
    }

    /// What is no link, or what a link led to.
    fn entry(&mut self, path: Vec<u8>, real: &Path, stat: &Metadata) -> Result<()> {
        if path.iter().filter(|byte| **byte == b'/').count() >= DEPTH {
            let why = format!("its path has more than the {DEPTH} parts that one in a manifest may have");
            return self.push(path, What::Bad(why));
        }
        if stat.is_file() {
            let real = real.strip_prefix(self.root).unwrap_or(real);
            let real = (real.as_os_str().as_bytes() != path).then(|| real.to_owned());
            let stat = Stat::of(stat);
            return self.push(path, What::File { stat, real });
        }
        if !stat.is_dir() {
            return self.push(path, What::Special);
        }
        let id = (stat.dev(), stat.ino());
        if self.above.contains(&id) {
            let why = "it leads to a directory that it lies in, which never ends";
            return self.push(path, What::Bad(why.to_owned()));
        }
        self.push(path.clone(), What::Dir)?;
        self.above.push(id);
        self.level(&path, real)?;
        self.above.pop();
        Ok(())
    }

    fn link(&mut self, path: Vec<u8>, real: &Path) -> Result<()> {
        let what = match self.links {
            Links::Keep => self.target(real).map(|target| What::Link { target }),
            Links::Follow => match self.followed(real) {
                Ok((real, stat)) => return self.entry(path, &real, &stat),
                Err(why) => Err(why),
            },
        };
        self.push(path, what.unwrap_or_else(What::Bad))
    }

    /// What a link leads to in the end.
    fn followed(&self, link: &Path) -> std::result::Result<(PathBuf, Metadata), String> {
        let real = fs::canonicalize(link).map_err(|e| format!("the link leads to nothing: {e}"))?;
        if !real.starts_with(self.root) {
            return Err(leaves(&real));
        }
        let stat = fs::symlink_metadata(&real).map_err(|e| format!("the link leads to nothing: {e}"))?;
        Ok((real, stat))
    }

    /// What a link says, as a path from the root on. Links on the way there are followed, which `..` after them would mean
    /// something else without; the last name stays as it is, be it a link or nothing.
    fn target(&self, link: &Path) -> std::result::Result<Vec<u8>, String> {
        let unreadable = |e: io::Error| format!("the link cannot be read: {e}");
        let said = fs::read_link(link).map_err(unreadable)?;
        let joined = link.parent().unwrap_or(self.root).join(said);
        let resolved = match (joined.parent(), joined.file_name()) {
            (Some(parent), Some(name)) => fs::canonicalize(parent).map(|parent| parent.join(name)),
            _ => fs::canonicalize(&joined),
        };
        let target = match resolved {
            Ok(target) => target,
            // Nothing is there that could be a link: the names alone count.
            Err(error) if error.kind() == io::ErrorKind::NotFound => by_names(&joined),
            Err(error) => return Err(unreadable(error)),
        };
        match target.strip_prefix(self.root) {
            Ok(below) if below.as_os_str().is_empty() => Ok(b".".to_vec()),
            Ok(below) => Ok(below.as_os_str().to_owned().into_vec()),
            Err(_) => Err(leaves(&target)),
        }
    }
}

fn leaves(target: &Path) -> String {
    format!(
        "the link leads out of the directory, to {}",
        shown(target.as_os_str().as_bytes())
    )
}

/// An absolute path without `.` and `..`.
fn by_names(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}
