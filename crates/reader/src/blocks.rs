//! The one door for demand and read-ahead: what is on its way, else the disk cache, else the range engine, then fill.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use forebay_cache::{Claimed, Purpose, ReadOutcome, Wait, Waited};
use forebay_range::{Fetch, FirstPart, RangeEngineConfig, RangeError, parts};
use forebay_types::{BLOCK, BlockRange, ByteRange, Intent};
use tokio::runtime::Handle as Runtime;
use tokio::task::JoinHandle;

use crate::buffers::BUFFER;
use crate::error::ReadError;
use crate::object::{Memory, Object};
use crate::reader::Shared;
use crate::stage::Stage;

/// Smallest piece for which memory is taken above the budget, so that every reader moves on whatever the others hold:
/// with 64 handles 64 MiB.
const OVERDRAFT: u64 = 1024 * 1024;

/// The blocks of one object, as one handle gets at them.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    pub(crate) shared: Arc<Shared>,
    pub(crate) object: Arc<Object>,
    /// Whose requests: this handle's.
    pub(crate) fetch: Fetch,
    /// How absent runs are cut: in whole blocks.
    cut: Arc<RangeEngineConfig>,
    /// The name under which this handle keeps bytes in memory.
    pub(crate) keeper: u64,
    pub(crate) runtime: Runtime,
}

/// A part that this handle fetches.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) range: ByteRange,
    id: u64,
    work: JoinHandle<Result<(), Arc<RangeError>>>,
}

/// Parts that a read waits for. Dropped before they are let be, it ends those that nobody else waits for.
#[derive(Debug)]
pub(crate) struct Awaited {
    blocks: Blocks,
    tasks: Vec<Task>,
}

/// What was begun.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    pub(crate) tasks: Vec<Task>,
    /// From here on memory was refused.
    pub(crate) refused: Option<u64>,
}

