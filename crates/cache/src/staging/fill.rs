//! The table itself: fills by their end. No waiting and no I/O here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;
use std::task::Waker;

use bytes::{Buf, Bytes};
use forebay_types::{BLOCK, ByteRange};

use super::{Hold, Outcome, Purpose, Reclaimed};

/// All fills of an object. Their ranges never overlap.
#[derive(Debug)]
pub(super) struct Table<H, E> {
    pub(super) size: u64,
    /// By their end, which moves only when a fill ends early.
    pub(super) fills: BTreeMap<u64, Fill<H, E>>,
    next_id: u64,
}

/// One part on its way: bytes `start..end`, of which those below `arrived` are here.
#[derive(Debug)]
pub(super) struct Fill<H, E> {
    id: u64,
    /// First byte that is here or still to come; those before it were let go. At a block's start, always.
    pub(super) start: u64,
    end: u64,
    pub(super) arrived: u64,
    chunks: VecDeque<Bytes>,
    /// Whether more is to arrive.
    open: bool,
    lands: bool,
    narrow: bool,
    keepers: Vec<Keeper>,
    /// Pieces on their way to disk, in order: where they end, and what became of them.
    pieces: VecDeque<(u64, Option<bool>)>,
    /// Below this the disk has the bytes, or never will.
    settled: u64,
    /// Below this the disk has not got them although it was to.
    unstored: u64,
    waiters: Vec<Waiter>,
    pub(super) outcome: Outcome<E>,
    hold: H,
}

/// A reader who wants the bytes `consumed..until`.
#[derive(Clone, Debug)]
struct Keeper {
    name: u64,
    consumed: u64,
    /// What he has further on: several readers of one handle take it in any order.
    later: Vec<ByteRange>,
    until: u64,
    /// What he is reading now.
    reading: Vec<ByteRange>,
}

/// Somebody who waits for the byte at `at`; until he has it, it stays.
#[derive(Debug)]
struct Waiter {
    token: u64,
    at: u64,
    enough: u64,
    waker: Waker,
}

