//! The ledger: one small file with the total of the directory and the counters of all processes.
//!
//! ```text
//!  0  magic   8   total      16  entries   24  added   32  clears   40  scanned   48 in flight
//! 56  counters, 8 bytes each in the order of `Count`          last 4 bytes of 512: CRC32C of the rest
//! ```
//!
//! It is read, changed and written whole under a lock. Bytes are added **before** they are written to disk, so that a process
//! that is killed leaves the total too high, never too low; the next scan sets it right.

use std::sync::{Mutex, PoisonError};

use forebay_disk::sys::{read_at, write_at};
use rustix::fd::OwnedFd;
use rustix::fs::FlockOperation;

use crate::stats::COUNTS;
use crate::sys::{lock_soon, try_lock};
use crate::table::crc32c;

const MAGIC: [u8; 8] = *b"forebayL";
const LEN: usize = 512;
const FIXED: usize = 56;

/// Others hold the lock for microseconds; after a second its holder is taken for stopped, and the news is kept for later.
const LOCK_TRIES: u32 = 5_000;

/// What the ledger says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Bytes charged.
    pub(crate) total: u64,
    /// Objects.
    pub(crate) entries: u64,
    /// All bytes ever added, whether or not they were removed since: a scan learns from it what was written meanwhile.
    pub(crate) added: u64,
    /// How often the directory was cleared.
    pub(crate) clears: u64,
    /// Whether a scan ever set the total: a new ledger beside old files knows nothing.
    pub(crate) scanned: u64,
    /// Bytes of the total for writes that are not settled: a scan may miss them.
    pub(crate) in_flight: u64,
    pub(crate) counts: [u64; COUNTS],
}

/// The open ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    // A lock on a file is no lock between threads that share its descriptor.
    file: Mutex<OwnedFd>,
}

impl Ledger {
    pub(crate) fn new(file: OwnedFd) -> Self {
        Self {
            file: Mutex::new(file),
        }
    }

    /// Changes the figures; `None` if the file cannot be used just now. A damaged ledger starts anew, unscanned.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Figures) -> R) -> Option<R> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if !lock_soon(&*file, FlockOperation::NonBlockingLockExclusive, LOCK_TRIES).ok()? {
            return None;
        }
        let mut bytes = [0; LEN];
        let updated = read_at(&*file, &mut bytes, 0).ok().and_then(|len| {
            let mut figures = Figures::decode(&bytes[..len]).unwrap_or_default();
            let result = change(&mut figures);
            write_at(&*file, &figures.encode(), 0).ok().map(|()| result)
        });
        let _ = try_lock(&*file, FlockOperation::NonBlockingUnlock);
        updated
    }
}

impl Figures {
    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        let fixed = [
            self.total,
            self.entries,
            self.added,
            self.clears,
            self.scanned,
            self.in_flight,
        ];
        for (i, value) in fixed.iter().chain(&self.counts).enumerate() {
            bytes[8 + 8 * i..16 + 8 * i].copy_from_slice(&value.to_le_bytes());
        }
        let crc = crc32c(&bytes[..LEN - 4]);
        bytes[LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != LEN
            || bytes[..8] != MAGIC
            || bytes[LEN - 4..] != crc32c(&bytes[..LEN - 4]).to_le_bytes()
        {
            return None;
        }
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Some(Self {
            total: word(8),
            entries: word(16),
            added: word(24),
            clears: word(32),
            scanned: word(40),
            in_flight: word(48),
            counts: std::array::from_fn(|i| word(FIXED + 8 * i)),
        })
    }
}

const _: () = assert!(FIXED + 8 * COUNTS <= LEN - 4);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_figures() -> impl Strategy<Value = Figures> {
        (any::<[u64; 6]>(), prop::collection::vec(any::<u64>(), COUNTS)).prop_map(|(fixed, counts)| Figures {
            total: fixed[0],
            entries: fixed[1],
            added: fixed[2],
            clears: fixed[3],
            scanned: fixed[4],
            in_flight: fixed[5],
            counts: std::array::from_fn(|i| counts[i]),
        })
    }

    proptest! {
        #[test]
        fn figures_survive_the_file(figures in any_figures()) {
            prop_assert_eq!(Figures::decode(&figures.encode()), Some(figures));
        }

        #[test]
        fn a_flipped_bit_is_seen(figures in any_figures(), bit in 0usize..LEN * 8) {
            let mut bytes = figures.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Figures::decode(&bytes), None);
        }
    }

    #[test]
    fn two_ledgers_of_one_file_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let open = || {
            let file = std::fs::File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .unwrap();
            Ledger::new(file.into())
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let ledger = open();
                scope.spawn(move || {
                    for _ in 0..250 {
                        ledger.update(|figures| figures.total += 1).unwrap();
                    }
                });
            }
        });
        assert_eq!(open().update(|figures| figures.total), Some(1000));
    }
}
