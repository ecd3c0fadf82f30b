//! Reads of an open file.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use forebay_types::{ByteRange, Clock};
use forebay_vfs::merged::MergedFile;

use super::files::Opening;
use super::{Refusal, Writable};
use crate::reply::Reply;
use crate::stats::Counters;

impl Writable {
    pub(super) fn read(
        self: &Arc<Self>,
        handle: u64,
        offset: u64,
        size: u32,
        reply: Reply,
        scratch: &mut [u8],
    ) {
        let opening = match self.opening(handle) {
            Ok(opening) => opening,
            Err(refusal) => return self.refuse(Some(reply), refusal),
        };
        match opening.file().cloned() {
            Some(file) => self.read_above(&opening, file, offset, size, reply, scratch),
            None => self.fs.read(handle, offset, size, reply, scratch),
        }
    }

    fn read_above(
        self: &Arc<Self>,
        opening: &Opening,
        file: Arc<MergedFile>,
        offset: u64,
        size: u32,
        reply: Reply,
        scratch: &mut [u8],
    ) {
        Counters::count(&self.fs.counters.reads);
        Counters::count(&opening.figures().reads);
        let size = (size as usize).min(scratch.len());
        let reply = match opening {
            Opening::Above(open) => match open.mapped.answer(&file, offset, size, reply) {
                Ok(len) => return self.at_once(opening, len),
                Err(reply) => reply,
            },
            Opening::Below(..) => reply,
        };
        match file.try_read_at(offset, &mut scratch[..size]) {
            Some(Ok(len)) => {
                self.at_once(opening, len);
                reply.bytes(&[&scratch[..len]]);
                return;
            }
            Some(Err(error)) => {
                Counters::count(&opening.figures().errors);
                return self.refuse(Some(reply), error);
            }
            None => {}
        }
        let begun = self.fs.clock.now();
        if let Some(errno) = opening.failed().again(offset, begun) {
            Counters::count(&opening.figures().errors);
            return self.refuse(Some(reply), errno);
        }
        let ask = async move {
            let mut bytes = vec![0; size];
            let len = file.read_at(offset, &mut bytes).await?;
            bytes.truncate(len);
            Ok(bytes)
        };
        let opening = opening.clone();
        self.ask(reply, ask, move |this, reply, read| match read {
            Ok(bytes) => {
                this.was_read(&opening, bytes.len());
                if let Some(reply) = reply {
                    reply.bytes(&[&bytes]);
                }
            }
            Err(refusal) => {
                this.read_failed(&opening, ByteRange::at(offset, size as u64), refusal, begun);
                this.refuse(reply, refusal);
            }
        });
    }

    fn read_failed(&self, opening: &Opening, range: ByteRange, refusal: Refusal, begun: std::time::Duration) {
        Counters::count(&opening.figures().errors);
        opening
            .failed()
            .note(range, refusal.errno, begun, self.fs.clock.now());
    }

    fn at_once(&self, opening: &Opening, len: usize) {
        Counters::count(&self.fs.counters.at_once);
        Counters::count(&opening.figures().at_once);
        self.was_read(opening, len);
    }

    fn was_read(&self, opening: &Opening, len: usize) {
        self.fs.counters.bytes.fetch_add(len as u64, Relaxed);
        opening.figures().served.fetch_add(len as u64, Relaxed);
    }
}
