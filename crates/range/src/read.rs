//! One read: what its parts share, and who runs them.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use forebay_types::{ByteRange, RangeSpec};
use object_store::{GetRange, ObjectMeta};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::budget::Reservation;
use crate::config::OVERDRAFT;
use crate::engine::Shared;
use crate::error::RangeError;
use crate::gate::Permit;
use crate::head::{self, Answer};
use crate::part;
use crate::plan;
use crate::stats::{Counters, RangeStats};
use crate::target::{Known, Target};

/// What all parts of a read share.
#[derive(Debug)]
pub(crate) struct ReadState {
    pub(crate) shared: Arc<Shared>,
    pub(crate) target: Target,
    /// The version that was begun; every answer must be of it.
    begun: OnceLock<Known>,
    counters: Counters,
    started: Duration,
    /// `max_concurrent_ranges` of this read.
    flow: Arc<Semaphore>,
    /// Bytes reserved for this read, and a bell for when they are all given back.
    held: AtomicU64,
    drained: Notify,
}

/// Leave to have one request in flight: this read's and the engine's.
#[derive(Debug)]
pub(crate) struct Turn {
    _flow: OwnedSemaphorePermit,
    _gate: Permit,
}

/// Memory reserved for one part; goes back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    reservation: Reservation,
    bytes: u64,
    state: Arc<ReadState>,
}

impl Held {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back what was consumed.
    pub(crate) fn release(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.reservation.release(bytes);
        self.state.give_back(bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.state.give_back(self.bytes);
    }
}

impl ReadState {
    pub(crate) fn count(&self, which: fn(&Counters) -> &AtomicU64, n: u64) {
        which(&self.counters).fetch_add(n, Relaxed);
        which(&self.shared.totals).fetch_add(n, Relaxed);
    }

    pub(crate) fn stats(&self) -> RangeStats {
        self.counters
            .snapshot(self.shared.clock.now().saturating_sub(self.started))
    }

    /// The version that was begun, once an answer has told it.
    pub(crate) fn begun(&self) -> Option<&Known> {
        self.begun.get()
    }

    /// Insists that `meta` is of the version that was begun; the first answer begins.
    pub(crate) fn insist(&self, meta: &ObjectMeta) -> Result<(), RangeError> {
        let got = Known::of(meta);
        let begun = self.begun.get_or_init(|| got.clone());
        if *begun == got {
            return Ok(());
        }
        Err(RangeError::Changed {
            object: self.target.name.to_string(),
            expected: begun.to_string(),
            got: got.to_string(),
        })
    }

    pub(crate) async fn turn(&self) -> Turn {
        let flow = self
            .flow
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let gate = self.shared.gate.enter(self.target.intent).await;
        Turn {
            _flow: flow,
            _gate: gate,
        }
    }

    /// Whether one more request would take nothing from the others: neither this read nor the engine sends as many as
    /// it may. A read that does is bound by bandwidth, and asking twice for the same bytes would only slow it.
    pub(crate) fn has_room(&self) -> bool {
        self.flow.available_permits() > 0 && self.shared.gate.has_room()
    }

    /// Memory for the first bytes of `part`: for all of it (as far as the whole budget goes) as soon as there is room;
    /// for a small piece at once if this read holds nothing, so that it moves on whatever other readers sit on.
    async fn memory_for(self: &Arc<Self>, part: ByteRange) -> Held {
        let budget = &self.shared.budget;
        let bytes = part.len().min(budget.total());
        loop {
            let drained = self.drained.notified();
            if let Some(reservation) = budget.try_reserve(bytes) {
                return self.hold(reservation, bytes);
            }
            if self.held.load(Relaxed) == 0 {
                let piece = bytes.min(OVERDRAFT);
                tracing::debug!(%part, piece, "the memory budget is used up: on with a small piece");
                return self.hold(budget.overdraw(piece), piece);
            }
            tokio::select! {
                reservation = budget.reserve(bytes) => return self.hold(reservation, bytes),
                () = drained => {}
            }
        }
    }

