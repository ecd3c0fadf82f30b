//! Bytes on their way: from the source to the disk, and meanwhile to whoever reads them.
//!
//! One [`Staging`] per object. [`Staging::claim`] registers what nobody fetches yet as fills, each with a [`Claim`] for
//! the one who fetches it: that is the single flight. The claim's owner adds chunks as they arrive; readers take them at
//! once ([`Staging::take`]) or wait for them ([`Staging::wait`]), inside a part. A fill lets go of its front when that is
//! settled (on disk, or never to be), read by those who keep it, and waited for by nobody.
//!
//! All of it stands under one lock that is never held across I/O of the data.

use std::sync::OnceLock;
#[cfg(not(forebay_loom))]
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(forebay_loom)]
use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(forebay_loom)]
use std::sync::PoisonError;

use bytes::Bytes;
use forebay_types::{BLOCK, BlockRange, ByteRange};

mod claim;
mod fill;
#[cfg(all(test, forebay_loom))]
mod interleavings;
#[cfg(all(test, not(forebay_loom)))]
mod tests;
mod wait;

pub use claim::Claim;
pub use wait::{Waited, Waiting};

use fill::Table;

/// Memory that is held for staged bytes.
pub trait Hold: Send {
    /// Gives `bytes` of it back.
    fn release(&mut self, bytes: u64);
}

/// What becomes of the bytes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// A reader, by a number of his own, is to have them: they stay until [`Staging::consumed`] says that he does.
    pub keeper: Option<u64>,
    /// He is reading them now: they cannot be reclaimed until [`Staging::relax`].
    pub urgent: bool,
    /// They go to disk: they stay until that is settled.
    pub lands: bool,
    /// There is less memory than bytes: who waits for many is given those that are here.
    pub narrow: bool,
}

/// What [`Staging::claim`] found and registered.
#[derive(Debug)]
pub struct Claimed<H: Hold, E: Clone> {
    /// To be fetched by the caller, in order.
    pub claims: Vec<Claim<H, E>>,
    /// Where memory was refused first: from here on nothing was registered.
    pub refused: Option<u64>,
}

/// What memory was got back, and at which price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Bytes given back.
    pub freed: u64,
    /// Bytes that somebody kept and had not read, and that are not on disk.
    pub lost: Vec<ByteRange>,
}

/// The bytes of one object that are on their way. Clones share it.
#[derive(Debug)]
pub struct Staging<H: Hold, E: Clone> {
    table: Arc<Mutex<Table<H, E>>>,
}

impl<H: Hold, E: Clone> Clone for Staging<H, E> {
    fn clone(&self) -> Self {
        Self {
            table: self.table.clone(),
        }
    }
}

impl<H: Hold, E: Clone> Staging<H, E> {
    /// Nothing yet, of an object of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self {
            table: Arc::new(Mutex::new(Table::new(size))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table<H, E>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.lock().fills.is_empty()
    }

    /// Bytes that are here in memory.
    pub fn bytes(&self) -> u64 {
        self.lock()
            .fills
            .values()
            .map(|fill| fill.arrived - fill.start)
            .sum()
    }

    /// Registers what of `blocks` is neither here, nor coming, nor `present` on disk. `cut` says how an absent run is
    /// fetched (whole blocks, but for the object's end), `reserve` gives the memory of each piece or refuses it.
    /// `present` is asked under the lock, so that nothing can land and leave between the two looks.
    pub fn claim<C: IntoIterator<Item = ByteRange>>(
        &self,
        blocks: BlockRange,
        purpose: Purpose,
        mut present: impl FnMut(BlockRange) -> Vec<(BlockRange, bool)>,
        mut cut: impl FnMut(ByteRange) -> C,
        mut reserve: impl FnMut(u64) -> Option<H>,
    ) -> Claimed<H, E> {
        let mut claimed = Claimed {
            claims: Vec::new(),
            refused: None,
        };
        let mut table = self.lock();
        let wanted = blocks.bytes(table.size);
        for gap in table.gaps(wanted, purpose) {
            for (run, here) in present(BlockRange::touching(gap)) {
                if here {
                    continue;
                }
                for part in cut(run.bytes(table.size)) {
                    debug_assert!(
                        part.start() % BLOCK == 0 && (part.end() % BLOCK == 0 || part.end() == table.size)
                    );
                    let Some(hold) = reserve(part.len()) else {
                        claimed.refused = Some(part.start());
                        return claimed;
                    };
                    let id = table.add(part, purpose, hold);
                    claimed.claims.push(Claim::new(self.clone(), id, part));
                }
            }
        }
        claimed
    }

    /// The bytes that are here from `at` on, up to `end`; none if the one at `at` is not.
    pub fn take(&self, at: u64, end: u64) -> Vec<Bytes> {
        let table = self.lock();
        table
            .fill_at(at)
            .map(|fill| fill.slices(at, end))
            .unwrap_or_default()
    }

    /// How far, from `at` on, bytes are here without a gap.
    pub fn reaches(&self, at: u64) -> u64 {
        let table = self.lock();
        let mut reach = at;
        while let Some(fill) = table.fill_at(reach).filter(|fill| fill.arrived > reach) {
            reach = fill.arrived;
        }
        reach
    }

    /// Waits for the byte at `at`, best with all up to `end`: ready as soon as they are here, or the fill that brings
    /// them has ended.
    pub fn wait(&self, at: u64, end: u64) -> Waiting<H, E> {
        Waiting::new(self.clone(), at, end)
    }

    /// The keeper has the bytes of `range`, or no longer wants them.
    pub fn consumed(&self, keeper: u64, range: ByteRange) {
        self.lock().consume(keeper, range);
    }

    /// The keeper is not reading `range` any more: he would like its bytes again, no more.
    pub fn relax(&self, keeper: u64, range: ByteRange) {
        self.lock().relax(keeper, range);
    }

    /// The keeper wants nothing any more.
    pub fn leave(&self, keeper: u64) {
        self.lock().leave(keeper);
    }

    /// Gives up what is kept and not being read, the bytes that are on disk anyway first, until `wanted` bytes are
    /// free.
    pub fn reclaim(&self, wanted: u64) -> Reclaimed {
        self.lock().reclaim(wanted)
    }

    /// The keeper no longer wants the fill `id`. Tells whether it can be ended because nobody else does; whoever fetches
    /// it then drops its claim.
    pub fn abandon(&self, keeper: u64, id: u64) -> bool {
        self.lock().abandon(keeper, id)
    }

    /// Bytes of fill `id` that are here, and whether somebody waits for some that are not.
    pub fn pressure(&self, id: u64) -> (u64, bool) {
        self.lock().pressure(id)
    }

    /// Nobody keeps bytes of fill `id` any more: they stand in the way of those that somebody waits for.
    pub fn clear(&self, id: u64) {
        self.lock().clear(id);
    }

    /// The disk has the bytes of fill `id` below `end`, from the last piece on, or will not have them.
    pub fn settled(&self, id: u64, end: u64, stored: bool) {
        self.lock().settle(id, end, stored);
    }
}

/// What a fill that ended badly leaves to those who waited for it.
type Outcome<E> = Arc<OnceLock<E>>;
