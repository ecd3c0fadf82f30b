//! Following partitions.

mod options;
mod poll;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{LogError, Result};
use crate::log::Log;
use crate::metadata::MetadataStore;
use crate::partition::PartitionReader;
use crate::record::Record;
use crate::topic::{TopicName, TopicPartition};

pub use options::{ConsumerOptions, Start};

/// Records of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecords {
    /// Which.
    pub at: TopicPartition,
    /// In the order of their offsets, at least one.
    pub records: Vec<Record>,
    /// The partition's, as in [`crate::ReadResult`].
    pub high_watermark: u64,
}

/// Reads partitions in order, and remembers how far it got: for itself, and by [`Self::commit`] for its group.
///
/// **At least once.** A group's position is what was committed last. Records that were polled and not committed when a
/// consumer ended are given again; so are those of a commit whose outcome was not known. A commit says that *everything
/// polled so far* was dealt with.
///
/// Many partitions cost neither a task nor a descriptor each. Which consumer of a group reads which partitions is said by
/// whoever makes them; nobody divides them.
#[derive(Debug)]
pub struct Consumer {
    log: Log,
    group: Option<String>,
    parts: Vec<Part>,
    /// Their names, in the same order.
    which: Vec<TopicPartition>,
    by_name: BTreeMap<TopicPartition, usize>,
    /// The partition that is asked first by the next poll.
    turn: usize,
    /// An error that a poll kept back, for it had records of other partitions to give.
    failed: Option<LogError>,
}

#[derive(Debug)]
struct Part {
    reader: Arc<PartitionReader>,
    position: u64,
    /// What the group was told last.
    committed: Option<u64>,
}

impl Consumer {
    /// A consumer of one partition. With a group it goes on where that committed last, or at the log start if it never did;
    /// without one it begins at the log start.
    ///
    /// `metadata` must be the reader's own: a group's offsets belong to the log that they were committed in.
    ///
    /// # Errors
    /// If there is no such topic or partition, if the reader is another partition's, or of the metadata.
    pub async fn new(
        topic: impl AsRef<str>,
        partition_id: u32,
        group_id: Option<String>,
        reader: Arc<PartitionReader>,
        metadata: Arc<dyn MetadataStore>,
    ) -> Result<Self> {
        let at = TopicPartition::new(TopicName::new(topic.as_ref())?, partition_id);
        if *reader.at() != at {
            let have = reader.at();
            return Err(LogError::Invalid(format!(
                "a consumer of {at} was given a reader of {have}"
            )));
        }
        if !Arc::ptr_eq(&metadata, reader.log().metadata()) {
            return Err(LogError::Invalid(format!(
                "a consumer of {at} was given other metadata than its reader has"
            )));
        }
        let options = ConsumerOptions {
            group: group_id,
            ..ConsumerOptions::default()
        };
        Self::with_readers(reader.log().clone(), vec![reader], &options).await
    }

    /// A consumer of these partitions.
    ///
    /// # Errors
    /// As [`Self::new`]; also if one partition is named twice, or none.
    pub async fn assign(log: &Log, which: &[TopicPartition], options: &ConsumerOptions) -> Result<Self> {
        let readers = which
            .iter()
            .map(|at| Arc::new(PartitionReader::of(log.clone(), at.clone())));
        Self::with_readers(log.clone(), readers.collect(), options).await
    }