impl<H: Hold, E: Clone> Table<H, E> {
    pub(super) fn new(size: u64) -> Self {
        Self {
            size,
            fills: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// The fill that has or will have the byte at `at`.
    pub(super) fn fill_at(&self, at: u64) -> Option<&Fill<H, E>> {
        let (_, fill) = self.fills.range(at.checked_add(1)?..).next()?;
        (fill.start <= at).then_some(fill)
    }

    fn fill_mut(&mut self, at: u64) -> Option<&mut Fill<H, E>> {
        let (_, fill) = self.fills.range_mut(at.checked_add(1)?..).next()?;
        (fill.start <= at).then_some(fill)
    }

    fn by_id(&mut self, id: u64) -> Option<&mut Fill<H, E>> {
        // A handful of fills: a look at each is cheaper than an index of them.
        self.fills.values_mut().find(|fill| fill.id == id)
    }

    /// What of `range` no fill has. Those that have some of it keep that for the keeper from now on.
    pub(super) fn gaps(&mut self, range: ByteRange, purpose: Purpose) -> Vec<ByteRange> {
        let mut gaps = Vec::new();
        let mut at = range.start();
        for fill in self
            .fills
            .range_mut(range.start().saturating_add(1)..)
            .map(|(_, fill)| fill)
        {
            if at >= range.end() || fill.start >= range.end() {
                break;
            }
            if fill.start > at {
                gaps.push(ByteRange::new(at, fill.start));
            }
            if let Some(name) = purpose.keeper {
                fill.keep(name, range, purpose.urgent);
            }
            at = fill.end;
        }
        if at < range.end() {
            gaps.push(ByteRange::new(at, range.end()));
        }
        gaps
    }

    pub(super) fn add(&mut self, range: ByteRange, purpose: Purpose, hold: H) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let mut fill = Fill {
            id,
            start: range.start(),
            end: range.end(),
            arrived: range.start(),
            chunks: VecDeque::new(),
            open: true,
            lands: purpose.lands,
            narrow: purpose.narrow,
            keepers: Vec::new(),
            pieces: VecDeque::new(),
            settled: range.start(),
            unstored: 0,
            waiters: Vec::new(),
            outcome: Outcome::new(OnceLock::new()),
            hold,
        };
        if let Some(name) = purpose.keeper {
            fill.keep(name, range, purpose.urgent);
        }
        self.fills.insert(range.end(), fill);
        id
    }

    /// Bytes came. Gives back who is to be woken, once the lock is free.
    #[must_use]
    pub(super) fn arrive(&mut self, id: u64, chunk: Bytes) -> Vec<Waker> {
        let Some(fill) = self.by_id(id) else {
            return Vec::new();
        };
        fill.arrived += chunk.len() as u64;
        debug_assert!(fill.arrived <= fill.end);
        fill.chunks.push_back(chunk);
        let woken = fill.ready();
        self.tidy(id);
        woken
    }

    /// The bytes up to `end` were given to the disk.
    pub(super) fn landing(&mut self, id: u64, end: u64) {
        if let Some(fill) = self.by_id(id) {
            fill.pieces.push_back((end, None));
        }
    }

    /// What became of the piece that ends at `end`.
    pub(super) fn settle(&mut self, id: u64, end: u64, stored: bool) {
        let Some(fill) = self.by_id(id) else { return };
        if let Some(piece) = fill.pieces.iter_mut().find(|piece| piece.0 == end) {
            piece.1 = Some(stored);
        }
        while let Some((end, Some(stored))) = fill.pieces.front().copied() {
            fill.pieces.pop_front();
            fill.settled = end;
            if !stored {
                fill.unstored = end;
            }
        }
        self.tidy(id);
    }

    /// No more will arrive. What came is kept as far as it is whole blocks; who waits for more is to be woken.
    #[must_use]
    pub(super) fn close(&mut self, id: u64, error: Option<E>) -> Vec<Waker> {
        let Some(end) = self
            .fills
            .iter()
            .find(|(_, fill)| fill.id == id)
            .map(|(end, _)| *end)
        else {
            return Vec::new();
        };
        let Some(mut fill) = self.fills.remove(&end) else {
            return Vec::new();
        };
        fill.open = false;
        if let Some(error) = error {
            // Set once: a fill is closed once.
            let _ = fill.outcome.set(error);
        }
        let whole = if fill.arrived == fill.end {
            fill.end
        } else {
            (fill.arrived - fill.arrived % BLOCK).max(fill.start)
        };
        fill.cut(whole);
        let woken = fill.waiters.iter().map(|waiter| waiter.waker.clone()).collect();
        // Who waits for what is here now stays until he has it; the others look elsewhere.
        fill.waiters.retain(|waiter| waiter.at < whole);
        if fill.start < fill.end {
            self.fills.insert(fill.end, fill);
            self.tidy(id);
        }
        woken
    }

    pub(super) fn consume(&mut self, keeper: u64, range: ByteRange) {
        let mut at = range.start();
        while at < range.end() {
            let Some(fill) = self
                .fills
                .range_mut(at.saturating_add(1)..)
                .next()
                .map(|(_, fill)| fill)
            else {
                return;
            };
            if fill.start >= range.end() {
                return;
            }
            fill.consume(keeper, range);
            at = fill.end;
            let id = fill.id;
            self.tidy(id);
        }
    }

    pub(super) fn reclaim(&mut self, wanted: u64) -> Reclaimed {
        let mut reclaimed = Reclaimed::default();
        // What is on disk costs nothing to give up; what is not, a second request. The farthest ahead first.
        for on_disk in [true, false] {
            let ids: Vec<u64> = self.fills.values().rev().map(|fill| fill.id).collect();
            for id in ids {
                if reclaimed.freed >= wanted {
                    return reclaimed;
                }
                let Some(fill) = self.by_id(id) else { continue };
                let disk = fill.settled > fill.start && fill.unstored <= fill.start;
                let Some(unread) = fill.keepers.iter().map(|keeper| keeper.consumed).min() else {
                    continue;
                };
                if fill.open
                    || disk != on_disk
                    || fill.keepers.iter().any(|keeper| !keeper.reading.is_empty())
                {
                    continue;
                }
                let before = fill.arrived - fill.start;
                fill.keepers.clear();
                if !on_disk {
                    reclaimed
                        .lost
                        .push(ByteRange::new(unread.max(fill.start), fill.end));
                }
                self.tidy(id);
                let after = self.by_id(id).map_or(0, |fill| fill.arrived - fill.start);
                reclaimed.freed += before - after;
            }
        }
        reclaimed
    }

    pub(super) fn relax(&mut self, name: u64, range: ByteRange) {
        for (_, fill) in self.fills.range_mut(range.start().saturating_add(1)..) {
            if fill.start >= range.end() {
                break;
            }
            for keeper in fill.keepers.iter_mut().filter(|keeper| keeper.name == name) {
                keeper.reading.retain_mut(|reading| {
                    if range.start() <= reading.start() {
                        *reading = ByteRange::new(reading.start().max(range.end()), reading.end());
                    }
                    !reading.is_empty()
                });
            }
        }
    }

    pub(super) fn pressure(&mut self, id: u64) -> (u64, bool) {
        let Some(fill) = self.by_id(id) else {
            return (0, false);
        };
        let waited = fill.waiters.iter().any(|waiter| waiter.at >= fill.arrived);
        (fill.arrived - fill.start, waited)
    }

    pub(super) fn clear(&mut self, id: u64) {
        if let Some(fill) = self.by_id(id) {
            fill.keepers.clear();
        }
        self.tidy(id);
    }

    pub(super) fn leave(&mut self, keeper: u64) {
        let kept = |fill: &&Fill<H, E>| fill.keepers.iter().any(|k| k.name == keeper);
        let ids: Vec<u64> = self.fills.values().filter(kept).map(|fill| fill.id).collect();
        for id in ids {
            self.abandon(keeper, id);
        }
    }

    pub(super) fn abandon(&mut self, keeper: u64, id: u64) -> bool {
        let Some(fill) = self.by_id(id) else { return true };
        fill.keepers.retain(|k| k.name != keeper);
        let alone = fill.waiters.is_empty() && fill.keepers.is_empty();
        self.tidy(id);
        alone
    }

    /// Registers who waits for `at`, or tells that no fill brings it.
    pub(super) fn enlist(
        &mut self,
        token: &mut Option<u64>,
        at: u64,
        enough: u64,
        waker: &Waker,
    ) -> Option<Outcome<E>> {
        let fresh = self.next_id;
        let fill = self.fill_mut(at)?;
        let outcome = fill.outcome.clone();
        match token.and_then(|token| fill.waiters.iter_mut().find(|waiter| waiter.token == token)) {
            Some(waiter) => waiter.waker.clone_from(waker),
            None => {
                fill.waiters.push(Waiter {
                    token: fresh,
                    at,
                    enough,
                    waker: waker.clone(),
                });
                *token = Some(fresh);
                self.next_id += 1;
            }
        }
        Some(outcome)
    }

    /// Nobody waits under this token any more.
    pub(super) fn strike(&mut self, token: u64, at: u64) {
        let Some(fill) = self.fill_mut(at) else { return };
        fill.waiters.retain(|waiter| waiter.token != token);
        let id = fill.id;
        self.tidy(id);
    }

    /// Lets go of what a fill need not hold any more.
    fn tidy(&mut self, id: u64) {
        let Some(fill) = self.by_id(id) else { return };
        fill.trim();
        if fill.start == fill.end {
            let end = fill.end;
            self.fills.remove(&end);
        }
    }
}

impl Keeper {
    /// Joins what he has to what he has from the front on.
    fn advance(&mut self) {
        while let Some(next) = self.later.iter().position(|range| range.start() <= self.consumed) {
            let range = self.later.swap_remove(next);
            self.consumed = self.consumed.max(range.end());
        }
    }
}

impl<H: Hold, E> Fill<H, E> {
    fn keep(&mut self, name: u64, range: ByteRange, urgent: bool) {
        let (from, until) = (range.start().max(self.start), range.end().min(self.end));
        let reading = urgent.then_some(ByteRange::new(from, until));
        match self.keepers.iter_mut().find(|keeper| keeper.name == name) {
            Some(keeper) => {
                keeper.consumed = keeper.consumed.min(from);
                // What he wants again he has not.
                keeper
                    .later
                    .retain(|range| range.end() <= from || until <= range.start());
                keeper.until = keeper.until.max(until);
                keeper.reading.extend(reading);
            }
            None => self.keepers.push(Keeper {
                name,
                consumed: from,
                later: Vec::new(),
                until,
                reading: reading.into_iter().collect(),
            }),
        }
    }

