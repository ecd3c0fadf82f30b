//! The one door for demand and read-ahead: what is on its way, else the disk cache, else the range engine, then fill.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use forebay_cache::{CachedObject, ReadOutcome, Wait, Waited};
use forebay_range::{Fetch, RangeEngineConfig, RangeError};
use forebay_types::{BLOCK, BlockRange, ByteRange};
use tokio::runtime::Handle as Runtime;

use crate::begin::{Task, Want};
use crate::buffers::BUFFER;
use crate::error::ReadError;
use crate::object::Object;
use crate::reader::Shared;

/// How often a read looks again when what it waited for went away. Each time somebody else gave up or evicted it.
const EXCUSES: u32 = 8;

/// Smallest piece for which memory is taken above the budget, so that every reader moves on whatever the others hold:
/// with 64 handles 64 MiB.
pub(crate) const OVERDRAFT: u64 = 1024 * 1024;

/// The blocks of one object, as one handle gets at them.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    pub(crate) shared: Arc<Shared>,
    pub(crate) object: Arc<Object>,
    /// Whose requests: this handle's.
    pub(crate) fetch: Fetch,
    /// How absent runs are cut: in whole blocks.
    pub(crate) cut: Arc<RangeEngineConfig>,
    /// Whether this handle has memory above the budget.
    pub(crate) overdrawn: Arc<AtomicBool>,
    /// The name under which this handle keeps bytes in memory.
    pub(crate) keeper: u64,
    runtime: Runtime,
}

/// Parts that a read waits for. Dropped before they are let be, it ends those that nobody else waits for.
#[derive(Debug)]
pub(crate) struct Awaited {
    blocks: Blocks,
    range: ByteRange,
    tasks: Vec<Task>,
}

/// Where the bytes of a read were when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// In memory: fetched a moment ago.
    Memory,
    /// In the disk cache.
    Disk,
    /// Some of them nowhere yet.
    Nowhere,
}

/// What is here of a range without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Here {
    All(Found),
    /// The byte after these is not here.
    Missing(usize),
    /// The byte after these is on disk, but not in memory: to read it would block.
    OnDisk(usize),
}

impl Blocks {
    pub(crate) fn new(
        shared: Arc<Shared>,
        object: Arc<Object>,
        fetch: Fetch,
        config: &RangeEngineConfig,
    ) -> Self {
        let whole_blocks = |bytes: u64| bytes.max(1).checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        let cut = RangeEngineConfig {
            chunk_size: whole_blocks(config.chunk_size),
            ..config.clone()
        };
        Self {
            keeper: shared.keepers.fetch_add(1, Relaxed),
            shared,
            object,
            fetch,
            cut: Arc::new(cut),
            overdrawn: Arc::default(),
            runtime: Runtime::current(),
        }
    }

    /// Where tasks run: in the caller's runtime, if he is in one, since that of the open may be gone.
    pub(crate) fn runtime(&self) -> Runtime {
        Runtime::try_current().unwrap_or_else(|_| self.runtime.clone())
    }

    /// Bytes of one request.
    pub(crate) fn unit(&self) -> u64 {
        self.cut.chunk_size
    }

    /// Where the bytes of `range` are.
    pub(crate) fn find(&self, range: ByteRange) -> Found {
        let reach = self.object.staging.reaches(range.start());
        let rest = ByteRange::new(reach.min(range.end()), range.end());
        let on_disk = |cached: &Arc<CachedObject>| cached.has(BlockRange::touching(rest));
        if !rest.is_empty() && !self.object.cached.as_ref().is_some_and(on_disk) {
            return Found::Nowhere;
        }
        if reach > range.start() {
            Found::Memory
        } else {
            Found::Disk
        }
    }

    /// Copies what is here of the bytes from `at` on into `buf`, from the front. On the calling thread; blocks nowhere.
    pub(crate) fn copy_here(&self, at: u64, buf: &mut [u8]) -> Here {
        let end = at + buf.len() as u64;
        let (mut done, mut found) = (0, Found::Disk);
        if !self.is_admitted() {
            return Here::Missing(0);
        }
        while done < buf.len() {
            let from = at + done as u64;
            let staged = self.object.staging.take(from, end);
            if !staged.is_empty() {
                found = Found::Memory;
                for chunk in staged {
                    buf[done..done + chunk.len()].copy_from_slice(&chunk);
                    done += chunk.len();
                }
                continue;
            }
            let Some(cached) = &self.object.cached else {
                return Here::Missing(done);
            };
            match cached.read(from, &mut buf[done..], Wait::No) {
                ReadOutcome::Done => return Here::All(found),
                ReadOutcome::WouldBlock { done: more } => return Here::OnDisk(done + more),
                ReadOutcome::Missing { done: 0 } => return Here::Missing(done),
                ReadOutcome::Missing { done: more } => done += more,
            }
        }
        Here::All(found)
    }

    /// This handle is done reading `range` for now.
    pub(crate) fn relax(&self, range: ByteRange) {
        let blocks = BlockRange::touching(range);
        self.object
            .staging
            .relax(self.keeper, blocks.bytes(self.object.size()));
    }

    /// This handle has the bytes of `range`, or no longer wants them.
    pub(crate) fn consumed(&self, range: ByteRange) {
        self.object.staging.consumed(self.keeper, range);
    }

