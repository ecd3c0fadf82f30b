//! What this process knows of an object's blocks.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use forebay_types::{BLOCK, BlockRange, ByteRange};

use crate::files::{Files, TABLE_READ};
use crate::pages::{Bits, Stamps};
use crate::table::crc_in;

/// Bytes that are punched out of a large object at once.
pub(crate) const EXTENT: u64 = 16 << 20;

/// Memory of an object's blocks: outlives its descriptors, ends when the files become others or lose blocks unseen.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) instance: u64,
    pub(crate) generation: AtomicU64,
    size: u64,
    /// Blocks whose bytes are good: written by this process, or checked once.
    good: Bits,
    good_count: AtomicU64,
    /// The seal is there and is trusted: all blocks are good.
    sealed: AtomicBool,
    /// Raised after bits are cleared and before bytes go: who sees the same number before and after a read saw good bytes.
    epoch: AtomicU64,
    /// Held to set or clear bits.
    marks: Mutex<()>,
    /// All blocks before it are in the table.
    frontier: Mutex<u64>,
    complete: AtomicBool,
    /// The map on disk has a seal, trusted or not.
    seal_on_disk: AtomicBool,
    /// All bytes came to what they must.
    proven: AtomicBool,
    /// A seal is on its way.
    pub(crate) sealing: AtomicBool,
    /// What of the budget's total stands for this object, as far as this process posted it.
    pub(crate) charged: Mutex<u64>,
    stamps: Stamps,
}

