//! The task of a producer: cuts, uploads side by side, commits in order.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use forebay_types::limits::MAX_SEGMENT_SECTIONS;

use super::delivery::{Failure, Outcome};
use super::flight::{Cut, Flight, build, may_pass};
use super::leases::{LOOK_AGAIN, Leases};
use super::options::ProducerOptions;
use super::pending::Filling;
use super::{End, State};
use crate::error::{LogError, Result};
use crate::log::Log;
use crate::metadata::MetadataError;
use crate::topic::TopicPartition;

/// A producer with nothing to write gives its partitions back after this.
const IDLE: Duration = Duration::from_secs(1);

struct Writer {
    end: End,
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
pub(super) async fn run(end: End) {
    let log = end.0.log.clone();
    let mut writer = Writer {
        leases: Leases::new(log.new_id(), end.0.options.lease),
        flights: VecDeque::new(),
        not_before: Duration::ZERO,
        failing_since: None,
        busy_at: log.clock().now(),
        end,
    };
    while !writer.is_done() {
        writer.step(&log).await;
    }
    writer.leases.release_all(&log).await;
}

impl Writer {
    fn is_done(&self) -> bool {
        let state = self.end.0.state();
        state.closed && state.pending.is_empty() && self.flights.is_empty()
    }

    async fn step(&mut self, log: &Log) {
        let now = log.clock().now();
        if self.leases.renew_at().is_some_and(|at| at <= now) {
            self.leases.renew(log, now).await;
        }
        self.leases.release_wanted(log, now).await;
        // With all uploads taken there is nothing to cut, however late it is.
        let due = self
            .due()
            .filter(|_| self.flights.len() < self.options().uploads.max(1));
        if due.is_some_and(|due| due <= now) {
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
        let next = [due, idle_at, self.leases.renew_at()].into_iter().flatten().min();
        let pause = next.map(|at| at.saturating_sub(now));
        let inner = self.end.0.clone();
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
        let mut state = self.end.0.state();
        if state.pending.is_empty() {
            state.hurry = false;
        }
        let since = state.pending.since()?;
        let full = state.pending.bytes() >= self.options().batch_bytes;
        let at = if full || state.crammed > 0 || state.hurry || state.closed {
            since
        } else {
            since.saturating_add(self.options().linger)
        };
        Some(at.max(self.not_before))
    }

    /// Cuts what may be written now, and sends it off.
    async fn cut(&mut self, log: &Log) {
        let now = log.clock().now();
        if let Err(error) = self.acquire(log, now).await {
            self.could_not_acquire(error, now);
            return;
        }
        self.failing_since = None;
        self.give_up_waiting(now);
        let cut = self.state().pending.cut(|at| self.leases.may_write(at));
        if self.leases.is_blocked() || cut.is_empty() {
            self.not_before = now + LOOK_AGAIN;
        }
        let mut cut = cut.into_iter().peekable();
        while cut.peek().is_some() {
            let part = cut.by_ref().take(MAX_SEGMENT_SECTIONS);
            let cuts: Vec<_> = part.map(|(at, batches)| self.leases.place(at, batches)).collect();
            self.send_off(log, cuts).await;
        }
    }

    async fn acquire(&mut self, log: &Log, now: Duration) -> Result<()> {
        let wanted = self.state().pending.partitions().cloned().collect();
        let patience = self.options().delivery_timeout;
        let acquiring = self.leases.acquire(log, wanted, now);
        let acquired = tokio::time::timeout(patience, acquiring).await;
        acquired.unwrap_or_else(|_| {
            Err(LogError::Task(format!(
                "no answer about leases within {} s",
                patience.as_secs_f64()
            )))
        })
    }

    /// Builds one object and uploads it.
    async fn send_off(&mut self, log: &Log, cuts: Vec<Cut>) {
        let batches = || cuts.iter().flat_map(|cut| &cut.batches);
        let outcomes: Vec<_> = batches().map(|batch| batch.outcome.clone()).collect();
        let cost = batches().map(|batch| batch.cost).sum();
        let id = log.new_id();
        let built = tokio::task::spawn_blocking(move || build(id, cuts)).await;
        match built.unwrap_or_else(|error| Err(LogError::Task(error.to_string()))) {
            Ok(ready) => {
                let flight = Flight::begin(log, ready, self.options().delivery_timeout);
                for (at, next) in flight.ends() {
                    self.leases.took_off(at, next);
                }
                self.flights.push_back(flight);
            }
            // Its offsets were not given to anybody: what is cut next has them.
            Err(error) => self.tell(&outcomes, cost, &Failure::NotWritten(Arc::new(error))),
        }
    }

    /// Gives up what waited too long for another producer.
    fn give_up_waiting(&mut self, now: Duration) {
        let waited = self.options().lease_wait;
        for at in self.leases.given_up(now, waited) {
            let error = LogError::Busy {
                at: at.clone(),
                waited_s: waited.as_secs_f64(),
            };
            let cut = self.state().pending.cut(|other| *other == at);
            self.give_up(cut, &Failure::NotWritten(Arc::new(error)));
        }
    }

    /// Nothing is lost by waiting, as long as it helps and there is time.
    fn could_not_acquire(&mut self, error: LogError, now: Duration) {
        let since = *self.failing_since.get_or_insert(now);
        let patient = now.saturating_sub(since) < self.options().delivery_timeout;
        if may_pass(&error) && patient {
            tracing::warn!(%error, "partitions could not be acquired, tried again");
            self.not_before = now + LOOK_AGAIN;
            return;
        }
        self.failing_since = None;
        let concerned = |at: &TopicPartition| match &error {
            LogError::Metadata(MetadataError::UnknownPartition { at: unknown, .. }) => at == unknown,
            LogError::Metadata(MetadataError::UnknownTopic { topic }) => at.topic == *topic,
            _ => !self.leases.may_write(at),
        };
        let cut = self.state().pending.cut(concerned);
        self.give_up(cut, &Failure::NotWritten(Arc::new(error)));
    }

    /// The first upload ended.
    async fn land(&mut self, log: &Log, uploaded: Result<String>) {
        let Some(flight) = self.flights.pop_front() else {
            return;
        };
        let landed = match uploaded {
            Ok(etag) => flight.commit(log, etag, self.options().delivery_timeout).await,
            Err(error) => Err(Failure::NotWritten(Arc::new(error))),
        };
        for at in flight.partitions() {
            self.leases.landed(at);
        }
        let Err(failure) = landed else {
            self.end.0.room.add_permits(flight.cost);
            return;
        };
        tracing::error!(error = %failure.error(), "an object is given up, and those after it");
        self.leases.forget();
        let after = failure.for_successors();
        let mut failed = vec![flight];
        failed.extend(self.flights.drain(..));
        for (n, flight) in failed.iter().enumerate() {
            flight.fail(if n == 0 { &failure } else { &after });
            self.end.0.room.add_permits(flight.cost);
        }
        // Best effort, and nobody waits for it: they expire by themselves.
        let given_up = failed.iter().map(|flight| flight.abandon(log));
        let _ = tokio::time::timeout(IDLE, futures::future::join_all(given_up)).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.end.0.state()
    }

    fn options(&self) -> &ProducerOptions {
        &self.end.0.options
    }

    fn give_up(&self, cut: Vec<(TopicPartition, Vec<Filling>)>, failure: &Failure) {
        let batches: Vec<_> = cut.into_iter().flat_map(|(_, batches)| batches).collect();
        let cost = batches.iter().map(|batch| batch.cost).sum();
        let outcomes: Vec<_> = batches.into_iter().map(|batch| batch.outcome).collect();
        self.tell(&outcomes, cost, failure);
    }

    fn tell(&self, outcomes: &[Arc<Outcome>], cost: usize, failure: &Failure) {
        if outcomes.is_empty() {
            return;
        }
        tracing::error!(error = %failure.error(), batches = outcomes.len(), "batches are given up");
        for outcome in outcomes {
            outcome.failed(failure.clone());
        }
        self.end.0.room.add_permits(cost);
    }
}
