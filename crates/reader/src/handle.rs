//! One reader of one object.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use forebay_range::Target;
use forebay_types::{ByteRange, Intent, ObjectId};

use crate::ahead::Ahead;
use crate::blocks::{Awaited, Blocks, Found, Here};
use crate::buffers::BUFFER;
use crate::error::ReadError;
use crate::stats::{HandleStats, Reads};

/// An object of one version, open for reading. Reads may run side by side; read-ahead follows up to four sequential
/// runs among them. Clones are the same handle.
///
/// Dropping the last clone ends its read-ahead and gives its memory back.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) blocks: Blocks,
    ahead: Mutex<Ahead>,
    reads: Reads,
    /// What the reader will want when this object ends.
    next: Mutex<Next>,
}

/// The object that follows this one.
#[derive(Debug, Default)]
enum Next {
    #[default]
    None,
    /// Named by the front end, not wanted yet.
    Named(Box<(crate::Reader, Target)>),
    /// Its first bytes are on their way, and stay while this handle lives.
    Begun(tokio::task::JoinHandle<Option<Handle>>),
    /// Open already: `range` of it follows, of which the first `begun` bytes were asked for.
    Open {
        handle: Handle,
        range: ByteRange,
        begun: u64,
    },
}

impl Next {
    fn end(self) {
        if let Self::Begun(task) = self {
            task.abort();
        }
    }
}

impl Handle {
    pub(crate) fn new(blocks: Blocks, ahead_to: u64) -> Self {
        let config = blocks.shared.read_ahead(&blocks.object.id.key, blocks.unit());
        let size = blocks.object.size().min(ahead_to);
        let inner = Arc::new(Inner {
            ahead: Mutex::new(Ahead::new(config, size)),
            blocks,
            reads: Reads::default(),
            next: Mutex::default(),
        });
        inner.blocks.object.enlist(Arc::downgrade(&inner));
        Self { inner }
    }

    /// Which object, in which version.
    pub fn id(&self) -> &ObjectId {
        &self.inner.blocks.object.id
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.inner.blocks.object.size()
    }

    /// Whether the disk cache has all of it.
    pub fn is_cached(&self) -> bool {
        self.inner
            .blocks
            .object
            .cached
            .as_ref()
            .is_some_and(|cached| cached.is_complete())
    }

    /// The file of the disk cache that has all of it, for whoever can read that without us; `None` if there is none, or it
    /// is not complete and synced. The file stays as it is for as long as the answer lives.
    pub fn hand_out(&self) -> Option<forebay_cache::HandedOut> {
        self.inner.blocks.object.cached.as_ref()?.hand_out()
    }

    /// Counts a read of `range` that was answered from the file of [`Self::hand_out`].
    pub fn count_handed_out(&self, range: ByteRange) {
        self.inner.count(range, Found::Disk);
    }

    /// Says that `range` will be read in order from its start: read-ahead need not find out.
    pub fn will_read(&self, range: ByteRange) {
        self.inner.ahead().declare(range.clamp_to(self.size()));
    }

