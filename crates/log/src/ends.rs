//! The ends of partitions as far as this process knows them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_types::Clock;

use crate::error::Result;
use crate::metadata::{MetadataStore, PartitionInfo};
use crate::topic::TopicPartition;

/// The ends that one read goes by.
#[derive(Debug)]
pub(crate) struct ReadEnds {
    pub(crate) info: PartitionInfo,
    /// They were asked for by this read: then nobody knows better.
    asked: bool,
}

impl ReadEnds {
    /// Whether something lies at `offset`. Before it says no, it asks.
    pub(crate) async fn reach(&mut self, ends: &Ends, offset: u64) -> Result<bool> {
        if offset >= self.info.high_watermark && !self.asked {
            *self = ends.now(&self.info.at).await?;
        }
        Ok(offset < self.info.high_watermark)
    }
}

/// Shared by all readers of a log, so that many of them ask once.
#[derive(Debug)]
pub(crate) struct Ends {
    metadata: Arc<dyn MetadataStore>,
    clock: Arc<dyn Clock>,
    max_age: Duration,
    known: Mutex<HashMap<TopicPartition, (PartitionInfo, Duration)>>,
}

impl Ends {
    pub(crate) fn new(metadata: Arc<dyn MetadataStore>, clock: Arc<dyn Clock>, max_age: Duration) -> Self {
        Self {
            metadata,
            clock,
            max_age,
            known: Mutex::default(),
        }
    }

    /// The ends, for a read at `offset`: known ones if they are young and the offset lies between them, else asked for.
    pub(crate) async fn around(&self, at: &TopicPartition, offset: u64) -> Result<ReadEnds> {
        if let Some((info, when)) = self.known().get(at)
            && self.clock.now().saturating_sub(*when) < self.max_age
            && (info.log_start..info.high_watermark).contains(&offset)
        {
            let (info, asked) = (info.clone(), false);
            return Ok(ReadEnds { info, asked });
        }
        self.now(at).await
    }

    /// The ends as they are now.
    pub(crate) async fn now(&self, at: &TopicPartition) -> Result<ReadEnds> {
        let info = self.ask(std::slice::from_ref(at)).await?.swap_remove(0);
        Ok(ReadEnds { info, asked: true })
    }

    /// The high watermarks as they were a moment ago, in the order asked for, if that is known of all of them.
    pub(crate) fn young(&self, which: &[TopicPartition]) -> Option<Vec<u64>> {
        let now = self.clock.now();
        let known = self.known();
        let young = which.iter().map(|at| {
            let (info, when) = known.get(at)?;
            (now.saturating_sub(*when) < self.max_age).then_some(info.high_watermark)
        });
        young.collect()
    }

    /// The ends as they are now, in the order asked for.
    pub(crate) async fn ask(&self, which: &[TopicPartition]) -> Result<Vec<PartitionInfo>> {
        // An answer is as old as its question.
        let now = self.clock.now();
        let infos = self.metadata.partitions(which).await?;
        if infos.len() != which.len() {
            let what = format!("{} answers to {} questions", infos.len(), which.len());
            return Err(crate::metadata::MetadataError::Corrupt {
                store: self.metadata.name().to_owned(),
                what,
            }
            .into());
        }
        let mut known = self.known();
        for info in &infos {
            match known.get_mut(&info.at) {
                // Who asked later knows better, though its answer came first.
                Some(entry) if entry.1 > now => {}
                Some(entry) => *entry = (info.clone(), now),
                None => {
                    known.insert(info.at.clone(), (info.clone(), now));
                }
            }
        }
        Ok(infos)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<TopicPartition, (PartitionInfo, Duration)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
