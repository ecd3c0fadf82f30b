//! Who serves a mount: a process of its own, so that its CPU time can be told.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use forebay_mount::{IoMode, MemoryMount, MirrorMount, MirrorOptions, MountOptions};
use forebay_types::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::program::lost;
#[cfg(feature = "torrent")]
use super::sample::peak_rss_mib;
use super::sample::{anonymous_mib, cpu_time_of};
use super::worker::{helper, orders};
use crate::exit::{CliError, Result};

/// The file in a mounted directory of the server that does nothing.
pub(super) const NAME: &str = MemoryMount::NAME;

/// How long a mount may take to appear, and to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// A mounted directory and the process behind it. Unmounted, and the process ended, when dropped.
pub(super) struct Daemon {
    child: Child,
    dir: TempDir,
    what: String,
}

impl Daemon {
    /// Starts `command`, which mounts on the directory that it is given, in the foreground, and waits until that is seen.
    pub(super) fn start(what: &str, dir: TempDir, command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| lost(&format!("cannot start {what}"), &e))?;
        Self::wait_for(what, dir, child)
    }

    /// A server that does nothing but answer from memory.
    pub(super) fn memory(dir: TempDir, size: u64, io: IoMode) -> Result<Self> {
        let orders = Memory {
            dir: dir.path().to_owned(),
            size,
            direct: io == IoMode::Direct,
        };
        let child = helper("memory", &orders)?;
        Self::wait_for("the server that does nothing", dir, child)
    }

    /// A file system that forwards each operation to the directory `shown`.
    pub(super) fn mirror(dir: TempDir, shown: &Path, io: IoMode) -> Result<Self> {
        let orders = Mirror {
            dir: dir.path().to_owned(),
            shown: shown.to_owned(),
            direct: io == IoMode::Direct,
        };
        let child = helper("mirror", &orders)?;
        Self::wait_for("the mirror", dir, child)
    }

    fn wait_for(what: &str, dir: TempDir, child: Child) -> Result<Self> {
        let mut daemon = Self {
            child,
            dir,
            what: what.to_owned(),
        };
        let parent = daemon.dir.path().parent().unwrap_or(Path::new("/"));
        let around = device(parent);
        let clock = SystemClock::new();
        while device(daemon.dir.path()) == around {
            let ended = daemon.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || clock.now() > PATIENCE {
                return Err(lost(what, &"it did not mount"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(daemon)
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What it has used of the CPUs.
    pub(super) fn cpu(&self) -> Duration {
        cpu_time_of(self.child.id())
    }

    /// The memory that it has, but for files, in MiB.
    pub(super) fn anonymous_mib(&self) -> f64 {
        anonymous_mib(&self.child.id().to_string())
    }

    /// The most memory that it ever had.
    #[cfg(feature = "torrent")]
    pub(super) fn peak_rss_mib(&self) -> f64 {
        peak_rss_mib(&self.child.id().to_string())
    }
}

/// The number of the file system at a path; none if it cannot be told.
fn device(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|metadata| metadata.dev())
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The end of its input is the end of a helper, the signal that of the others.
        drop(self.child.stdin.take());
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let clock = SystemClock::new();
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if clock.now() > PATIENCE {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // What it left mounted would keep the directory from going.
        while forebay_mount::unmount(self.dir.path(), true).is_ok() {
            tracing::debug!(what = self.what, "left its mount behind");
        }
    }
}

/// Orders for the server that does nothing.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    dir: PathBuf,
    size: u64,
    direct: bool,
}

/// Orders for the one that forwards.
#[derive(Debug, Serialize, Deserialize)]
struct Mirror {
    dir: PathBuf,
    shown: PathBuf,
    direct: bool,
}

/// Serves a file in memory until standard input ends, in this process.
pub(super) fn memory() -> Result<()> {
    let orders: Memory = orders()?;
    let options = MountOptions {
        source: NAME.to_owned(),
        io: io(orders.direct),
        ..MountOptions::default()
    };
    // Each page its own, as a file has them.
    let bytes = vec![1; orders.size as usize];
    let mount = MemoryMount::start(&orders.dir, bytes, &options)?;
    until_the_end()?;
    mount.unmount().map_err(|error| failed(&error))
}

/// Serves a directory until standard input ends, in this process.
pub(super) fn mirror() -> Result<()> {
    let orders: Mirror = orders()?;
    let mut options = MirrorOptions::default();
    options.mount.io = io(orders.direct);
    let mirror = MirrorMount::start(&orders.shown, &orders.dir, &options)?;
    until_the_end()?;
    mirror.unmount().map_err(|error| failed(&error))
}

fn io(direct: bool) -> IoMode {
    if direct { IoMode::Direct } else { IoMode::Pages }
}

fn until_the_end() -> Result<()> {
    let read = std::io::stdin().read_to_end(&mut Vec::new());
    read.map(drop).map_err(|error| failed(&error))
}

fn failed(error: &std::io::Error) -> CliError {
    CliError::new(error.kind().into(), error.to_string())
}
