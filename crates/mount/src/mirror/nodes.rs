//! What the kernel knows by a number: a descriptor for each, which pins the file and gives leave for nothing.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Statx, StatxFlags};
use rustix::io::Errno;

/// The kernel's number of the directory that is mirrored.
pub(super) const ROOT: u64 = 1;

/// Opened with `O_PATH`.
#[derive(Debug)]
pub(super) struct Node {
    fd: OwnedFd,
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A file as the system tells it from others: its disk's numbers and its own. It keeps it as long as a node holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FileId(u32, u32, u64);

impl From<&Statx> for FileId {
    fn from(stat: &Statx) -> Self {
        Self(stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino)
    }
}

#[derive(Debug)]
struct Held {
    node: Arc<Node>,
    id: FileId,
    /// Of the kernel's.
    references: u64,
}

#[derive(Debug)]
struct Table {
    held: HashMap<u64, Held>,
    numbers: HashMap<FileId, u64>,
    next: u64,
}

/// The nodes that the kernel knows.
#[derive(Debug)]
pub(super) struct Nodes {
    table: Mutex<Table>,
}

impl Nodes {
    /// With the root alone, which is never forgotten.
    pub(super) fn new(root: OwnedFd) -> Result<Self, Errno> {
        let stat = stat(&root)?;
        let nodes = Self {
            table: Mutex::new(Table {
                held: HashMap::new(),
                numbers: HashMap::new(),
                next: ROOT,
            }),
        };
        nodes.refer(root, &stat);
        Ok(nodes)
    }

    pub(super) fn get(&self, number: u64) -> Result<Arc<Node>, Errno> {
        let table = self.lock();
        let held = table.held.get(&number).ok_or(Errno::STALE)?;
        Ok(held.node.clone())
    }

    /// The number of a file, which the kernel gets one more reference to.
    pub(super) fn refer(&self, fd: OwnedFd, stat: &Statx) -> u64 {
        let id = FileId::from(stat);
        let mut table = self.lock();
        if let Some(number) = table.numbers.get(&id).copied()
            && let Some(held) = table.held.get_mut(&number)
        {
            held.references += 1;
            return number;
        }
        let number = table.next;
        table.next += 1;
        table.numbers.insert(id, number);
        let held = Held {
            node: Arc::new(Node { fd }),
            id,
            references: 1,
        };
        table.held.insert(number, held);
        number
    }

    pub(super) fn forget(&self, number: u64, references: u64) {
        let mut table = self.lock();
        let Some(held) = table.held.get_mut(&number) else {
            return;
        };
        held.references = held.references.saturating_sub(references);
        if held.references > 0 || number == ROOT {
            return;
        }
        if let Some(held) = table.held.remove(&number) {
            table.numbers.remove(&held.id);
            // Closed outside of the lock: it may be the end of a large file.
            drop(table);
            drop(held);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a descriptor stands for.
pub(super) fn stat(fd: impl AsFd) -> Result<Statx, Errno> {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
}
