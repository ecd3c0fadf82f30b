//! What can go wrong when a cache is opened, cleared or verified. Reads and fills never fail: they miss, or are dropped.

use std::io;
use std::path::PathBuf;

use forebay_types::ErrorKind;

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory or a file in it could not be used.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory belongs to somebody else.
    #[error(
        "the cache directory {} belongs to user {owner}, not to user {user} who runs this; name a directory of your own",
        dir.display()
    )]
    NotOwner {
        /// Which directory.
        dir: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// Others may write to the directory.
    #[error(
        "other users may write to the cache directory {} (mode {mode:04o}), so what lies in it cannot be trusted; \
         remove it, or name another",
        dir.display()
    )]
    OpenToOthers {
        /// Which directory.
        dir: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The directory holds something else.
    #[error(
        "{} is no cache directory: it has no FORMAT file, but it holds '{found}'; name an empty or a new directory",
        dir.display()
    )]
    NotACache {
        /// Which directory.
        dir: PathBuf,
        /// The first thing found in it.
        found: String,
    },
    /// The directory was made by a version that writes another format.
    #[error(
        "the cache directory {} has the format '{found}', this program writes '{expected}'; \
         remove the directory, or name another",
        dir.display()
    )]
    Format {
        /// Which directory.
        dir: PathBuf,
        /// What its FORMAT file says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// A thread could not be started, or ended before its work was done.
    #[error("the cache's worker failed: {why}")]
    Worker {
        /// What happened.
        why: String,
    },
}

impl CacheError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => source.kind().into(),
            Self::NotOwner { .. } | Self::OpenToOthers { .. } => ErrorKind::Denied,
            Self::NotACache { .. } | Self::Format { .. } => ErrorKind::Invalid,
            Self::Worker { .. } => ErrorKind::Internal,
        }
    }
}
