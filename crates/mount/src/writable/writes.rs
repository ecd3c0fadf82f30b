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
        let (offset, len) = (write.offset, write.data.len());
        match open.file.try_write_at(offset, write.data) {
            Some(written) => self.written(Some(reply), written.map(|()| len as u64).map_err(Refusal::from)),
            None => {
                // The thread takes the next request into where these bytes are.
                let data = write.data.to_owned();
                let work = async move {
                    open.file.write_at(offset, &data).await?;
                    Ok(data.len() as u64)
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
