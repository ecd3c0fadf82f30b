//! A put in parts: each part is written at its own offset of the temporary file, in whatever order they come.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{MultipartUpload, PutMultipartOptions, PutPayload, PutResult, Result, UploadPart};

use super::staged::{Parents, Staged, Way};
use super::{FileStore, FileStoreError, Inner, blocking, write};

impl FileStore {
    /// An upload whose bytes go this way.
    pub(crate) async fn upload_by(
        &self,
        way: Way,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        write::refuse_attributes(self, &options.attributes)?;
        let location = location.clone();
        let upload = self
            .run(move |inner| Upload::start(inner, &location, &way))
            .await?;
        Ok(Box::new(upload))
    }
}

/// An upload under way. Completing, aborting or dropping it ends it; only completing leaves a file.
struct Upload {
    /// Shared with the parts being written; `None` once the upload is over.
    staged: Option<Arc<Staged>>,
    shown: String,
    /// Where the next part begins: parts need not be equal, so only the order of `put_part` calls tells.
    offset: u64,
    given: usize,
    written: Arc<AtomicUsize>,
}

impl Upload {
    fn start(inner: &Arc<Inner>, location: &Path, way: &Way) -> Result<Self, FileStoreError> {
        let staged = Staged::create(inner, inner.place(location, Parents::Make)?, way)?;
        let shown = staged.place().shown.clone();
        Ok(Self {
            staged: Some(Arc::new(staged)),
            shown,
            offset: 0,
            given: 0,
            written: Arc::default(),
        })
    }

    fn end(&mut self) -> Result<Arc<Staged>, FileStoreError> {
        self.staged.take().ok_or_else(|| FileStoreError::Over {
            path: self.shown.clone(),
        })
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let Some(staged) = self.staged.clone() else {
            let error = FileStoreError::Over {
                path: self.shown.clone(),
            };
            return Box::pin(async { Err(error.into()) });
        };
        let offset = self.offset;
        self.offset += data.content_length() as u64;
        self.given += 1;
        let written = Arc::clone(&self.written);
        Box::pin(async move {
            blocking(move || {
                staged.write_at(&data, offset)?;
                written.fetch_add(1, Ordering::AcqRel);
                Ok(())
            })
            .await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.end()?;
        let parts = self.given;
        // A part that failed or was never polled would be a hole of zeros in a file that looks whole.
        let missing = parts - self.written.load(Ordering::Acquire);
        blocking(move || {
            if missing > 0 {
                staged.discard()?;
                let path = staged.place().shown.clone();
                return Err(FileStoreError::Incomplete { path, missing, parts }.into());
            }
            Ok(write::published(staged.publish(false)?))
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = self.end()?;
        blocking(move || Ok(staged.discard()?)).await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(staged) = self.staged.take() else { return };
        // The file is removed when `staged` is dropped, be it that the runtime ends before the task has run.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(staged))),
            Err(_) => drop(staged),
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("path", &self.shown)
            .field("offset", &self.offset)
            .field("given", &self.given)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
