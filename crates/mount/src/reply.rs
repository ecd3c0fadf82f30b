//! Answers to the kernel.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use crate::device::Device;
use crate::map::Piece;
use crate::wire::Out;

/// Leave to answer one request, once, from any thread. Dropped unused it answers EIO: a request without an answer would
/// hang its program for ever.
#[derive(Debug)]
pub(crate) struct Reply {
    device: Arc<Device>,
    unique: u64,
    sent: bool,
}

impl Reply {
    pub(crate) fn new(device: Arc<Device>, unique: u64) -> Self {
        Self {
            device,
            unique,
            sent: false,
        }
    }

    /// The number of the request.
    pub(crate) fn unique(&self) -> u64 {
        self.unique
    }

    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Answers with bytes. Whether the kernel took them; it does not if the request is not wanted any more.
    pub(crate) fn bytes(self, body: &[&[u8]]) -> bool {
        self.send(0, body)
    }

    /// Answers with bytes in the chunks in which they came.
    pub(crate) fn chunks(self, chunks: &[bytes::Bytes]) -> bool {
        if chunks.len() > MOST_PARTS {
            return self.send(0, &[&chunks.concat()]);
        }
        let parts: Vec<&[u8]> = chunks.iter().map(AsRef::as_ref).collect();
        self.send(0, &parts)
    }

    /// Answers with a piece of a mapped file.
    pub(crate) fn mapped(mut self, piece: Piece) -> bool {
        self.sent = true;
        sent(&self.device.send_mapped(self.unique, piece), self.unique)
    }

    /// Answers with what was put together.
    pub(crate) fn out(self, out: &Out) -> bool {
        self.send(0, &[&out.0])
    }

    /// Answers that it is done.
    pub(crate) fn ok(self) {
        self.send(0, &[]);
    }

    pub(crate) fn error(self, errno: Errno) {
        self.send(-errno.raw_os_error(), &[]);
    }

    /// There is no answer to this one.
    pub(crate) fn none(mut self) {
        self.sent = true;
    }

    fn send(mut self, error: i32, body: &[&[u8]]) -> bool {
        self.sent = true;
        sent(&self.device.send(self.unique, error, body), self.unique)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.sent {
            let errno = Errno::IO.raw_os_error();
            sent(&self.device.send(self.unique, -errno, &[]), self.unique);
        }
    }
}

fn sent(outcome: &io::Result<()>, unique: u64) -> bool {
    if let Err(error) = outcome {
        // Interrupted meanwhile, or unmounted: nobody waits for it.
        tracing::debug!(%error, unique, "an answer is not wanted");
    }
    outcome.is_ok()
}

/// Parts of one answer: the kernel takes 1024 with the header (UIO_MAXIOV).
const MOST_PARTS: usize = 1000;

/// What the kernel is told of a node's attributes; `struct fuse_attr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeAttr {
    pub(crate) ino: u64,
    pub(crate) size: u64,
    /// Time of its last change, since 1970. Access and status have the same.
    pub(crate) modified: Duration,
    /// Kind and permissions.
    pub(crate) mode: u32,
    pub(crate) nlink: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// For how long the kernel may believe it.
    pub(crate) valid: Duration,
}

/// What st_blocks counts in.
const SECTOR: u64 = 512;

/// What programs should read at a time: 1 MiB is one request.
const BLOCK_SIZE: u32 = 1 << 20;

/// Bytes of `struct fuse_entry_out`.
pub(crate) const ENTRY_OUT: usize = 128;

/// The longest that the kernel is told to believe something: it stands for ever, and fits whatever it is converted to.
const LONGEST: Duration = Duration::from_secs(1 << 31);

impl Out {
    /// `struct fuse_attr`.
    fn node_attr(self, attr: &NodeAttr) -> Self {
        let (seconds, nanos) = (attr.modified.as_secs(), attr.modified.subsec_nanos());
        self.u64(attr.ino)
            .u64(attr.size)
            .u64(attr.size.div_ceil(SECTOR))
            .u64(seconds)
            .u64(seconds)
            .u64(seconds)
            .u32(nanos)
            .u32(nanos)
            .u32(nanos)
            .u32(attr.mode)
            .u32(attr.nlink)
            .u32(attr.uid)
            .u32(attr.gid)
            .u32(0)
            .u32(BLOCK_SIZE)
            .u32(0)
    }

    /// `struct fuse_entry_out`.
    pub(crate) fn entry(self, attr: &NodeAttr) -> Self {
        let valid = attr.valid.min(LONGEST);
        self.u64(attr.ino)
            .u64(1)
            .u64(valid.as_secs())
            .u64(valid.as_secs())
            .u32(valid.subsec_nanos())
            .u32(valid.subsec_nanos())
            .node_attr(attr)
    }

    /// A name that is not there, and how long that may be believed.
    pub(crate) fn no_entry(self, valid: Duration) -> Self {
        let valid = valid.min(LONGEST);
        self.u64(0)
            .u64(0)
            .u64(valid.as_secs())
            .u64(0)
            .u32(valid.subsec_nanos())
            .u32(0)
            .zeros(88)
    }

    /// `struct fuse_attr_out`.
    pub(crate) fn attr(self, attr: &NodeAttr) -> Self {
        let valid = attr.valid.min(LONGEST);
        self.u64(valid.as_secs())
            .u32(valid.subsec_nanos())
            .u32(0)
            .node_attr(attr)
    }

    /// `struct fuse_open_out`.
    pub(crate) fn open(self, handle: u64, flags: u32, backing: u32) -> Self {
        self.u64(handle).u32(flags).u32(backing)
    }

    /// `struct fuse_dirent`; `next` is the offset of what comes after it.
    pub(crate) fn dirent(self, ino: u64, next: u64, kind: u32, name: &[u8]) -> Self {
        self.u64(ino)
            .u64(next)
            .u32(name.len() as u32)
            .u32(kind)
            .bytes(name)
            .pad(8)
    }
}

/// Bytes of a `struct fuse_dirent` with a name of this length.
pub(crate) fn dirent_len(name: usize) -> usize {
    (24 + name).next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_have_the_kernels_sizes() {
        let attr = NodeAttr {
            ino: 2,
            size: 1000,
            modified: Duration::new(5, 6),
            mode: 0o100_444,
            nlink: 1,
            uid: 3,
            gid: 4,
            valid: Duration::MAX,
        };
        assert_eq!(Out::default().entry(&attr).0.len(), ENTRY_OUT);
        assert_eq!(Out::default().no_entry(Duration::ZERO).0.len(), ENTRY_OUT);
        assert_eq!(Out::default().attr(&attr).0.len(), 104);
        assert_eq!(Out::default().open(1, 2, 3).0.len(), 16);
        for name in 0..20 {
            let out = Out::default().dirent(1, 2, 8, &vec![b'x'; name]);
            assert_eq!(out.0.len(), dirent_len(name));
        }
    }
}
