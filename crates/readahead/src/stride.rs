//! Readers that take pieces of the same length at the same distance: columns, every n-th record, tiles of an image.

use forebay_types::{ByteRange, ByteSize};

use crate::edge::{Heading, behind, first_edge};
use crate::evidence::{Doubt, FEW_PLACES, PROOF, chance};
use crate::ledger::Owner;
use crate::merge::{MERGE_GAP, merge};
use crate::run::Moment;
use crate::window::Window;

/// Looks for strides in the reads of a handle. A piece may come as several reads, one going on where the other
/// ended: the kernel cuts a read of 1 MiB into eight.
#[derive(Clone, Debug)]
pub(crate) struct StrideSearch {
    /// The last pieces, newest last.
    pieces: [ByteRange; 3],
    known: usize,
    /// How unlikely the steps so far are by chance, 1 in 2^bits: of reads anywhere in the object, and of reads no
    /// further apart than these.
    bits: u32,
    close: u32,
}

/// The longest piece; what is longer is better served by the window of a run.
const MAX_PIECE: u64 = ByteSize::mib(8).bytes();
/// Pieces asked for ahead at most: the requests that the request gate allows.
const MAX_PIECES: u64 = 64;

/// A stride found: the newest piece, its full length, and the distance to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stride {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) step: i64,
}

impl Default for StrideSearch {
    fn default() -> Self {
        Self {
            pieces: [ByteRange::new(0, 0); 3],
            known: 0,
            bits: 0,
            close: 0,
        }
    }
}

impl StrideSearch {
    /// Whether `range` goes on where the last read ended.
    pub(crate) fn goes_on(&self, range: ByteRange) -> bool {
        self.known > 0 && self.pieces[2].end() == range.start()
    }

    /// Takes in a read; a stride, if this is its third piece.
    pub(crate) fn read(&mut self, range: ByteRange, doubt: Doubt, object_size: u64) -> Option<Stride> {
        if self.goes_on(range) {
            self.pieces[2] = ByteRange::new(self.pieces[2].start(), range.end());
            return None;
        }
        self.pieces = [self.pieces[1], self.pieces[2], range];
        self.known = (self.known + 1).min(3);
        let found = self.found();
        match found {
            Some(stride) => {
                // Of reads that are all close together more are evenly spaced by chance.
                let places = stride.step.unsigned_abs() / stride.len.max(1);
                let bits = chance(stride.len, object_size);
                self.close = (self.close + places.checked_ilog2().unwrap_or(0)).min(PROOF);
                self.bits = (self.bits + bits).min(PROOF);
            }
            None => (self.bits, self.close) = (0, 0),
        }
        // In an unsuspicious handle three pieces will do, unless the object has so few that chance does it.
        let proven = self.bits.min(self.close) >= PROOF;
        found.filter(|_| proven || doubt.is_none() && self.bits >= FEW_PLACES)
    }

    /// Forgets the pieces.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn found(&self) -> Option<Stride> {
        let [a, b, c] = self.pieces;
        let step = distance(a.start(), b.start())?;
        let len = a.len().max(b.len());
        let alike = a.len().min(b.len()) >= len - len / 4 && c.len() <= len + len / 4;
        // Pieces that touch or overlap are read in order, not in strides.
        let apart = step.unsigned_abs() > len.max(c.len());
        // Long pieces are runs: three reads into one it has a window.
        let short = len <= MAX_PIECE;
        (self.known == 3 && alike && apart && short && distance(b.start(), c.start())? == step).then_some(
            Stride {
                start: c.start(),
                len: len.max(c.len()),
                step,
            },
        )
    }
}

/// A reader in strides, with its window.
#[derive(Clone, Debug)]
pub(crate) struct StrideRun {
    pub(crate) owner: Owner,
    pub(crate) stride: Stride,
    pub(crate) window: Window,
    /// When it was last read.
    pub(crate) last_read: Moment,
    /// Steps seen; as many doublings of what is asked for ahead.
    steps: u32,
    /// Pieces after the newest that were asked for.
    asked: u64,
    /// The edge up to which bytes were said to be done.
    done: u64,
}

impl StrideRun {
    pub(crate) fn new(owner: Owner, stride: Stride, window: Window, now: Moment) -> Self {
        // The first two pieces count as passed.
        let first = stride
            .piece(-2)
            .unwrap_or(ByteRange::at(stride.start, stride.len));
        Self {
            owner,
            stride,
            window,
            last_read: now,
            steps: 1,
            asked: 0,
            done: first_edge(stride.heading(), first),
        }
    }

