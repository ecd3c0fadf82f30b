//! One fill reaches the disk: room first, then bytes, then the table, then the bits in memory.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use forebay_disk::sys::{write_at, write_pieces_at};
use forebay_types::{BLOCK, BlockRange, ByteRange, ObjectId};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::buffer::{ALIGN, DIRECT_BUFFER, DirectBuffer};
use crate::files::{self, Found, Made};
use crate::fill::{Fill, Stored};
use crate::map::{Head, map_len};
use crate::object::{CachedObject, Open};
use crate::options::{Accounting, WriteMode};
use crate::reservation::Reservation;
use crate::stats::Count;
use crate::sys::open_direct;
use crate::table::{crc32c, crc32c_of, entry};

/// From here on the page cache costs more than it is worth: at 256 KiB and above O_DIRECT takes 0.1 CPU s/GiB, buffered
/// writes 0.7 to 1.4.
const DIRECT_FROM: u64 = 256 * 1024;

/// A head with the longest strings that the format takes.
const LARGEST_HEAD: u64 = 5 * ALIGN;

/// Why a fill was not written.
#[derive(Debug)]
enum Refused {
    /// Another version took the name, or the place was contended again and again.
    Outdated,
    /// The object's bytes came to something else than they must.
    Refuted,
    /// There is no room in the budget.
    NoRoom,
    /// The format cannot hold the object's names.
    Unfit,
    Failed(Errno),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

impl CachedObject {
    /// Writes a fill; what is there already is not written again.
    pub(crate) fn write(self: &Arc<Self>, fill: &Fill, buffer: &mut DirectBuffer) -> Stored {
        let range = fill.range();
        let size = self.id().size;
        let blocks = BlockRange::inside(range, size);
        if range.end() > size || blocks.bytes(size) != range || blocks.is_empty() != (size == 0) {
            self.shared.said.malformed(fill);
            return Stored::Dropped;
        }
        let mut tried = self.try_write(blocks, fill, buffer);
        if let Err(Refused::Failed(errno @ (Errno::NOSPC | Errno::DQUOT))) = tried {
            // Others filled the disk: give some of it back, and try once more.
            self.shared.note_failure::<()>(Err(errno));
            if self.shared.make_room(range.len(), self.name) > 0 {
                tried = self.try_write(blocks, fill, buffer);
            }
        }
        match tried {
            Ok(()) => Stored::Written,
            Err(refused) => {
                match refused {
                    Refused::Outdated => {
                        tracing::debug!(id = %self.id(), "another version has its place: not kept");
                    }
                    Refused::Refuted => tracing::debug!(id = %self.id(), "its bytes are wrong: not kept"),
                    Refused::NoRoom => self.shared.said.no_room(range.len()),
                    Refused::Unfit => self.shared.said.unfit(self.id()),
                    Refused::Failed(errno) => {
                        self.shared.note_failure::<()>(Err(errno));
                    }
                }
                Stored::Dropped
            }
        }
    }

    fn try_write(
        self: &Arc<Self>,
        blocks: BlockRange,
        fill: &Fill,
        buffer: &mut DirectBuffer,
    ) -> Result<(), Refused> {
        if self.is_superseded() {
            return Err(Refused::Outdated);
        }
        if self.is_refuted() {
            return Err(Refused::Refuted);
        }
        let size = self.id().size;
        let open = self.open().filter(|open| open.files.map.is_linked());
        let absent = match &open {
            Some(open) => open.absent(blocks),
            None => vec![blocks],
        };
        if let (Some(open), true) = (&open, absent.is_empty()) {
            self.seal_if_complete(open);
            return Ok(());
        }
        let bytes = absent.iter().map(|run| run.bytes(size).len()).sum::<u64>();
        let new = open.is_none();
        let price = match self.shared.options.accounting {
            Accounting::Disk => disk_price(self.id(), bytes, new),
            Accounting::Content => bytes,
        };
        let mut reservation = self
            .shared
            .reserve(price, new, self.name)
            .ok_or(Refused::NoRoom)?;
        let open = self.open_or_create(&mut reservation)?;
        let mut written = 0;
        let result = {
            let _io = self.io.read().unwrap_or_else(PoisonError::into_inner);
            // Looked at again: much may have happened while room was made.
            let absent = open.absent(blocks);
            let mut runs = absent.into_iter();
            let result = runs.try_for_each(|run| {
                written += self.write_run(&open, run, fill, buffer)?;
                Ok(())
            });
            // Before anybody may take the object out: what he measures must be what was posted.
            self.settle(&open, reservation, written);
            result
        };
        result.map_err(Refused::Failed)?;
        self.touch(&open, blocks.bytes(size));
        self.seal_if_complete(&open);
        Ok(())
    }

