//! What has to be done to a log now and then: compaction, retention, sweeping, a snapshot.

mod compact;
mod plan;
mod retain;
mod sweep;

use std::time::Duration;

use forebay_types::ByteSize;

use crate::error::Result;
use crate::log::Log;
use crate::metadata::TopicInfo;

/// How a log is maintained.
#[derive(Clone, Debug)]
pub struct MaintainOptions {
    /// Bytes of the segments that compaction makes.
    pub segment_bytes: u64,
    /// Segments of a partition below that size that must follow each other before they are rewritten, if they do not fill
    /// one.
    pub min_segments: usize,
    /// How long an object stays in the bucket that nothing refers to any more: readers may still be at it.
    pub grace: Duration,
    /// How long an upload may take. One that was not committed by then never is.
    pub upload_timeout: Duration,
}

impl Default for MaintainOptions {
    /// 64 MiB: eight requests of a cold reader, in memory while it is made. 32 small segments: a reader of history saves
    /// 31 requests, and a record is written four or five times in its life. 10 minutes: longer than any poll. 15 minutes: a producer gives an
    /// upload up after two, and a commit after two more.
    fn default() -> Self {
        Self {
            segment_bytes: ByteSize::mib(64).bytes(),
            min_segments: 32,
            grace: Duration::from_secs(600),
            upload_timeout: Duration::from_secs(900),
        }
    }
}

/// What a round of maintenance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Segments that compaction made.
    pub compacted: u64,
    /// Segments that those took the place of.
    pub replaced: u64,
    /// Segments that retention dropped.
    pub retained_away: u64,
    /// Uploads that were declared dead.
    pub expired: u64,
    /// Objects that were deleted.
    pub deleted: u64,
    /// What failed; the rest was done all the same.
    pub problems: Vec<String>,
}

/// Topics asked for at a time.
const PAGE: usize = 100;

impl Log {
    /// One round of everything. Safe to run at any time, in several processes at once, and to end at any point: readers and
    /// writers do not notice.
    ///
    /// # Errors
    /// If the metadata cannot list the topics. What fails for one partition is told in [`Maintained::problems`].
    ///
    /// # Cancel safety
    /// What was committed stays; an upload that was under way is swept later.
    pub async fn maintain(&self, options: &MaintainOptions) -> Result<Maintained> {
        let mut done = Maintained::default();
        let mut after = None;
        loop {
            let topics = self.metadata().topics(after.as_ref(), PAGE).await?;
            for topic in &topics {
                // Large: not for the stack of every caller.
                Box::pin(self.maintain_topic(topic, options, &mut done)).await;
            }
            match topics.last() {
                Some(last) if topics.len() == PAGE => after = Some(last.name.clone()),
                _ => break,
            }
        }
        // First the ends of partitions are noted: of those whose last object is swept, the bucket tells nothing else.
        match self.write_snapshot().await {
            Ok(()) => {
                let swept = self.sweep(options, &mut done).await;
                done.note("sweeping", swept);
            }
            Err(error) => done.note("the snapshot, without which nothing is swept", Err(error)),
        }
        Ok(done)
    }

    async fn maintain_topic(&self, topic: &TopicInfo, options: &MaintainOptions, done: &mut Maintained) {
        let partitions = match self.metadata().partitions_of(&topic.name).await {
            Ok(partitions) => partitions,
            Err(error) => return done.note(topic.name.as_str(), Err(error.into())),
        };
        for info in partitions.into_iter().filter(|info| info.segments > 0) {
            let at = info.at.to_string();
            let retained = self.retain(&info, &topic.config, done).await;
            done.note(&at, retained);
            let compacted = self.compact(&info, options, done).await;
            done.note(&at, compacted);
        }
    }
}

impl Maintained {
    fn note(&mut self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            tracing::warn!(%error, what, "maintenance");
            self.problems.push(format!("{what}: {error}"));
        }
    }
}
