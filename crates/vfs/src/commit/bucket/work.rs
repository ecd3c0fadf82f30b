//! One file into its place, and noted.

use std::collections::HashSet;
use std::sync::Arc;

use forebay_manifest::Stamp;
use forebay_types::ErrorKind;

use crate::commit::blocking::blocking;
use crate::commit::bring::bring;
use crate::commit::bucket::conflict::ConflictWhy;
use crate::commit::bucket::object::{Content, Copied, Deleted, Expected, Objects, Sent};
use crate::commit::bucket::plan::{Job, UNHEARD};
use crate::commit::error::{CommitError, shown};
use crate::commit::payload::Fail;
use crate::commit::still::{is_still, until_still};
use crate::merged::MergedError;
use crate::overlay::{DataFile, DataStamp, NodeId, Origin, Recorded, UpperError};

/// How often what a file lacks is brought until it has all: each time somebody cut it or made it longer.
const WHOLE_TRIES: u32 = 8;

/// Does single steps.
pub(super) struct Work {
    pub(super) objects: Arc<Objects>,
    /// Files of which all is above now, so that what they came from is of no concern.
    pub(super) brought: HashSet<Box<str>>,
}

/// What came of a step.
#[derive(Debug)]
pub(super) enum Done {
    Put,
    Copied,
    Deleted,
    /// There is nothing to be done any more.
    Gone,
    Refused(ConflictWhy),
}

impl Work {
    /// Puts or copies a file.
    pub(super) async fn job(&self, job: &Job) -> Result<Done, CommitError> {
        match self.try_job(job).await {
            Err(error) if Self::is_gone(&error) => Ok(Done::Gone),
            Err(error) => match Self::source_of(&error, job.reads.as_deref()) {
                Some(why) => Ok(Done::Refused(why)),
                None => Err(error),
            },
            done => done,
        }
    }

    async fn try_job(&self, job: &Job) -> Result<Done, CommitError> {
        let mut copied = None;
        if let Some(from) = job.copy.as_ref().filter(|_| !self.brought.contains(&job.path)) {
            match self.objects.copy(from, &job.path, self.expected_of(job)).await? {
                Copied::Done(version) => {
                    let origin = Origin {
                        path: job.path.clone(),
                        version: version.clone(),
                        size: from.size,
                        mtime: from.mtime,
                    };
                    if self.record(job.id, job.path.as_bytes(), &origin, job.stamp)? == Recorded::Put {
                        return Ok(Done::Copied);
                    }
                    // It was written to meanwhile: what is there is ours, and old.
                    copied = Some(version);
                }
                Copied::PutInstead => {}
                Copied::Wrong(version, why) => {
                    // It is ours to replace all the same.
                    self.hidden(&job.path, Some(&version))?;
                    return Ok(Done::Refused(why));
                }
                Copied::Refused(why) => return Ok(Done::Refused(why)),
            }
        }
        let expected = match &copied {
            Some(version) => self.expected(version),
            None => self.expected_of(job),
        };
        let attempt = || self.put(job, expected);
        let done = until_still(&self.objects.progress, job.path.as_bytes(), attempt).await?;
        Ok(done.unwrap_or(Done::Refused(ConflictWhy::Busy)))
    }

    /// `None`: it was written to meanwhile.
    async fn put(&self, job: &Job, expected: Expected<'_>) -> Result<Option<Done>, CommitError> {
        let data = self.whole(job.id, job.path.as_bytes()).await?;
        let Some(stamp) = self.stamp(job).await? else {
            return Ok(None);
        };
        let is_still = || Ok(self.stamp_now(job)? == stamp);
        let content = Content {
            path: &job.path,
            data: &data,
            len: stamp.size,
            is_still: &is_still,
        };
        let version = match self.objects.put(&content, expected).await {
            Ok(Sent::Stored(version) | Sent::SameWasThere(version)) => version,
            Ok(Sent::Refused(why)) => return Ok(Some(Done::Refused(why))),
            // Twice within one commit: somebody puts back what we replace.
            Ok(Sent::Ours(_)) => return Ok(Some(Done::Refused(ConflictWhy::Changed))),
            Err(Fail::Moved) => return Ok(None),
            Err(Fail::Error(error)) => return Err(error),
        };
        let origin = Origin {
            path: job.path.clone(),
            version,
            size: stamp.size,
            mtime: stamp.mtime,
        };
        self.record(job.id, job.path.as_bytes(), &origin, Some(stamp))?;
        Ok(Some(Done::Put))
    }

