//! What the lab saw and did.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{FaultClass, Op};
use forebay_types::RangeSpec;

/// Everything counted since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now (not reset).
    pub open_connections: u64,
    /// Requests whose head arrived, of all kinds.
    pub requests: u64,
    /// GETs of objects.
    pub gets: u64,
    /// HEADs.
    pub heads: u64,
    /// PUTs, parts and copies among them.
    pub puts: u64,
    /// Listings of keys.
    pub lists: u64,
    /// DELETEs of one object.
    pub deletes: u64,
    /// Anything else: multipart begin and end, bulk delete, buckets.
    pub other: u64,
    /// Body bytes handed to the connections.
    pub bytes_sent: u64,
    /// Requests being answered now, from head received to last byte sent (not reset).
    pub concurrent_requests: u64,
    /// The most requests being answered at one time.
    pub max_concurrent_requests: u64,
    /// How often each class of fault was injected.
    pub faults: BTreeMap<FaultClass, u64>,
    /// Per `bucket/key`, if [`LabBuilder::record_keys`](crate::LabBuilder::record_keys) asked for it.
    pub keys: BTreeMap<String, KeyCounts>,
}

/// What was asked of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// GETs.
    pub gets: u64,
    /// HEADs.
    pub heads: u64,
    /// The Range of each GET in order of arrival; `None` for those without.
    pub ranges: Vec<Option<RangeSpec>>,
}

/// The live counters. Relaxed: they are read when the traffic they count is over.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) open_connections: AtomicU64,
    requests: AtomicU64,
    ops: [AtomicU64; Op::COUNT],
    bytes_sent: AtomicU64,
    concurrent: AtomicU64,
    max_concurrent: AtomicU64,
    record_keys: AtomicBool,
    keys: Mutex<BTreeMap<String, KeyCounts>>,
}

impl Counters {
    pub(crate) fn record_keys(&self, record: bool) {
        self.record_keys.store(record, Ordering::Relaxed);
    }

    /// Counts a request, and holds it as being answered until the guard is dropped.
    pub(crate) fn begin(
        self: &Arc<Self>,
        op: Op,
        path: impl FnOnce() -> String,
        range: Option<RangeSpec>,
    ) -> InFlight {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.ops[op as usize].fetch_add(1, Ordering::Relaxed);
        if matches!(op, Op::Get | Op::Head) && self.record_keys.load(Ordering::Relaxed) {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let key = keys.entry(path()).or_default();
            if op == Op::Get {
                key.gets += 1;
                key.ranges.push(range);
            } else {
                key.heads += 1;
            }
        }
        let now = self.concurrent.fetch_add(1, Ordering::Relaxed) + 1;
        self.max_concurrent.fetch_max(now, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, faults: BTreeMap<FaultClass, u64>) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let op = |op: Op| load(&self.ops[op as usize]);
        Counts {
            connections: load(&self.connections),
            open_connections: load(&self.open_connections),
            requests: load(&self.requests),
            gets: op(Op::Get),
            heads: op(Op::Head),
            puts: op(Op::Put),
            lists: op(Op::List),
            deletes: op(Op::Delete),
            other: op(Op::Other),
            bytes_sent: load(&self.bytes_sent),
            concurrent_requests: load(&self.concurrent),
            max_concurrent_requests: load(&self.max_concurrent),
            faults,
            keys: self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Gauges of what is going on now keep their value.
    pub(crate) fn reset(&self) {
        for counter in [&self.connections, &self.requests, &self.bytes_sent]
            .into_iter()
            .chain(&self.ops)
        {
            counter.store(0, Ordering::Relaxed);
        }
        self.max_concurrent
            .store(self.concurrent.load(Ordering::Relaxed), Ordering::Relaxed);
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A request being answered.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Counters>);

impl InFlight {
    pub(crate) fn counters(&self) -> &Counters {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.concurrent.fetch_sub(1, Ordering::Relaxed);
    }
}
