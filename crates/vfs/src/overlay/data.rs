//! The content of a file that was changed: a file of its own on the local disk, and a map of what is in it.

mod content;
mod copy;
mod present;
mod space;
mod sync;

pub(crate) use content::Content;
pub use copy::Copied;
pub use present::Present;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use forebay_disk::sys::{read_at, write_at, write_some_at};
use forebay_types::{BlockRange, ByteRange};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use crate::overlay::attrs::{Data, NodeId};
use crate::overlay::error::UpperError;
use crate::overlay::map::{Block, Map};
use crate::overlay::record::Change;
use crate::overlay::shared::{Dead, Shared};
use crate::overlay::sys::{nanos, size_of};

/// Largest offset of a file on Linux.
const MAX_OFFSET: u64 = i64::MAX as u64;

/// The content of a file, open. Everybody who has the file open has the same. The file stays, though its last name goes,
/// until the last of them drops it.
#[derive(Debug)]
pub struct DataFile {
    shared: Arc<Shared>,
    id: NodeId,
    fd: OwnedFd,
    content: RwLock<Content>,
    /// One sync at a time: what an older one knows is never written over what a newer one does.
    syncing: std::sync::Mutex<()>,
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadData {
    /// So many bytes were read; fewer than asked for only at the end of the file.
    Present(usize),
    /// Nothing was read: these bytes, whole blocks up to the limit, must come from below first. See [`DataFile::fill`].
    Absent(ByteRange),
}

/// What came of a change of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It was done, for so many bytes from its start, which are there to be read. Less than all only if the disk was full or
    /// failed then.
    Done(u64),
    /// Nothing was done: blocks are only partly covered, so these bytes must come from below first. See
    /// [`DataFile::fill`].
    Fill(Vec<ByteRange>),
}

