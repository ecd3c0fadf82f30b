//! The right to write.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ulid::Ulid;

use crate::error::Result;
use crate::log::Log;
use crate::metadata::MetadataError;
use crate::topic::TopicPartition;

/// A partition that somebody else waited for is not asked back at once: they look every 100 ms.
const REST: Duration = Duration::from_millis(250);

/// Between two attempts to get a partition that another producer writes.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A partition that this producer may write.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) epoch: u64,
    /// The offset of what is cut next.
    pub(super) next_offset: u64,
    /// Sections on their way.
    pub(super) in_flight: usize,
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
    /// Another producer has them: since when they are waited for.
    blocked: BTreeMap<TopicPartition, Duration>,
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

    pub(super) fn get_mut(&mut self, at: &TopicPartition) -> Option<&mut Held> {
        self.held.get_mut(at)
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
    /// Of the metadata, and of the bucket if a fence cannot be put there. Nothing new is held then.
    pub(super) async fn acquire(
        &mut self,
        log: &Log,
        wanted: Vec<TopicPartition>,
        now: Duration,
    ) -> Result<()> {
        self.resting.retain(|_, until| *until > now);
        let mut missing: Vec<_> = wanted
            .into_iter()
            .filter(|at| !self.held.contains_key(at) && !self.resting.contains_key(at))
            .collect();
        while !missing.is_empty() {
            let leases = match log.metadata().acquire(self.writer, &missing, self.lasts).await {
                Ok(leases) => leases,
                // All or none: the others without it.
                Err(MetadataError::Held { at, .. }) if missing.contains(&at) => {
                    self.blocked.entry(at.clone()).or_insert(now);
                    missing.retain(|other| *other != at);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            // What an earlier writer still has on its way must never be taken for data.
            let unclean: Vec<_> = leases.iter().filter(|lease| !lease.clean).cloned().collect();
            if !unclean.is_empty() {
                log.write_fence(&unclean).await?;
            }
            if self.held.is_empty() {
                self.renew_at = now + self.lasts / 4;
            }
            for lease in leases {
                self.blocked.remove(&lease.at);
                let held = Held {
                    epoch: lease.epoch,
                    next_offset: lease.next_offset,
                    in_flight: 0,
                };
                self.held.insert(lease.at, held);
            }
            return Ok(());
        }
        Ok(())
    }

    /// Those that have been waited for longer than `patience`; they are not waited for any more.
    pub(super) fn given_up(&mut self, now: Duration, patience: Duration) -> Vec<TopicPartition> {
        let late = |since: &Duration| now.saturating_sub(*since) >= patience;
        let given_up: Vec<_> = self
            .blocked
            .iter()
            .filter(|(_, since)| late(since))
            .map(|(at, _)| at.clone())
            .collect();
        self.blocked.retain(|_, since| !late(since));
        given_up
    }

    /// Whether something waits for another producer.
    pub(super) fn is_blocked(&self) -> bool {
        !self.blocked.is_empty() || !self.resting.is_empty()
    }

    /// Prolongs what is held; what others wait for will be given back.
    pub(super) async fn renew(&mut self, log: &Log, now: Duration) {
        self.renew_at = now + self.lasts / 4;
        match log.metadata().renew(self.writer, self.lasts).await {
            Ok(wanted) => {
                let ours = wanted.into_iter().filter(|at| self.held.contains_key(at));
                self.draining.extend(ours);
            }
            // Tried again in time; if not, commits will be refused.
            Err(error) => tracing::warn!(%error, "leases could not be prolonged"),
        }
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
        if let Err(error) = log.metadata().release(self.writer, &which).await {
            // They run out by themselves.
            tracing::warn!(%error, "leases could not be given back");
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
