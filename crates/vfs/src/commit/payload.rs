//! Bytes of a file, to be sent.

use std::sync::Arc;

use forebay_manifest::Hasher;
use forebay_types::ByteRange;
use object_store::PutPayload;

use crate::commit::again::Passing;
use crate::commit::blocking::blocking;
use crate::commit::error::CommitError;
use crate::overlay::{DataFile, ReadData, UpperError};

/// Why an object is not in the store.
#[derive(Debug)]
pub(super) enum Fail {
    /// The file has other bytes by now. Nothing was stored.
    Moved,
    Error(CommitError),
}

impl Passing for Fail {
    fn passing(&self) -> Option<&CommitError> {
        match self {
            Self::Moved => None,
            Self::Error(error) => error.passing(),
        }
    }
}

impl From<CommitError> for Fail {
    fn from(error: CommitError) -> Self {
        Self::Error(error)
    }
}

/// Reads some bytes of a file to be sent, and goes on hashing, if somebody does. `None`: they are not all here, so the file is
/// another by now.
pub(super) async fn read(
    data: &Arc<DataFile>,
    path: &[u8],
    range: ByteRange,
    mut hasher: Option<Hasher>,
) -> Result<(Option<PutPayload>, Option<Hasher>), CommitError> {
    let data = data.clone();
    let read = blocking(move || -> Result<_, UpperError> {
        let mut buffer = vec![0; usize::try_from(range.len()).unwrap_or(usize::MAX)];
        let is_whole = data.read_at(&mut buffer, range.start())? == ReadData::Present(buffer.len());
        if let Some(hasher) = hasher.as_mut().filter(|_| is_whole) {
            hasher.update(&buffer);
        }
        Ok((is_whole.then(|| PutPayload::from(buffer)), hasher))
    });
    read.await?.map_err(CommitError::overlay(path))
}