    fn hold(self: &Arc<Self>, reservation: Reservation, bytes: u64) -> Held {
        self.held.fetch_add(bytes, Relaxed);
        Held {
            reservation,
            bytes,
            state: self.clone(),
        }
    }

    fn give_back(&self, bytes: u64) {
        if self.held.fetch_sub(bytes, Relaxed) == bytes {
            self.drained.notify_one();
        }
    }
}

/// Where a part's bytes go. Called on runtime threads, so it must not block for long.
pub(crate) trait PartOut: Send + 'static {
    /// Waits until more bytes can be taken. Cancel safe.
    fn room(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Takes the next bytes; `offset` counts from the start of the read.
    fn chunk(&mut self, offset: u64, bytes: Bytes) -> io::Result<()>;

    /// Told when the part is complete: memory that was held for bytes on their way goes back.
    fn done(&mut self) {}
}

/// A read whose object is known: size, version, and perhaps the first bytes on their way.
#[derive(Debug)]
pub struct Opened {
    state: Arc<ReadState>,
    meta: Option<ObjectMeta>,
    range: ByteRange,
    first: Option<Answer>,
}

impl Opened {
    pub(crate) async fn open(
        shared: Arc<Shared>,
        target: Target,
        spec: RangeSpec,
    ) -> Result<Self, RangeError> {
        let flow = Arc::new(Semaphore::new(
            target
                .config
                .max_concurrent_ranges
                .clamp(1, Semaphore::MAX_PERMITS),
        ));
        let begun = target.known.clone().map(OnceLock::from).unwrap_or_default();
        let state = Arc::new(ReadState {
            started: shared.clock.now(),
            shared,
            begun,
            counters: Counters::default(),
            flow,
            held: AtomicU64::new(0),
            drained: Notify::new(),
            target,
        });
        if let Some(known) = state.begun() {
            let range = state.resolve(spec, known.size)?;
            return Ok(Self {
                state,
                meta: None,
                range,
                first: None,
            });
        }
        let ask = match spec {
            RangeSpec::Bounded(range) => {
                // No request can ask for nothing; one byte tells the size as well.
                let range = ByteRange::at(range.start(), range.len().max(1));
                asking(plan::first_part(range, &state.target.config))
            }
            RangeSpec::From(start) => asking(plan::first_part(
                ByteRange::new(start, u64::MAX),
                &state.target.config,
            )),
            RangeSpec::Last(len) => GetRange::Suffix(len),
        };
        let first = head::first(&state, ask, spec).await?;
        let meta = Some(first.meta.clone());
        let range = state.resolve(spec, first.meta.size)?;
        // The plain GET for an object that seemed empty begins at byte 0, wherever the range does.
        let first = Some(first).filter(|first| first.range.start() == range.start());
        Ok(Self {
            state,
            meta,
            range,
            first,
        })
    }

    /// What the first answer said of the object; `None` if it was known before and nothing was asked.
    pub fn meta(&self) -> Option<&ObjectMeta> {
        self.meta.as_ref()
    }

    /// The object's size and version.
    pub fn known(&self) -> Option<&Known> {
        self.state.begun()
    }

    /// The bytes that will be read.
    pub fn range(&self) -> ByteRange {
        self.range
    }

    /// The parts still to be read: first the one that is on its way, if any.
    pub(crate) fn plan(&self) -> (Option<ByteRange>, impl Iterator<Item = ByteRange> + use<>) {
        let config = &self.state.target.config;
        match &self.first {
            Some(first) => {
                // A long tail is one answer too, but only its first part is taken from it.
                let cut = || plan::first_part(first.range.intersect(self.range), config);
                let range = if first.is_whole() { self.range } else { cut() };
                (
                    Some(range),
                    plan::parts(ByteRange::new(range.end(), self.range.end()), config),
                )
            }
            None => (None, plan::parts(self.range, config)),
        }
    }

