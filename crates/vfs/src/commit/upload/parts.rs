//! Large contents, in parts.

use std::time::Duration;

use forebay_manifest::Hasher;
use forebay_types::ByteRange;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::{Fail, Object, Uploader, read};
use crate::commit::error::CommitError;

/// Parts that an upload may have (S3; others allow more).
const MAX_PARTS: u64 = 10_000;

/// Parts of one object under way at most: four connections fill most uplinks.
const AT_ONCE: usize = 4;

/// How long an abort may take before the parts are left to the store's own clean-up.
const ABORT: Duration = Duration::from_secs(5);

/// An upload under way. Dropped before it is complete, it is aborted, so that the store keeps no parts that nobody sees and
/// somebody pays for.
struct Parts {
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

impl Uploader {
    pub(super) async fn put_parts(&self, key: &Path, object: &Object) -> Result<(), Fail> {
        let begun = self.cas.store.put_multipart(key).await;
        let mut parts = Parts {
            upload: Some(begun.map_err(|error| self.failed("begin to store", key, error))?),
            tasks: JoinSet::new(),
            url: self.url(key),
        };
        let outcome = self.send(key, object, &mut parts).await;
        if let (Err(_), Some(upload)) = (&outcome, parts.upload.take()) {
            let tasks = std::mem::take(&mut parts.tasks);
            abort(upload, tasks, parts.url.clone()).await;
        }
        outcome
    }

    async fn send(&self, key: &Path, object: &Object, parts: &mut Parts) -> Result<(), Fail> {
        let mut hasher = Hasher::new();
        let size = part_size(object.range.len(), self.part_size);
        let mut start = object.range.start();
        while start < object.range.end() {
            let range = ByteRange::new(start, object.range.end().min(start + size));
            start = range.end();
            let memory = self.memory(range.len()).await?;
            let (payload, so_far) = read(object, range, hasher).await?;
            hasher = so_far;
            let (Some(payload), Some(upload)) = (payload, parts.upload.as_mut()) else {
                return Err(Fail::Moved);
            };
            while parts.tasks.len() >= AT_ONCE {
                self.part_done(key, &mut parts.tasks).await?;
            }
            let part = upload.put_part(payload);
            parts.tasks.spawn(async move {
                let _memory = memory;
                part.await
            });
        }
        while !parts.tasks.is_empty() {
            self.part_done(key, &mut parts.tasks).await?;
        }
        // Nothing is seen under this name before it is complete.
        if hasher.finish() != object.hash {
            return Err(Fail::Moved);
        }
        if let Some(upload) = parts.upload.as_mut() {
            let done = upload.complete().await;
            done.map_err(|error| self.failed("finish storing", key, error))?;
        }
        parts.upload = None;
        Ok(())
    }

    async fn part_done(
        &self,
        key: &Path,
        tasks: &mut JoinSet<object_store::Result<()>>,
    ) -> Result<(), CommitError> {
        match tasks.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(self.failed("store a part of", key, error)),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(CommitError::Cancelled),
            },
        }
    }
}

/// The size of all parts but the last: some stores (R2) want them equal.
fn part_size(len: u64, smallest: u64) -> u64 {
    len.div_ceil(MAX_PARTS).next_multiple_of(1 << 20).max(smallest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_are_enough() {
        const MIB: u64 = 1 << 20;
        for len in [1, 100 * MIB, 80_000 * MIB, 5 << 40] {
            let part = part_size(len, 8 * MIB);
            assert!(part >= 8 * MIB && len.div_ceil(part) <= MAX_PARTS, "{len}");
        }
        assert_eq!(part_size(256 * MIB, 8 * MIB), 8 * MIB);
    }
}
