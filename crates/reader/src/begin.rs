//! What is missing is claimed, given memory, and fetched.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use forebay_cache::{Claim, Claimed, Purpose};
use forebay_range::{FirstPart, RangeError, Reservation, Urgency, parts};
use forebay_types::{BLOCK, BlockRange, ByteRange, ErrorKind, Intent};
use tokio::task::JoinHandle;

use crate::blocks::{Blocks, OVERDRAFT};
use crate::error::ReadError;
use crate::object::{Memory, Overdraft};
use crate::stage::Stage;

/// Between two looks whether memory can be had.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Bytes that are wanted, and what there is for it.
#[derive(Debug)]
pub(crate) struct Want {
    pub(crate) range: ByteRange,
    pub(crate) intent: Intent,
    /// An answer that is on its way already.
    pub(crate) first: Option<FirstPart>,
    /// Memory that was waited for.
    pub(crate) memory: Option<Reservation>,
    /// What the disk says it has, it has not.
    pub(crate) distrust_disk: bool,
}

impl Want {
    pub(crate) fn new(range: ByteRange, intent: Intent) -> Self {
        Self {
            range,
            intent,
            first: None,
            memory: None,
            distrust_disk: false,
        }
    }

    pub(crate) fn demand(range: ByteRange) -> Self {
        Self::new(range, Intent::Demand)
    }
}

/// A part that this handle fetches.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) range: ByteRange,
    id: u64,
    /// How it ended: `None` in it if all its bytes came.
    ended: Arc<OnceLock<Option<Arc<RangeError>>>>,
    work: JoinHandle<Result<(), Arc<RangeError>>>,
}

/// What was begun.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    pub(crate) tasks: Vec<Task>,
    /// From here on memory was refused.
    pub(crate) refused: Option<u64>,
}

type Claims = Claimed<Memory, Arc<RangeError>>;

impl Blocks {
    /// Fetches what of `range` is neither here nor coming nor on disk.
    pub(crate) fn begin(&self, range: ByteRange, intent: Intent) -> Begun {
        self.begin_with(&mut Want::new(range, intent))
    }

    /// As [`Self::begin`]. Read-ahead gets only memory that is free. Demand takes back what read-ahead keeps, and if that
    /// is not enough goes on with a small piece above the budget, one per handle; only if that is in use is it refused.
    pub(crate) fn begin_with(&self, want: &mut Want) -> Begun {
        let mut blocks = BlockRange::touching(want.range.clamp_to(self.object.size()));
        if let Some(first) = &want.first {
            // An answer may begin and end inside a block.
            blocks = BlockRange::inside(first.range(), self.object.size());
            if first.is_whole() && first.range().len() > self.unit() {
                self.object.single_stream.store(true, Relaxed);
            }
        }
        if blocks.is_empty() {
            return Begun::default();
        }
        if self.object.single_stream.load(Relaxed) {
            blocks = BlockRange::new(blocks.start(), BlockRange::of_size(self.object.size()).end());
        }
        if want.intent == Intent::Demand {
            self.object.hurry(blocks.bytes(self.object.size()));
        }
        let mut claimed = self.claim(blocks, want, false);
        if claimed.refused.is_some() && claimed.claims.is_empty() && want.intent == Intent::Demand {
            let needed = want.range.len().min(self.unit());
            if self.shared.objects.reclaim(needed) > 0 {
                claimed = self.claim(blocks, want, false);
            }
            if claimed.claims.is_empty() {
                claimed = self.claim(blocks, want, true);
            }
        }
        let refused = claimed.refused;
        let tasks = claimed
            .claims
            .into_iter()
            .map(|claim| self.fetch(claim, want))
            .collect();
        Begun { tasks, refused }
    }

    /// How much of a part that is longer than its memory may be in memory.
    fn window(&self) -> u64 {
        self.unit().min(self.shared.engine.budget().total() / 4)
    }

    /// `tight`: in small pieces, the first of them above the budget if need be.
    fn claim(&self, blocks: BlockRange, want: &mut Want, tight: bool) -> Claims {
        let budget = self.shared.engine.budget();
        let size = self.object.size();
        let single = self.object.single_stream.load(Relaxed);
        let purpose = Purpose {
            keeper: (want.intent != Intent::Warm).then_some(self.keeper),
            lands: self.object.cached.is_some(),
            narrow: single,
            urgent: want.intent == Intent::Demand && want.first.is_none(),
        };
        let trusted = self.object.cached.as_ref().filter(|_| !want.distrust_disk);
        let present = |blocks: BlockRange| match trusted {
            Some(cached) => cached.presence(blocks),
            None => vec![(blocks, false)],
        };
        let first = want.first.as_ref();
        let cut = |run: ByteRange| {
            let mut config = (*self.cut).clone();
            if tight {
                (config.chunk_size, config.min_split_size) = (OVERDRAFT / 2, OVERDRAFT);
            }
            if single {
                config.min_split_size = u64::MAX;
            }
            // What is on its way already is a part of its own, as far as it is whole blocks.
            let head = first.filter(|_| !single).map_or(0, |first| {
                let coming = BlockRange::inside(first.range(), size).bytes(size);
                let head = ByteRange::new(run.start(), coming.end().min(run.end()));
                let head = if tight { head.split_at(OVERDRAFT).0 } else { head };
                if brings(first, head) { head.len() } else { 0 }
            });
            let (head, rest) = run.split_at(head);
            let head = Some(head).filter(|head| !head.is_empty());
            head.into_iter().chain(parts(rest, &config))
        };
        let (intent, unit) = (want.intent, self.unit());
        let memory = &mut want.memory;
        let reserve = |bytes: u64| {
            let whole = single && bytes > unit;
            let bytes = if whole { self.window().max(BLOCK) } else { bytes };
            let free = if intent == Intent::Ahead {
                self.shared.spare()
            } else {
                budget.free()
            };
            let waited_for = memory.as_mut().and_then(|memory| memory.split(bytes));
            let reservation = waited_for.or_else(|| (bytes <= free).then(|| budget.try_reserve(bytes))?);
            let (reservation, overdraft) = match reservation {
                Some(reservation) => (reservation, None),
                None => {
                    let overdraft =
                        Overdraft::take(&self.overdrawn).filter(|_| tight && bytes <= OVERDRAFT)?;
                    (budget.overdraw(bytes), Some(overdraft))
                }
            };
            Some(Memory {
                reservation,
                whole,
                _overdraft: overdraft,
            })
        };
        self.object.staging.claim(blocks, purpose, present, cut, reserve)
    }

