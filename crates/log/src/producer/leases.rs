//! The right to write.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use ulid::Ulid;

use super::flight::Cut;
use super::pending::Filling;
use crate::error::Result;
use crate::log::Log;
use crate::metadata::{Lease, MetadataError};
use crate::topic::TopicPartition;

/// A partition that somebody else waited for is not asked back at once: they look every 100 ms.
const REST: Duration = Duration::from_millis(250);

/// Between two attempts to get a partition that another producer writes.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Partitions that are asked for one by one at a time: each is a call, and thousands may be another producer's.
const ONE_BY_ONE: usize = 64;

/// A partition that this producer may write.
#[derive(Debug)]
struct Held {
    epoch: u64,
    /// The offset of what is cut next.
    next_offset: u64,
    /// Sections on their way.
    in_flight: usize,
}

/// A partition that another producer has.
#[derive(Clone, Copy, Debug)]
struct Blocked {
    since: Duration,
    asked: Duration,
}

/// The partitions of one producer.
#[derive(Debug)]
pub(super) struct Leases {
    writer: Ulid,
    lasts: Duration,
    held: BTreeMap<TopicPartition, Held>,
    /// Given back as soon as nothing is on its way to them: somebody waits.
    draining: BTreeSet<TopicPartition>,
    /// Not asked for before.
    resting: BTreeMap<TopicPartition, Duration>,
    /// Another producer has them.
    blocked: BTreeMap<TopicPartition, Blocked>,
    renew_at: Duration,
}

impl Leases {
    pub(super) fn new(writer: Ulid, lasts: Duration) -> Self {
        Self {
            writer,
            lasts,
            held: BTreeMap::new(),
            draining: BTreeSet::new(),
            resting: BTreeMap::new(),
            blocked: BTreeMap::new(),
            renew_at: Duration::ZERO,
        }
    }

    /// Whether it may be written now.
    pub(super) fn may_write(&self, at: &TopicPartition) -> bool {
        self.held.contains_key(at) && !self.draining.contains(at)
    }

    /// What is cut of a partition that may be written, with its offsets.
    pub(super) fn place(&self, at: TopicPartition, batches: Vec<Filling>) -> Cut {
        let held = self.held.get(&at).expect("only what is held is cut");
        Cut {
            epoch: held.epoch,
            base_offset: held.next_offset,
            at,
            batches,
        }
    }

    /// A section is on its way; the next one begins at `next_offset`.
    pub(super) fn took_off(&mut self, at: &TopicPartition, next_offset: u64) {
        if let Some(held) = self.held.get_mut(at) {
            held.next_offset = next_offset;
            held.in_flight += 1;
        }
    }