    /// Whether `range` lies in the newest piece or in the next; then it is taken in.
    pub(crate) fn follow(&mut self, range: ByteRange) -> bool {
        let longest = self.stride.len + self.stride.len / 4;
        let in_piece = |piece: ByteRange| {
            (piece.start()..piece.end()).contains(&range.start())
                && range.end() <= piece.start().saturating_add(longest)
        };
        // The kernel's reads of two pieces may overtake each other.
        if [0, -1]
            .into_iter()
            .filter_map(|n| self.stride.piece(n))
            .any(in_piece)
        {
            return true;
        }
        let Some(next) = self.stride.piece(1).filter(|next| in_piece(*next)) else {
            return false;
        };
        self.stride.start = next.start();
        self.steps = self.steps.saturating_add(1);
        self.asked = self.asked.saturating_sub(1);
        true
    }

    /// Whether it broke before it was of use.
    pub(crate) fn is_short(&self) -> bool {
        self.steps < 4
    }

    /// What to ask for now, so that at most `window` bytes are ahead, in at most `room` new bytes. `read` is the end
    /// of what was read of the newest piece; `refill` asks although more than half is ahead.
    pub(crate) fn ask(
        &mut self,
        window: u64,
        room: u64,
        refill: bool,
        read: ByteRange,
        object_size: u64,
    ) -> Vec<ByteRange> {
        let cost = self.cost();
        let fit = (window / cost).max(u64::from(window >= self.stride.len));
        let pieces = fit.min(MAX_PIECES).min(1 << self.steps.min(16));
        if self.asked * 2 >= pieces && !refill {
            return Vec::new();
        }
        let pieces = pieces.min(self.asked + room / cost);
        if pieces <= self.asked {
            return Vec::new();
        }
        // From the last one asked for, so that the gap after it is filled if it is small.
        let ranges = (self.asked..=pieces).filter_map(|n| {
            let piece = self.stride.piece(n as i64)?.clamp_to(object_size);
            // Of the newest piece only what is still to be read.
            Some(if n == 0 {
                ByteRange::new(read.end().max(piece.start()), piece.end())
            } else {
                piece
            })
        });
        let mut ranges = merge(ranges, MERGE_GAP);
        if self.stride.step < 0 {
            ranges.reverse();
        }
        self.asked = pieces;
        ranges
    }

    /// The bytes that `n` more pieces and what lies between them cost.
    fn cost(&self) -> u64 {
        let apart = self.stride.step.unsigned_abs();
        if apart - self.stride.len <= MERGE_GAP {
            apart
        } else {
            self.stride.len
        }
    }

    /// Pieces that a smaller window has no place for: everything from there on.
    pub(crate) fn shrink(&mut self) -> ByteRange {
        let pieces = (self.window.size() / self.cost()).max(1);
        self.asked = self.asked.min(pieces);
        let last = i64::try_from(pieces).ok().and_then(|n| self.stride.piece(n));
        match last {
            Some(last) if self.stride.step > 0 => ByteRange::new(last.end(), u64::MAX),
            Some(last) => ByteRange::new(0, last.start()),
            None => ByteRange::new(0, 0),
        }
    }

    /// An ask was refused; the pieces from there on are to be asked for again.
    pub(crate) fn refused(&mut self, asked: ByteRange) {
        let at = if self.stride.step > 0 {
            asked.start()
        } else {
            asked.end().saturating_sub(self.stride.len)
        };
        let ahead = at.abs_diff(self.stride.start) / self.stride.step.unsigned_abs();
        self.asked = self.asked.min(ahead.saturating_sub(1));
    }

    /// What the reader has passed since the last call, read or not; see `behind`.
    pub(crate) fn passed(&mut self) -> Option<ByteRange> {
        // The piece before the newest may still be read; see `follow`.
        let piece = self.stride.piece(-1)?;
        let position = match self.stride.heading() {
            Heading::Forward => piece.start(),
            Heading::Backward => piece.end(),
        };
        behind(self.stride.heading(), position, &mut self.done)
    }
}

impl Stride {
    fn heading(&self) -> Heading {
        if self.step > 0 {
            Heading::Forward
        } else {
            Heading::Backward
        }
    }

    /// The piece `n` steps after the newest; `None` before the first byte of the object.
    pub(crate) fn piece(&self, n: i64) -> Option<ByteRange> {
        let start = self.start.checked_add_signed(self.step.checked_mul(n)?)?;
        Some(ByteRange::at(start, self.len))
    }
}

fn distance(from: u64, to: u64) -> Option<i64> {
    i64::try_from(i128::from(to) - i128::from(from)).ok()
}
