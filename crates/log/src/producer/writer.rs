//! The task of a producer: cuts, uploads side by side, commits in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::delivery::{Failure, Outcome};
use super::flight::{Cut, Flight, build};
use super::leases::{LOOK_AGAIN, Leases};
use super::pending::Filling;
use crate::error::{LogError, Result};
use crate::log::Log;
use crate::metadata::MetadataError;
use crate::topic::TopicPartition;

/// A producer with nothing to write gives its partitions back after this.
const IDLE: Duration = Duration::from_secs(1);

struct Writer {
    inner: Arc<Inner>,
    leases: Leases,
    /// In the order in which they were cut.
    flights: VecDeque<Flight>,
    /// Not cut before: what it needs was not to be had.
    not_before: Duration,
    /// Since when cutting fails.
    failing_since: Option<Duration>,
    busy_at: Duration,
}

/// Works until its producer is closed or gone, and nothing is left.
pub(super) async fn run(inner: Arc<Inner>) {
    let log = inner.log.clone();
    let mut writer = Writer {
        leases: Leases::new(log.new_id(), inner.options.lease),
        flights: VecDeque::new(),
        not_before: Duration::ZERO,
        failing_since: None,
        busy_at: log.clock().now(),
        inner,
    };
    while !writer.is_done() {
        writer.step(&log).await;
    }
    writer.leases.release_all(&log).await;
}

impl Writer {
    fn is_done(&self) -> bool {
        let state = self.inner.state();
        state.closed && state.pending.is_empty() && self.flights.is_empty()
    }

