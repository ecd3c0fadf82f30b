//! Large objects, in parts.

use std::sync::Arc;
use std::time::Duration;

use forebay_manifest::Hasher;
use forebay_types::ByteRange;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutResult};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::commit::bring::cut;
use crate::commit::error::CommitError;
use crate::commit::memory::Memory;
use crate::commit::payload::{Fail, read};
use crate::overlay::DataFile;

/// Parts that an upload may have (S3; others allow more).
const MAX_PARTS: u64 = 10_000;

/// Parts of one object under way at most: four connections fill most uplinks.
const AT_ONCE: usize = 4;

/// How long an abort may take before the parts are left to the store's own clean-up.
const ABORT: Duration = Duration::from_secs(5);

/// An upload under way. Dropped before it is complete, it is aborted, so that the store keeps no parts that nobody sees and
/// somebody pays for.
pub(super) struct Parts {
    upload: Option<Box<dyn MultipartUpload>>,
    tasks: JoinSet<object_store::Result<()>>,
    /// The object.
    url: Box<str>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        let (Some(upload), Ok(runtime)) = (self.upload.take(), Handle::try_current()) else {
            return;
        };
        let tasks = std::mem::take(&mut self.tasks);
        runtime.spawn(abort(upload, tasks, std::mem::take(&mut self.url)));
    }
}

async fn abort(
    mut upload: Box<dyn MultipartUpload>,
    mut tasks: JoinSet<object_store::Result<()>>,
    object: Box<str>,
) {
    // A part that arrives after the abort would stay in the store.
    tasks.shutdown().await;
    match tokio::time::timeout(ABORT, upload.abort()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%object, %error, "the upload was not aborted: parts may stay in the store");
        }
        Err(_) => {
            tracing::warn!(%object, "no answer to the abort of the upload: parts may stay in the store");
        }
    }
}

impl Parts {
    /// Begins an upload of the object that is shown as `url`.
    pub(super) async fn begin(
        store: &Arc<dyn ObjectStore>,
        key: &Path,
        url: Box<str>,
    ) -> Result<Self, CommitError> {
        match store.put_multipart(key).await {
            Ok(upload) => Ok(Self {
                upload: Some(upload),
                tasks: JoinSet::new(),
                url,
            }),
            Err(source) => Err(CommitError::Store {
                what: "begin to store",
                object: url,
                source,
            }),
        }
    }

    /// Sends a range of a file, and goes on hashing, if somebody does.
    pub(super) async fn send(
        &mut self,
        (data, path, range): (&Arc<DataFile>, &[u8], ByteRange),
        memory: &Memory,
        part_size: u64,
        mut hasher: Option<Hasher>,
    ) -> Result<Option<Hasher>, Fail> {
        for part in cut(range, part_len(range.len(), part_size)) {
            let memory = memory.take(part.len()).await?;
            let (payload, so_far) = read(data, path, part, hasher).await?;
            hasher = so_far;
            let Some(payload) = payload else {
                return Err(Fail::Moved);
            };
            while self.tasks.len() >= AT_ONCE {
                self.part_done().await?;
            }
            let Some(upload) = self.upload.as_mut() else {
                return Err(Fail::Moved);
            };
            let part = upload.put_part(payload);
            self.tasks.spawn(async move {
                let _memory = memory;
                part.await
            });
        }
        while !self.tasks.is_empty() {
            self.part_done().await?;
        }
        Ok(hasher)
    }

    /// The object is there from then on.
    pub(super) async fn complete(mut self) -> Result<Option<PutResult>, CommitError> {
        let Some(upload) = self.upload.as_mut() else {
            return Ok(None);
        };
        let done = upload.complete().await;
        let done = done.map_err(|error| self.failed("finish storing", error))?;
        self.upload = None;
        Ok(Some(done))
    }

    /// Gives it up, and waits until the store knows.
    pub(super) async fn abort(mut self) {
        if let Some(upload) = self.upload.take() {
            let tasks = std::mem::take(&mut self.tasks);
            abort(upload, tasks, self.url.clone()).await;
        }
    }

    async fn part_done(&mut self) -> Result<(), CommitError> {
        match self.tasks.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(self.failed("store a part of", error)),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(CommitError::Cancelled),
            },
        }
    }

    fn failed(&self, what: &'static str, source: object_store::Error) -> CommitError {
        CommitError::Store {
            what,
            object: self.url.clone(),
            source,
        }
    }
}

/// The size of all parts but the last: some stores (R2) want them equal.
fn part_len(len: u64, smallest: u64) -> u64 {
    len.div_ceil(MAX_PARTS)
        .next_multiple_of(1 << 20)
        .max(smallest)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_are_enough() {
        const MIB: u64 = 1 << 20;
        for len in [1, 100 * MIB, 80_000 * MIB, 5 << 40] {
            let part = part_len(len, 8 * MIB);
            assert!(part >= 8 * MIB && len.div_ceil(part) <= MAX_PARTS, "{len}");
        }
        assert_eq!(part_len(256 * MIB, 8 * MIB), 8 * MIB);
    }
}
