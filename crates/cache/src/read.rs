//! Reading: one `pread` for what is known to be good; a look at the checksums, once, for what is not.

use std::cell::RefCell;
use std::sync::Arc;

use forebay_disk::sys::{read_at, read_at_nowait};
use forebay_types::{BLOCK, BlockRange, ByteRange};
use rustix::io::Errno;

use crate::files::TABLE_READ;
use crate::object::{CachedObject, Open, ReadOutcome, Wait};
use crate::stats::Count;
use crate::table::{crc_in, crc32c};

thread_local! {
    /// A block that is checked whole although only part of it was asked for.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What one step of a read did.
enum Step {
    /// So many bytes are good.
    Read(usize),
    /// Blocks were taken away meanwhile.
    Again,
    Missing,
    WouldBlock,
}

impl CachedObject {
    /// Reads from `offset`; stops at the first byte that is not there, or not good. A range that goes past the object's end is
    /// missing there.
    ///
    /// With [`Wait::No`] the data is read only if it is in memory. Opening the object's files, the first time, and looking into its
    /// map may still wait for the disk; a file system that cannot tell what is in memory always answers
    /// [`ReadOutcome::WouldBlock`], and that is counted.
    pub fn read(&self, offset: u64, buf: &mut [u8], wait: Wait) -> ReadOutcome {
        let range = ByteRange::at(offset, buf.len() as u64).clamp_to(self.id().size);
        let want = range.len() as usize;
        let mut done = 0;
        if want > 0 {
            let Some(open) = self.open() else {
                return ReadOutcome::Missing { done };
            };
            self.touch(&open, range);
            while done < want {
                match self.step(&open, offset + done as u64, &mut buf[done..want], wait) {
                    Step::Read(n) => done += n,
                    Step::Again => {}
                    Step::Missing => return ReadOutcome::Missing { done },
                    Step::WouldBlock => return ReadOutcome::WouldBlock { done },
                }
            }
        }
        if done < buf.len() {
            ReadOutcome::Missing { done }
        } else {
            ReadOutcome::Done
        }
    }

    fn step(&self, open: &Arc<Open>, offset: u64, buf: &mut [u8], wait: Wait) -> Step {
        let epoch = open.known.epoch();
        let range = ByteRange::at(offset, buf.len() as u64);
        let good = open.known.good_bytes(range) as usize;
        if good == 0 {
            return self.check(open, range, buf, wait, epoch);
        }
        let step = self.read_data(open, offset, &mut buf[..good], wait);
        // Bits are cleared, then the epoch is raised, then bytes go. So if it is still the same, the bytes were there.
        if open.known.epoch() == epoch {
            step
        } else {
            Step::Again
        }
    }

    /// Reads blocks whose checksums this process has not looked at yet, as far as the table has them in one run.
    fn check(&self, open: &Arc<Open>, range: ByteRange, buf: &mut [u8], wait: Wait, epoch: u64) -> Step {
        let size = self.id().size;
        let blocks = BlockRange::touching(range);
        let unknown = BlockRange::new(blocks.start(), open.known.first(blocks, true));
        if unknown.is_empty() {
            // Checked or written by another thread just now.
            return Step::Again;
        }
        let some = BlockRange::new(unknown.start(), unknown.end().min(unknown.start() + TABLE_READ));
        let Some(entries) = self.shared.note_failure(open.files.map.entries(some)) else {
            return Step::Missing;
        };
        let crcs: Vec<u32> = some
            .iter()
            .zip(entries)
            .map_while(|(block, entry)| crc_in(entry, block, open.known.instance))
            .collect();
        if crcs.is_empty() {
            return Step::Missing;
        }
        let first = BlockRange::new(some.start(), some.start() + 1).bytes(size);
        if first.start() < range.start() || first.end() > range.end() {
            return self.check_one(open, range, buf, wait, epoch, crcs[0]);
        }
        // Whole blocks: straight into the caller's buffer.
        let whole = BlockRange::inside(range, size)
            .end()
            .min(some.start() + crcs.len() as u64);
        let whole = BlockRange::new(some.start(), whole);
        let len = whole.bytes(size).len() as usize;
        let read = match self.read_data(open, range.start(), &mut buf[..len], wait) {
            Step::Read(read) => read,
            other => return other,
        };
        if open.known.epoch() != epoch {
            return Step::Again;
        }
        let mut done = 0;
        for ((block, crc), bytes) in whole.iter().zip(crcs).zip(buf[..len].chunks(BLOCK as usize)) {
            if done + bytes.len() > read {
                // The rest is not in memory.
                break;
            }
            if crc32c(bytes) != crc {
                if open.known.epoch() == epoch {
                    self.is_corrupt(open, block);
                }
                break;
            }
            done += bytes.len();
        }
        let checked = BlockRange::new(whole.start(), whole.start() + (done as u64).div_ceil(BLOCK));
        open.known.checked(checked, epoch);
        self.seal_if_all_good(open);
        match done {
            0 if open.known.epoch() != epoch => Step::Again,
            0 if read < first.len() as usize => Step::WouldBlock,
            0 => Step::Missing,
            done => Step::Read(done),
        }
    }

    /// Reads part of a block that was not checked yet: the whole block is, and the part copied.
    fn check_one(
        &self,
        open: &Arc<Open>,
        range: ByteRange,
        buf: &mut [u8],
        wait: Wait,
        epoch: u64,
        crc: u32,
    ) -> Step {
        let block = range.start() / BLOCK;
        let one = BlockRange::new(block, block + 1);
        let whole = one.bytes(self.id().size);
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(BLOCK as usize, 0);
            let scratch = &mut scratch[..whole.len() as usize];
            match self.read_data(open, whole.start(), scratch, wait) {
                Step::Read(n) if n == scratch.len() => {}
                Step::Read(_) => return Step::WouldBlock,
                other => return other,
            }
            if open.known.epoch() != epoch {
                return Step::Again;
            }
            if crc32c(scratch) != crc {
                self.is_corrupt(open, block);
                return Step::Missing;
            }
            open.known.checked(one, epoch);
            self.seal_if_all_good(open);
            let wanted = range.intersect(whole);
            let from = (wanted.start() - whole.start()) as usize;
            let len = wanted.len() as usize;
            buf[..len].copy_from_slice(&scratch[from..from + len]);
            Step::Read(len)
        })
    }

    /// Reads the object's bytes at `offset`, good or not. Fewer than asked for only with [`Wait::No`].
    pub(crate) fn read_raw(&self, open: &Arc<Open>, offset: u64, buf: &mut [u8]) -> bool {
        matches!(self.read_data(open, offset, buf, Wait::Yes), Step::Read(n) if n == buf.len())
    }

    fn read_data(&self, open: &Arc<Open>, offset: u64, buf: &mut [u8], wait: Wait) -> Step {
        let at = open.files.data_start() + offset;
        let fd = open.files.data_fd();
        let read = match wait {
            Wait::Yes => read_at(fd, buf, at),
            Wait::No => read_at_nowait(fd, buf, at),
        };
        match read {
            Ok(n) if n == buf.len() || (n > 0 && wait == Wait::No) => Step::Read(n),
            // The file ends before the object does: somebody cut it.
            Ok(_) => {
                self.is_broken(open);
                Step::Missing
            }
            Err(Errno::AGAIN) if wait == Wait::No => Step::WouldBlock,
            Err(Errno::OPNOTSUPP | Errno::NOSYS) if wait == Wait::No => {
                self.shared.count(Count::RefusedNowait, 1);
                self.shared.said.refused_nowait();
                Step::WouldBlock
            }
            Err(e) => {
                self.shared.note_failure::<()>(Err(e));
                Step::Missing
            }
        }
    }
}