    fn fetch(&self, claim: Claim<Memory, Arc<RangeError>>, want: &mut Want) -> Task {
        let (range, id, intent) = (claim.range(), claim.id(), want.intent);
        let first = want.first.take_if(|first| brings(first, range));
        let skip = first
            .as_ref()
            .map_or(0, |first| range.start() - first.range().start());
        let claim = Arc::new(claim);
        let disk = self.shared.cache.clone();
        let mut stage = Stage::new(
            claim.clone(),
            disk.map(|cache| (cache, self.object.clone())),
            intent == Intent::Warm,
            skip,
        );
        if self.object.single_stream.load(Relaxed) && range.len() > self.unit() {
            stage.no_further_ahead_than(self.window());
        }
        let (fetch, shared) = (self.fetch.clone(), self.shared.clone());
        let name = self.object.name();
        let urgency = Urgency::new(intent);
        let ended = Arc::new(OnceLock::new());
        let queued = self.object.queue(range, &urgency);
        let tell = ended.clone();
        let work = async move {
            let _queued = queued;
            let outcome = match first {
                Some(first) => {
                    let part = ByteRange::new(first.range().start(), range.end());
                    first.run(part, stage).await
                }
                None => fetch.part(range, urgency, stage).await,
            };
            // The stage lands what is left when it is dropped, before the claim closes.
            match outcome.map(drop) {
                Ok(()) => {
                    // Set once, by this task alone.
                    let _ = tell.set(None);
                    claim.complete();
                    Ok(())
                }
                Err(error) => {
                    if matches!(error.kind(), ErrorKind::Changed | ErrorKind::NotFound) {
                        shared.doubt(name);
                    }
                    let error = Arc::new(error);
                    let _ = tell.set(Some(error.clone()));
                    claim.fail(error.clone());
                    Err(error)
                }
            }
        };
        let work = self.runtime().spawn(work);
        Task {
            range,
            id,
            ended,
            work,
        }
    }

    /// Waits for memory, at the price of what read-ahead keeps.
    ///
    /// # Cancel safety
    /// Dropping the future loses its place in the queue.
    pub(crate) async fn memory(&self, bytes: u64) -> Reservation {
        let budget = self.shared.engine.budget();
        let reserve = budget.reserve(bytes);
        tokio::pin!(reserve);
        loop {
            self.shared.objects.reclaim(bytes.saturating_sub(budget.free()));
            tokio::select! {
                reservation = &mut reserve => return reservation,
                // What is being written now can be taken back soon.
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Waits for memory for a read of `range` that could not begin: `None` if this handle may go above the budget again.
    /// What else the read has asked for can be taken back meanwhile: who waits for memory must not sit on any, or two who
    /// do wait for each other.
    ///
    /// # Cancel safety
    /// As [`Self::memory`].
    pub(crate) async fn turn(&self, range: ByteRange) -> Option<Reservation> {
        self.relax(range);
        let memory = self.memory(OVERDRAFT);
        tokio::pin!(memory);
        loop {
            tokio::select! {
                memory = &mut memory => return Some(memory),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            if !self.overdrawn.load(Relaxed) {
                return None;
            }
        }
    }

    /// Ends the requests of `task` unless somebody else wants its bytes.
    pub(crate) fn abandon(&self, task: &Task) {
        if self.object.staging.abandon(self.keeper, task.id) {
            task.work.abort();
        }
    }
}

impl Task {
    /// Whether it is to bring the byte at `at`.
    pub(crate) fn brings(&self, at: u64) -> bool {
        self.range.start() <= at && at < self.range.end()
    }

    /// Whether all its bytes came: if they are gone again, others needed the memory.
    pub(crate) fn has_delivered(&self) -> bool {
        matches!(self.ended.get(), Some(None))
    }

    /// Why they did not.
    pub(crate) fn error(&self) -> Option<Arc<RangeError>> {
        self.ended.get().cloned().flatten()
    }

    /// Whether nothing of it is to come any more.
    pub(crate) fn is_done(&self) -> bool {
        self.work.is_finished()
    }

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

/// Whether an answer has all of `part` and not much before it.
fn brings(first: &FirstPart, part: ByteRange) -> bool {
    let coming = first.range();
    coming.start() <= part.start() && part.end() <= coming.end() && part.start() - coming.start() <= OVERDRAFT
}
