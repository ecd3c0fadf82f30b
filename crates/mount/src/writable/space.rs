//! Sizes, holes, and what is durable.

use std::sync::Arc;
use std::time::Duration;

use forebay_vfs::merged::MergedError;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::files::Opening;
use super::{Refusal, Writable};
use crate::reply::Reply;
use crate::wire::Out;

impl Writable {
    /// `mode` as of `fallocate`.
    pub(super) fn allocate(self: &Arc<Self>, handle: u64, offset: u64, len: u64, mode: u32, reply: Reply) {
        let open = match self.above(handle) {
            Ok(open) => open,
            Err(refusal) => return self.refuse(Some(reply), refusal),
        };
        let mode = FallocateFlags::from_bits_retain(mode);
        let keeps_size = mode.contains(FallocateFlags::KEEP_SIZE);
        let what = mode.difference(FallocateFlags::KEEP_SIZE);
        let known = [
            FallocateFlags::empty(),
            FallocateFlags::ZERO_RANGE,
            FallocateFlags::PUNCH_HOLE,
        ];
        if !known.contains(&what) || (what == FallocateFlags::PUNCH_HOLE && !keeps_size) {
            return self.refuse(Some(reply), Errno::OPNOTSUPP);
        }
        self.change_only(reply, async move {
            let file = &open.file;
            match what {
                FallocateFlags::PUNCH_HOLE => file.punch(offset, len).await,
                FallocateFlags::ZERO_RANGE => file.zero(offset, len, keeps_size).await,
                _ => file.allocate(offset, len, keeps_size).await,
            }
        });
    }

    /// Where data or a hole begins. What is below has none: it is all there.
    pub(super) fn seek(self: &Arc<Self>, handle: u64, offset: u64, whence: u32, reply: Reply) {
        let found = self.opening(handle).and_then(|opening| {
            let to_hole = match i32::try_from(whence) {
                Ok(libc::SEEK_DATA) => false,
                Ok(libc::SEEK_HOLE) => true,
                // The kernel answers the others itself.
                _ => return Err(Errno::INVAL.into()),
            };
            let found = match (&opening, opening.file()) {
                (_, Some(file)) if to_hole => file.seek_hole(offset)?,
                (_, Some(file)) => file.seek_data(offset)?,
                (Opening::Below(open, None), None) => {
                    let size = open.size();
                    (offset < size).then_some(if to_hole { size } else { offset })
                }
                (Opening::Above(_) | Opening::Below(_, Some(_)), None) => None,
            };
            found.ok_or(Refusal::from(Errno::NXIO))
        });
        match found {
            Ok(at) => {
                reply.out(&Out::default().u64(at));
            }
            // There is no more: that is an answer.
            Err(refusal) if refusal.errno == Errno::NXIO => reply.error(Errno::NXIO),
            Err(refusal) => self.refuse(Some(reply), refusal),
        }
    }

    /// Waits for the disk for as long as it takes: a sync that was given up would be a failed one to the program.
    pub(super) fn sync(self: &Arc<Self>, handle: u64, data_only: bool, reply: Reply) {
        let file = match self.opening(handle) {
            Ok(opening) => opening.file().cloned(),
            Err(refusal) => return self.refuse(Some(reply), refusal),
        };
        let work = async move {
            match file {
                Some(file) => Ok(file.sync(data_only).await?),
                // What is below is durable, as far as that is ours to say.
                None => Ok(()),
            }
        };
        self.ask_within(Duration::MAX, reply, work, Self::done);
    }

    pub(super) fn sync_fs(self: &Arc<Self>, reply: Reply) {
        let merged = self.merged.clone();
        let work = async move {
            let done: Result<(), MergedError> = merged.sync_all().await;
            Ok(done?)
        };
        self.ask_within(Duration::MAX, reply, work, Self::done);
    }
}