impl DataFile {
    /// The node must be held for it.
    pub(crate) fn new(shared: &Arc<Shared>, id: NodeId, fd: OwnedFd, content: Content) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            id,
            fd,
            content: RwLock::new(content),
            syncing: std::sync::Mutex::default(),
        })
    }

    /// Whose content it is.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn len(&self) -> Result<u64, UpperError> {
        size_of(&self.fd).map_err(self.io("look at the data"))
    }

    /// Whether there is not a byte.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_empty(&self) -> Result<bool, UpperError> {
        Ok(self.len()? == 0)
    }

    /// Whether all of it is here: nothing is read from below any more.
    pub fn is_complete(&self) -> bool {
        let content = self.read();
        content
            .map
            .as_ref()
            .is_none_or(|map| map.is_complete(content.limit))
    }

    /// What differs from the lower file: changed blocks, and all that lies beyond what is left of it. The whole file if
    /// nothing is known of a lower one.
    ///
    /// # Errors
    /// What the system says.
    pub fn dirty(&self) -> Result<Vec<ByteRange>, UpperError> {
        let content = self.read();
        let len = self.len()?;
        let mut ranges = match &content.map {
            None => Vec::new(),
            Some(map) => map.ranges(content.limit, |block| block == Block::Dirty),
        };
        let rest = ByteRange::new(content.limit, len);
        match ranges.last_mut() {
            Some(last) if last.end() == rest.start() => *last = ByteRange::new(last.start(), rest.end()),
            _ if !rest.is_empty() => ranges.push(rest),
            _ => {}
        }
        Ok(ranges)
    }

    /// What must still come from below.
    pub fn absent(&self) -> Vec<ByteRange> {
        let content = self.read();
        content.map.as_ref().map_or_else(Vec::new, |map| {
            map.ranges(content.limit, |block| block == Block::Absent)
        })
    }

    /// The file on disk, for a caller that reads and writes past this one: only once [`DataFile::make_whole`] was done.
    pub fn whole_fd(&self) -> Option<BorrowedFd<'_>> {
        self.read().map.is_none().then(|| self.fd.as_fd())
    }

    /// Reads from `offset` on until `buf` is full or the file ends.
    ///
    /// # Errors
    /// What the system says.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<ReadData, UpperError> {
        let range = ByteRange::new(offset, offset.saturating_add(buf.len() as u64));
        if let Some(absent) = self.read().absent_in(range) {
            return Ok(ReadData::Absent(absent));
        }
        // No file is longer, and the kernel refuses to look.
        let most = usize::try_from(MAX_OFFSET.saturating_sub(offset)).unwrap_or(usize::MAX);
        let most = most.min(buf.len());
        let buf = &mut buf[..most];
        // What is here stays here, so nothing needs to be locked.
        read_at(&self.fd, buf, offset)
            .map(ReadData::Present)
            .map_err(self.io("read the data"))
    }

    /// Writes `bytes` at `offset`; the file grows if need be.
    ///
    /// # Errors
    /// What the system says. Blocks that came from below have their old content then, others may have new bytes.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<Changed, UpperError> {
        let range = self.range(offset, bytes.len() as u64)?;
        self.overwrite(range, |fd| write_some_at(fd, bytes, offset).map(|n| n as u64))
    }

    /// Puts bytes from below in their place, as far as they are missing; what was changed stays. `range.start` is the
    /// start of a block; blocks that `bytes` covers only partly are left out. Filling twice does nothing. Returns how many
    /// bytes were put in.
    ///
    /// # Errors
    /// What the system says.
    pub fn fill(&self, offset: u64, bytes: &[u8]) -> Result<u64, UpperError> {
        let range = self.range(offset, bytes.len() as u64)?;
        self.shared.with_room(|| self.fill_now(range, bytes))
    }

    fn fill_now(&self, range: ByteRange, bytes: &[u8]) -> Result<u64, UpperError> {
        let io = self.io("fill the data");
        let mut content = self.write();
        let covered = content.covered(range);
        let mut filled = 0;
        let mut at = covered.start();
        while let Some(map) = &content.map {
            let start = map.find(BlockRange::new(at, covered.end()), |block| block == Block::Absent);
            if start == covered.end() {
                break;
            }
            let end = map.find(BlockRange::new(start, covered.end()), |block| {
                block != Block::Absent
            });
            let blocks = BlockRange::new(start, end);
            let wanted = blocks.bytes(content.limit);
            let from = (wanted.start() - range.start()) as usize;
            self.keeping_mtime(|| {
                write_at(
                    &self.fd,
                    &bytes[from..from + wanted.len() as usize],
                    wanted.start(),
                )
            })
            .and_then(|()| content.mark(blocks, Block::Absent, Block::Clean))
            .map_err(&io)?;
            filled += wanted.len();
            at = end;
        }
        Ok(filled)
    }

    /// Does a write that is none: the file's time of change stays.
    fn keeping_mtime(&self, write: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        use rustix::fs::{self, UTIME_OMIT};
        let stat = fs::fstat(&self.fd)?;
        write()?;
        let times = fs::Timestamps {
            last_access: fs::Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: fs::Timespec {
                tv_sec: stat.st_mtime,
                tv_nsec: nanos(0, stat.st_mtime_nsec),
            },
        };
        fs::futimens(&self.fd, &times)
    }

    /// A change that sets every byte of `range`; `write` says how many it did, from the start.
    ///
    /// What is clean is marked as changed before its bytes are, what is absent after: whenever the process is killed, a
    /// changed block is known as such, and an absent one has its old content.
    fn overwrite(
        &self,
        range: ByteRange,
        write: impl Fn(BorrowedFd<'_>) -> Result<u64, Errno>,
    ) -> Result<Changed, UpperError> {
        if range.is_empty() {
            return Ok(Changed::Done(0));
        }
        match self.overwrite_now(range, &write)? {
            // The disk is full, and files wait to be removed: that is room for all of it, perhaps.
            Changed::Done(n) if n < range.len() && self.shared.make_room() => {
                self.overwrite_now(range, &write)
            }
            done => Ok(done),
        }
    }

    fn overwrite_now(
        &self,
        range: ByteRange,
        write: impl Fn(BorrowedFd<'_>) -> Result<u64, Errno>,
    ) -> Result<Changed, UpperError> {
        let io = self.io("write the data");
        let is_dirty = {
            let content = self.read();
            if content.is_dirty(range) {
                match write(self.fd.as_fd()) {
                    Err(Errno::NOSPC) => true,
                    done => return done.map(Changed::Done).map_err(io),
                }
            } else {
                false
            }
        };
        self.shared.with_room(|| {
            if is_dirty {
                let _content = self.read();
                return write(self.fd.as_fd()).map(Changed::Done).map_err(&io);
            }
            let mut content = self.write();
            let needed = content.partly_covered(range);
            if !needed.is_empty() {
                return Ok(Changed::Fill(needed));
            }
            self.record_limit(&mut content)?;
            let touched = BlockRange::touching(range.clamp_to(content.limit));
            content.mark(touched, Block::Clean, Block::Dirty).map_err(&io)?;
            let done = write(self.fd.as_fd()).map_err(&io)?;
            let written = ByteRange::new(range.start(), range.start() + done);
            let covered = content.covered(written);
            content.mark(covered, Block::Absent, Block::Dirty).map_err(&io)?;
            match content.here_until(written) - range.start() {
                // Nothing else stops a write after some bytes that the next one would not meet again.
                0 => Err(io(Errno::NOSPC)),
                here => Ok(Changed::Done(here)),
            }
        })
    }

    /// Tells the journal of a limit that it does not know, before the file may grow over it: else a restart would show
    /// lower bytes where zeros are.
    fn record_limit(&self, content: &mut Content) -> Result<(), UpperError> {
        if content.recorded <= content.limit {
            return Ok(());
        }
        let data = match content.limit {
            0 => Data::Whole,
            limit => Data::Mapped { limit },
        };
        self.commit(data)?;
        content.recorded = content.limit;
        if data == Data::Whole {
            self.drop_map(content);
        }
        Ok(())
    }

    fn commit(&self, data: Data) -> Result<(), UpperError> {
        self.shared
            .write()
            .commit_to(self.id, &[Change::Data { id: self.id, data }])
    }

    /// The journal says that the file is whole: the map goes when that is durable.
    fn drop_map(&self, content: &mut Content) {
        if content.map.take().is_some() {
            self.shared.write().dead.push(Dead::Map(self.id));
        }
    }

    fn range(&self, offset: u64, len: u64) -> Result<ByteRange, UpperError> {
        match offset.checked_add(len) {
            Some(end) if end <= MAX_OFFSET => Ok(ByteRange::new(offset, end)),
            _ => Err(self.io("write the data")(Errno::FBIG)),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn io(&self, what: &'static str) -> impl Fn(Errno) -> UpperError + use<> {
        UpperError::io(what, self.id)
    }
}

impl Drop for DataFile {
    fn drop(&mut self) {
        let content = self.content.get_mut().unwrap_or_else(PoisonError::into_inner);
        if content.map.as_ref().is_some_and(Map::has_unsafe) {
            self.shared.closed_unsafe(self.id);
        }
        {
            let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody may have opened it again meanwhile.
            if open.get(&self.id).is_some_and(|file| file.strong_count() == 0) {
                open.remove(&self.id);
            }
        }
        self.shared.release(self.id);
    }
}

#[cfg(test)]
mod tests;