    /// The files of this version, made or put in the place of another version's.
    fn open_or_create(&self, reservation: &mut Reservation) -> Result<Arc<Open>, Refused> {
        // Each round somebody else was faster; four in a row do not happen by chance.
        for _ in 0..4 {
            if let Some(open) = self.open() {
                if open.files.map.is_linked() {
                    return Ok(open);
                }
                // Cleared, or replaced by another version: seen below.
                self.forget_files(&open);
            }
            let shard = self.shared.dir.shard_or_make(self.name.shard())?;
            match files::find(&shard, self.name)? {
                Found::Absent => {}
                Found::Damaged => self.shared.remove_damaged(&shard, self.name),
                Found::Map(map) if map.head.id == *self.id() => {
                    // It came just now, or is busy: room is being made in it.
                    continue;
                }
                Found::Map(map) => {
                    if files::is_same_object(&map.head, self.id()) && self.yields_to(map.validated) {
                        return Err(Refused::Outdated);
                    }
                    self.shared.replace(&shard, self.name, map.head.instance)?;
                }
            }
            let created = self.shared.clock.wall();
            let head = Head::new(self.id().clone(), fastrand::u64(1..), created).ok_or(Refused::Unfit)?;
            if let Made::Files(files) = files::create(&self.shared.dir, self.name, head)? {
                let changed = files.map_stat().map_or(0, |stat| crate::sys::changed(&stat));
                reservation.entry_was_made(self.name, changed);
                return Ok(self.adopt(files, Some(0)));
            }
        }
        Err(Refused::Outdated)
    }

    /// Writes a run of blocks that are not there; returns the bytes that are new in this process.
    fn write_run(
        &self,
        open: &Open,
        run: BlockRange,
        fill: &Fill,
        buffer: &mut DirectBuffer,
    ) -> Result<u64, Errno> {
        let bytes = run.bytes(self.id().size);
        let mut source = Source::new(fill, bytes.start());
        let direct = self.direct_file(open, bytes.len());
        let count = match direct {
            Some(_) => Count::DirectWrites,
            None => Count::BufferedWrites,
        };
        let crcs = match direct {
            Some(direct) => self.write_direct(open, &direct, bytes, &mut source, buffer)?,
            None => write_buffered(open, bytes, &mut source)?,
        };
        let entries: Vec<u64> = run
            .iter()
            .zip(crcs)
            .map(|(block, crc)| entry(crc, block, open.known.instance))
            .collect();
        // Only now: a table never promises what was not written.
        files::put_entries(&open.files.map.fd, open.files.head(), run.start(), &entries)?;
        let new = open.known.wrote(run);
        self.shared.count(count, 1);
        self.shared.count(Count::BytesStored, bytes.len());
        Ok(new)
    }

    /// The data file opened for O_DIRECT, if the write should and may go that way.
    fn direct_file(&self, open: &Open, len: u64) -> Option<OwnedFd> {
        let least = match self.shared.options.write {
            WriteMode::Auto => DIRECT_FROM,
            WriteMode::Direct => ALIGN,
            WriteMode::Buffered => return None,
        };
        if len < least || !open.files.is_separate() {
            return None;
        }
        if self.shared.direct_refused.load(Ordering::Relaxed) {
            self.shared.count(Count::RefusedDirect, 1);
            return None;
        }
        let shard = self.name.shard_in(&self.shared.dir).ok()?;
        match open_direct(&shard, &self.name.data(open.known.instance)) {
            Ok(fd) => Some(fd),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                self.direct_is_refused();
                None
            }
            // Removed just now, or out of descriptors: the open file does.
            Err(_) => None,
        }
    }

    fn direct_is_refused(&self) {
        self.shared.direct_refused.store(true, Ordering::Relaxed);
        self.shared.count(Count::RefusedDirect, 1);
        self.shared.said.refused_direct();
    }

