//! What the requests of a read, and of all reads, have in common: versions, turns, memory, figures.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use forebay_source::Kept;
use forebay_types::{ByteRange, Clock, Intent, RangeSpec};
use object_store::ObjectMeta;
use tokio::sync::Notify;

use crate::budget::{Budget, Reservation};
use crate::config::{OVERDRAFT, RangeEngineConfig};
use crate::error::RangeError;
use crate::gate::{Gate, GateOptions, Permit};
use crate::hedge::HedgePolicy;
use crate::in_order::{InOrder, Pass};
use crate::stats::{Counters, RangeStats};
use crate::target::{Known, Target};

/// What all reads of an engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<RangeEngineConfig>,
    pub(crate) budget: Budget,
    pub(crate) gate: Gate,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) totals: Counters,
    pub(crate) hedge: Mutex<HedgePolicy>,
}

impl Shared {
    pub(crate) fn hedge(&self) -> MutexGuard<'_, HedgePolicy> {
        self.hedge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all parts of a read share.
#[derive(Debug)]
pub(crate) struct ReadState {
    pub(crate) shared: Arc<Shared>,
    pub(crate) target: Target,
    /// The version that was begun; every answer must be of it.
    begun: OnceLock<Known>,
    /// What the store keeps between the requests of this read.
    pub(crate) kept: Kept,
    counters: Counters,
    started: Duration,
    /// `max_concurrent_ranges` of this read: a gate that never narrows, for its queues.
    flow: Gate,
    /// For what nobody waits for, where that is asked for in order.
    ahead: Option<InOrder>,
    /// Bytes reserved for this read, and a bell for when they are all given back.
    held: AtomicU64,
    drained: Notify,
}

/// Leave to have one request in flight: this read's and the engine's.
#[derive(Debug)]
pub(crate) struct Turn {
    _flow: Permit,
    _gate: Permit,
    _ahead: Option<Pass>,
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
    /// A read that has sent nothing yet.
    pub(crate) fn new(shared: Arc<Shared>, target: Target) -> Arc<Self> {
        let most = target.config.max_concurrent_ranges.max(1);
        let begun = target.known.clone().map(OnceLock::from).unwrap_or_default();
        Arc::new(Self {
            started: shared.clock.now(),
            begun,
            kept: Kept::default(),
            counters: Counters::default(),
            flow: Gate::new(GateOptions { max: most, min: most }, shared.clock.clone()),
            ahead: target.config.ahead_in_order.then(InOrder::default),
            held: AtomicU64::new(0),
            drained: Notify::new(),
            target,
            shared,
        })
    }

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

    /// The bytes that `spec` means in an object of `size` bytes.
    pub(crate) fn resolve(&self, spec: RangeSpec, size: u64) -> Result<ByteRange, RangeError> {
        let object = || self.target.name.to_string();
        spec.resolve(size).ok_or_else(|| RangeError::OutOfRange {
            object: object(),
            range: spec,
            size,
        })
    }

    /// Waits for leave to send one request, whose bytes begin at `offset`.
    pub(crate) async fn turn(&self, intent: Intent, offset: u64) -> Turn {
        let ahead = match &self.ahead {
            Some(queue) if intent != Intent::Demand => Some(queue.enter(offset).await),
            _ => None,
        };
        let flow = self.flow.enter(intent).await;
        let gate = self.shared.gate.enter(intent).await;
        Turn {
            _flow: flow,
            _gate: gate,
            _ahead: ahead,
        }
    }

    /// Whether one more request would take nothing from the others: neither this read nor the engine sends as many as
    /// it may. A read that does is bound by bandwidth, and asking twice for the same bytes would only slow it.
    pub(crate) fn has_room(&self) -> bool {
        self.flow.has_room() && self.shared.gate.has_room()
    }

    /// Memory for the first bytes of `part`: for all of it (as far as the whole budget goes) as soon as there is room;
    /// for a small piece at once if this read holds nothing, so that it moves on whatever other readers sit on.
    pub(crate) async fn memory_for(self: &Arc<Self>, part: ByteRange) -> Held {
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

impl Drop for ReadState {
    /// Says what the read took, now that nobody asks for more.
    fn drop(&mut self) {
        let stats = self.stats();
        if stats.requests == 0 {
            return;
        }
        tracing::info!(
            object = %self.target.name,
            bytes = stats.bytes_downloaded,
            ranges = stats.ranges_processed,
            requests = stats.requests,
            seconds = stats.elapsed.as_secs_f64(),
            mb_s = stats.throughput_mbps(),
            "read"
        );
    }
}

/// Where the bytes of one part go, in order. Called on runtime threads, so it must not block for long.
pub trait PartOut: Send + 'static {
    /// Waits until more bytes can be taken. Cancel safe.
    fn room(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Takes the next bytes; `offset` counts from the start of the read.
    ///
    /// # Errors
    /// End the part, and the read.
    fn chunk(&mut self, offset: u64, bytes: Bytes) -> io::Result<()>;

    /// Told when the part is complete: memory that was held for bytes on their way goes back.
    fn done(&mut self) {}
}