    /// A section is not on its way any more.
    pub(super) fn landed(&mut self, at: &TopicPartition) {
        if let Some(held) = self.held.get_mut(at) {
            held.in_flight -= 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// When the leases are to be prolonged.
    pub(super) fn renew_at(&self) -> Option<Duration> {
        (!self.held.is_empty()).then_some(self.renew_at)
    }

    /// Gets those of `wanted` that are not held, as far as they are free.
    ///
    /// # Errors
    /// Of the metadata, and of the bucket if a fence cannot be put there. What was got then is got anew the next time.
    pub(super) async fn acquire(
        &mut self,
        log: &Log,
        wanted: BTreeSet<TopicPartition>,
        now: Duration,
    ) -> Result<()> {
        self.resting.retain(|_, until| *until > now);
        self.blocked.retain(|at, _| wanted.contains(at));
        let missing = wanted
            .into_iter()
            .filter(|at| !self.held.contains_key(at) && !self.resting.contains_key(at));
        let (again, new): (Vec<_>, Vec<_>) = missing.partition(|at| self.blocked.contains_key(at));
        let mut leases = self.ask(log, new, now).await?;
        leases.extend(self.ask_again(log, again, now).await?);
        // What an earlier writer still has on its way must never be taken for data.
        let unclean: Vec<_> = leases.iter().filter(|lease| !lease.clean).cloned().collect();
        if !unclean.is_empty() {
            log.write_fence(&unclean).await?;
        }
        if self.held.is_empty() {
            self.renew_at = now + self.lasts / 4;
        }
        self.hold(leases);
        Ok(())
    }

    fn hold(&mut self, leases: Vec<Lease>) {
        for lease in leases {
            self.blocked.remove(&lease.at);
            let held = Held {
                epoch: lease.epoch,
                next_offset: lease.next_offset,
                in_flight: 0,
            };
            self.held.insert(lease.at, held);
        }
    }

    /// Mostly all are free: one call. It gives all or none, so else each is asked for by itself.
    async fn ask(&mut self, log: &Log, which: Vec<TopicPartition>, now: Duration) -> Result<Vec<Lease>> {
        if which.is_empty() {
            return Ok(Vec::new());
        }
        match log.metadata().acquire(self.writer, &which, self.lasts).await {
            Ok(leases) => Ok(leases),
            Err(MetadataError::Held { .. }) => self.ask_each(log, which, now).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Those that were another's when they were asked for last; by turns, if they are many.
    async fn ask_again(
        &mut self,
        log: &Log,
        mut which: Vec<TopicPartition>,
        now: Duration,
    ) -> Result<Vec<Lease>> {
        which.sort_by_key(|at| self.blocked.get(at).map(|blocked| blocked.asked));
        which.truncate(ONE_BY_ONE);
        self.ask_each(log, which, now).await
    }

    async fn ask_each(&mut self, log: &Log, which: Vec<TopicPartition>, now: Duration) -> Result<Vec<Lease>> {
        let (writer, lasts) = (self.writer, self.lasts);
        let mut answers = futures::stream::iter(which)
            .map(|at| async move {
                let answer = log
                    .metadata()
                    .acquire(writer, std::slice::from_ref(&at), lasts)
                    .await;
                (at, answer)
            })
            .buffered(ONE_BY_ONE);
        let mut got = Vec::new();
        while let Some((at, answer)) = answers.next().await {
            match answer {
                Ok(leases) => got.extend(leases),
                Err(MetadataError::Held { .. }) => {
                    let since = self.blocked.get(&at).map_or(now, |blocked| blocked.since);
                    self.blocked.insert(at, Blocked { since, asked: now });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(got)
    }

    /// Those that have been waited for longer than `patience`; they are not waited for any more.
    pub(super) fn given_up(&mut self, now: Duration, patience: Duration) -> Vec<TopicPartition> {
        let late = self
            .blocked
            .extract_if(.., |_, blocked| now.saturating_sub(blocked.since) >= patience);
        late.map(|(at, _)| at).collect()
    }

    /// Whether something waits for another producer.
    pub(super) fn is_blocked(&self) -> bool {
        !self.blocked.is_empty() || !self.resting.is_empty()
    }

    /// Prolongs what is held; what others wait for will be given back.
    pub(super) async fn renew(&mut self, log: &Log, now: Duration) {
        self.renew_at = now + self.lasts / 4;
        let renewing = log.metadata().renew(self.writer, self.lasts);
        let wanted = match tokio::time::timeout(self.lasts, renewing).await {
            Ok(Ok(wanted)) => wanted,
            // Tried again in time; if not, commits will be refused.
            Ok(Err(error)) => return tracing::warn!(%error, "leases could not be prolonged"),
            Err(_) => return tracing::warn!("leases could not be prolonged: no answer"),
        };
        // Some were forgotten after a failure, but the metadata goes on to prolong them. They are given back as the others,
        // in an epoch that nothing was written in.
        let forgotten: BTreeSet<_> = wanted
            .iter()
            .filter(|at| !self.held.contains_key(at))
            .cloned()
            .collect();
        if !forgotten.is_empty()
            && let Err(error) = self.acquire_forgotten(log, forgotten).await
        {
            tracing::warn!(%error, "leases of before a failure could not be taken back");
        }
        let ours = wanted.into_iter().filter(|at| self.held.contains_key(at));
        self.draining.extend(ours);
    }

    async fn acquire_forgotten(&mut self, log: &Log, which: BTreeSet<TopicPartition>) -> Result<()> {
        let which: Vec<_> = which.into_iter().collect();
        let leases = log.metadata().acquire(self.writer, &which, self.lasts).await?;
        log.write_fence(&leases).await?;
        self.hold(leases);
        Ok(())
    }

    /// Gives back what others wait for, if nothing is on its way to it.
    pub(super) async fn release_wanted(&mut self, log: &Log, now: Duration) {
        let held = &self.held;
        let idle = |at: &TopicPartition| held.get(at).is_none_or(|held| held.in_flight == 0);
        let ready: Vec<_> = self.draining.iter().filter(|at| idle(at)).cloned().collect();
        if ready.is_empty() {
            return;
        }
        for at in &ready {
            self.resting.insert(at.clone(), now + REST);
        }
        self.release(log, ready).await;
    }

    /// Gives everything back; nothing is on its way.
    pub(super) async fn release_all(&mut self, log: &Log) {
        let all = self.held.keys().cloned().collect();
        self.release(log, all).await;
    }

    async fn release(&mut self, log: &Log, which: Vec<TopicPartition>) {
        if which.is_empty() {
            return;
        }
        let releasing = log.metadata().release(self.writer, &which);
        match tokio::time::timeout(self.lasts, releasing).await {
            Ok(Ok(())) => {}
            // They run out by themselves.
            Ok(Err(error)) => tracing::warn!(%error, "leases could not be given back"),
            Err(_) => tracing::warn!("leases could not be given back: no answer"),
        }
        for at in which {
            self.held.remove(&at);
            self.draining.remove(&at);
        }
    }

    /// Something failed: where these partitions go on is not known any more, and what is on its way must not count. The next
    /// leases have new epochs.
    pub(super) fn forget(&mut self) {
        self.held.clear();
        self.draining.clear();
    }
}
