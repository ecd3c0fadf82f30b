//! Answers to the kernel.

mod listing;
mod structs;

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use crate::device::Device;
use crate::map::Piece;
use crate::wire::Out;

pub(crate) use listing::{DT_DIR, Name, Window, listing};
pub(crate) use structs::{ENTRY_OUT, NodeAttr, Room, dirent_len};

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