    /// Runs all parts, each into what `out` makes for it; gives those back, done. After an error nothing is under way
    /// any more.
    pub(crate) async fn run<O: PartOut>(
        self,
        out: impl FnMut(ByteRange, Held) -> O,
    ) -> Result<(Vec<O>, Arc<ReadState>), RangeError> {
        let state = self.state.clone();
        let mut tasks = JoinSet::new();
        let outcome = self.run_in(&mut tasks, out).await;
        if outcome.is_err() {
            tasks.shutdown().await;
        }
        Ok((outcome?, state))
    }

    async fn run_in<O: PartOut>(
        mut self,
        tasks: &mut JoinSet<Result<O, RangeError>>,
        mut out: impl FnMut(ByteRange, Held) -> O,
    ) -> Result<Vec<O>, RangeError> {
        let state = self.state.clone();
        let start = self.range.start();
        let (first_range, mut rest) = self.plan();
        let mut answer = self.first.take();
        // What the server gives only from the start, or what is not to be split, must not be asked for piece by piece:
        // it flows through the memory that there is.
        let one_stream =
            state.target.config.min_split_size == u64::MAX || answer.as_ref().is_some_and(Answer::is_whole);
        let mut next = first_range.filter(|r| !r.is_empty()).or_else(|| rest.next());
        let mut done = Vec::new();
        while let Some(part) = next {
            // A part whose answer is here has its turn already.
            let has_turn = answer.is_some();
            let prepare = async {
                let memory = if one_stream {
                    part.split_at(state.target.config.chunk_size).0
                } else {
                    part
                };
                let held = state.memory_for(memory).await;
                let turn = if has_turn { None } else { Some(state.turn().await) };
                (held, turn)
            };
            tokio::pin!(prepare);
            let (held, turn) = loop {
                tokio::select! {
                    ready = &mut prepare => break ready,
                    Some(finished) = tasks.join_next() => done.push(joined(finished)?),
                }
            };
            // Cut short for want of memory: of an answer for the whole part, only so much is taken.
            let (piece, left) = part.split_at(if one_stream { part.len() } else { held.bytes });
            tracing::debug!(object = %state.target.name, %piece, "part");
            let job = part::Job {
                state: state.clone(),
                part: piece,
                start,
                answer: answer.take(),
                turn,
            };
            tasks.spawn(job.run(out(piece, held)));
            next = if left.is_empty() { rest.next() } else { Some(left) };
        }
        while let Some(finished) = tasks.join_next().await {
            done.push(joined(finished)?);
        }
        Ok(done)
    }

    pub(crate) fn state(&self) -> &Arc<ReadState> {
        &self.state
    }

    /// If the whole read is one part, its job: small reads need no task of their own.
    pub(crate) fn single(&mut self) -> Option<part::Job> {
        let (first, mut rest) = self.plan();
        let part = first.filter(|r| !r.is_empty()).or_else(|| rest.next())?;
        if part != self.range {
            return None;
        }
        let answer = self.first.take();
        Some(part::Job {
            state: self.state.clone(),
            part,
            start: part.start(),
            answer,
            turn: None,
        })
    }
}

/// The range as it is asked for: without an end where there is none, since servers read huge numbers badly.
fn asking(range: ByteRange) -> GetRange {
    if range.end() == u64::MAX {
        GetRange::Offset(range.start())
    } else {
        GetRange::Bounded(range.into())
    }
}

fn joined<O>(finished: Result<Result<O, RangeError>, tokio::task::JoinError>) -> Result<O, RangeError> {
    match finished {
        Ok(outcome) => outcome,
        Err(error) if error.is_cancelled() => Err(RangeError::Cancelled),
        Err(error) => Err(RangeError::Task(error.to_string())),
    }
}

impl ReadState {
    fn resolve(&self, spec: RangeSpec, size: u64) -> Result<ByteRange, RangeError> {
        let object = || self.target.name.to_string();
        spec.resolve(size).ok_or_else(|| RangeError::OutOfRange {
            object: object(),
            range: spec,
            size,
        })
    }
}
