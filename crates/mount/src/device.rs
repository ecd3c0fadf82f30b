//! `/dev/fuse`: where requests come from and answers go to.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::abi;
use crate::map::Piece;

/// One queue of a session.
#[derive(Debug)]
pub(crate) struct Device {
    file: File,
}

impl Device {
    /// A device that no session has yet.
    pub(crate) fn open() -> io::Result<Self> {
        let file = File::options().read(true).write(true).open("/dev/fuse")?;
        Ok(Self { file })
    }

    /// Another queue of the same session: threads that read from one would wait for each other.
    pub(crate) fn another(&self) -> io::Result<Self> {
        let other = Self::open()?;
        let session = self.file.as_raw_fd() as u32;
        // SAFETY: the ioctl reads one number, which lives until it returns.
        let cloned =
            unsafe { libc::ioctl(other.file.as_raw_fd(), abi::IOC_CLONE.into(), &raw const session) };
        if cloned < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(other)
    }

    /// Waits for a request. `None`: there will be no more, the file system is unmounted.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut is_aborted = false;
        loop {
            match rustix::io::read(&self.file, &mut *buffer) {
                Ok(len) => return Ok(Some(len)),
                // Interrupted, or the request was taken back before it was read.
                Err(Errno::INTR | Errno::NOENT | Errno::AGAIN) => {}
                Err(Errno::NODEV) => return Ok(None),
                // Either the session was ended by force, which is said each time; or it was unmounted while a request was on
                // its way out, which is said once.
                Err(Errno::CONNABORTED) if !is_aborted => is_aborted = true,
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Sends an answer: its header and its bytes in one message.
    pub(crate) fn send(&self, unique: u64, error: i32, body: &[&[u8]]) -> io::Result<()> {
        let header = header(unique, error, body.iter().map(|part| part.len()).sum());
        let slices = std::iter::once(&header[..]).chain(body.iter().copied());
        let slices: Vec<io::IoSlice<'_>> = slices.map(io::IoSlice::new).collect();
        rustix::io::writev(&self.file, &slices)?;
        Ok(())
    }

    /// Sends an answer whose bytes are a piece of a mapped file.
    pub(crate) fn send_mapped(&self, unique: u64, piece: Piece) -> io::Result<()> {
        let mut header = header(unique, 0, piece.len);
        let parts = [
            libc::iovec {
                iov_base: header.as_mut_ptr().cast(),
                iov_len: header.len(),
            },
            libc::iovec {
                iov_base: piece.start.cast_mut(),
                iov_len: piece.len,
            },
        ];
        // SAFETY: the call reads two pieces of memory: one lives until it returns, the other is mapped as long as the piece's
        // file is open, which it is while it is answered.
        let sent = unsafe { libc::writev(self.file.as_raw_fd(), parts.as_ptr(), 2) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Makes a file known that the kernel may read by itself; its number.
    pub(crate) fn back(&self, file: BorrowedFd<'_>) -> io::Result<u32> {
        /// `struct fuse_backing_map`.
        #[repr(C)]
        struct Map {
            fd: i32,
            flags: u32,
            padding: u64,
        }
        let map = Map {
            fd: file.as_raw_fd(),
            flags: 0,
            padding: 0,
        };
        // SAFETY: the ioctl reads the struct, which lives until it returns.
        let id = unsafe {
            libc::ioctl(
                self.file.as_raw_fd(),
                abi::IOC_BACKING_OPEN.into(),
                &raw const map,
            )
        };
        u32::try_from(id).map_err(|_| io::Error::last_os_error())
    }

    /// Forgets such a file.
    pub(crate) fn unback(&self, id: u32) {
        // SAFETY: the ioctl reads one number, which lives until it returns.
        let closed = unsafe {
            libc::ioctl(
                self.file.as_raw_fd(),
                abi::IOC_BACKING_CLOSE.into(),
                &raw const id,
            )
        };
        if closed < 0 {
            let error = io::Error::last_os_error();
            tracing::debug!(%error, id, "a backing file could not be taken back");
        }
    }
}

/// `struct fuse_out_header`, for an answer with so many bytes.
fn header(unique: u64, error: i32, body: usize) -> [u8; abi::OUT_HEADER] {
    let mut header = [0; abi::OUT_HEADER];
    header[..4].copy_from_slice(&((abi::OUT_HEADER + body) as u32).to_ne_bytes());
    header[4..8].copy_from_slice(&error.to_ne_bytes());
    header[8..].copy_from_slice(&unique.to_ne_bytes());
    header
}

impl From<OwnedFd> for Device {
    /// One that somebody else opened and mounted.
    fn from(device: OwnedFd) -> Self {
        Self { file: device.into() }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
