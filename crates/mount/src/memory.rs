//! A file system of one file that lies in memory, and nothing more: what the way from the kernel to a daemon and back costs
//! by itself. The measure for the daemon's side of a mount (`forebay bench mount`).

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::Errno;

use crate::abi::fopen;
use crate::mount::MountError;
use crate::mountpoint::Mountpoint;
use crate::options::{IoMode, MountOptions};
use crate::reply::{NodeAttr, Reply};
use crate::request::{Op, Request};
use crate::session::{self, Access, Serve, Session};
use crate::wire::{Out, Time};

/// The root, and the file in it.
const ROOT: u64 = 1;
const FILE: u64 = 2;

/// A mounted file [`MemoryMount::NAME`]. Dropping it unmounts.
#[derive(Debug)]
pub struct MemoryMount {
    mountpoint: Mountpoint,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl MemoryMount {
    /// What the file is called.
    pub const NAME: &str = "file";

    /// Mounts a file with these bytes on the directory `path`, served directly or through the kernel's pages.
    ///
    /// # Errors
    /// [`MountError`]; nothing is mounted then.
    pub fn start(path: &Path, bytes: Vec<u8>, options: &MountOptions) -> Result<Self, MountError> {
        let session = Session::open(path, options, Access::ReadOnly)?;
        let file = Arc::new(Memory {
            bytes,
            direct: options.io == IoMode::Direct,
        });
        let threads = session::start(&session.device, &file, Access::ReadOnly, options.threads);
        let threads = threads.map_err(|source| MountError::Session { source })?;
        session.read_ahead(options.max_readahead);
        Ok(Self {
            mountpoint: session.mountpoint,
            threads,
        })
    }

    /// Takes it away and waits for its end.
    ///
    /// # Errors
    /// What the system says.
    pub fn unmount(mut self) -> io::Result<()> {
        self.mountpoint.unmount()?;
        session::join(self.threads)
    }
}

#[derive(Debug)]
struct Memory {
    bytes: Vec<u8>,
    direct: bool,
}

impl Memory {
    fn attr(&self, ino: u64) -> NodeAttr {
        let (size, mode) = match ino {
            ROOT => (0, 0o040_555),
            _ => (self.bytes.len() as u64, 0o100_444),
        };
        NodeAttr {
            node: ino,
            ino,
            size,
            blocks: size.div_ceil(NodeAttr::SECTOR),
            accessed: Time::default(),
            modified: Time::default(),
            changed: Time::default(),
            mode,
            nlink: 1,
            uid: 0,
            gid: 0,
            device: 0,
            block_size: NodeAttr::BLOCK_SIZE,
            valid: Duration::MAX,
            entry_valid: Duration::MAX,
        }
    }
}

impl Serve for Memory {
    fn serve(self: &Arc<Self>, request: Request<'_>, reply: Reply, _: &mut [u8]) {
        match request.op {
            Op::Read { offset, size, .. } => {
                let rest = self.bytes.get(offset as usize..).unwrap_or_default();
                reply.bytes(&[&rest[..rest.len().min(size as usize)]]);
            }
            Op::Lookup { name } if request.node == ROOT && name == MemoryMount::NAME => {
                reply.out(&Out::default().entry(&self.attr(FILE)));
            }
            Op::Lookup { .. } => reply.error(Errno::NOENT),
            Op::GetAttr => {
                reply.out(&Out::default().attr(&self.attr(request.node)));
            }
            Op::Open { .. } => {
                let direct = if self.direct { fopen::DIRECT_IO } else { 0 };
                reply.out(&Out::default().open(1, fopen::KEEP_CACHE | direct, 0));
            }
            Op::Forget { .. } | Op::BatchForget { .. } => reply.none(),
            Op::Release { .. } | Op::Destroy => reply.ok(),
            _ => reply.error(Errno::NOSYS),
        }
    }
}
