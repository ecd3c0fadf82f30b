//! What was sent and not cut yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::NewRecord;
use super::delivery::{Delivery, Outcome};
use super::options::{Acks, ProducerOptions};
use crate::batch::{Batch, BatchBuilder, BatchError};
use crate::error::{LogError, Result};
use crate::topic::TopicPartition;

/// What a record costs beside its bytes: lengths, deltas, and its share of a batch.
const RECORD_OVERHEAD: usize = 32;

/// What a record takes of the buffer, before that is known to hold so much.
pub(super) fn cost(record: &NewRecord) -> usize {
    let headers = record
        .headers
        .iter()
        .map(|header| header.name.len() + header.value.as_ref().map_or(0, bytes::Bytes::len));
    RECORD_OVERHEAD
        + record.key.as_ref().map_or(0, bytes::Bytes::len)
        + record.value.as_ref().map_or(0, bytes::Bytes::len)
        + headers.sum::<usize>()
}

/// A batch that is being filled, or came whole.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) content: Content,
    pub(super) outcome: Arc<Outcome>,
    /// What it takes of the buffer.
    pub(super) cost: usize,
}

#[derive(Debug)]
pub(super) enum Content {
    Records(BatchBuilder),
    Whole(Batch),
}

impl Filling {
    /// Takes in a record if there is room, and gives back its place. A batch that is larger than `most`, came whole, or cannot
    /// hold the record (it has as many as it may, or their times are too far apart) stays as it is.
    fn join(
        &mut self,
        timestamp: i64,
        record: &NewRecord,
        cost: usize,
        most: usize,
    ) -> Option<(Arc<Outcome>, u64)> {
        let Content::Records(builder) = &mut self.content else {
            return None;
        };
        if builder.len() > most {
            return None;
        }
        let nth = u64::from(builder.records());
        fill(builder, timestamp, record).ok()?;
        self.cost += cost;
        Some((self.outcome.clone(), nth))
    }
}

fn fill(
    builder: &mut BatchBuilder,
    timestamp: i64,
    record: &NewRecord,
) -> std::result::Result<(), BatchError> {
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    builder.push(timestamp, key, value, &record.headers)
}

fn delivery(outcome: Arc<Outcome>, nth: u64, acks: Acks) -> Delivery {
    match acks {
        Acks::All => Delivery::new(outcome, nth),
        Acks::None => Delivery::taken_in(outcome.at().clone()),
    }
}

/// Batches by partition, in the order in which they were sent.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_partition: BTreeMap<TopicPartition, Vec<Filling>>,
    bytes: usize,
    /// When the oldest was taken in.
    since: Option<Duration>,
    /// Batches of which nobody was told yet, cut or not.
    open: Vec<Arc<Outcome>>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.by_partition.is_empty()
    }

    /// What it takes of the buffer.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest was taken in.
    pub(super) fn since(&self) -> Option<Duration> {
        self.since
    }

    /// Puts a record into the batch that its partition has begun, or into a new one.
    pub(super) fn push(
        &mut self,
        at: &TopicPartition,
        timestamp: i64,
        record: &NewRecord,
        cost: usize,
        now: Duration,
        options: &ProducerOptions,
    ) -> Result<Delivery> {
        let most = options.record_batch_bytes.saturating_sub(cost);
        let begun = self
            .by_partition
            .get_mut(at)
            .and_then(|batches| batches.last_mut());
        let joined = begun.and_then(|begun| begun.join(timestamp, record, cost, most));
        let (outcome, nth) = match joined {
            Some(place) => {
                self.count(cost, now);
                place
            }
            None => {
                let mut builder = BatchBuilder::new(options.codec);
                fill(&mut builder, timestamp, record).map_err(|source| LogError::Record {
                    at: at.clone(),
                    source,
                })?;
                (self.add(at, Content::Records(builder), cost, now), 0)
            }
        };
        Ok(delivery(outcome, nth, options.acks))
    }

    pub(super) fn push_batch(
        &mut self,
        at: &TopicPartition,
        batch: Batch,
        cost: usize,
        now: Duration,
        acks: Acks,
    ) -> Delivery {
        let outcome = self.add(at, Content::Whole(batch), cost, now);
        delivery(outcome, 0, acks)
    }

    fn add(&mut self, at: &TopicPartition, content: Content, cost: usize, now: Duration) -> Arc<Outcome> {
        self.count(cost, now);
        let outcome = Outcome::new(at.clone());
        if self.open.len() == self.open.capacity() {
            self.open.retain(|outcome| !outcome.is_told());
        }
        self.open.push(outcome.clone());
        self.by_partition.entry(at.clone()).or_default().push(Filling {
            content,
            outcome: outcome.clone(),
            cost,
        });
        outcome
    }

    fn count(&mut self, cost: usize, now: Duration) {
        self.bytes += cost;
        self.since = self.since.or(Some(now));
    }

    /// The batches of which nobody was told yet.
    pub(super) fn unresolved(&mut self) -> Vec<Arc<Outcome>> {
        self.open.retain(|outcome| !outcome.is_told());
        self.open.clone()
    }

    /// The partitions that something is for.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.by_partition.keys()
    }

    /// Takes the batches of the partitions that `which` names.
    pub(super) fn cut(
        &mut self,
        which: impl Fn(&TopicPartition) -> bool,
    ) -> Vec<(TopicPartition, Vec<Filling>)> {
        let all = std::mem::take(&mut self.by_partition);
        let (cut, held_back): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(at, _)| which(at));
        let taken: usize = cut.values().flatten().map(|filling| filling.cost).sum();
        self.bytes -= taken;
        self.by_partition = held_back;
        if self.by_partition.is_empty() {
            self.since = None;
        }
        self.open.retain(|outcome| !outcome.is_told());
        cut.into_iter().collect()
    }
}