    async fn step(&mut self, log: &Log) {
        let now = log.clock().now();
        if self.leases.renew_at().is_some_and(|at| at <= now) {
            self.leases.renew(log, now).await;
        }
        self.leases.release_wanted(log, now).await;
        let due = self.due();
        if due.is_some_and(|due| due <= now) && self.flights.len() < self.inner.options.uploads.max(1) {
            self.busy_at = now;
            self.cut(log).await;
            return;
        }
        let idle_at = (self.flights.is_empty() && due.is_none() && !self.leases.is_empty())
            .then(|| self.busy_at + IDLE);
        if idle_at.is_some_and(|at| at <= now) {
            self.leases.release_all(log).await;
            return;
        }
        // With all uploads taken there is nothing to cut, however late it is.
        let due = due.filter(|_| self.flights.len() < self.inner.options.uploads.max(1));
        let next = [due, idle_at, self.leases.renew_at()].into_iter().flatten().min();
        let pause = next.map(|at| at.saturating_sub(now));
        let inner = self.inner.clone();
        let uploaded = async {
            match self.flights.front_mut() {
                Some(first) => (&mut first.upload).await,
                None => std::future::pending().await,
            }
        };
        let timer = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            uploaded = uploaded => {
                self.busy_at = log.clock().now();
                let tag = uploaded.unwrap_or_else(|error| Err(LogError::Task(error.to_string())));
                self.land(log, tag).await;
            }
            () = inner.wake.notified() => {}
            () = timer => {}
        }
    }

    /// When what is pending is to be cut; `None` if there is nothing.
    fn due(&self) -> Option<Duration> {
        let mut state = self.inner.state();
        if state.pending.is_empty() {
            state.hurry = false;
        }
        let since = state.pending.since()?;
        let full = state.pending.bytes() >= self.inner.options.batch_bytes;
        // Whoever sends waits for room that only this gives back.
        let crammed = self.inner.room.available_permits() == 0;
        let at = if full || crammed || state.hurry || state.closed {
            since
        } else {
            since + self.inner.options.linger
        };
        Some(at.max(self.not_before))
    }

    /// Cuts what may be written now, and sends it off.
    async fn cut(&mut self, log: &Log) {
        let now = log.clock().now();
        let wanted = self.inner.state().pending.partitions().cloned().collect();
        if let Err(error) = self.leases.acquire(log, wanted, now).await {
            self.could_not_acquire(error, now);
            return;
        }
        self.failing_since = None;
        for at in self.leases.given_up(now, self.inner.options.lease_wait) {
            let waited = self.inner.options.lease_wait;
            let error = LogError::Invalid(format!(
                "another producer has been writing {at} for {} s without a break",
                waited.as_secs()
            ));
            let cut = self.inner.state().pending.cut(|other| *other == at);
            self.give_up(cut, &Failure::NotWritten(Arc::new(error)));
        }
        let cut = self.inner.state().pending.cut(|at| self.leases.may_write(at));
        if self.leases.is_blocked() || cut.is_empty() {
            self.not_before = now + LOOK_AGAIN;
        }
        if cut.is_empty() {
            return;
        }
        let mut cuts = Vec::with_capacity(cut.len());
        for (at, batches) in cut {
            let Some(held) = self.leases.get_mut(&at) else {
                continue;
            };
            cuts.push(Cut {
                epoch: held.epoch,
                base_offset: held.next_offset,
                at,
                batches,
            });
        }
        let batches = || cuts.iter().flat_map(|cut| &cut.batches);
        let outcomes: Vec<_> = batches().map(|batch| batch.outcome.clone()).collect();
        let cost = batches().map(|batch| batch.cost).sum();
        let id = log.new_id();
        let built = tokio::task::spawn_blocking(move || build(id, cuts)).await;
        match built.unwrap_or_else(|error| Err(LogError::Task(error.to_string()))) {
            Ok(ready) => {
                let flight = Flight::begin(log, ready, self.inner.options.delivery_timeout);
                for (at, next) in flight.ends() {
                    if let Some(held) = self.leases.get_mut(at) {
                        held.next_offset = next;
                        held.in_flight += 1;
                    }
                }
                self.flights.push_back(flight);
            }
            // Its offsets were not given to anybody: what is cut next has them.
            Err(error) => self.tell(&outcomes, cost, &Failure::NotWritten(Arc::new(error))),
        }
    }

    /// Nothing is lost by waiting, as long as it helps and there is time.
    fn could_not_acquire(&mut self, error: LogError, now: Duration) {
        let since = *self.failing_since.get_or_insert(now);
        let patient = now.saturating_sub(since) < self.inner.options.delivery_timeout;
        if error.kind().is_transient() && patient {
            tracing::warn!(%error, "partitions could not be acquired, tried again");
            self.not_before = now + LOOK_AGAIN;
            return;
        }
        self.failing_since = None;
        let only = match &error {
            LogError::Metadata(MetadataError::UnknownPartition { at, .. }) => Some(at.clone()),
            _ => None,
        };
        let held = |at: &TopicPartition| self.leases.may_write(at);
        let cut = self
            .inner
            .state()
            .pending
            .cut(|at| only.as_ref().map_or_else(|| !held(at), |only| only == at));
        self.give_up(cut, &Failure::NotWritten(Arc::new(error)));
    }

    /// The first upload ended.
    async fn land(&mut self, log: &Log, uploaded: Result<String>) {
        let Some(flight) = self.flights.pop_front() else {
            return;
        };
        let landed = match uploaded {
            Ok(etag) => {
                flight
                    .commit(log, etag, self.inner.options.delivery_timeout)
                    .await
            }
            Err(error) => Err(Failure::NotWritten(Arc::new(error))),
        };
        for at in flight.partitions() {
            if let Some(held) = self.leases.get_mut(at) {
                held.in_flight -= 1;
            }
        }
        self.inner.room.add_permits(flight.cost);
        let Err(failure) = landed else {
            return;
        };
        tracing::error!(error = %failure.error(), "an object was not written, nor are those after it");
        self.leases.forget();
        let after = failure.for_successors();
        flight.fail(log, failure).await;
        for flight in std::mem::take(&mut self.flights) {
            self.inner.room.add_permits(flight.cost);
            flight.fail(log, after.clone()).await;
        }
    }

    fn give_up(&self, cut: Vec<(TopicPartition, Vec<Filling>)>, failure: &Failure) {
        for (_, batches) in cut {
            let cost = batches.iter().map(|batch| batch.cost).sum();
            let outcomes: Vec<_> = batches.into_iter().map(|batch| batch.outcome).collect();
            self.tell(&outcomes, cost, failure);
        }
    }

    fn tell(&self, outcomes: &[Arc<Outcome>], cost: usize, failure: &Failure) {
        tracing::error!(error = %failure.error(), batches = outcomes.len(), "not written");
        for outcome in outcomes {
            outcome.failed(failure.clone());
        }
        self.inner.room.add_permits(cost);
    }
}
