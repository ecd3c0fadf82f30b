//! Small objects that a log leaves in its bucket, so that the metadata can be rebuilt from it: fences and snapshots.

use bytes::Bytes;
use forebay_types::ErrorKind;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::error::{LogError, Result};
use crate::key::{Parsed, fence_key, parse, snapshot_key};
use crate::log::Log;
use crate::metadata::{CommittedOffset, Lease, TopicInfo};
use crate::topic::{TopicName, TopicPartition};

/// The format of both, in their field `version`.
const VERSION: u32 = 1;

/// Largest note that is read: a snapshot of 100,000 partitions and a million committed offsets.
const MOST: u64 = 256 << 20;

/// Snapshots that are kept: the newest may be half written when it is needed.
const SNAPSHOTS_KEPT: usize = 3;

/// Entries asked of the metadata at a time.
const PAGE: usize = 1000;

/// Says that a writer took partitions over from one that may still have uploads on their way. Objects of an earlier epoch
/// that begin at its offset or later were never committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fence {
    version: u32,
    pub(crate) partitions: Vec<Fenced>,
}

/// One partition of a fence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fenced {
    topic: TopicName,
    partition: u32,
    pub(crate) epoch: u64,
    pub(crate) next_offset: u64,
}

impl Fenced {
    pub(crate) fn at(&self) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), self.partition)
    }
}

/// What cannot be seen from segments: topics without records, their settings, how far retention went, how far groups got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    version: u32,
    pub(crate) topics: Vec<TopicInfo>,
    pub(crate) partitions: Vec<Noted>,
    pub(crate) groups: Vec<GroupOffset>,
}

/// One partition of a snapshot: those that were written alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noted {
    topic: TopicName,
    partition: u32,
    pub(crate) log_start: u64,
    pub(crate) high_watermark: u64,
    pub(crate) epoch: u64,
}

impl Noted {
    pub(crate) fn at(&self) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), self.partition)
    }
}

/// One committed offset of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupOffset {
    pub(crate) group: String,
    topic: TopicName,
    partition: u32,
    #[serde(flatten)]
    pub(crate) committed: CommittedOffset,
}

impl GroupOffset {
    pub(crate) fn at(&self) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), self.partition)
    }
}

/// What reading a note gives, if the bucket answers.
pub(crate) enum Read<T> {
    Whole(T),
    /// The note itself is to blame: it is damaged, too large, of another version, or gone since it was listed.
    Bad(LogError),
}

impl Log {
    /// Notes in the bucket from where on these leases count.
    pub(crate) async fn write_fence(&self, leases: &[Lease]) -> Result<()> {
        let fence = Fence {
            version: VERSION,
            partitions: leases
                .iter()
                .map(|lease| Fenced {
                    topic: lease.at.topic.clone(),
                    partition: lease.at.partition,
                    epoch: lease.epoch,
                    next_offset: lease.next_offset,
                })
                .collect(),
        };
        let key = fence_key(self.shared.bucket.prefix(), self.new_id());
        self.write_note(&key, &fence).await
    }

    /// A fence.
    ///
    /// # Errors
    /// If the bucket cannot be reached.
    pub(crate) async fn read_fence(&self, key: &str) -> Result<Read<Fence>> {
        self.read_note(key, |fence: &Fence| fence.version).await
    }

    /// Notes in the bucket what the metadata knows beside segments, and forgets older notes of the kind.
    ///
    /// # Errors
    /// Of bucket and metadata; older snapshots are then still there.
    pub async fn write_snapshot(&self) -> Result<()> {
        let mut keys = self.snapshots().await?;
        // Named before the metadata is asked, and after all that are there: the newest name has the newest contents, even
        // if the clock was set back, or this takes long and another process is quicker.
        let now = self.new_id();
        let newest = keys.last().map(|(id, _)| *id);
        let id = newest.map_or(now, |newest| {
            now.max(Ulid::from_parts(
                newest.timestamp_ms().saturating_add(1),
                now.random(),
            ))
        });
        let snapshot = self.snapshot().await?;
        let key = snapshot_key(self.shared.bucket.prefix(), id);
        self.write_note(&key, &snapshot).await?;
        keys.truncate((keys.len() + 1).saturating_sub(SNAPSHOTS_KEPT));
        let keys = keys.into_iter().map(|(_, key)| key).collect();
        for (key, deleted) in self.shared.bucket.delete(keys).await {
            if let Err(error) = deleted {
                tracing::warn!(key, %error, "an old snapshot stays");
            }
        }
        Ok(())
    }