    /// A consumer of all partitions of a topic, as many as there are now.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn of_topic(log: &Log, topic: &TopicName, options: &ConsumerOptions) -> Result<Self> {
        let parts = log.metadata().partitions_of(topic).await?;
        let which: Vec<_> = parts.into_iter().map(|info| info.at).collect();
        Self::assign(log, &which, options).await
    }

    async fn with_readers(
        log: Log,
        readers: Vec<Arc<PartitionReader>>,
        options: &ConsumerOptions,
    ) -> Result<Self> {
        if readers.is_empty() {
            return Err(LogError::Invalid(
                "a consumer needs at least one partition".to_owned(),
            ));
        }
        let by_name: BTreeMap<_, _> = (0..)
            .zip(&readers)
            .map(|(n, reader)| (reader.at().clone(), n))
            .collect();
        if by_name.len() < readers.len() {
            return Err(LogError::Invalid(
                "a consumer was given a partition twice".to_owned(),
            ));
        }
        let which: Vec<_> = readers.iter().map(|reader| reader.at().clone()).collect();
        let starts = options.starts(&log, &readers, &which).await?;
        let parts = readers.into_iter().zip(starts);
        let parts = parts.map(|(reader, (position, committed))| Part {
            reader,
            position,
            committed,
        });
        Ok(Self {
            log,
            group: options.group.clone(),
            parts: parts.collect(),
            which,
            by_name,
            turn: 0,
            failed: None,
        })
    }

    /// The next records of its one partition: none if it is at the end.
    ///
    /// # Errors
    /// As [`PartitionReader::read`]; the position is as before. For a consumer of several partitions use
    /// [`Self::poll_partitions`], which says whose records they are.
    ///
    /// # Cancel safety
    /// The position moves when the records are given.
    pub async fn poll(&mut self, max_records: usize) -> Result<Vec<Record>> {
        self.only()?;
        let mut polled = self.poll_partitions(max_records).await?;
        Ok(polled.pop().map(|polled| polled.records).unwrap_or_default())
    }

    /// [`Self::poll`] for as many records as the log's options say ([`crate::LogOptions::fetch_size`]).
    ///
    /// # Errors
    /// As [`Self::poll`].
    ///
    /// # Cancel safety
    /// As [`Self::poll`].
    pub async fn poll_next(&mut self) -> Result<Vec<Record>> {
        self.poll(self.log.options().fetch_size).await
    }

    /// As [`Self::poll`], waits up to `timeout` until there is something. Woken by commits of any process; asks nobody in
    /// between.
    ///
    /// # Errors
    /// As [`Self::poll`].
    ///
    /// # Cancel safety
    /// As [`Self::poll`].
    pub async fn poll_wait(&mut self, max_records: usize, timeout: Duration) -> Result<Vec<Record>> {
        self.only()?;
        let mut polled = self.poll_partitions_wait(max_records, timeout).await?;
        Ok(polled.pop().map(|polled| polled.records).unwrap_or_default())
    }

    /// As [`Self::poll_partitions`], waits up to `timeout` until there is something.
    ///
    /// # Errors
    /// As [`Self::poll`].
    ///
    /// # Cancel safety
    /// As [`Self::poll`].
    pub async fn poll_partitions_wait(
        &mut self,
        max_records: usize,
        timeout: Duration,
    ) -> Result<Vec<PartitionRecords>> {
        // Looked at before the poll: what is committed while it runs is not missed.
        let mut changes = self.log.metadata().changes();
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            changes.mark_unchanged();
            let polled = self.poll_partitions(max_records).await?;
            if !polled.is_empty() {
                return Ok(polled);
            }
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                // Nobody tells of changes any more.
                Ok(Err(_)) => tokio::time::sleep_until(deadline).await,
                Err(_) => return Ok(Vec::new()),
            }
        }
    }

    /// Notes for the group that everything polled so far was dealt with, durably. Does nothing without a group, or if it
    /// would note what it noted last.
    ///
    /// # Errors
    /// Of the metadata: then it may have been noted or not, and committing again is right.
    ///
    /// # Cancel safety
    /// It is noted or not, for all partitions.
    pub async fn commit(&mut self) -> Result<()> {
        self.commit_with(None).await
    }

    /// As [`Self::commit`], with a note beside each offset.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub async fn commit_with(&mut self, metadata: Option<&str>) -> Result<()> {
        let Some(group) = &self.group else {
            return Ok(());
        };
        let moved: Vec<_> = self
            .parts
            .iter()
            .filter(|part| part.committed != Some(part.position) || metadata.is_some())
            .map(|part| {
                (
                    part.reader.at().clone(),
                    part.position,
                    metadata.map(str::to_owned),
                )
            })
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        self.log.metadata().commit_offsets(group, &moved).await?;
        for part in &mut self.parts {
            part.committed = Some(part.position);
        }
        Ok(())
    }

    /// Goes to an offset, in all its partitions. It is looked at by the next poll.
    pub fn seek(&mut self, offset: u64) {
        for part in &mut self.parts {
            part.position = offset;
        }
        self.failed = None;
    }

    /// Goes to an offset of one partition.
    ///
    /// # Errors
    /// If it is not one of this consumer's.
    pub fn seek_partition(&mut self, at: &TopicPartition, offset: u64) -> Result<()> {
        let part = self.part(at)?;
        self.parts[part].position = offset;
        self.failed = None;
        Ok(())
    }

    /// The offset of the record that it gives next; of its first partition, if it has several.
    pub fn position(&self) -> u64 {
        self.parts[0].position
    }

    /// The offset of the record that it gives next from one partition.
    ///
    /// # Errors
    /// If it is not one of this consumer's.
    pub fn position_of(&self, at: &TopicPartition) -> Result<u64> {
        Ok(self.parts[self.part(at)?].position)
    }

    /// Its partitions.
    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.which.iter()
    }

    /// Its group.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    fn part(&self, at: &TopicPartition) -> Result<usize> {
        let found = self.by_name.get(at).copied();
        found.ok_or_else(|| LogError::Invalid(format!("{at} is not one of this consumer's partitions")))
    }

    fn only(&self) -> Result<()> {
        if self.parts.len() == 1 {
            return Ok(());
        }
        Err(LogError::Invalid(format!(
            "poll is for a consumer of one partition, this one has {}: poll_partitions tells them apart",
            self.parts.len()
        )))
    }
}
