//! What was sent and not cut yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::NewRecord;
use super::delivery::{Delivery, Outcome};
use super::options::{Acks, ProducerOptions};
use crate::batch::{Batch, BatchBuilder};
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

    pub(super) fn push(
        &mut self,
        at: &TopicPartition,
        timestamp: i64,
        record: &NewRecord,
        cost: usize,
        now: Duration,
        options: &ProducerOptions,
    ) -> Result<Delivery> {
        let filling = match self
            .by_partition
            .get_mut(at)
            .and_then(|batches| batches.last_mut())
        {
            Some(Filling {
                content: Content::Records(builder),
                ..
            }) if builder.len() + cost <= options.record_batch_bytes => None,
            _ => Some(BatchBuilder::new(options.codec)),
        };
        let is_new = filling.is_some();
        if let Some(builder) = filling {
            self.add(at, Content::Records(builder), 0);
        }
        let batches = self.by_partition.get_mut(at).expect("one was just there");
        let Some(Filling {
            content: Content::Records(builder),
            outcome,
            cost: total,
        }) = batches.last_mut()
        else {
            return Err(LogError::Task("no batch to put a record into".to_owned()));
        };
        let nth = u64::from(builder.records());
        let pushed = builder.push(
            timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            &record.headers,
        );
        if let Err(source) = pushed {
            if is_new {
                self.take_back(at);
            }
            return Err(LogError::Record {
                at: at.clone(),
                source,
            });
        }
        *total += cost;
        let delivery = match options.acks {
            Acks::All => Delivery::new(outcome.clone(), nth),
            Acks::None => Delivery::taken_in(at.clone()),
        };
        self.bytes += cost;
        self.since = self.since.or(Some(now));
        Ok(delivery)
    }

    pub(super) fn push_batch(
        &mut self,
        at: &TopicPartition,
        batch: Batch,
        cost: usize,
        now: Duration,
    ) -> Delivery {
        let outcome = self.add(at, Content::Whole(batch), cost);
        self.bytes += cost;
        self.since = self.since.or(Some(now));
        Delivery::new(outcome, 0)
    }

    fn add(&mut self, at: &TopicPartition, content: Content, cost: usize) -> Arc<Outcome> {
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

    /// The batch that was just made for a record that it cannot take.
    fn take_back(&mut self, at: &TopicPartition) {
        if let Some(batches) = self.by_partition.get_mut(at) {
            batches.pop();
            self.open.pop();
            if batches.is_empty() {
                self.by_partition.remove(at);
            }
        }
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
