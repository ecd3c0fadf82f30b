//! The journal of names: records one behind the other, each whole or not there.
//!
//! ```text
//!   0  head     "forebay names 1\n", or 2 with what is known of hidden files, which older programs must not change
//!  16  records  length of the payload (4), CRC32C of length and payload (4), payload
//! ```
//!
//! Numbers are little endian.

use std::sync::Arc;

use crc_fast::{CrcAlgorithm, Digest};
use forebay_disk::sys::write_some_at;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs;
use rustix::io::Errno;

use crate::overlay::record::{Change, MAX_PAYLOAD, encode};

/// First bytes of the file.
pub(crate) const HEAD: &[u8; 16] = b"forebay names 1\n";

/// First bytes of one that tells which versions of lower files are hidden.
pub(crate) const HEAD_WITH_LEDGER: &[u8; 16] = b"forebay names 2\n";

pub(crate) fn head(has_ledger: bool) -> &'static [u8; 16] {
    if has_ledger { HEAD_WITH_LEDGER } else { HEAD }
}

/// Bytes before a payload.
const FRAME: usize = 8;

/// Below this length a journal is never worth rewriting.
const SMALL: u64 = 1 << 20;

/// A journal this many times as long as what it leads to is rewritten.
const SLACK: u64 = 4;

/// Why nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAppended {
    /// The system said no; the file is as it was.
    Io(Errno),
    /// Something could not be set right once: the file may end in the middle of a record.
    Broken,
}

/// The open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    fd: Arc<OwnedFd>,
    len: u64,
    /// How much of it is known to be on disk for good, with all files that it needs.
    pub(crate) durable: u64,
    /// Length of a journal without history, when last written or looked at.
    least: u64,
    broken: bool,
    /// A sync failed: what is on disk is unknown until the file is written again.
    pub(crate) doubtful: bool,
}

impl Journal {
    pub(crate) fn new(fd: OwnedFd, len: u64, durable: u64, least: u64) -> Self {
        Self {
            fd: Arc::new(fd),
            len,
            durable,
            least,
            broken: false,
            doubtful: false,
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn fd(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.fd)
    }

    /// Appends one record. A process that is killed afterwards has not lost it.
    pub(crate) fn append(&mut self, changes: &[Change]) -> Result<(), NotAppended> {
        if self.broken {
            return Err(NotAppended::Broken);
        }
        let bytes = frame(changes);
        let failure = match write_some_at(&*self.fd, &bytes, self.len) {
            Ok(n) if n == bytes.len() => {
                self.len += bytes.len() as u64;
                return Ok(());
            }
            // Some was written and then no more: what there is room for is nothing.
            Ok(_) => Errno::NOSPC,
            Err(e) => e,
        };
        // A part of a record in the middle would be taken for damage later.
        if fs::ftruncate(&*self.fd, self.len).is_err() {
            self.broken = true;
        }
        Err(NotAppended::Io(failure))
    }

    /// Whether most of it is history.
    pub(crate) fn is_long(&self) -> bool {
        self.len > SMALL.max(self.least.saturating_mul(SLACK))
    }

    /// It could not be rewritten: not tried again before it has grown as much again.
    pub(crate) fn not_rewritten(&mut self) {
        self.least = self.len / 2;
    }
}

/// A record.
pub(crate) fn frame(changes: &[Change]) -> Vec<u8> {
    let mut bytes = vec![0; FRAME];
    for change in changes {
        encode(change, &mut bytes);
    }
    let len = bytes.len() - FRAME;
    debug_assert!(len <= MAX_PAYLOAD);
    bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
    let crc = crc(&bytes[..4], &bytes[FRAME..]);
    bytes[4..FRAME].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn crc(len: &[u8], payload: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(len);
    digest.update(payload);
    digest.finalize() as u32
}

/// The payload of the record at the start of `bytes`; `None` if there is no whole one.
fn payload(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_at_checked(FRAME)?;
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| head[at + i]));
    let len = word(0) as usize;
    if len == 0 || len > MAX_PAYLOAD {
        return None;
    }
    let payload = rest.get(..len)?;
    (word(4) == crc(&head[..4], payload)).then_some(payload)
}

/// The whole records of a file: where each begins, and its payload. Ends at the first that is none.
pub(crate) fn records(file: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut at = HEAD.len();
    std::iter::from_fn(move || {
        let payload = payload(file.get(at..)?)?;
        let start = at as u64;
        at += FRAME + payload.len();
        Some((start, payload))
    })
}

/// Where the record at `start` with this payload ends.
pub(crate) fn end_of(start: u64, payload: &[u8]) -> u64 {
    start + (FRAME + payload.len()) as u64
}

/// Whole records somewhere behind `at`: after damage nobody knows where the next begins, so every place is tried.
pub(crate) fn records_behind(file: &[u8], at: u64) -> impl Iterator<Item = (u64, &[u8])> {
    let mut at = usize::try_from(at).unwrap_or(usize::MAX).saturating_add(1);
    std::iter::from_fn(move || {
        while at < file.len() {
            let start = at;
            if let Some(payload) = payload(&file[start..]) {
                at += FRAME + payload.len();
                return Some((start as u64, payload));
            }
            at += 1;
        }
        None
    })
}

impl AsFd for Journal {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
