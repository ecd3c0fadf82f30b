//! Writes to an open file.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::io::Errno;

use super::{Refusal, Writable};
use crate::reply::Reply;
use crate::request::Write;
use crate::stats::Counters;
use crate::wire::Out;

impl Writable {
    pub(super) fn write(self: &Arc<Self>, write: &Write<'_>, reply: Reply) {
        let open = match self.above(write.handle) {
            Ok(open) => open,
            Err(refusal) => return self.refuse(Some(reply), refusal),
        };
        Counters::count(&self.fs.counters.writes);
        self.is_changed();
        if write.kill_privileges
            && let Err(refusal) = self.kill_privileges(open.file.id())
        {
            return self.refuse(Some(reply), refusal);
        }
        let (offset, whole) = (write.offset, write.whole);
        match open.file.try_write_at(offset, write.data) {
            Some(written) => {
                let written = written.map_err(Refusal::from);
                let told = written.and_then(|len| enough(len, write.data.len(), whole));
                self.written(Some(reply), told);
            }
            None => {
                // The thread takes the next request into where these bytes are.
                let data = write.data.to_owned();
                let work = async move {
                    let written = open.file.write_at(offset, &data).await?;
                    enough(written, data.len(), whole)
                };
                self.change(reply, work, Self::written);
            }
        }
    }

    /// Answers how many bytes were written, or copied.
    fn written(self: &Arc<Self>, reply: Option<Reply>, written: Result<u64, Refusal>) {
        match written {
            Ok(len) => {
                self.fs.counters.written.fetch_add(len, Relaxed);
                if let Some(reply) = reply {
                    reply.out(&Out::default().written(len as u32));
                }
            }
            Err(refusal) => self.refuse(reply, refusal),
        }
    }

    /// Copies from one handle and place to another, as much as comes at once.
    pub(super) fn copy(
        self: &Arc<Self>,
        (from, from_offset): (u64, u64),
        (to, to_offset): (u64, u64),
        len: u64,
        wide: bool,
        reply: Reply,
    ) {
        let both = self.above(to).and_then(|to| Ok((self.opening(from)?, to)));
        let (from, to) = match both {
            Ok(both) => both,
            Err(refusal) => return self.refuse(Some(reply), refusal),
        };
        let Some(from) = from.file().cloned() else {
            // The kernel reads it then, and writes what it read.
            return reply.error(Errno::XDEV);
        };
        // As much as a narrow answer can tell.
        let len = len.min(if wide { u64::MAX } else { 1 << 31 });
        let work = async move { Ok(to.file.copy_from(&from, from_offset, to_offset, len).await?) };
        self.change(reply, work, move |this, reply, copied| match copied {
            Ok(copied) if wide => {
                this.fs.counters.written.fetch_add(copied, Relaxed);
                if let Some(reply) = reply {
                    reply.out(&Out::default().u64(copied));
                }
            }
            copied => this.written(reply, copied),
        });
    }
}

/// How many of `len` bytes a write is told of: fewer is an answer to a program, which writes the rest and hears why not. The
/// kernel, when it writes pages of a mapping, takes any number for all of them, and would never write the others again.
fn enough(written: u64, len: usize, whole: bool) -> Result<u64, Refusal> {
    if whole && written < len as u64 {
        return Err(Errno::NOSPC.into());
    }
    Ok(written)
}
