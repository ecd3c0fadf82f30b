//! The loop: threads that take requests from the kernel and hand them to the file system.
//!
//! Our own rather than a crate's: the one that there is (fuser 0.18) leaves out INTERRUPT, so that a program on a dead
//! server cannot be killed, and takes 16 MiB for each thread (docs/decisions/0009-fuse-session.md).

mod greet;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::io::Errno;

use crate::device::Device;
use crate::mount::MountError;
use crate::mountpoint::{MAX_READ, Mountpoint, Refused};
use crate::options::MountOptions;
use crate::reply::Reply;
use crate::request::Request;

use greet::greet;

/// What programs may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    /// Who may do what is the kernel's to decide, by modes and owners.
    Writable,
}

impl Access {
    /// Bytes of a request: names of 255 bytes, and the kernel insists on 8 KiB; with writes, the longest one and what comes
    /// before it.
    fn request(self) -> usize {
        match self {
            Self::ReadOnly => 64 << 10,
            Self::Writable => (MAX_WRITE as usize) + (4 << 10),
        }
    }
}

/// The longest write in bytes, as long as a read.
const MAX_WRITE: u32 = MAX_READ;

/// Who answers.
pub(crate) trait Serve: Send + Sync + 'static {
    /// Called by each thread before it serves.
    ///
    /// # Errors
    /// The thread ends with it, and with it the session.
    fn begin(&self) -> io::Result<()> {
        Ok(())
    }

    /// Answers a request, now or later. `scratch` is memory for bytes on their way.
    fn serve(self: &Arc<Self>, request: Request<'_>, reply: Reply, scratch: &mut [u8]);
}

/// What kernel and daemon agreed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreed {
    /// The kernel's protocol.
    pub(crate) minor: u32,
    /// Whether files can be handed to the kernel.
    pub(crate) passthrough: bool,
}

/// A mounted device that the kernel has been greeted on.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) device: Arc<Device>,
    pub(crate) mountpoint: Mountpoint,
    pub(crate) agreed: Agreed,
}

impl Session {
    /// Mounts a session on the directory `path` and agrees with the kernel on how to speak.
    pub(crate) fn open(path: &Path, options: &MountOptions, access: Access) -> Result<Self, MountError> {
        let mounted = Mountpoint::mount(path, options, access);
        let (device, mountpoint) = mounted.map_err(|refused| match refused {
            Refused::Device(source) => MountError::Device { source },
            Refused::Directory(source) => MountError::Mount {
                path: forebay_types::printable(&path.to_string_lossy()).into_owned(),
                source,
            },
        })?;
        let device = Arc::new(device);
        let agreed = greet(&device, options, access).map_err(|source| MountError::Session { source })?;
        tracing::info!(
            path = %mountpoint.path().display(),
            kernel = format!("7.{}", agreed.minor),
            passthrough = agreed.passthrough,
            "mounted"
        );
        Ok(Self {
            device,
            mountpoint,
            agreed,
        })
    }

    /// Lets the kernel read ahead of programs in requests of up to so many bytes. The session must be answering.
    pub(crate) fn read_ahead(&self, bytes: u32) {
        if let Err(error) = self.mountpoint.read_ahead(bytes) {
            tracing::debug!(%error, "the kernel keeps its own read-ahead");
        }
    }
}

/// Starts the threads. They end when the file system is unmounted.
pub(crate) fn start(
    device: &Arc<Device>,
    fs: &Arc<impl Serve>,
    access: Access,
    threads: usize,
) -> io::Result<Vec<JoinHandle<io::Result<()>>>> {
    (0..threads.max(1))
        .map(|number| {
            let queue = match number {
                0 => device.clone(),
                _ => match device.another() {
                    Ok(queue) => Arc::new(queue),
                    // Without root the device may not be ours to open: one queue for all.
                    Err(error) => {
                        tracing::debug!(%error, "the threads share a queue");
                        device.clone()
                    }
                },
            };
            let fs = fs.clone();
            std::thread::Builder::new()
                .name(format!("forebay-fuse-{number}"))
                .spawn(move || serve(&queue, &fs, access))
        })
        .collect()
}

/// Waits until all threads have ended; the first error of one.
pub(crate) fn join(threads: Vec<JoinHandle<io::Result<()>>>) -> io::Result<()> {
    let mut outcome = Ok(());
    for thread in threads {
        let ended = thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        outcome = outcome.and(ended);
    }
    outcome
}

fn serve(device: &Arc<Device>, fs: &Arc<impl Serve>, access: Access) -> io::Result<()> {
    fs.begin()?;
    let mut buffer = vec![0; access.request()];
    // Bytes on their way to the kernel; touched once and used for every read of this thread.
    let mut scratch = vec![0; MAX_READ as usize];
    while let Some(len) = device.receive(&mut buffer)? {
        match Request::parse(&buffer[..len]) {
            Ok(request) => {
                let reply = Reply::new(device.clone(), request.unique);
                fs.serve(request, reply, &mut scratch);
            }
            Err(_) => {
                tracing::error!(len, "the kernel sent a request that is cut short");
                if let Some(unique) = Request::number(&buffer[..len]) {
                    Reply::new(device.clone(), unique).error(Errno::IO);
                }
            }
        }
    }
    Ok(())
}
