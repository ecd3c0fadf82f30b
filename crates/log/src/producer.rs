//! Writing.

mod delivery;
mod flight;
mod leases;
mod options;
mod partitioner;
mod pending;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::batch::Batch;
use crate::error::{LogError, Result};
use crate::log::Log;
use crate::metadata::MetadataError;
use crate::record::Header;
use crate::topic::{TopicName, TopicPartition};

use delivery::Failure;
pub use delivery::{Delivered, Delivery};
pub use options::{Acks, ProducerOptions};
use partitioner::Partitioner;
use pending::Pending;

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Which partition; `None` leaves it to the key, or takes turns.
    pub partition: Option<u32>,
    /// The key, if it has one.
    pub key: Option<Bytes>,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970; `None` is now.
    pub timestamp: Option<i64>,
}

impl NewRecord {
    /// A record with a value alone.
    pub fn value(value: impl Into<Bytes>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// With a key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// For this partition.
    #[must_use]
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }
}

/// Writes records. They gather until there are [`ProducerOptions::batch_bytes`] of them or the oldest waited for
/// [`ProducerOptions::linger`], then go into **one** object with a section for each of their partitions. Several such
/// uploads are on their way at a time; they are committed in the order in which they were cut, and only then
/// acknowledged. So the records of a partition stand in the order in which they were sent.
///
/// If one cannot be written, all that were cut after it fail as well ([`LogError::Aborted`]), since their offsets followed from it;
/// what is sent later is written again. Nothing is written twice by itself, but who sends again after
/// [`LogError::Unknown`] may see both.
///
/// Other producers may write the same partitions: each waits for its turn, a lease that its holder gives back when somebody
/// wants it or it has nothing to write. One that lost its lease without noticing (a machine that slept) is fenced: its commits fail, and what it
/// uploaded is never read.
///
/// [`Self::close`] writes what is left. A producer that is dropped instead tries to, in the background.
#[derive(Debug)]
pub struct Producer {
    inner: Arc<Inner>,
    work: AsyncMutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    log: Log,
    options: ProducerOptions,
    /// Bytes that may still be taken in.
    room: Semaphore,
    state: Mutex<State>,
    /// There is something for the writer to look at.
    wake: Notify,
    topics: Mutex<HashMap<TopicName, Partitioner>>,
}

#[derive(Debug, Default)]
struct State {
    pending: Pending,
    /// Cut as soon as possible: somebody waits.
    hurry: bool,
    closed: bool,
    /// Senders that wait for room, which only a cut gives back.
    crammed: usize,
}

/// However the writer ends, nobody waits for it any more: also if it panics, or its runtime is gone.
#[derive(Debug)]
struct End(Arc<Inner>);

impl Drop for End {
    fn drop(&mut self) {
        let (uncut, open) = {
            let mut state = self.0.state();
            state.closed = true;
            (state.pending.cut(|_| true), state.pending.unresolved())
        };
        self.0.room.close();
        let error = Arc::new(LogError::Task(
            "the producer ended before this was written".to_owned(),
        ));
        for (_, batches) in uncut {
            for batch in batches {
                batch.outcome.failed(Failure::NotWritten(error.clone()));
            }
        }
        for outcome in open {
            outcome.failed(Failure::Unknown(error.clone()));
        }
    }
}

/// Counts a sender that waits for room.
struct Crammed<'a>(&'a Inner);

impl<'a> Crammed<'a> {
    fn into(inner: &'a Inner) -> Self {
        inner.state().crammed += 1;
        // What waits for the linger need not.
        inner.wake.notify_one();
        Self(inner)
    }
}

