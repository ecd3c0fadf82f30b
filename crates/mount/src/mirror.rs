//! A directory of this machine as a file system whose every operation is forwarded: what the way through a daemon costs when
//! the daemon does nothing of its own. The measure for writable mounts (`forebay bench`).

mod attr;
mod dir;
mod file;
mod names;
mod nodes;
mod serve;
mod xattr;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Resource, Rlimit};

use crate::handles::Handles;
use crate::mount::MountError;
use crate::mountpoint::Mountpoint;
use crate::options::MountOptions;
use crate::passthrough::Passthrough;
use crate::request::Caller;
use crate::session::{self, Access, Session};

use dir::OpenDir;
use file::OpenFile;
use nodes::Nodes;

/// How a directory is mirrored.
#[derive(Clone, Debug)]
pub struct MirrorOptions {
    /// How it is mounted. Owners and the time that a read may take have no meaning here: the directory has owners, and
    /// reads are not waited for. Files are handed to the kernel if `passthrough` says so.
    pub mount: MountOptions,
    /// For how long the kernel believes names and attributes.
    pub valid: Duration,
    /// Whether the kernel keeps what it has of a file when that is opened again: right if nobody else writes to the
    /// directory.
    pub keep_pages: bool,
}

impl Default for MirrorOptions {
    /// As others forward: no passthrough, names and attributes for a second, each open reads anew.
    fn default() -> Self {
        Self {
            mount: MountOptions {
                passthrough: false,
                ..MountOptions::default()
            },
            valid: Duration::from_secs(1),
            keep_pages: false,
        }
    }
}

/// What a mirror did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorStats {
    /// Requests of any kind.
    pub requests: u64,
    /// Those of them that read a file.
    pub reads: u64,
    /// Those of them that wrote to one.
    pub writes: u64,
    /// Files that were handed to the kernel.
    pub handed_over: u64,
}

/// A mirrored directory. Dropping it unmounts.
#[derive(Debug)]
pub struct MirrorMount {
    mirror: Arc<Mirror>,
    mountpoint: Mountpoint,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl MirrorMount {
    /// Shows the directory `dir` on the directory `path`, which is not inside of it.
    ///
    /// Each file that the kernel knows takes a descriptor: the process's limit of them is raised as far as it may be.
    ///
    /// # Errors
    /// [`MountError`]; nothing is mounted then.
    pub fn start(dir: &Path, path: &Path, options: &MirrorOptions) -> Result<Self, MountError> {
        let refused = |source| MountError::Mount {
            path: forebay_types::printable(&path.to_string_lossy()).into_owned(),
            source,
        };
        let not_shown = |error: io::Error| {
            let dir = dir.to_string_lossy();
            let why = format!(
                "the directory {} cannot be shown: {error}",
                forebay_types::printable(&dir)
            );
            refused(io::Error::new(error.kind(), why))
        };
        let shown = dir.canonicalize().map_err(not_shown)?;
        if path.canonicalize().map_err(refused)?.starts_with(&shown) {
            let why = "it lies in the directory that it would show: take one outside";
            return Err(refused(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let root = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, &shown, root, Mode::empty());
        let nodes = root
            .and_then(Nodes::new)
            .map_err(|errno| not_shown(errno.into()))?;
        let broken = |source| MountError::Session { source };
        let proc = File::open("/proc/self/fd").map_err(broken)?;
        more_descriptors();
        let session = Session::open(path, &options.mount, Access::Writable)?;
        let mirror = Arc::new(Mirror {
            nodes,
            proc,
            own: Caller {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
            },
            files: Handles::default(),
            dirs: Handles::default(),
            passthrough: Passthrough::new(session.agreed.passthrough),
            options: options.clone(),
            counters: Counters::default(),
        });
        let threads = options.mount.threads;
        let threads = session::start(&session.device, &mirror, Access::Writable, threads).map_err(broken)?;
        session.read_ahead(options.mount.max_readahead);
        Ok(Self {
            mirror,
            mountpoint: session.mountpoint,
            threads,
        })
    }

    /// Figures so far.
    pub fn stats(&self) -> MirrorStats {
        let counters = &self.mirror.counters;
        MirrorStats {
            requests: counters.requests.load(Relaxed),
            reads: counters.reads.load(Relaxed),
            writes: counters.writes.load(Relaxed),
            handed_over: self.mirror.passthrough.handed_over(),
        }
    }

    /// Takes it away and waits for its end: until nobody has anything open in it.
    ///
    /// # Errors
    /// What the system says.
    pub fn unmount(mut self) -> io::Result<()> {
        self.mountpoint.unmount()?;
        session::join(self.threads)
    }
}

/// What serves it.
#[derive(Debug)]
struct Mirror {
    nodes: Nodes,
    /// `/proc/self/fd`, through which a node is opened again.
    proc: File,
    /// Whose is what this process creates.
    own: Caller,
    files: Handles<OpenFile>,
    dirs: Handles<OpenDir>,
    passthrough: Passthrough,
    options: MirrorOptions,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
}

/// Raises the limit of descriptors as far as this process may.
fn more_descriptors() {
    /// What Linux allows a process at most, if nobody changed it (`fs.nr_open`).
    const MOST: u64 = 1 << 20;
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let to = |most| Rlimit {
        current: most,
        maximum: most,
    };
    let most = limit.maximum.map_or(MOST, |most| most.max(MOST));
    let raised = rustix::process::setrlimit(Resource::Nofile, to(Some(most)))
        .or_else(|_| rustix::process::setrlimit(Resource::Nofile, to(limit.maximum)));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of descriptors stays");
    }
}
