//! The loop: threads that take requests from the kernel and hand them to the file system.
//!
//! Our own rather than a crate's: the one that there is (fuser 0.18) leaves out INTERRUPT, so that a program on a dead
//! server cannot be killed, and takes 16 MiB for each thread (docs/decisions/0009-fuse-session.md).

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::io::Errno;

use crate::abi::{self, init};
use crate::device::Device;
use crate::mount::MountError;
use crate::mountpoint::{MAX_READ, Mountpoint, Refused};
use crate::options::MountOptions;
use crate::reply::Reply;
use crate::request::{Op, Request};
use crate::wire::Out;

/// Bytes of a request: names of 255 bytes, and no writes. The kernel insists on 8 KiB.
const REQUEST: usize = 64 << 10;

/// Who answers.
pub(crate) trait Serve: Send + Sync + 'static {
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
    pub(crate) fn open(path: &Path, options: &MountOptions) -> Result<Self, MountError> {
        let mounted = Mountpoint::mount(path, options);
        let (device, mountpoint) = mounted.map_err(|refused| match refused {
            Refused::Device(source) => MountError::Device { source },
            Refused::Directory(source) => MountError::Mount {
                path: forebay_types::printable(&path.to_string_lossy()).into_owned(),
                source,
            },
        })?;
        let device = Arc::new(device);
        let agreed = greet(&device, options).map_err(|source| MountError::Session { source })?;
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

/// The first request, which the kernel sends before anything else.
fn greet(device: &Arc<Device>, options: &MountOptions) -> io::Result<Agreed> {
    let mut buffer = vec![0; REQUEST];
    loop {
        let Some(len) = device.receive(&mut buffer)? else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let cut = |_| io::Error::from(io::ErrorKind::InvalidData);
        let request = Request::parse(&buffer[..len]).map_err(cut)?;
        let reply = Reply::new(device.clone(), request.unique);
        let Op::Init {
            major,
            minor,
            max_readahead,
            flags,
        } = request.op
        else {
            reply.error(Errno::IO);
            return Err(io::ErrorKind::InvalidData.into());
        };
        if major > abi::MAJOR {
            // It speaks of a protocol to come and asks again with ours.
            reply.out(&Out::default().u32(abi::MAJOR).u32(abi::MINOR).zeros(56));
            continue;
        }
        // Before 7.23 answers were shorter; such kernels (3.15) are long gone.
        if major < abi::MAJOR || minor < 23 {
            reply.error(Errno::PROTO);
            return Err(io::Error::other(format!(
                "the kernel's FUSE {major}.{minor} is too old"
            )));
        }
        // Names always come with their attributes, which are known: left to itself the kernel asks for them with the first
        // few names only, and for each of the others alone, when `ls -l` has read them all.
        let wanted = init::ASYNC_READ
            // Without it the kernel mistakes where a ring's read at the end of a file goes on (FOPEN_DIRECT_IO).
            | init::ASYNC_DIO
            | init::DO_READDIRPLUS
            | init::PARALLEL_DIROPS
            | init::ABORT_ERROR
            | init::MAX_PAGES
            | init::CACHE_SYMLINKS
            | init::EXPLICIT_INVAL_DATA
            | init::DIRECT_IO_ALLOW_MMAP
            | init::INIT_EXT
            | if options.passthrough { init::PASSTHROUGH } else { 0 };
        let agreed = wanted & flags;
        let passthrough = agreed & init::PASSTHROUGH != 0;
        let out = Out::default()
            .u32(abi::MAJOR)
            .u32(abi::MINOR)
            .u32(max_readahead.min(options.max_readahead))
            .u32(agreed as u32)
            .u16(options.max_background)
            .u16(options.max_background / 4 * 3)
            // Nothing is written.
            .u32(4096)
            // Times are as fine as they come.
            .u32(1)
            .u16((MAX_READ / 4096) as u16)
            .u16(0)
            .u32((agreed >> 32) as u32)
            // A backing file may itself lie on an overlayfs.
            .u32(if passthrough { 2 } else { 0 })
            .zeros(24);
        reply.out(&out);
        return Ok(Agreed { minor, passthrough });
    }
}

/// Starts the threads. They end when the file system is unmounted.
pub(crate) fn start(
    device: &Arc<Device>,
    fs: &Arc<impl Serve>,
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
                .spawn(move || serve(&queue, &fs))
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

fn serve(device: &Arc<Device>, fs: &Arc<impl Serve>) -> io::Result<()> {
    let mut buffer = vec![0; REQUEST];
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
            }
        }
    }
    Ok(())
}