    /// The bytes at `at`, as many as there are up to `end`, at least one; waits for them, best until all up to `enough`
    /// are here. `awaited` is told what had to be asked for.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait; `awaited` ends what was begun.
    pub(crate) async fn next(
        &self,
        at: u64,
        end: u64,
        enough: u64,
        awaited: &mut Awaited,
    ) -> Result<Vec<Bytes>, ReadError> {
        let mut excuses = EXCUSES;
        let mut want = Want::demand(ByteRange::new(at, end));
        loop {
            self.admit().await?;
            let staged = self.object.staging.take(at, end);
            if !staged.is_empty() {
                return Ok(staged);
            }
            if let Some(bytes) = self.read_disk(at, end).await? {
                return Ok(vec![bytes]);
            }
            let mine = awaited.brings(at);
            let begun = self.begin_with(&mut want);
            // What was not needed others wait for.
            want.memory = None;
            begun.tasks.into_iter().for_each(|task| awaited.add(task));
            // Memory is refused from the start of a block on.
            let refused = begun.refused.is_some_and(|from| from <= at) && !awaited.brings(at);
            if refused {
                want.memory = self.turn(want.range).await;
                continue;
            }
            match self.object.staging.wait(at, enough.max(at + 1)).await {
                Waited::Bytes(bytes) => return Ok(bytes.into_iter().scan(end - at, limit).collect()),
                // Landed, or given up by whoever fetched it.
                Waited::Gone if awaited.delivered(at) => {
                    // It came and went: others needed the memory. It costs nobody anything to try again.
                    awaited.forget(at);
                    tokio::task::yield_now().await;
                    continue;
                }
                // It failed before the wait began.
                Waited::Gone if let Some(error) = awaited.error(at) => return Err(ReadError::Range(error)),
                Waited::Gone if excuses > 0 => {}
                Waited::Gone => {
                    return Err(ReadError::Task("the requests ended before their time".to_owned()));
                }
                // Of somebody else's request: ours may go better, and if it does not we have our own error.
                Waited::Failed(_) if !mine && !awaited.brings(at) && excuses > 0 => {}
                Waited::Failed(error) => return Err(ReadError::Range(error)),
            }
            excuses -= 1;
            // A map that says one thing and a file that says another must not keep us here.
            want.distrust_disk = excuses <= EXCUSES / 2;
        }
    }

    /// What the disk has from `at` on, at most one buffer of it.
    async fn read_disk(&self, at: u64, end: u64) -> Result<Option<Bytes>, ReadError> {
        let Some(cached) = &self.object.cached else {
            return Ok(None);
        };
        let len = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        let mut buffer = self.shared.buffers.take(len);
        let done = match cached.read(at, buffer.as_mut(), Wait::No) {
            ReadOutcome::Done => len,
            ReadOutcome::Missing { done } => done,
            ReadOutcome::WouldBlock { .. } => {
                let cached = cached.clone();
                let work = move || {
                    let done = match cached.read(at, buffer.as_mut(), Wait::Yes) {
                        ReadOutcome::Done => len,
                        ReadOutcome::Missing { done } | ReadOutcome::WouldBlock { done } => done,
                    };
                    (buffer, done)
                };
                let (filled, done) = self
                    .runtime()
                    .spawn_blocking(work)
                    .await
                    .map_err(|e| ReadError::Task(e.to_string()))?;
                buffer = filled;
                done
            }
        };
        Ok((done > 0).then(|| buffer.into_bytes(done)))
    }
}

impl Awaited {
    /// For a read of `range`.
    pub(crate) fn new(blocks: &Blocks, range: ByteRange) -> Self {
        Self {
            blocks: blocks.clone(),
            range,
            tasks: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, task: Task) {
        self.tasks.push(task);
    }

    /// Whether one of them was to bring the byte at `at`.
    fn brings(&self, at: u64) -> bool {
        self.tasks.iter().any(|task| task.brings(at))
    }

    /// Whether the byte at `at` was brought by one of them.
    fn delivered(&self, at: u64) -> bool {
        self.tasks
            .iter()
            .any(|task| task.brings(at) && task.has_delivered())
    }

    /// Why the byte at `at` did not come, of the last that was to bring it.
    fn error(&self, at: u64) -> Option<Arc<RangeError>> {
        self.tasks.iter().rev().find(|task| task.brings(at))?.error()
    }

    /// What brought the byte at `at` is history.
    fn forget(&mut self, at: u64) {
        self.tasks
            .retain(|task| !(task.brings(at) && task.has_delivered()));
    }

    /// The read has its bytes: what is left of the parts is for later reads of the handle.
    pub(crate) fn let_be(&mut self) -> Vec<Task> {
        std::mem::take(&mut self.tasks)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        for task in &self.tasks {
            self.blocks.abandon(task);
        }
        // Nobody is reading here any more, however the read ended: who needs memory may have this.
        self.blocks.relax(self.range);
    }
}

/// Cuts chunks off once there are `left` bytes.
fn limit(left: &mut u64, mut chunk: Bytes) -> Option<Bytes> {
    chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= chunk.len() as u64;
    (!chunk.is_empty()).then_some(chunk)
}
