//! The face of the engine, and what all its reads share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use forebay_types::{ByteSize, Clock, RangeSpec, SystemClock};

use crate::budget::Budget;
use crate::config::RangeEngineConfig;
use crate::error::RangeError;
use crate::fetch::Fetch;
use crate::gate::{Gate, GateOptions};
use crate::read::Opened;
use crate::sink::RangeSink;
use crate::state::Shared;
use crate::stats::{Counters, RangeStats};
use crate::stream::RangeStream;
use crate::target::{Known, Target};

/// What the process allows all its reads together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Bytes that may be on their way from sources to readers. 256 MiB: the parts of one read at 1.4 GB/s with
    /// 8 MiB parts are 170 MiB.
    pub memory_budget: u64,
    /// Requests in flight.
    pub gate: GateOptions,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            memory_budget: ByteSize::mib(256).bytes(),
            gate: GateOptions::default(),
        }
    }
}

/// Reads objects in parallel ranges. Cheap to clone; clones share budgets and figures, so one per process is right.
#[derive(Clone, Debug)]
pub struct RangeEngine {
    pub(crate) shared: Arc<Shared>,
}

impl RangeEngine {
    /// An engine with the usual budgets; `config` is for [`Self::download`], which names no target.
    pub fn new(config: RangeEngineConfig) -> Self {
        Self::with_options(config, EngineOptions::default(), Arc::new(SystemClock::new()))
    }

    /// An engine with the given budgets.
    pub fn with_options(config: RangeEngineConfig, options: EngineOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                config: Arc::new(config),
                budget: Budget::new(options.memory_budget),
                gate: Gate::new(options.gate, clock.clone()),
                clock,
                totals: Counters::default(),
                hedge: Mutex::default(),
            }),
        }
    }

    /// Sends the first request for `range` of `target`: with its answer the object's size and version are known and
    /// its first bytes are on their way. Nothing is sent if the target's size is known already.
    ///
    /// # Errors
    /// Of the first request, after its retries; [`RangeError::OutOfRange`] if the range starts past the end.
    ///
    /// # Cancel safety
    /// Dropping the future ends the request.
    pub async fn open(&self, target: Target, range: RangeSpec) -> Result<Opened, RangeError> {
        Opened::open(self.shared.clone(), target, range).await
    }

    /// As [`Self::open`], if the object is another version than the target's `unless`; `None` if it is the same, in one
    /// round trip and without its bytes.
    ///
    /// # Errors
    /// As [`Self::open`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the request.
    pub async fn open_if_changed(
        &self,
        target: Target,
        range: RangeSpec,
    ) -> Result<Option<Opened>, RangeError> {
        match self.open(target, range).await {
            Ok(opened) => Ok(Some(opened)),
            Err(RangeError::NotModified { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The parts of an object whose size and version are known, fetched one by one as the caller decides. Sends nothing.
    pub fn fetch(&self, target: Target, known: Known) -> Fetch {
        Fetch::new(self.shared.clone(), target, known)
    }

    /// The bytes of `range` in order, as they come.
    ///
    /// # Errors
    /// As [`Self::open`]; later failures come through the stream.
    ///
    /// # Cancel safety
    /// Dropping the future, or the stream, ends all its requests.
    pub async fn stream(&self, target: Target, range: RangeSpec) -> Result<RangeStream, RangeError> {
        Ok(self.open(target, range).await?.into_stream())
    }

    /// The bytes of `range` in one buffer.
    ///
    /// # Errors
    /// If any part fails for good; no bytes then.
    ///
    /// # Cancel safety
    /// Dropping the future ends all its requests.
    pub async fn read(&self, target: Target, range: RangeSpec) -> Result<(Bytes, RangeStats), RangeError> {
        self.open(target, range).await?.into_bytes().await
    }

    /// Puts the bytes of `range` into `sink`, in whatever order they come; offsets count from the start of the range.
    ///
    /// # Errors
    /// If any part fails for good, or the sink does. The sink then holds some of the bytes.
    ///
    /// # Cancel safety
    /// Dropping the future ends all its requests; the sink then holds some of the bytes.
    pub async fn read_to(
        &self,
        target: Target,
        range: RangeSpec,
        sink: Arc<dyn RangeSink>,
    ) -> Result<RangeStats, RangeError> {
        self.open(target, range).await?.into_sink(sink).await
    }

    /// Figures of all reads since the start.
    pub fn stats(&self) -> RangeStats {
        self.shared.totals.snapshot(self.shared.clock.now())
    }

    /// The memory budget of all reads.
    pub fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    /// The gate of all requests.
    pub fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// The clock that it goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// The usual time to a first byte, as far as known.
    pub fn usual_latency(&self) -> Option<Duration> {
        self.shared.hedge().median()
    }
}
