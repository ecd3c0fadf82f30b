//! What kernel and daemon agree on.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::{Access, Agreed, MAX_WRITE};
use crate::abi::{self, init};
use crate::device::Device;
use crate::mountpoint::MAX_READ;
use crate::options::MountOptions;
use crate::reply::Reply;
use crate::request::{Op, Request};
use crate::wire::Out;

/// The first request, which the kernel sends before anything else.
pub(super) fn greet(device: &Arc<Device>, options: &MountOptions, access: Access) -> io::Result<Agreed> {
    let mut buffer = vec![0; access.request()];
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
        let wanted = wanted(options, access);
        let agreed = wanted & flags;
        let passthrough = agreed & init::PASSTHROUGH != 0;
        let out = Out::default()
            .u32(abi::MAJOR)
            .u32(abi::MINOR)
            .u32(max_readahead.min(options.max_readahead))
            .u32(agreed as u32)
            .u16(options.max_background)
            .u16(options.max_background / 4 * 3)
            .u32(match access {
                // Nothing is written; the kernel does not take less.
                Access::ReadOnly => 4096,
                Access::Writable => MAX_WRITE,
            })
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

/// What we ask for; the kernel may know less.
fn wanted(options: &MountOptions, access: Access) -> u64 {
    let all = init::ASYNC_READ
        // Without it the kernel mistakes where a ring's read at the end of a file goes on (FOPEN_DIRECT_IO).
        | init::ASYNC_DIO
        // Names always come with their attributes, which are known: left to itself (READDIRPLUS_AUTO) the kernel asks for
        // them with the first few names only, and for each of the others alone, when `ls -l` has read them all.
        | init::DO_READDIRPLUS
        | init::PARALLEL_DIROPS
        | init::ABORT_ERROR
        | init::MAX_PAGES
        | init::CACHE_SYMLINKS
        // Pages stay when the time of a file moves, as it does with every write.
        | init::EXPLICIT_INVAL_DATA
        | init::DIRECT_IO_ALLOW_MMAP
        | init::INIT_EXT
        | if options.passthrough { init::PASSTHROUGH } else { 0 };
    // Not asked for: a cache of writes in the kernel (it forbids passthrough, and its sizes and times would be the kernel's
    // to decide); locks, which the kernel keeps by itself; modes without the program's mask taken off.
    let writable = init::ATOMIC_O_TRUNC
        | init::BIG_WRITES
        // We take set-user-id bits off with a write. The kernel would ask for each write whether the file has more to take.
        | init::HANDLE_KILLPRIV_V2;
    match access {
        Access::ReadOnly => all,
        Access::Writable => all | writable,
    }
}