impl Drop for Crammed<'_> {
    fn drop(&mut self) {
        self.0.state().crammed -= 1;
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Producer {
    /// A producer for a log. Must be called in a runtime.
    pub fn new(log: &Log, options: ProducerOptions) -> Self {
        let inner = Arc::new(Inner {
            log: log.clone(),
            room: Semaphore::new(options.most_buffered()),
            options,
            state: Mutex::default(),
            wake: Notify::new(),
            topics: Mutex::default(),
        });
        let work = tokio::spawn(writer::run(End(inner.clone())));
        Self {
            inner,
            work: AsyncMutex::new(Some(work)),
        }
    }

    /// Takes in a record. Waits only while [`ProducerOptions::buffer_memory`] is full. What becomes of it, the [`Delivery`]
    /// tells; who does not care drops it.
    ///
    /// # Errors
    /// If there is no such topic or partition, the record is too large, or the producer is closed.
    ///
    /// # Cancel safety
    /// The record is taken in or not.
    pub async fn send(&self, topic: &TopicName, record: &NewRecord) -> Result<Delivery> {
        let at = self.partition_for(topic, record).await?;
        // What is larger than the whole buffer has it alone.
        let size = pending::cost(record).min(self.inner.options.most_buffered());
        self.take_room(size).await?;
        let timestamp = record.timestamp.unwrap_or_else(|| self.inner.log.now_ms());
        let taken = self.change(|state, inner| {
            let now = inner.log.clock().now();
            state
                .pending
                .push(&at, timestamp, record, size, now, &inner.options)
        });
        taken.inspect_err(|_| self.inner.room.add_permits(size))
    }

    /// Takes in a whole batch as another producer made it (Kafka's format, version 2); only its base offset is changed.
    ///
    /// # Errors
    /// If there is no such topic or partition, the bytes are not exactly one good batch, or the producer is closed.
    ///
    /// # Cancel safety
    /// The batch is taken in or not.
    pub async fn send_batch(&self, at: &TopicPartition, batch: Bytes) -> Result<Delivery> {
        self.known_partition(at).await?;
        let wrong = |source| LogError::Record {
            at: at.clone(),
            source,
        };
        let mut rest = batch;
        let batch = Batch::split_off_front(&mut rest).map_err(wrong)?;
        if !rest.is_empty() {
            return Err(LogError::Invalid(format!(
                "{at}: {} bytes follow after the batch",
                rest.len()
            )));
        }
        let size = batch.bytes().len().min(self.inner.options.most_buffered());
        self.take_room(size).await?;
        let taken = self.change(|state, inner| {
            let now = inner.log.clock().now();
            let acks = inner.options.acks;
            Ok(state.pending.push_batch(at, batch, size, now, acks))
        });
        taken.inspect_err(|_| self.inner.room.add_permits(size))
    }

    /// Writes everything that was sent before, and waits until it is acknowledged.
    ///
    /// # Errors
    /// The first of what could not be written. It is not sent again.
    ///
    /// # Cancel safety
    /// The writing goes on.
    pub async fn flush(&self) -> Result<()> {
        let open = {
            let mut state = self.inner.state();
            state.hurry = true;
            state.pending.unresolved()
        };
        self.inner.wake.notify_one();
        let mut failed = None;
        for outcome in open {
            if let Err(error) = outcome.wait().await {
                failed = failed.or(Some(error));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Writes what is left, gives the leases back and ends. Sending fails from now on.
    ///
    /// # Errors
    /// As [`Self::flush`].
    ///
    /// # Cancel safety
    /// The writing goes on.
    pub async fn close(&self) -> Result<()> {
        self.inner.state().closed = true;
        let flushed = self.flush().await;
        let ended = match self.work.lock().await.take() {
            Some(work) => work.await.map_err(|error| LogError::Task(error.to_string())),
            None => Ok(()),
        };
        flushed.and(ended)
    }

    async fn take_room(&self, size: usize) -> Result<()> {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        if let Ok(room) = self.inner.room.try_acquire_many(size) {
            room.forget();
            return Ok(());
        }
        let _crammed = Crammed::into(&self.inner);
        let room = self
            .inner
            .room
            .acquire_many(size)
            .await
            .map_err(|_| LogError::Closed)?;
        room.forget();
        Ok(())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State, &Inner) -> Result<T>) -> Result<T> {
        let mut state = self.inner.state();
        if state.closed {
            return Err(LogError::Closed);
        }
        let is_full = |state: &State| state.pending.bytes() >= self.inner.options.batch_bytes;
        let (was_empty, was_full) = (state.pending.is_empty(), is_full(&state));
        let changed = change(&mut state, &self.inner)?;
        let wake = was_empty || is_full(&state) && !was_full;
        drop(state);
        if wake {
            self.inner.wake.notify_one();
        }
        Ok(changed)
    }

    async fn partition_for(&self, topic: &TopicName, record: &NewRecord) -> Result<TopicPartition> {
        let chosen = self.choose(topic, record);
        let partition = match chosen {
            Some(chosen) => chosen?,
            None => {
                let found = self.inner.log.metadata().topic(topic).await?;
                let unknown = || MetadataError::UnknownTopic { topic: topic.clone() };
                let found = Partitioner::new(found.ok_or_else(unknown)?.partitions);
                self.topics()
                    .entry(topic.clone())
                    .or_insert(found)
                    .choose(topic, record)?
            }
        };
        Ok(TopicPartition::new(topic.clone(), partition))
    }

    /// The partition, if the topic is known.
    fn choose(&self, topic: &TopicName, record: &NewRecord) -> Option<Result<u32>> {
        let mut topics = self.topics();
        Some(topics.get_mut(topic)?.choose(topic, record))
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<TopicName, Partitioner>> {
        self.inner.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn known_partition(&self, at: &TopicPartition) -> Result<()> {
        let record = NewRecord::default().partition(at.partition);
        self.partition_for(&at.topic, &record).await.map(drop)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // The writer writes what is left and ends by itself.
        self.inner.state().closed = true;
        self.inner.wake.notify_one();
    }
}