    /// Removes an object of this version.
    pub(super) async fn delete(&self, path: &str, version: &str) -> Result<Done, CommitError> {
        let expected = match version {
            UNHEARD => None,
            version => Some(self.expected(version)),
        };
        match self.objects.delete(path, expected).await? {
            Deleted::Done => {
                self.hidden(path, None)?;
                Ok(Done::Deleted)
            }
            // It never arrived, and what is there is somebody else's.
            Deleted::NotThere => {
                self.hidden(path, None)?;
                Ok(Done::Gone)
            }
            Deleted::Refused(why) => Ok(Done::Refused(why)),
        }
    }

    /// Notes which version of an object is hidden; `None`: none is any more.
    pub(super) fn hidden(&self, path: &str, version: Option<&str>) -> Result<(), CommitError> {
        let noted = self.objects.merged.upper().record_hidden(path, version);
        noted.map_err(CommitError::overlay(path.as_bytes()))
    }

    fn expected<'a>(&self, version: &'a str) -> Expected<'a> {
        match self.objects.options.replace {
            true => Expected::Anything,
            false => Expected::Version(version),
        }
    }

    fn expected_of<'a>(&self, job: &'a Job) -> Expected<'a> {
        match &job.expected {
            _ if self.objects.options.replace => Expected::Anything,
            Some(version) if job.is_removed => Expected::Removed(version),
            Some(version) => Expected::Version(version),
            None => Expected::Nothing,
        }
    }

    /// Notes that the content of a file is below.
    pub(super) fn record(
        &self,
        id: NodeId,
        path: &[u8],
        origin: &Origin,
        stamp: Option<DataStamp>,
    ) -> Result<Recorded, CommitError> {
        match self.objects.merged.record_put(id, origin, stamp) {
            Ok(recorded) => Ok(recorded),
            Err(MergedError::Upper(source)) => Err(CommitError::overlay(path)(source)),
            Err(error) => Err(super::below(error)),
        }
    }

    fn stamp_now(&self, job: &Job) -> Result<DataStamp, CommitError> {
        let stamp = self.objects.merged.upper().stamp(job.id);
        stamp.map_err(CommitError::overlay(job.path.as_bytes()))
    }

    /// What the file is like, if it was not changed just now. `None`: it changes.
    async fn stamp(&self, job: &Job) -> Result<Option<DataStamp>, CommitError> {
        let now = self.stamp_now(job)?;
        let stamp = Stamp {
            size: now.size,
            mtime: now.mtime.into(),
            ctime: now.ctime.into(),
        };
        let is_still = is_still(stamp, async { Ok(self.stamp_now(job)? == now) }).await?;
        Ok(is_still.then_some(now))
    }

    /// The content of a file, all of it above.
    pub(super) async fn whole(&self, id: NodeId, path: &[u8]) -> Result<Arc<DataFile>, CommitError> {
        for _ in 0..WHOLE_TRIES {
            let merged = self.objects.merged.clone();
            let data = blocking(move || merged.data(id))
                .await?
                .map_err(|error| match error {
                    MergedError::Upper(source) => CommitError::overlay(path)(source),
                    error => super::below(error),
                })?;
            bring(
                &self.objects.merged,
                &self.objects.memory,
                (id, path),
                data.absent(),
            )
            .await?;
            let file = data.clone();
            let is_whole = blocking(move || file.make_whole()).await?;
            if is_whole.map_err(CommitError::overlay(path))? {
                return Ok(data);
            }
        }
        Err(CommitError::Busy {
            path: shown(path),
            times: WHOLE_TRIES,
        })
    }

    /// Whether an error says that the file was removed since.
    pub(super) fn is_gone(error: &CommitError) -> bool {
        matches!(
            error,
            CommitError::Overlay {
                source: UpperError::Stale { .. },
                ..
            }
        )
    }

    /// Whether an error says that what a file lacks is not there any more.
    pub(super) fn source_of(error: &CommitError, reads: Option<&str>) -> Option<ConflictWhy> {
        let CommitError::Below { source, .. } = error else {
            return None;
        };
        matches!(source.kind, ErrorKind::Changed | ErrorKind::NotFound).then(|| ConflictWhy::Source {
            path: reads.unwrap_or_default().into(),
        })
    }
}
