//! Sizes, holes, copies, and what is durable.

use std::sync::Arc;

use super::MergedFile;
use crate::merged::MergedError;
use crate::overlay::Copied;

/// Bytes that one copy takes at most, so that it ends: who wants more asks again.
const MAX_COPY: u64 = 64 << 20;

/// Bytes copied at a time where the system cannot.
const PIECE: u64 = 1 << 20;

impl MergedFile {
    /// Makes the file `len` bytes long. Nothing is brought from below for that.
    ///
    /// # Errors
    /// What the system says: the file is as it was then.
    ///
    /// # Cancel safety
    /// It does not wait.
    pub async fn truncate(&self, len: u64) -> Result<(), MergedError> {
        Ok(self.here()?.truncate(len)?)
    }

    /// Reserves room for `len` bytes from `offset` on; the file grows if they lie behind its end, unless `keep_size`.
    ///
    /// # Errors
    /// What the system says: ENOSPC if there is no room, EOPNOTSUPP if the file system cannot do it.
    ///
    /// # Cancel safety
    /// It does not wait.
    pub async fn allocate(&self, offset: u64, len: u64, keep_size: bool) -> Result<(), MergedError> {
        Ok(self.here()?.allocate(offset, len, keep_size)?)
    }

    /// Makes `len` bytes from `offset` on zero and gives their room back; the file keeps its size.
    ///
    /// # Errors
    /// [`MergedError::Read`]; what the system says.
    ///
    /// # Cancel safety
    /// It is done or not.
    pub async fn punch(&self, offset: u64, len: u64) -> Result<(), MergedError> {
        let data = self.here()?;
        self.change(0, || data.punch(offset, len)).await.map(drop)
    }

    /// Makes `len` bytes from `offset` on zero; the file grows if they lie behind its end, unless `keep_size`.
    ///
    /// # Errors
    /// [`MergedError::Read`]; what the system says.
    ///
    /// # Cancel safety
    /// It is done or not.
    pub async fn zero(&self, offset: u64, len: u64, keep_size: bool) -> Result<(), MergedError> {
        let data = self.here()?;
        self.change(0, || data.zero(offset, len, keep_size))
            .await
            .map(drop)
    }

    /// Copies `len` bytes of `source` from `from` on to `to`, by the system where it can. Returns how many: fewer at the end
    /// of the source, and never more than 64 MiB.
    ///
    /// # Errors
    /// EINVAL if both are the same file and the ranges have a byte in common; [`MergedError::Read`]; what the system says.
    ///
    /// # Cancel safety
    /// Some of the bytes may be copied.
    pub async fn copy_from(&self, source: &Self, from: u64, to: u64, len: u64) -> Result<u64, MergedError> {
        let (len, here, there) = (len.min(MAX_COPY), self.here()?, source.here()?);
        for _ in 0..self.most_tries(len) {
            match here.copy_from(there, from, to, len)? {
                Copied::Done(done) => return Ok(done),
                Copied::FillSource(range) => source.bring(there, range).await?,
                Copied::FillTarget(ranges) => {
                    for range in ranges {
                        self.bring(here, range).await?;
                    }
                }
                Copied::Unable => return self.copy_slowly(source, from, to, len).await,
            }
        }
        Err(MergedError::busy(self.id().to_string().as_bytes()))
    }

    async fn copy_slowly(&self, source: &Self, from: u64, to: u64, len: u64) -> Result<u64, MergedError> {
        let mut buffer = vec![0; usize::try_from(len.min(PIECE)).unwrap_or(0)];
        let mut done = 0;
        while done < len {
            let most = usize::try_from(len - done)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let read = source.read_at(from + done, &mut buffer[..most]).await?;
            if read == 0 {
                break;
            }
            let written = match self.write_at(to + done, &buffer[..read]).await {
                // What was copied is told first; whoever asks for the rest hears of this.
                Err(_) if done > 0 => break,
                written => written?,
            };
            done += written;
            if written < read as u64 {
                break;
            }
        }
        Ok(done)
    }

    /// Where the next bytes are from `offset` on; `None` if there are none. What is below counts as bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn seek_data(&self, offset: u64) -> Result<Option<u64>, MergedError> {
        match self.data.get() {
            Some(data) => Ok(data.seek_data(offset)?),
            None => Ok((offset < self.len()?).then_some(offset)),
        }
    }

    /// Where the next hole begins from `offset` on, which the end of the file is at the latest; `None` if `offset` is not
    /// before that. What is below counts as bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn seek_hole(&self, offset: u64) -> Result<Option<u64>, MergedError> {
        match self.data.get() {
            Some(data) => Ok(data.seek_hole(offset)?),
            None => {
                let len = self.len()?;
                Ok((offset < len).then_some(len))
            }
        }
    }

    /// Makes the content durable, and the names that lead to it, on a thread that may wait. With `data_only` times and other
    /// attributes may be lost.
    ///
    /// # Errors
    /// What the system says: what was changed since the last time may be lost by a power loss.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it.
    pub async fn sync(self: &Arc<Self>, data_only: bool) -> Result<(), MergedError> {
        let this = self.clone();
        let work = move || match this.data.get() {
            Some(data) => data.sync(data_only),
            None => this.shared.upper.sync(),
        };
        let done = tokio::task::spawn_blocking(work).await;
        Ok(done.map_err(MergedError::task)??)
    }
}
