//! Bytes that come from below.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use forebay_range::Target;
use forebay_reader::{Handle, OpenOptions};
use forebay_types::{ByteRange, Version, printable};
use tokio::sync::OnceCell;

use super::MergedFile;
use crate::entry::FileMeta;
use crate::merged::MergedError;
use crate::overlay::{DataFile, ReadData, UpperError};

/// Bytes in memory at a time.
const PIECE: u64 = 4 << 20;

impl MergedFile {
    /// The lower file, in the version that came up or was put there since, opened when it is first needed.
    pub(super) async fn below(&self) -> Result<Arc<Handle>, MergedError> {
        let open = || async {
            let target = self.target()?;
            let opened = self.shared.reader.open(target, OpenOptions::default()).await;
            opened.map(Arc::new).map_err(MergedError::Read)
        };
        self.opened_below().get_or_try_init(open).await.cloned()
    }

    pub(super) fn opened_below(&self) -> Arc<OnceCell<Arc<Handle>>> {
        let below = self.below.read().unwrap_or_else(PoisonError::into_inner);
        below.clone()
    }

    /// The content is in another place below: read from there from now on.
    pub(in crate::merged) fn moved_below(&self) {
        *self.below.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    /// What to read: the same after a restart as before it.
    fn target(&self) -> Result<Target, MergedError> {
        let (origin, _) = self.shared.upper.content(self.id())?;
        let Some(origin) = origin else {
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
        let origin = self
            .shared
            .upper
            .content(self.id())
            .ok()
            .and_then(|known| known.0);
        let path = origin.as_ref().map_or("", |origin| &*origin.path);
        printable(path).into()
    }

    /// Reads what is here from here and the rest from below, and keeps none of that.
    pub(super) async fn read_unkept(
        &self,
        data: &DataFile,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, MergedError> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let absent = match data.read_at(&mut buf[done..], at)? {
                ReadData::Present(len) => return Ok(done + len),
                ReadData::Absent(absent) => absent,
            };
            let is_here = at < absent.start();
            let end = if is_here { absent.start() } else { absent.end() };
            let end = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buf.len());
            let part = &mut buf[done..end];
            let got = match is_here {
                false => self.below().await?.read_into(at, part).await?,
                true => match data.read_at(part, at)? {
                    ReadData::Present(got) => got,
                    // What is here stays here.
                    ReadData::Absent(_) => continue,
                },
            };
            match got < part.len() {
                false => done = end,
                // It was cut meanwhile.
                true if is_here => return Ok(done + got),
                true => return Err(self.short(at + got as u64, &*self.below().await?)),
            }
        }
        Ok(done)
    }

    /// The lower file ends at `at`, and should not.
    fn short(&self, at: u64, below: &Handle) -> MergedError {
        MergedError::Short {
            path: self.path_below(),
            at,
            size: below.size(),
        }
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
                return Err(self.short(at + bytes.len() as u64, &below));
            }
            data.fill(at, &bytes)?;
            at += len;
        }
        Ok(())
    }
}
