//! Copies from file to file that the system does by itself, without moving a byte where the file system can share them.

use forebay_types::ByteRange;
use rustix::fs;
use rustix::io::{self, Errno};

use super::{Changed, DataFile};
use crate::overlay::error::UpperError;

/// What came of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copied {
    /// So many bytes were copied; fewer than asked for at the end of the source, or if the disk was full then.
    Done(u64),
    /// Nothing was copied: these bytes of the source must come from below first.
    FillSource(ByteRange),
    /// Nothing was copied: these bytes of the target must come from below first.
    FillTarget(Vec<ByteRange>),
    /// The file systems cannot do it: read and write instead.
    Unable,
}

impl DataFile {
    /// Copies `len` bytes of `source` from `from` on to `to`.
    ///
    /// # Errors
    /// EINVAL if both are the same file and the ranges have a byte in common; else what the system says.
    pub fn copy_from(&self, source: &Self, from: u64, to: u64, len: u64) -> Result<Copied, UpperError> {
        let wanted = source.range(from, len)?.clamp_to(source.len()?);
        let target = self.range(to, wanted.len())?;
        if wanted.is_empty() {
            return Ok(Copied::Done(0));
        }
        if self.id == source.id && wanted.start() < target.end() && target.start() < wanted.end() {
            return Err(self.io("copy the data")(Errno::INVAL));
        }
        // What is here stays here; the lock is not needed while it is copied.
        if let Some(absent) = source.read().absent_in(wanted) {
            return Ok(Copied::FillSource(absent));
        }
        let done = self.overwrite(target, |fd| {
            let (mut from, mut to) = (wanted.start(), target.start());
            while from < wanted.end() {
                let left = usize::try_from(wanted.end() - from).unwrap_or(usize::MAX);
                match io::retry_on_intr(|| {
                    fs::copy_file_range(&source.fd, Some(&mut from), fd, Some(&mut to), left)
                }) {
                    // The source was cut.
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(e) if from == wanted.start() => return Err(e),
                    Err(_) => break,
                }
            }
            Ok(from - wanted.start())
        });
        match done {
            Ok(Changed::Done(n)) => Ok(Copied::Done(n)),
            Ok(Changed::Fill(ranges)) => Ok(Copied::FillTarget(ranges)),
            Err(UpperError::Io {
                source: Errno::OPNOTSUPP | Errno::XDEV | Errno::NOSYS,
                ..
            }) => Ok(Copied::Unable),
            Err(e) => Err(e),
        }
    }
}