    /// Copies the bytes into huge pages, takes their checksums while they are in the processor's cache, and writes them around the
    /// page cache. What is left over after the last whole page goes through it.
    fn write_direct(
        &self,
        open: &Open,
        direct: &OwnedFd,
        bytes: ByteRange,
        source: &mut Source<'_>,
        buffer: &mut DirectBuffer,
    ) -> Result<Vec<u32>, Errno> {
        let mut crcs = Vec::with_capacity(bytes.len().div_ceil(BLOCK) as usize);
        let mut rest = bytes;
        let mut refused = false;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(DIRECT_BUFFER as u64);
            rest = after;
            let buffer = &mut buffer.bytes()?[..part.len() as usize];
            for block in buffer.chunks_mut(BLOCK as usize) {
                source.copy_to(block);
                crcs.push(crc32c(block));
            }
            let pages = buffer.len() - buffer.len() % ALIGN as usize;
            if !refused {
                match write_at(direct, &buffer[..pages], part.start()) {
                    Err(Errno::INVAL) => {
                        refused = true;
                        self.direct_is_refused();
                    }
                    other => other?,
                }
            }
            let left = if refused { 0 } else { pages };
            write_at(open.files.data_fd(), &buffer[left..], part.start() + left as u64)?;
        }
        Ok(crcs)
    }

    /// Sets the figures right after a write.
    fn settle(&self, open: &Open, reservation: Reservation, written: u64) {
        let Ok(stat) = open.files.map_stat() else {
            return;
        };
        if stat.st_nlink == 0 {
            return reservation.object_is_gone();
        }
        let mut charged = open.known.charged.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match self.shared.options.accounting {
            Accounting::Disk => open.files.charged(),
            Accounting::Content => *charged + written,
        };
        reservation.settle(self.name, *charged, now, crate::sys::changed(&stat));
        *charged = now;
        self.use_was_told();
    }
}

/// The most that `bytes` more of an object take on disk: whole pages, one for the table, and the map of a new object.
fn disk_price(id: &ObjectId, bytes: u64, new: bool) -> u64 {
    let map = match (new, map_len(id)) {
        (false, _) => ALIGN,
        // All in one file.
        (true, (map, true)) => return map.next_multiple_of(ALIGN),
        // Head and strings, and the page of the table; what lies between is a hole.
        (true, (map, false)) => map.next_multiple_of(ALIGN).min(LARGEST_HEAD + ALIGN),
    };
    bytes.next_multiple_of(ALIGN) + map
}

fn write_buffered(open: &Open, bytes: ByteRange, source: &mut Source<'_>) -> Result<Vec<u32>, Errno> {
    let mut crcs = Vec::with_capacity(bytes.len().div_ceil(BLOCK) as usize);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (block, after) = rest.split_at(BLOCK);
        rest = after;
        let before = pieces.len();
        source.take(block.len() as usize, &mut pieces);
        crcs.push(crc32c_of(&pieces[before..]));
    }
    write_pieces_at(
        open.files.data_fd(),
        &pieces,
        open.files.data_start() + bytes.start(),
    )?;
    Ok(crcs)
}

/// The bytes of a fill, from some offset on.
struct Source<'a> {
    current: &'a [u8],
    chunks: std::slice::Iter<'a, Bytes>,
}

impl<'a> Source<'a> {
    fn new(fill: &'a Fill, offset: u64) -> Self {
        let mut source = Self {
            current: &[],
            chunks: fill.chunks.iter(),
        };
        let mut skip = (offset - fill.at) as usize;
        while skip > 0 {
            skip -= source.some(skip).len();
        }
        source
    }

    /// Up to `most` bytes in one piece; none only at the end, which callers never pass.
    fn some(&mut self, most: usize) -> &'a [u8] {
        while self.current.is_empty() {
            let Some(chunk) = self.chunks.next() else {
                return &[];
            };
            self.current = chunk;
        }
        let (some, rest) = self.current.split_at(most.min(self.current.len()));
        self.current = rest;
        some
    }

    fn take(&mut self, mut len: usize, pieces: &mut Vec<&'a [u8]>) {
        while len > 0 {
            let some = self.some(len);
            len -= some.len();
            pieces.push(some);
        }
    }

    fn copy_to(&mut self, mut room: &mut [u8]) {
        while !room.is_empty() {
            let some = self.some(room.len());
            let (here, rest) = room.split_at_mut(some.len());
            here.copy_from_slice(some);
            room = rest;
        }
    }
}