/// What is here of a range without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Here {
    All,
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
            runtime: Runtime::current(),
        }
    }

    /// Bytes of one request.
    pub(crate) fn unit(&self) -> u64 {
        self.cut.chunk_size
    }

    /// Whether all bytes of `range` are in memory or on disk.
    pub(crate) fn are_here(&self, range: ByteRange) -> bool {
        let reach = self.object.staging.reaches(range.start());
        let rest = ByteRange::new(reach.min(range.end()), range.end());
        rest.is_empty()
            || self.object.cached.as_ref().is_some_and(|cached| {
                cached
                    .presence(BlockRange::touching(rest))
                    .iter()
                    .all(|(_, present)| *present)
            })
    }

    /// Copies what is here of the bytes from `at` on into `buf`, from the front. On the calling thread; blocks nowhere.
    pub(crate) fn copy_here(&self, at: u64, buf: &mut [u8]) -> Here {
        let end = at + buf.len() as u64;
        let mut done = 0;
        while done < buf.len() {
            let from = at + done as u64;
            let staged = self.object.staging.take(from, end);
            if !staged.is_empty() {
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
                ReadOutcome::Done => return Here::All,
                ReadOutcome::WouldBlock { done: more } => return Here::OnDisk(done + more),
                ReadOutcome::Missing { done: 0 } => return Here::Missing(done),
                ReadOutcome::Missing { done: more } => done += more,
            }
        }
        Here::All
    }

    /// Fetches what of `range` is neither here nor coming nor on disk. Demand gets memory for its first piece in any
    /// case; read-ahead only what is free.
    pub(crate) fn begin(&self, range: ByteRange, intent: Intent) -> Begun {
        self.begin_with(range, intent, None, false)
    }

    /// As [`Self::begin`], with an answer that is on its way already.
    pub(crate) fn begin_with(
        &self,
        range: ByteRange,
        intent: Intent,
        mut first: Option<FirstPart>,
        distrust_disk: bool,
    ) -> Begun {
        let blocks = BlockRange::touching(range.clamp_to(self.object.size()));
        if blocks.is_empty() {
            return Begun::default();
        }
        let Claimed { claims, refused } = self.claim(blocks, intent, first.as_ref(), distrust_disk);
        let tasks = claims
            .into_iter()
            .map(|claim| {
                let (range, id) = (claim.range(), claim.id());
                let first = first.take_if(|first| brings(first, range));
                let skip = first
                    .as_ref()
                    .map_or(0, |first| range.start() - first.range().start());
                let claim = Arc::new(claim);
                let disk = self
                    .object
                    .cached
                    .clone()
                    .zip(self.shared.cache.clone())
                    .map(|(o, c)| (c, o));
                let stage = Stage::new(claim.clone(), disk, intent == Intent::Warm, skip);
                let fetch = self.fetch.clone();
                let work = async move {
                    let outcome = match first {
                        Some(first) => {
                            let part = ByteRange::new(first.range().start(), range.end());
                            first.run(part, stage).await
                        }
                        None => fetch.part(range, intent, stage).await,
                    };
                    // The stage lands what is left when it is dropped, before the claim closes.
                    match outcome.map(drop) {
                        Ok(()) => {
                            claim.complete();
                            Ok(())
                        }
                        Err(error) => {
                            let error = Arc::new(error);
                            claim.fail(error.clone());
                            Err(error)
                        }
                    }
                };
                let work = self.runtime.spawn(work);
                Task { range, id, work }
            })
            .collect();
        Begun { tasks, refused }
    }

    fn claim(
        &self,
        blocks: BlockRange,
        intent: Intent,
        first: Option<&FirstPart>,
        distrust_disk: bool,
    ) -> Claimed<Memory, Arc<RangeError>> {
        let budget = self.shared.engine.budget();
        let purpose = Purpose {
            keeper: (intent != Intent::Warm).then_some(self.keeper),
            lands: self.object.cached.is_some(),
        };
        let present = |blocks: BlockRange| match &self.object.cached {
            Some(cached) if !distrust_disk => cached.presence(blocks),
            _ => vec![(blocks, false)],
        };
        // Demand without memory goes on in small pieces.
        let tight = intent == Intent::Demand && budget.free() < self.unit().min(blocks.len() * BLOCK);
        if tight {
            self.shared.objects.reclaim(blocks.len() * BLOCK);
        }
        let tight = tight && budget.free() < self.unit().min(blocks.len() * BLOCK);
        let cut = |run: ByteRange| {
            let config = if tight {
                RangeEngineConfig {
                    chunk_size: OVERDRAFT,
                    min_split_size: 0,
                    ..(*self.cut).clone()
                }
            } else {
                (*self.cut).clone()
            };
            // What is on its way already is a part of its own, as far as it is whole blocks.
            let head = first.map_or(0, |first| {
                let coming = BlockRange::inside(first.range(), self.object.size()).bytes(self.object.size());
                let head = ByteRange::new(run.start(), coming.end().min(run.end()));
                if brings(first, head) { head.len() } else { 0 }
            });
            let (head, rest) = run.split_at(head);
            let head = Some(head).filter(|head| !head.is_empty());
            head.into_iter().chain(parts(rest, &config))
        };
        let mut granted = false;
        let reserve = |bytes: u64| {
            let must = intent == Intent::Demand && !granted;
            granted = true;
            let spare = if intent == Intent::Demand {
                0
            } else {
                budget.total() / 8
            };
            if budget.free() >= bytes.saturating_add(spare)
                && let Some(reservation) = budget.try_reserve(bytes)
            {
                return Some(Memory(reservation));
            }
            must.then(|| Memory(budget.overdraw(bytes)))
        };
        self.object.staging.claim(blocks, purpose, present, cut, reserve)
    }

    /// This handle has the bytes of `range`, or no longer wants them.
    pub(crate) fn consumed(&self, range: ByteRange) {
        self.object.staging.consumed(self.keeper, range);
    }

    /// Ends the requests of `task` unless somebody waits for it.
    pub(crate) fn abandon(&self, task: &Task) {
        if self.object.staging.abandon(self.keeper, task.id) {
            task.work.abort();
        }
    }

    /// The bytes at `at`, as many as there are up to `end`, at least one; waits for them, best until all up to `enough`
    /// are here. `begun` is told what had to be asked for.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait; what was begun goes on.
    pub(crate) async fn next(
        &self,
        at: u64,
        end: u64,
        enough: u64,
        begun: &mut impl FnMut(Task),
    ) -> Result<Vec<Bytes>, ReadError> {
        let mut excuses = 3;
        loop {
            let staged = self.object.staging.take(at, end);
            if !staged.is_empty() {
                return Ok(staged);
            }
            if let Some(bytes) = self.from_disk(at, end).await? {
                return Ok(vec![bytes]);
            }
            // A map that says one thing and a file that says another must not keep us here.
            let started = self.begin_with(ByteRange::new(at, end), Intent::Demand, None, excuses == 0);
            let mine = started
                .tasks
                .iter()
                .any(|task| task.range.start() <= at && at < task.range.end());
            started.tasks.into_iter().for_each(&mut *begun);
            match self.object.staging.wait(at, enough.max(at + 1)).await {
                Waited::Bytes(bytes) => return Ok(bytes.into_iter().scan(end - at, limit).collect()),
                Waited::Gone => {}
                // Of somebody else's request: ours may go better, and if it does not we have our own error.
                Waited::Failed(_) if !mine && excuses > 0 => {}
                Waited::Failed(error) => return Err(ReadError::Range(error)),
            }
            excuses = u32::saturating_sub(excuses, 1);
        }
    }

    /// What the disk has from `at` on, at most one buffer of it.
    async fn from_disk(&self, at: u64, end: u64) -> Result<Option<Bytes>, ReadError> {
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
                    .runtime
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

impl Task {
    /// Waits for its end.
    pub(crate) async fn done(self) -> Result<(), ReadError> {
        match self.work.await {
            Ok(outcome) => outcome.map_err(ReadError::Range),
            // Whoever ended it had a reason, and somebody else may go on.
            Err(error) if error.is_cancelled() => Ok(()),
            Err(error) => Err(ReadError::Task(error.to_string())),
        }
    }
}

impl Awaited {
    pub(crate) fn new(blocks: &Blocks) -> Self {
        Self {
            blocks: blocks.clone(),
            tasks: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, task: Task) {
        self.tasks.push(task);
    }

    /// The read has its bytes: what is left of the parts is for later reads.
    pub(crate) fn let_be(&mut self) {
        self.tasks.clear();
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        for task in &self.tasks {
            self.blocks.abandon(task);
        }
    }
}

/// Whether an answer has all of `part` and not much before it.
fn brings(first: &FirstPart, part: ByteRange) -> bool {
    let coming = first.range();
    coming.start() <= part.start() && part.end() <= coming.end() && part.start() - coming.start() <= OVERDRAFT
}

/// Cuts chunks off once there are `left` bytes.
fn limit(left: &mut u64, mut chunk: Bytes) -> Option<Bytes> {
    chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= chunk.len() as u64;
    (!chunk.is_empty()).then_some(chunk)
}
