//! A file that is above, or partly.

mod below;
mod space;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use forebay_reader::{Handle, HandleStats};
use forebay_types::BLOCK;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use tokio::sync::OnceCell;

use super::{MergedError, Shared};
use crate::overlay::{Changed, Data, DataFile, Hold, NodeId, Present, ReadData, UpperError};

/// All files that somebody has open.
pub(super) type Files = Mutex<HashMap<NodeId, Weak<MergedFile>>>;

/// A file that is above, or partly: what was changed is here, and what was not is brought from below when it is read. All
/// who have the file open have the same one.
pub struct MergedFile {
    shared: Arc<Shared>,
    /// Keeps the node, though its last name goes.
    hold: Hold,
    /// Bytes of the lower file.
    lower_size: Option<u64>,
    /// Not there as long as nothing is above: then all of it is read from below.
    data: OnceLock<Arc<DataFile>>,
    /// What it is read from, once that was opened.
    below: RwLock<Arc<OnceCell<Arc<Handle>>>>,
}

/// A file on the local disk that has all of a file's bytes, and can be read and written past us.
#[derive(Clone, Debug)]
pub struct WholeFile(Arc<DataFile>);

impl AsFd for WholeFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }
}

impl Shared {
    /// The file behind a node.
    pub(super) fn file(self: &Arc<Self>, id: NodeId) -> Result<Arc<MergedFile>, MergedError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&id).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let hold = self.upper.hold(id)?;
        let (origin, known) = self.upper.content(id)?;
        let data = match known {
            Data::Lower => OnceLock::new(),
            Data::Mapped { .. } | Data::Whole => OnceLock::from(self.upper.data(id)?),
        };
        // Nothing can fail from here on: who drops a file locks the table.
        let file = Arc::new(MergedFile {
            shared: self.clone(),
            hold,
            data,
            lower_size: origin.map(|origin| origin.size),
            below: RwLock::default(),
        });
        files.insert(id, Arc::downgrade(&file));
        Ok(file)
    }

    /// The same, if anything was written to it.
    pub(super) fn file_with_data(
        self: &Arc<Self>,
        id: NodeId,
    ) -> Result<Option<Arc<MergedFile>>, MergedError> {
        if self.upper.content(id)?.1 == Data::Lower {
            return Ok(None);
        }
        let file = self.file(id)?;
        file.here()?;
        Ok(Some(file))
    }
}

impl MergedFile {
    /// Whose content it is.
    pub fn id(&self) -> NodeId {
        self.hold.id()
    }

