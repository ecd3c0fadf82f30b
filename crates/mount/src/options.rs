//! How a tree is mounted.

use std::path::PathBuf;
use std::time::Duration;

/// How a file is read that is not handed to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoMode {
    /// The kernel reads ahead into its page cache: small reads and later ones cost little, and the first of each page a
    /// copy and its bookkeeping.
    #[default]
    Pages,
    /// Each read of a program is a request, of its size: a third of the CPU time for large ones, a round trip for each
    /// small one. What is read is not kept by the kernel a second time.
    Direct,
}

/// Settings of a mount.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// What is shown as the device in the list of mounts. Without secrets.
    pub source: String,
    /// Threads that answer the kernel.
    pub threads: usize,
    /// Whether other users may look into it, as far as modes let them.
    pub allow_other: bool,
    /// Who owns everything in it.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// How long a program waits for bytes or names before it gets ETIMEDOUT.
    pub read_timeout: Duration,
    /// Requests of read-ahead that the kernel has under way at a time.
    pub max_background: u16,
    /// Bytes that the kernel reads ahead of a program by itself; more than it offers (128 KiB) as root only, by the
    /// mount's `read_ahead_kb`.
    pub max_readahead: u32,
    /// How files are read that are not handed to the kernel.
    pub io: IoMode,
    /// Whether files that lie whole on a local disk are handed to the kernel, which then reads them without us.
    pub passthrough: bool,
}

/// Settings of a mount that can be written to.
#[derive(Clone, Debug)]
pub struct WritableOptions {
    /// How it is mounted. Owners have no meaning here: those of the merged tree are shown. `passthrough` is for files
    /// that lie above, which the kernel reads and writes without us then.
    pub mount: MountOptions,
    /// The directory where the changes are: how much room there is on its file system is how much there is in the mount.
    pub overlay: PathBuf,
    /// So often names and attributes are made durable if any were changed: a power loss takes no more than that. At
    /// least 10 ms. What is in files is made durable by programs, and when the mount ends.
    pub sync_interval: Duration,
}

impl Default for MountOptions {
    /// Two threads: one answers while the other copies. 64 requests in the background, as other mounts of object stores
    /// have: at the kernel's 12 a cold read of many files waits for itself.
    fn default() -> Self {
        Self {
            source: "forebay".to_owned(),
            threads: 2,
            allow_other: false,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            read_timeout: Duration::from_secs(30),
            max_background: 64,
            max_readahead: 1 << 20,
            io: IoMode::default(),
            passthrough: true,
        }
    }
}