    /// Names and keys of snapshots, oldest first.
    async fn snapshots(&self) -> Result<Vec<(Ulid, String)>> {
        let prefix = self.shared.bucket.prefix();
        let listed = self.shared.bucket.list("snapshot").await?;
        let mut found: Vec<_> = listed
            .into_iter()
            .filter_map(|meta| match parse(prefix, meta.location.as_ref()) {
                Some(Parsed::Snapshot(id)) => Some((id, meta.location.to_string())),
                _ => None,
            })
            .collect();
        found.sort();
        Ok(found)
    }

    /// The newest snapshot that can be read, and whether it is the newest of all; those that cannot are named in `problems`.
    ///
    /// # Errors
    /// If the bucket cannot be reached: an older one must not be taken for the newest.
    pub(crate) async fn newest_snapshot(
        &self,
        problems: &mut Vec<String>,
    ) -> Result<Option<(Snapshot, bool)>> {
        for (n, (_, key)) in self.snapshots().await?.into_iter().rev().enumerate() {
            match self
                .read_note(&key, |snapshot: &Snapshot| snapshot.version)
                .await?
            {
                Read::Whole(snapshot) => return Ok(Some((snapshot, n == 0))),
                Read::Bad(error) => problems.push(error.to_string()),
            }
        }
        Ok(None)
    }

    pub(crate) async fn all_topics(&self) -> Result<Vec<TopicInfo>> {
        let mut topics: Vec<TopicInfo> = Vec::new();
        loop {
            let after = topics.last().map(|topic| topic.name.clone());
            let page = self.metadata().topics(after.as_ref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            topics.extend(page);
            if is_last {
                return Ok(topics);
            }
        }
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        let metadata = self.metadata();
        let mut snapshot = Snapshot {
            version: VERSION,
            topics: self.all_topics().await?,
            partitions: Vec::new(),
            groups: Vec::new(),
        };
        for topic in &snapshot.topics {
            let written = metadata
                .partitions_of(&topic.name)
                .await?
                .into_iter()
                .filter(|info| info.epoch > 0);
            snapshot.partitions.extend(written.map(|info| Noted {
                topic: info.at.topic,
                partition: info.at.partition,
                log_start: info.log_start,
                high_watermark: info.high_watermark,
                epoch: info.epoch,
            }));
        }
        let mut after: Option<String> = None;
        loop {
            let page = metadata.groups(after.as_deref(), PAGE).await?;
            for group in &page {
                let offsets = metadata.group_offsets(&group.name).await?;
                snapshot
                    .groups
                    .extend(offsets.into_iter().map(|(at, committed)| GroupOffset {
                        group: group.name.clone(),
                        topic: at.topic,
                        partition: at.partition,
                        committed,
                    }));
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.name.clone()),
                _ => return Ok(snapshot),
            }
        }
    }

    async fn write_note(&self, key: &str, note: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(note).map_err(|error| LogError::Task(error.to_string()))?;
        self.shared.bucket.create(key, vec![Bytes::from(bytes)]).await?;
        Ok(())
    }

    async fn read_note<T: for<'de> Deserialize<'de>>(
        &self,
        key: &str,
        version: impl Fn(&T) -> u32,
    ) -> Result<Read<T>> {
        let bytes = match self.shared.bucket.read(key, MOST).await {
            Ok(bytes) => bytes,
            Err(error) if matches!(error, LogError::Key { .. }) || error.kind() == ErrorKind::NotFound => {
                return Ok(Read::Bad(error));
            }
            Err(error) => return Err(error),
        };
        let bad = |why: String| {
            let key = self.shared.bucket.shown(key);
            Ok(Read::Bad(LogError::Key { key, why }))
        };
        match serde_json::from_slice(&bytes) {
            Ok(note) if version(&note) == VERSION => Ok(Read::Whole(note)),
            Ok(note) => bad(format!(
                "its format is {}, this program knows {VERSION}",
                version(&note)
            )),
            Err(error) => bad(error.to_string()),
        }
    }
}