    /// Bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn len(&self) -> Result<u64, MergedError> {
        match (self.data.get(), self.lower_size) {
            (None, Some(size)) => Ok(size),
            (Some(data), _) => Ok(data.len()?),
            (None, None) => Ok(self.here()?.len()?),
        }
    }

    /// Whether there is not a byte.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_empty(&self) -> Result<bool, MergedError> {
        Ok(self.len()? == 0)
    }

    /// What was asked of below for it, for all who have it open; `None`: nothing was.
    pub fn below_stats(&self) -> Option<HandleStats> {
        self.opened_below().get().map(|below| below.stats())
    }

    /// The data file; made now, if there was none.
    pub(super) fn here(&self) -> Result<&Arc<DataFile>, MergedError> {
        if let Some(data) = self.data.get() {
            return Ok(data);
        }
        // All callers get the same one.
        let data = self.shared.upper.data(self.id())?;
        Ok(self.data.get_or_init(|| data))
    }

    /// Reads from `offset` on until `buf` is full or the file ends, with nothing in between but the local disk. `None`: some
    /// of it must come from below first ([`Self::read_at`]), and `buf` holds anything.
    pub fn try_read_at(&self, offset: u64, buf: &mut [u8]) -> Option<Result<usize, MergedError>> {
        match self.data.get() {
            Some(data) => match data.read_at(buf, offset) {
                Ok(ReadData::Present(len)) => Some(Ok(len)),
                Ok(ReadData::Absent(_)) => None,
                Err(error) => Some(Err(error.into())),
            },
            None => self.opened_below().get()?.try_read_at(offset, buf).map(Ok),
        }
    }

    /// The `size` bytes from `offset` on, or up to the end of the file, where they lie on the local disk. `None`: they are not
    /// all there, or the disk failed, which [`Self::read_at`] tells.
    pub fn present(&self, offset: u64, size: usize) -> Option<Present<'_>> {
        self.data.get()?.present(offset, size).ok().flatten()
    }

    /// Reads from `offset` on until `buf` is full or the file ends. What comes from below is kept, in whole blocks, if the
    /// file was ever written to and there is room.
    ///
    /// # Errors
    /// [`MergedError::Read`], also if the lower file is another by now; the disk. `buf` holds anything then.
    ///
    /// # Cancel safety
    /// What came until then is kept.
    pub async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, MergedError> {
        if let Some(read) = self.try_read_at(offset, buf) {
            return read;
        }
        let Some(data) = self.data.get() else {
            return Ok(self.below().await?.read_into(offset, buf).await?);
        };
        // Each time a run of blocks is brought, and what is here stays here.
        for _ in 0..self.most_tries(buf.len() as u64) {
            match data.read_at(buf, offset)? {
                ReadData::Present(len) => return Ok(len),
                ReadData::Absent(range) => match self.bring(data, range).await {
                    // What is there can be read, though no more can be kept.
                    Err(MergedError::Upper(error)) if is_full(&error) => {
                        return self.read_unkept(data, offset, buf).await;
                    }
                    brought => brought?,
                },
            }
        }
        Err(MergedError::busy(self.id().to_string().as_bytes()))
    }

    /// Writes `bytes` at `offset`, with nothing in between but the local disk; the file grows if need be. Returns how many it
    /// wrote: fewer only if the disk was full or failed then. `None`: some of it must come from below first
    /// ([`Self::write_at`]).
    pub fn try_write_at(&self, offset: u64, bytes: &[u8]) -> Option<Result<u64, MergedError>> {
        let done = self.here().map(|data| data.write_at(offset, bytes));
        match done {
            Ok(Ok(Changed::Done(len))) => Some(Ok(len)),
            Ok(Ok(Changed::Fill(_))) => None,
            Ok(Err(error)) => Some(Err(error.into())),
            Err(error) => Some(Err(error)),
        }
    }

    /// Writes `bytes` at `offset`; the file grows if need be. Blocks that are covered partly are brought from below. Returns
    /// how many it wrote: fewer only if the disk was full or failed then, which the next write is told.
    ///
    /// # Errors
    /// [`MergedError::Read`], also if the lower file is another by now; the disk. Some of the bytes may be written then.
    ///
    /// # Cancel safety
    /// Some of the bytes may be written.
    pub async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<u64, MergedError> {
        let data = self.here()?;
        self.change(bytes.len() as u64, || data.write_at(offset, bytes))
            .await
    }

    /// Does a change of `len` bytes, and brings what it needs until it is done. Returns for how many bytes.
    async fn change(
        &self,
        len: u64,
        change: impl Fn() -> Result<Changed, UpperError>,
    ) -> Result<u64, MergedError> {
        for _ in 0..self.most_tries(len) {
            match change()? {
                Changed::Done(done) => return Ok(done),
                Changed::Fill(ranges) => {
                    let data = self.here()?;
                    for range in ranges {
                        self.bring(data, range).await?;
                    }
                }
            }
        }
        Err(MergedError::busy(self.id().to_string().as_bytes()))
    }

    /// So often at most bytes must be brought for `len` bytes: once for each block and its neighbours.
    fn most_tries(&self, len: u64) -> u64 {
        len / BLOCK + 8
    }

    /// The file on disk, if it has all of the bytes and nothing is to be noted of who changes them.
    pub fn whole_fd(&self) -> Option<BorrowedFd<'_>> {
        self.data.get()?.whole_fd()
    }

    /// The same to keep: once a file is whole, it stays so.
    pub fn whole(&self) -> Option<WholeFile> {
        let data = self.data.get()?;
        data.whole_fd().is_some().then(|| WholeFile(data.clone()))
    }

    /// Makes a file whole that has all of its bytes: all of it counts as changed then. Waits for the disk. `false`: some of
    /// it is below.
    ///
    /// # Errors
    /// What the system says.
    pub fn make_whole(&self) -> Result<bool, MergedError> {
        match self.data.get() {
            Some(data) => Ok(data.make_whole()?),
            None => Ok(false),
        }
    }
}

/// Whether the disk has no room.
fn is_full(error: &UpperError) -> bool {
    matches!(error.errno(), Errno::NOSPC | Errno::DQUOT)
}

impl Drop for MergedFile {
    fn drop(&mut self) {
        let mut files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have opened it again meanwhile.
        if files.get(&self.id()).is_some_and(|file| file.strong_count() == 0) {
            files.remove(&self.id());
        }
    }
}

impl fmt::Debug for MergedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedFile")
            .field("id", &self.id())
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}