    fn consume(&mut self, name: u64, range: ByteRange) {
        let end = self.end;
        self.keepers.retain_mut(|keeper| {
            if keeper.name == name {
                // A block of which the reader has the end is one that he has.
                keeper
                    .later
                    .push(ByteRange::new(range.start() - range.start() % BLOCK, range.end()));
                keeper.advance();
            }
            keeper.consumed < keeper.until.min(end)
        });
    }

    /// What is here of `at..end`.
    pub(super) fn slices(&self, at: u64, end: u64) -> Vec<Bytes> {
        let wanted = ByteRange::new(at, end.min(self.arrived));
        let mut slices = Vec::new();
        let mut begin = self.start;
        for chunk in &self.chunks {
            let part = ByteRange::at(begin, chunk.len() as u64);
            let here = part.intersect(wanted);
            if !here.is_empty() {
                slices.push(chunk.slice((here.start() - begin) as usize..(here.end() - begin) as usize));
            } else if begin >= wanted.end() {
                break;
            }
            begin = part.end();
        }
        slices
    }

    /// Whether the byte at `at` is here, and all up to `enough` that will come.
    pub(super) fn has(&self, at: u64, enough: u64) -> bool {
        at < self.arrived && (self.narrow || self.arrived >= enough.min(self.end) || !self.open)
    }

