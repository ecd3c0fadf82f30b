//! Bytes that come from below.

use std::time::Duration;

use forebay_range::Target;
use forebay_reader::{Handle, OpenOptions};
use forebay_types::{ByteRange, Version, printable};

use super::MergedFile;
use crate::entry::FileMeta;
use crate::merged::MergedError;
use crate::overlay::{DataFile, UpperError};

/// Bytes in memory at a time.
const PIECE: u64 = 4 << 20;

impl MergedFile {
    /// The lower file, in the version that came up, opened when it is first needed.
    pub(super) async fn below(&self) -> Result<&Handle, MergedError> {
        let open = || async {
            let target = self.target()?;
            let opened = self.shared.reader.open(target, OpenOptions::default()).await;
            opened.map_err(MergedError::Read)
        };
        self.below.get_or_try_init(open).await
    }

    /// What to read: the same after a restart as before it.
    fn target(&self) -> Result<Target, MergedError> {
        let Some(origin) = &self.origin else {
            // What was made here has all of its bytes.
            return Err(MergedError::Upper(UpperError::Invalid {
                id: self.id(),
                what: "not from below",
            }));
        };
        let Some(version) = Version::from_text(&origin.version) else {
            return Err(MergedError::Version {
                path: printable(&origin.path).into(),
                version: printable(&origin.version).into(),
            });
        };
        let meta = FileMeta {
            size: origin.size,
            modified: Duration::from_nanos(u64::try_from(origin.mtime).unwrap_or(0)),
            version,
            // Of no meaning to its bytes.
            executable: false,
        };
        Ok(self.shared.numbers.tree.target(&origin.path, &meta))
    }

    /// For messages.
    fn path_below(&self) -> Box<str> {
        let path = self.origin.as_ref().map_or("", |origin| &*origin.path);
        printable(path).into()
    }

    /// Brings bytes from below, whole blocks, and puts them where they are missing.
    pub(super) async fn bring(&self, data: &DataFile, range: ByteRange) -> Result<(), MergedError> {
        let below = self.below().await?;
        let mut at = range.start();
        while at < range.end() {
            let len = (range.end() - at).min(PIECE);
            let bytes = below
                .read_at(at, usize::try_from(len).unwrap_or(usize::MAX))
                .await?;
            if (bytes.len() as u64) < len {
                return Err(MergedError::Short {
                    path: self.path_below(),
                    at: at + bytes.len() as u64,
                    size: below.size(),
                });
            }
            data.fill(at, &bytes)?;
            at += len;
        }
        Ok(())
    }
}
