//! What became of a record.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::error::{LogError, Result};
use crate::topic::TopicPartition;

/// A record that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Where.
    pub at: TopicPartition,
    /// Its offset; `None` if nobody waited for that (acks none).
    pub offset: Option<u64>,
}

/// Tells what became of a record. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Delivery {
    outcome: Arc<Outcome>,
    /// Its place in its batch.
    nth: u64,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Outcome {
    at: TopicPartition,
    told: OnceLock<Told>,
    notify: Notify,
}

#[derive(Clone, Debug)]
enum Told {
    Written { base_offset: u64 },
    TakenIn,
    Failed(Failure),
}

/// Why a batch was not written, shared by many.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    NotWritten(Arc<LogError>),
    Aborted(Arc<LogError>),
    Unknown(Arc<LogError>),
}

impl Failure {
    pub(super) fn error(&self) -> LogError {
        match self {
            Self::NotWritten(error) => LogError::NotWritten(error.clone()),
            Self::Aborted(error) => LogError::Aborted(error.clone()),
            Self::Unknown(error) => LogError::Unknown(error.clone()),
        }
    }

    /// What it means to those that were cut after it.
    pub(super) fn for_successors(&self) -> Self {
        match self {
            Self::NotWritten(error) | Self::Aborted(error) | Self::Unknown(error) => {
                Self::Aborted(error.clone())
            }
        }
    }
}

impl Outcome {
    pub(super) fn new(at: TopicPartition) -> Arc<Self> {
        Arc::new(Self {
            at,
            told: OnceLock::new(),
            notify: Notify::new(),
        })
    }

    pub(super) fn at(&self) -> &TopicPartition {
        &self.at
    }

    pub(super) fn is_told(&self) -> bool {
        self.told.get().is_some()
    }

    pub(super) fn written(&self, base_offset: u64) {
        self.tell(Told::Written { base_offset });
    }

    pub(super) fn failed(&self, failure: Failure) {
        self.tell(Told::Failed(failure));
    }

    fn tell(&self, told: Told) {
        // The first word counts.
        let _ = self.told.set(told);
        self.notify.notify_waiters();
    }

    /// The offset of its first record, when it is written.
    pub(super) async fn wait(&self) -> Result<Option<u64>> {
        loop {
            let told = self.notify.notified();
            match self.told.get() {
                Some(Told::Written { base_offset }) => return Ok(Some(*base_offset)),
                Some(Told::TakenIn) => return Ok(None),
                Some(Told::Failed(failure)) => return Err(failure.error()),
                None => told.await,
            }
        }
    }
}

impl Delivery {
    pub(super) fn new(outcome: Arc<Outcome>, nth: u64) -> Self {
        Self { outcome, nth }
    }

    /// One that nobody waits for.
    pub(super) fn taken_in(at: TopicPartition) -> Self {
        let outcome = Outcome::new(at);
        outcome.tell(Told::TakenIn);
        Self::new(outcome, 0)
    }

    /// Waits until it is known.
    ///
    /// # Errors
    /// [`LogError::NotWritten`], [`LogError::Aborted`]: it was not written. [`LogError::Unknown`]: nobody knows.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn wait(&self) -> Result<Delivered> {
        let base = self.outcome.wait().await?;
        Ok(Delivered {
            at: self.outcome.at.clone(),
            offset: base.map(|base| base + self.nth),
        })
    }
}
