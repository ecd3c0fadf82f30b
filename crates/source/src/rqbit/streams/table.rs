//! Who reads, who waits, and what is parked: no waiting, no clock.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use forebay_types::ByteRange;
use tokio::sync::oneshot;

use super::File;
use crate::rqbit::stream::{Open, Slot};

/// Reads that begin so close behind another go on in its stream: what the kernel sends out of order, or a player skips.
const NEAR: u64 = 1 << 20;

/// Two parts that are asked for in one moment, and a half.
const GAP: u64 = 10 << 20;

/// Ends of earlier reads that are remembered, of all files together.
const ENDS: usize = 64;

/// The reads of one client, and what is between them.
#[derive(Default)]
pub(super) struct Table {
    /// Under way, or about to be.
    pub(super) reads: Vec<Read>,
    /// Oldest first.
    pub(super) parked: VecDeque<Parked>,
    pub(super) followers: Vec<Follower>,
    /// Where reads ended, newest last.
    ends: VecDeque<(File, u64)>,
    /// Files that the client has all of: it does not lose them again.
    pub(super) whole: HashSet<File>,
    next: u64,
}

/// A read that is under way, or about to be.
pub(super) struct Read {
    pub(super) id: u64,
    pub(super) file: File,
    pub(super) range: ByteRange,
    pub(super) slot: Arc<Slot>,
}

/// A stream that nobody reads.
pub(super) struct Parked {
    pub(super) id: u64,
    pub(super) file: File,
    pub(super) open: Open,
}

/// A read that waits for the stream of another.
pub(super) struct Follower {
    pub(super) id: u64,
    pub(super) file: File,
    pub(super) at: u64,
    pub(super) tell: oneshot::Sender<Option<Open>>,
}

impl Table {
    /// A new one.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The parked stream of a file that stands closest before `at`.
    pub(super) fn unpark(&mut self, file: File, at: u64, reach: u64) -> Option<Open> {
        let fits =
            |parked: &Parked| parked.file == file && parked.open.at() <= at && at - parked.open.at() <= reach;
        let mut fitting: Vec<usize> = (0..self.parked.len())
            .filter(|i| fits(&self.parked[*i]))
            .collect();
        fitting.sort_by_key(|i| std::cmp::Reverse(self.parked[*i].open.at()));
        self.parked.remove(*fitting.first()?).map(|parked| parked.open)
    }

    /// The read of the same file that ends where this one begins, or a little before.
    pub(super) fn leader(&self, id: u64, file: File, at: u64) -> Option<&Arc<Slot>> {
        let before = |read: &&Read| read.id != id && read.file == file && is_near(read.range.end(), at);
        let reads = self.reads.iter().filter(before);
        reads.max_by_key(|read| read.range.end()).map(|read| &read.slot)
    }

    /// Whether a read at `at` goes on where an earlier one ended.
    pub(super) fn goes_on(&self, file: File, at: u64) -> bool {
        self.ends.contains(&(file, at))
    }

    /// Whether a read that begins a little before `at`, behind another one, may be about to make itself known.
    pub(super) fn has_gap(&self, file: File, at: u64) -> bool {
        let reads = self.reads.iter().map(|read| (read.file, read.range.end()));
        let mut ends = self.ends.iter().copied().chain(reads);
        ends.any(|(of, end)| of == file && end < at && at - end <= GAP)
    }

    /// A read ended at `at`.
    pub(super) fn ended(&mut self, file: File, at: u64) {
        self.ends.retain(|end| *end != (file, at));
        self.ends.push_back((file, at));
        while self.ends.len() > ENDS {
            self.ends.pop_front();
        }
    }

    /// Who waits for a stream of this file, the first place first.
    pub(super) fn followers_of(&mut self, file: File) -> Vec<Follower> {
        let of_file = |follower: &mut Follower| follower.file == file;
        let mut followers: Vec<_> = self.followers.extract_if(.., of_file).collect();
        followers.sort_by_key(|follower| follower.at);
        followers
    }
}

/// Whether a read at `at` goes on where another ended.
fn is_near(end: u64, at: u64) -> bool {
    end <= at && at - end <= NEAR
}