    /// Who has what he waits for.
    fn ready(&self) -> Vec<Waker> {
        self.waiters
            .iter()
            .filter(|waiter| self.has(waiter.at, waiter.enough))
            .map(|waiter| waiter.waker.clone())
            .collect()
    }

    /// Ends it at `end`: what came beyond is dropped.
    fn cut(&mut self, end: u64) {
        // Memory is held for the whole part, arrived or not.
        self.hold.release(self.end.saturating_sub(end));
        let mut surplus = self.arrived.saturating_sub(end);
        while surplus > 0 {
            let Some(mut chunk) = self.chunks.pop_back() else {
                break;
            };
            let drop = surplus.min(chunk.len() as u64);
            surplus -= drop;
            chunk.truncate(chunk.len() - drop as usize);
            if !chunk.is_empty() {
                self.chunks.push_back(chunk);
            }
        }
        self.end = end;
        self.arrived = self.arrived.min(end);
    }

    fn trim(&mut self) {
        let mut below = self.arrived;
        if self.lands {
            below = below.min(self.settled);
        }
        for keeper in &self.keepers {
            below = below.min(keeper.consumed);
        }
        for waiter in &self.waiters {
            below = below.min(waiter.at);
        }
        if below < self.end {
            below -= below % BLOCK;
        }
        let mut drop = below.saturating_sub(self.start);
        self.start += drop;
        self.hold.release(drop);
        while drop > 0 {
            let Some(chunk) = self.chunks.front_mut() else {
                break;
            };
            let part = drop.min(chunk.len() as u64);
            chunk.advance(part as usize);
            drop -= part;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
    }
}
