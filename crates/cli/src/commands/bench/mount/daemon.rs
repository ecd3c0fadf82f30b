//! Who serves a mount: a process of its own, so that its CPU time can be told.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use forebay_mount::{IoMode, MemoryMount, MountOptions};
use forebay_types::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::super::sample::cpu_time_of;
#[cfg(feature = "torrent")]
use super::super::sample::peak_rss_mib;
use super::super::worker::{helper, orders};
use super::{NAME, lost};
use crate::exit::{CliError, Result};

/// How long a mount may take to appear, and to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// A mounted directory and the process behind it. Unmounted, and the process ended, when dropped.
pub(in crate::commands::bench) struct Daemon {
    child: Child,
    dir: TempDir,
    what: String,
}

impl Daemon {
    /// Starts `command`, which mounts on the directory that it is given, in the foreground, and waits until that is seen.
    pub(in crate::commands::bench) fn start(what: &str, dir: TempDir, command: &mut Command) -> Result<Self> {
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

    pub(in crate::commands::bench) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What it has used of the CPUs.
    pub(in crate::commands::bench) fn cpu(&self) -> Duration {
        cpu_time_of(self.child.id())
    }

    /// The most memory that it ever had.
    #[cfg(feature = "torrent")]
    pub(in crate::commands::bench) fn peak_rss_mib(&self) -> f64 {
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

/// Serves until standard input ends, in this process.
pub(in crate::commands::bench) fn memory() -> Result<()> {
    let orders: Memory = orders()?;
    let options = MountOptions {
        source: NAME.to_owned(),
        io: if orders.direct {
            IoMode::Direct
        } else {
            IoMode::Pages
        },
        ..MountOptions::default()
    };
    // Each page its own, as a file has them.
    let bytes = vec![1; orders.size as usize];
    let mount = MemoryMount::start(&orders.dir, bytes, &options)?;
    let failed = |e: std::io::Error| CliError::new(e.kind().into(), e.to_string());
    std::io::stdin().read_to_end(&mut Vec::new()).map_err(failed)?;
    mount.unmount().map_err(failed)
}
