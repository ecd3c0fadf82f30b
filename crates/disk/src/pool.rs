//! Memory that disks write to, used again and again: a first touch of memory costs more than the read.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay_types::MemoryBudget;

use crate::buffer::Buffer;
use crate::slab::{Memory, Slab};

/// Bytes of one slab, and of the largest pooled buffer. 4 MiB: one request of this size at a time is at the ceiling
/// of the disk already, and files up to it are one request and one buffer.
pub(crate) const SLAB: usize = 4 << 20;

/// The smallest piece, and the least that an address is a multiple of: what every file system takes.
pub(crate) const SMALLEST: usize = 4096;

/// Piece sizes are powers of two from [`SMALLEST`] to [`SLAB`].
const CLASSES: usize = (SLAB / SMALLEST).ilog2() as usize + 1;

/// Aligned buffers in huge pages. Clones share them.
///
/// It keeps at most its size, in slabs of 4 MiB that stay until the last clone and the last buffer are gone. All of it is
/// set aside in the budget of the process when the pool is made: later the bytes on their way would have taken
/// everything. Who asks when all slabs are in use gets memory of its own that is freed after use: a pool never makes
/// anybody wait, since the one who waits may hold what the other needs.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    most_slabs: usize,
    /// Their memory in the budget of the process.
    _counted: Option<Box<dyn Any + Send + Sync>>,
    state: Mutex<State>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("most_slabs", &self.most_slabs)
            .field("stats", &self.lock().stats)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    slabs: Vec<Slab>,
    /// Whole free slabs; the last one used is handed out first, while the processor's caches know it.
    whole: Vec<u16>,
    /// Slabs of each piece size that have room.
    cut: [Vec<u16>; CLASSES],
    stats: PoolStats,
}

/// Figures of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes of all slabs.
    pub kept: u64,
    /// Bytes of pooled buffers in use, as large as they were cut.
    pub in_use: u64,
    /// Bytes of buffers in use that found no room in the pool.
    pub apart: u64,
    /// Buffers that were asked for.
    pub taken: u64,
    /// Those of them that found no room.
    pub taken_apart: u64,
}

impl Pool {
    /// A pool that keeps up to `size` bytes, or half of that or a quarter and so on, as `budget` has room for.
    pub fn new(size: u64, budget: Option<&Arc<dyn MemoryBudget>>) -> Self {
        let mut most_slabs = (size / SLAB as u64).min(u64::from(u16::MAX)) as usize;
        let mut counted = None;
        while let Some(budget) = budget.filter(|_| most_slabs > 0 && counted.is_none()) {
            counted = budget.try_set_aside((most_slabs * SLAB) as u64);
            if counted.is_none() {
                most_slabs /= 2;
            }
        }
        Self {
            shared: Arc::new(Shared {
                most_slabs,
                _counted: counted,
                state: Mutex::default(),
            }),
        }
    }

    /// Whether the largest pooled buffer is to be had at the moment.
    pub fn has_room(&self) -> bool {
        let state = self.shared.lock();
        !state.whole.is_empty() || state.slabs.len() < self.shared.most_slabs
    }

    /// A buffer of at least `len` bytes whose address is a multiple of `align`, a power of two, and of 4096. Its
    /// content is anything.
    ///
    /// # Errors
    /// If there is no memory, or `align` is no power of two.
    pub fn take(&self, len: usize, align: usize) -> std::io::Result<Buffer> {
        if !align.is_power_of_two() {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let piece = len.max(align).max(SMALLEST).checked_next_power_of_two();
        if let Some(piece) = piece.filter(|piece| *piece <= SLAB)
            && let Some(buffer) = self.pooled(piece, len)
        {
            return Ok(buffer);
        }
        let memory = Memory::new(len, align.max(SMALLEST))?;
        let mut state = self.shared.lock();
        state.stats.taken += 1;
        state.stats.taken_apart += 1;
        state.stats.apart += len as u64;
        drop(state);
        Ok(Buffer::apart(memory, len, self.shared.clone()))
    }

    fn pooled(&self, piece: usize, len: usize) -> Option<Buffer> {
        let class = class_of(piece);
        let mut state = self.shared.lock();
        let slab = match state.cut[class].last() {
            Some(slab) => *slab,
            None => {
                let slab = match state.whole.pop() {
                    Some(slab) => slab,
                    None => {
                        drop(state);
                        let slab = self.shared.new_slab()?;
                        state = self.shared.lock();
                        state.add(slab, self.shared.most_slabs)?
                    }
                };
                state.slabs[usize::from(slab)].cut(piece);
                state.cut[class].push(slab);
                slab
            }
        };
        let home = &mut state.slabs[usize::from(slab)];
        let (number, start) = home.take()?;
        if !home.has_room() {
            state.cut[class].retain(|other| *other != slab);
        }
        state.stats.taken += 1;
        state.stats.in_use += piece as u64;
        drop(state);
        Some(Buffer::pooled(
            start,
            piece,
            len,
            slab,
            number,
            self.shared.clone(),
        ))
    }

    /// Figures now.
    pub fn stats(&self) -> PoolStats {
        self.shared.lock().stats
    }

    /// The most bytes that it keeps.
    pub fn size(&self) -> u64 {
        (self.shared.most_slabs * SLAB) as u64
    }
}

impl State {
    /// Takes a new slab in, unless others were faster and the pool is full.
    fn add(&mut self, slab: Slab, most: usize) -> Option<u16> {
        if let Some(free) = self.whole.pop() {
            // One came back meanwhile: better than one more.
            return Some(free);
        }
        if self.slabs.len() >= most {
            return None;
        }
        let number = u16::try_from(self.slabs.len()).ok()?;
        self.slabs.push(slab);
        self.stats.kept += SLAB as u64;
        Some(number)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more slab, if the pool has room for it. Made outside the lock: touching it takes a while.
    fn new_slab(&self) -> Option<Slab> {
        if self.lock().slabs.len() >= self.most_slabs {
            return None;
        }
        // Aligned to its size, so that each piece is to its own.
        Some(Slab::new(Memory::new(SLAB, SLAB).ok()?))
    }

    pub(crate) fn give_back(&self, slab: u16, number: u16, piece: usize) {
        let class = class_of(piece);
        let mut state = self.lock();
        state.stats.in_use -= piece as u64;
        let home = &mut state.slabs[usize::from(slab)];
        let was_full = !home.has_room();
        if home.give_back(number) {
            state.cut[class].retain(|other| *other != slab);
            state.whole.push(slab);
        } else if was_full {
            state.cut[class].push(slab);
        }
    }

    pub(crate) fn freed(&self, len: usize) {
        self.lock().stats.apart -= len as u64;
    }

    /// Where slab `number` begins, for whoever tells the kernel.
    #[cfg(target_os = "linux")]
    pub(crate) fn slab_start(&self, number: u16) -> *mut u8 {
        self.lock().slabs[usize::from(number)].start().as_ptr()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn most_slabs(&self) -> usize {
        self.most_slabs
    }
}

fn class_of(piece: usize) -> usize {
    (piece / SMALLEST).ilog2() as usize
}
