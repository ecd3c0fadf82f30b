//! Values of records: the first half random bytes, the second words.

use bytes::{Bytes, BytesMut};

/// Bytes from which values are cut. Larger than what any codec looks back on.
const POOL: usize = 32 << 20;

const WORDS: [&str; 16] = [
    "offset",
    "segment",
    "broker",
    "stream",
    "partition",
    "river",
    "window",
    "harbour",
    "engine",
    "lantern",
    "copper",
    "meadow",
    "signal",
    "turbine",
    "ledger",
    "anchor",
];

/// Gives values without end, without a copy, the same in each run.
#[derive(Debug)]
pub(super) struct Values {
    pool: Bytes,
    len: usize,
    at: usize,
}

impl Values {
    pub(super) fn new(len: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let mut pool = BytesMut::with_capacity(POOL + len);
        while pool.len() < POOL {
            let end = pool.len() + len / 2;
            while pool.len() < end {
                let bytes = random.u64(..).to_le_bytes();
                let wanted = (end - pool.len()).min(bytes.len());
                pool.extend_from_slice(&bytes[..wanted]);
            }
            let end = pool.len() + len - len / 2;
            while pool.len() < end {
                let word = WORDS[random.usize(..WORDS.len())].as_bytes();
                let wanted = (end - pool.len()).min(word.len());
                pool.extend_from_slice(&word[..wanted]);
                if pool.len() < end {
                    pool.extend_from_slice(b" ");
                }
            }
        }
        Self {
            pool: pool.freeze(),
            len,
            at: 0,
        }
    }

    pub(super) fn next(&mut self) -> Bytes {
        let value = self.pool.slice(self.at..self.at + self.len);
        self.at += self.len;
        if self.at + self.len > self.pool.len() {
            self.at = 0;
        }
        value
    }
}