    /// Says what the reader will want after the end of this object: read-ahead goes on there.
    pub fn followed_by(&self, reader: &crate::Reader, target: Target) {
        let named = Next::Named(Box::new((reader.clone(), target)));
        let mut next = self.inner.next.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *next, named).end();
    }

    /// Says that the reader goes on with `range` of `next` where its read-ahead ends here: it goes on there, and after that
    /// with what follows `next`. `next` stays open for as long as this handle. A chain must have an end.
    pub fn continues_in(&self, next: &Self, range: ByteRange) {
        let open = Next::Open {
            range: range.clamp_to(next.size()),
            handle: next.clone(),
            begun: 0,
        };
        let mut next = self.inner.next.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *next, open).end();
    }

    /// Copies the bytes from `offset` on into `buf`, if all of them (as far as the object goes) are here: in memory or in
    /// the page cache. Gives their number back; `None` if some are not, and then `buf` holds anything. On the calling
    /// thread, blocks nowhere, needs no runtime.
    pub fn try_read_at(&self, offset: u64, buf: &mut [u8]) -> Option<usize> {
        let range = ByteRange::at(offset, buf.len() as u64).clamp_to(self.size());
        let len = range.len() as usize;
        if len > 0 {
            let Here::All(found) = self.inner.blocks.copy_here(offset, &mut buf[..len]) else {
                return None;
            };
            self.inner.served(range, found);
        }
        Some(len)
    }

    /// The bytes of `offset..offset + len`, fewer only at the end of the object; without a copy if they are in memory in
    /// one piece.
    ///
    /// # Errors
    /// [`ReadError`]: the source's, after its retries. No bytes then.
    ///
    /// # Cancel safety
    /// Dropping the future ends the requests that only it waits for. What arrived of them is kept.
    pub async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, ReadError> {
        let range = ByteRange::at(offset, len as u64).clamp_to(self.size());
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if let Some(mut chunks) = self.staged(range).filter(|chunks| chunks.len() == 1) {
            self.inner.served(range, Found::Memory);
            return Ok(chunks.swap_remove(0));
        }
        let blocks = &self.inner.blocks;
        if range.len() <= BUFFER as u64 {
            let mut buffer = blocks.shared.buffers.take(range.len() as usize);
            if let Here::All(found) = blocks.copy_here(range.start(), buffer.as_mut()) {
                self.inner.served(range, found);
                return Ok(buffer.into_bytes(range.len() as usize));
            }
        }
        let mut whole = BytesMut::new();
        let mut pieces = self.pieces(range);
        while let Some(piece) = pieces.next().await? {
            for chunk in piece {
                if chunk.len() as u64 == range.len() {
                    return Ok(chunk);
                }
                if whole.capacity() == 0 {
                    whole.reserve(range.len() as usize);
                }
                whole.extend_from_slice(&chunk);
            }
        }
        Ok(whole.freeze())
    }

    /// As [`Self::read_at`], but as the chunks that came, without a copy.
    ///
    /// # Errors
    /// As [`Self::read_at`].
    ///
    /// # Cancel safety
    /// As [`Self::read_at`].
    pub async fn read_chunks_at(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, ReadError> {
        let range = ByteRange::at(offset, len as u64).clamp_to(self.size());
        if let Some(chunks) = self.try_chunks_at(offset, len) {
            return Ok(chunks);
        }
        let (mut chunks, mut pieces) = (Vec::new(), self.pieces(range));
        while let Some(piece) = pieces.next().await? {
            chunks.extend(piece);
        }
        Ok(chunks)
    }

    /// The bytes from `offset` on, if all of them (as far as the object goes) are on their way and here by now, without a
    /// copy. Blocks nowhere, needs no runtime.
    pub fn try_chunks_at(&self, offset: u64, len: usize) -> Option<Vec<Bytes>> {
        let range = ByteRange::at(offset, len as u64).clamp_to(self.size());
        let chunks = self.staged(range)?;
        if !chunks.is_empty() {
            self.inner.served(range, Found::Memory);
        }
        Some(chunks)
    }

    /// The bytes of `range` if all of them are in memory.
    fn staged(&self, range: ByteRange) -> Option<Vec<Bytes>> {
        if !self.inner.blocks.is_admitted() {
            return None;
        }
        let (mut at, mut chunks) = (range.start(), Vec::new());
        while at < range.end() {
            let more = self.inner.blocks.object.staging.take(at, range.end());
            if more.is_empty() {
                return None;
            }
            at += more.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
            chunks.extend(more);
        }
        Some(chunks)
    }

    /// As [`Self::read_at`], into `buf`; gives back the number of bytes, fewer than its length only at the end of the
    /// object.
    ///
    /// # Errors
    /// As [`Self::read_at`]; `buf` then holds anything.
    ///
    /// # Cancel safety
    /// As [`Self::read_at`].
    pub async fn read_into(&self, offset: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let range = ByteRange::at(offset, buf.len() as u64).clamp_to(self.size());
        let len = range.len() as usize;
        if len == 0 {
            return Ok(0);
        }
        if let Here::All(found) = self.inner.blocks.copy_here(offset, &mut buf[..len]) {
            self.inner.served(range, found);
            return Ok(len);
        }
        let mut done = 0;
        let mut pieces = self.pieces(range);
        while let Some(piece) = pieces.next().await? {
            for chunk in piece {
                buf[done..done + chunk.len()].copy_from_slice(&chunk);
                done += chunk.len();
            }
        }
        Ok(len)
    }

    /// Figures so far.
    pub fn stats(&self) -> HandleStats {
        let reads = &self.inner.reads;
        HandleStats {
            reads: reads.reads.load(Relaxed),
            served: reads.served.load(Relaxed),
            hits: reads.hits.load(Relaxed),
            range: self.inner.blocks.fetch.stats(),
            read_ahead: self.inner.ahead().report(),
        }
    }

    /// Where each sequential run is and how far its window reaches: for a live view.
    pub fn windows(&self) -> Vec<forebay_readahead::Window> {
        self.inner.ahead().policy().window().collect()
    }

    /// A read that is not here: demands it all, tells read-ahead, then gives it piece by piece.
    fn pieces(&self, range: ByteRange) -> Pieces<'_> {
        let inner = &*self.inner;
        let mut pieces = Pieces {
            inner,
            range,
            at: range.start(),
            awaited: Awaited::new(&inner.blocks, range),
        };
        let found = inner.blocks.find(range);
        if found == Found::Nowhere {
            // Demand first: it goes before read-ahead in every queue.
            let begun = inner.blocks.begin(range, Intent::Demand);
            begun.tasks.into_iter().for_each(|task| pieces.awaited.add(task));
        }
        inner.served(range, found);
        pieces
    }
}