impl Known {
    pub(crate) fn new(files: &Files, trust_seal: bool, charged: u64) -> Self {
        let size = files.head().id.size;
        let sealed = files.map.sealed;
        Self {
            instance: files.head().instance,
            generation: AtomicU64::new(files.map.generation),
            size,
            good: Bits::new(BlockRange::of_size(size).len()),
            good_count: AtomicU64::new(0),
            sealed: AtomicBool::new(sealed && trust_seal),
            epoch: AtomicU64::new(0),
            marks: Mutex::new(()),
            frontier: Mutex::new(0),
            complete: AtomicBool::new(sealed),
            seal_on_disk: AtomicBool::new(sealed),
            proven: AtomicBool::new(sealed),
            sealing: AtomicBool::new(false),
            charged: Mutex::new(charged),
            stamps: Stamps::new(size.div_ceil(EXTENT)),
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// How many of the bytes of `range`, from its start on, lie in good blocks.
    pub(crate) fn good_bytes(&self, range: ByteRange) -> u64 {
        if self.sealed.load(Ordering::Acquire) {
            return range.len();
        }
        let blocks = BlockRange::touching(range);
        let end = self.good.first(blocks, false);
        (end * BLOCK).clamp(range.start(), range.end()) - range.start()
    }

    /// The first of `blocks` that is good, or not good; or their end.
    pub(crate) fn first(&self, blocks: BlockRange, good: bool) -> u64 {
        match (self.sealed.load(Ordering::Acquire), good) {
            (true, true) => blocks.start(),
            (true, false) => blocks.end(),
            (false, _) => self.good.first(blocks, good),
        }
    }

    /// Blocks that this process wrote are good. Nobody punches meanwhile.
    pub(crate) fn wrote(&self, blocks: BlockRange) -> u64 {
        let _held = self.lock_marks();
        self.set(blocks)
    }

    /// Blocks whose checksums matched are good, unless some were taken out since `epoch`.
    pub(crate) fn checked(&self, blocks: BlockRange, epoch: u64) {
        let _held = self.lock_marks();
        if self.epoch() == epoch {
            self.set(blocks);
        }
    }

    /// A block is bad; tells whether a seal on disk vouches for it.
    pub(crate) fn is_bad(&self, block: u64) -> bool {
        let was_sealed = {
            let _held = self.lock_marks();
            let cleared = self.good.clear(BlockRange::new(block, block + 1));
            self.good_count.fetch_sub(cleared, Ordering::AcqRel);
            self.sealed.store(false, Ordering::Release);
            self.proven.store(false, Ordering::Release);
            self.seal_on_disk.swap(false, Ordering::AcqRel)
        };
        self.go_back(block);
        was_sealed
    }

    /// Blocks are about to lose their bytes: from here on no read of them counts.
    pub(crate) fn take_away(&self, blocks: BlockRange, generation: u64) {
        {
            let _held = self.lock_marks();
            self.sealed.store(false, Ordering::Release);
            self.proven.store(false, Ordering::Release);
            self.seal_on_disk.store(false, Ordering::Release);
            let cleared = self.good.clear(blocks);
            self.good_count.fetch_sub(cleared, Ordering::AcqRel);
            self.generation.store(generation, Ordering::Release);
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        self.go_back(blocks.start());
    }

    /// The file is sealed now.
    pub(crate) fn seal(&self, trust: bool) {
        self.complete.store(true, Ordering::Release);
        self.seal_on_disk.store(true, Ordering::Release);
        if trust {
            self.sealed.store(true, Ordering::Release);
        }
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// All bytes were seen to be what they must be, unless some were taken out since `epoch`.
    pub(crate) fn prove(&self, epoch: u64) -> bool {
        let _held = self.lock_marks();
        let same = self.epoch() == epoch && self.all_good();
        if same {
            self.proven.store(true, Ordering::Release);
        }
        same
    }

    /// Whether they were, by this process or whichever sealed the file.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    pub(crate) fn has_seal(&self) -> bool {
        self.seal_on_disk.load(Ordering::Acquire)
    }

    /// Whether all blocks are good, by the bits alone.
    pub(crate) fn all_good(&self) -> bool {
        self.is_sealed() || self.good_count.load(Ordering::Acquire) == BlockRange::of_size(self.size).len()
    }

    /// Whether the table has all blocks. Goes on from where the last call stopped, so it is cheap while the same hole is there.
    pub(crate) fn is_complete(&self, files: &Files) -> bool {
        if self.complete.load(Ordering::Acquire) {
            return true;
        }
        let all = BlockRange::of_size(self.size);
        let mut frontier = self.frontier.lock().unwrap_or_else(PoisonError::into_inner);
        while *frontier < all.end() {
            *frontier = self.good.first(BlockRange::new(*frontier, all.end()), false);
            let some = BlockRange::new(*frontier, (*frontier + TABLE_READ).min(all.end()));
            let Ok(found) = files.map.entries(some) else {
                return false;
            };
            let present = |(block, entry): (u64, &u64)| crc_in(*entry, block, self.instance).is_some();
            let run = some.iter().zip(&found).take_while(|pair| present(*pair)).count() as u64;
            *frontier += run;
            if run < some.len() && !self.good.is_set(*frontier) {
                return false;
            }
        }
        self.complete.store(true, Ordering::Release);
        true
    }

    /// Notes when the bytes at `range` were used.
    pub(crate) fn used(&self, range: ByteRange, now: u32) {
        for extent in range.start() / EXTENT..range.end().div_ceil(EXTENT) {
            self.stamps.used(extent, now);
        }
    }

    pub(crate) fn last_use(&self, extent: u64) -> u32 {
        self.stamps.last_use(extent)
    }

    fn set(&self, blocks: BlockRange) -> u64 {
        let (mut count, mut bytes) = (0, 0);
        self.good.set(blocks, |block| {
            count += 1;
            bytes += BlockRange::new(block, block + 1).bytes(self.size).len();
        });
        self.good_count.fetch_add(count, Ordering::AcqRel);
        bytes
    }

    fn go_back(&self, block: u64) {
        let mut frontier = self.frontier.lock().unwrap_or_else(PoisonError::into_inner);
        *frontier = (*frontier).min(block);
        self.complete.store(false, Ordering::Release);
    }

    fn lock_marks(&self) -> MutexGuard<'_, ()> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment of the process's clock in units of 16 ms, never 0; wraps after two years.
pub(crate) fn stamp(now: std::time::Duration) -> u32 {
    ((now.as_millis() >> 4) as u32).saturating_add(1)
}

/// A stamp that many may set.
pub(crate) type Stamp = AtomicU32;