/// A read under way. Dropped before its end, it ends the requests that only it waits for.
struct Pieces<'a> {
    inner: &'a Inner,
    range: ByteRange,
    at: u64,
    awaited: Awaited,
}

impl Pieces<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Bytes>>, ReadError> {
        if self.at >= self.range.end() {
            return Ok(None);
        }
        let (at, end) = (self.at, self.range.end());
        let bytes = self.inner.blocks.next(at, end, end, &mut self.awaited).await?;
        self.at += bytes.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        // What the caller has need not stay while he waits for the rest.
        self.inner
            .blocks
            .relax(ByteRange::new(self.range.start(), self.at));
        if self.at >= end {
            self.inner.ahead().adopt(self.awaited.let_be());
        }
        Ok(Some(bytes))
    }
}

impl Drop for Pieces<'_> {
    /// The reader has its bytes, or does not want them any more.
    fn drop(&mut self) {
        self.inner.ahead().remember(&self.inner.blocks, self.range);
    }
}

impl Inner {
    pub(crate) fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a read and lets read-ahead know.
    pub(crate) fn served(&self, range: ByteRange, found: Found) {
        self.count(range, found);
        self.observe(range, found == Found::Nowhere);
    }

    /// Counts a read. What is in memory came from the source a moment ago: to the cache that is a miss.
    pub(crate) fn count(&self, range: ByteRange, found: Found) {
        let hit = found != Found::Nowhere;
        self.reads.count(range.len(), hit);
        self.blocks.shared.reads.count(range.len(), hit);
        if let (Some(cache), true) = (&self.blocks.shared.cache, self.blocks.object.cached.is_some()) {
            match found {
                Found::Disk => cache.count_hit(range.len()),
                Found::Memory | Found::Nowhere => cache.count_miss(range.len()),
            }
        }
    }

    /// Tells read-ahead of a read.
    pub(crate) fn observe(&self, range: ByteRange, starved: bool) {
        let beyond = self.ahead().observe(&self.blocks, range, starved);
        if beyond > 0 {
            self.go_beyond(beyond);
        }
    }

    /// Begins what follows: one that is to be opened once, one that is open as far as is wished.
    fn go_beyond(&self, bytes: u64) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = self.blocks.shared.spare();
        if let Next::Open { handle, range, begun } = &mut *next {
            let inner = &handle.inner;
            let unit = inner.blocks.unit();
            // Whole requests, or the rest.
            let whole = |bytes: u64| {
                if bytes < range.len() {
                    bytes / unit * unit
                } else {
                    range.len()
                }
            };
            let wish = whole(bytes.min(*begun + spare));
            if wish > *begun {
                let wanted = ByteRange::new(range.start() + *begun, range.start() + wish);
                let started = inner.blocks.begin(wanted, Intent::Ahead);
                inner.ahead().adopt(started.tasks);
                let to = started.refused.unwrap_or(wanted.end()).max(wanted.start());
                *begun = to - range.start();
            }
            if *begun == range.len() && bytes > range.len() {
                inner.go_beyond(bytes - range.len());
            }
            return;
        }
        if let Next::Named(_) = &*next
            && let Next::Named(named) = std::mem::take(&mut *next)
        {
            let (reader, target) = *named;
            let work = async move {
                let target = target.intent(Intent::Ahead);
                let options = crate::OpenOptions::default().first(bytes.min(spare));
                // Nobody waits: if it fails, whoever opens it will hear why.
                reader.open(target, options).await.ok()
            };
            *next = Next::Begun(self.blocks.runtime().spawn(work));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let report = self.ahead().close(&self.blocks);
        *self
            .blocks
            .shared
            .closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += report;
        // Its own statement: the handle that goes with it takes the lock above.
        let next = std::mem::take(&mut *self.next.lock().unwrap_or_else(PoisonError::into_inner));
        next.end();
    }
}
