//! Which stream a read goes on in.
//!
//! A read ([`Ride`]) is a range of a file. One that begins where another ends rides on in its stream: it takes it from
//! the `parked` ones, or waits behind the read that has it. Any other has a stream of its own, of just its range; what
//! goes on where a read ended before has one to the end of the file, which then serves all that follows. A stream
//! that is left with bytes to come is parked for `stream_idle`, unless somebody waits for a place.
//!
//! Places are few ([`Places`]). Who waits for one longer than a [`TURN`] takes it from the read that has been silent
//! for the longest time, whether that waits for a piece or is not read at all, or else from one that has had its stream
//! for a [`LONG_TURN`]: it goes to the end of the queue.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_types::{ByteRange, Clock};
use tokio::sync::oneshot;

use super::daemon::{Daemon, InfoHash};
use super::options::RqbitOptions;
use super::places::{Place, Places};
use super::ride::Ride;
use super::stream::{Open, Slot};
use crate::transport::Failure;

/// After so long without a byte a stream may be taken away for somebody else. Longer than a piece of the usual size takes
/// at 4 MB/s (0.5-1 s), so that who waits for one mostly gets it in his turn.
pub(super) const TURN: Duration = Duration::from_secs(1);

/// After so long a stream may be taken away that is being read all the time: a fifth reader of four large files is not to
/// wait for the end of one.
const LONG_TURN: Duration = Duration::from_secs(2);

/// Reads that begin so close behind another go on in its stream: what the kernel sends out of order, or a player skips.
const NEAR: u64 = 1 << 20;

/// Ends of earlier reads that are remembered, of all files together.
const ENDS: usize = 64;

/// A file of a torrent.
pub(super) type File = (InfoHash, usize);

/// The streams of one client. Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct Streams {
    inner: Arc<Inner>,
}

struct Inner {
    daemon: Arc<dyn Daemon>,
    options: RqbitOptions,
    clock: Arc<dyn Clock>,
    places: Places,
    state: Mutex<State>,
    counters: Counters,
}

#[derive(Default)]
struct State {
    reads: Vec<Read>,
    /// Oldest first.
    parked: VecDeque<Parked>,
    followers: Vec<Follower>,
    /// Where reads ended, newest last.
    ends: VecDeque<(File, u64)>,
    next: u64,
}

/// A read that is under way, or about to be.
struct Read {
    id: u64,
    file: File,
    range: ByteRange,
    slot: Arc<Slot>,
}

/// A stream that nobody reads.
struct Parked {
    id: u64,
    file: File,
    open: Open,
}

/// A read that waits for the stream of another.
struct Follower {
    id: u64,
    file: File,
    at: u64,
    tell: oneshot::Sender<Option<Open>>,
}

#[derive(Debug, Default)]
struct Counters {
    /// When any of the streams got a byte last, in nanoseconds of the clock.
    fed: AtomicU64,
    opened: AtomicU64,
    reused: AtomicU64,
    revoked: AtomicU64,
}

/// What became of the streams of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Open now, being read or not.
    pub open: u64,
    /// Of these, how many nobody reads.
    pub parked: u64,
    /// Opened so far.
    pub opened: u64,
    /// Reads that went on in a stream that was there.
    pub reused: u64,
    /// Streams taken from a read that had got no byte for a while, for another one.
    pub revoked: u64,
}

/// What came of waiting for the stream of another read.
enum Followed {
    Given(Open),
    /// The other read is over and had none to give.
    Alone,
    /// Nobody reads it.
    Held,
}

/// How a read gets its stream.
enum Step {
    Have(Open),
    Follow(oneshot::Receiver<Option<Open>>),
    /// Up to here.
    Open(u64),
}

impl Streams {
    pub(crate) fn new(daemon: Arc<dyn Daemon>, options: RqbitOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                places: Places::new(options.max_streams),
                daemon,
                options,
                clock,
                state: Mutex::default(),
                counters: Counters::default(),
            }),
        }
    }

    /// A read of `range`, which lies in the file of `length` bytes. Nothing is asked for before it is polled.
    pub(crate) fn read(&self, file: File, range: ByteRange, length: u64) -> Ride {
        let slot = Arc::new(Slot::default());
        let id = {
            let mut state = self.lock();
            let id = state.number();
            state.reads.push(Read {
                id,
                file,
                range,
                slot: slot.clone(),
            });
            id
        };
        Ride::new(self.clone(), id, file, range, length, slot)
    }

    /// What became of them so far.
    pub(crate) fn stats(&self) -> StreamStats {
        let counters = &self.inner.counters;
        StreamStats {
            open: self.inner.places.taken() as u64,
            parked: self.lock().parked.len() as u64,
            opened: counters.opened.load(Relaxed),
            reused: counters.reused.load(Relaxed),
            revoked: counters.revoked.load(Relaxed),
        }
    }

    pub(super) fn daemon(&self) -> &Arc<dyn Daemon> {
        &self.inner.daemon
    }

    pub(super) fn options(&self) -> &RqbitOptions {
        &self.inner.options
    }

    pub(super) fn now(&self) -> Duration {
        self.inner.clock.now()
    }

    /// A byte came.
    pub(super) fn fed(&self, now: Duration) {
        self.inner.counters.fed.store(now.as_nanos() as u64, Relaxed);
    }

    /// When a byte came last, of whichever stream.
    pub(super) fn last_fed(&self) -> Duration {
        Duration::from_nanos(self.inner.counters.fed.load(Relaxed))
    }

    /// A stream that stands at `ride.at` or a little before. `fresh`: none that somebody had before.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait.
    pub(super) async fn acquire(&self, ride: &Ride, fresh: bool) -> Result<Open, Failure> {
        if !fresh {
            // Requests of one moment come in any order: let those before this one make themselves known.
            tokio::task::yield_now().await;
        }
        let mut fresh = fresh;
        loop {
            match self.step(ride, fresh) {
                Step::Have(open) => return Ok(open),
                Step::Follow(told) => match self.follow(ride, told).await {
                    Followed::Given(open) => return Ok(open),
                    Followed::Alone => {}
                    Followed::Held => fresh = true,
                },
                Step::Open(end) => {
                    let place = self.place().await;
                    let range = ByteRange::new(ride.at(), end);
                    let (hash, file) = ride.file();
                    let bytes = self.inner.daemon.open(hash, file, range).await?;
                    self.inner.counters.opened.fetch_add(1, Relaxed);
                    return Ok(Open::new(bytes, range.start(), end, place));
                }
            }
        }
    }

    fn step(&self, ride: &Ride, fresh: bool) -> Step {
        let (file, at) = (ride.file(), ride.at());
        let mut state = self.lock();
        if !fresh {
            if let Some(open) = state.unpark(file, at, self.inner.options.reach) {
                self.inner.counters.reused.fetch_add(1, Relaxed);
                return Step::Have(open);
            }
            let id = ride.id();
            if state.leader(id, file, at).is_some() {
                let (tell, told) = oneshot::channel();
                state.followers.push(Follower { id, file, at, tell });
                return Step::Follow(told);
            }
        }
        let goes_on = state
            .ends
            .iter()
            .any(|(of, end)| *of == file && is_near(*end, at));
        Step::Open(if goes_on { ride.length() } else { ride.end() })
    }

    /// Waits for the stream of the read before this one, as long as that gets on.
    async fn follow(&self, ride: &Ride, mut told: oneshot::Receiver<Option<Open>>) -> Followed {
        loop {
            match tokio::time::timeout(TURN, &mut told).await {
                Ok(Ok(Some(open))) => {
                    self.inner.counters.reused.fetch_add(1, Relaxed);
                    return Followed::Given(open);
                }
                Ok(Ok(None) | Err(_)) => return Followed::Alone,
                Err(_) => {
                    let then = self.now().saturating_sub(TURN);
                    let leader = self.lock().leader(ride.id(), ride.file(), ride.at()).cloned();
                    if !leader.is_some_and(|slot| slot.is_alive(then)) {
                        return Followed::Held;
                    }
                }
            }
        }
    }

    /// The right to open a stream.
    async fn place(&self) -> Place {
        if let Some(place) = self.inner.places.try_take() {
            return place;
        }
        let parked = self.lock().parked.pop_front();
        if let Some(parked) = parked {
            return parked.open.into_place();
        }
        let mut told = self.inner.places.wait();
        loop {
            match tokio::time::timeout(TURN, &mut told).await {
                Ok(Ok(place)) => return place,
                // Not before the places themselves are gone.
                Ok(Err(_)) => told = self.inner.places.wait(),
                Err(_) => self.revoke(),
            }
        }
    }

    /// Takes a stream away from a read: the one that has been silent for the longest time, if that is long enough, else the
    /// one that has been read for the longest.
    fn revoke(&self) {
        let now = self.now();
        let slot = {
            let state = self.lock();
            let held = || {
                let reads = state.reads.iter();
                reads.filter_map(|read| Some((read.slot.held()?, &read.slot)))
            };
            let silent = held()
                .filter(|(held, _)| now.saturating_sub(held.fed) >= TURN)
                .min_by_key(|(held, _)| held.fed);
            let long = || {
                held()
                    .filter(|(held, _)| now.saturating_sub(held.since) >= LONG_TURN)
                    .min_by_key(|(held, _)| held.since)
            };
            silent.or_else(long).map(|(_, slot)| slot.clone())
        };
        if let Some(open) = slot.and_then(|slot| slot.revoke()) {
            self.inner.counters.revoked.fetch_add(1, Relaxed);
            tracing::debug!("a stream is closed for another one");
            drop(open);
        }
    }

    /// A read is over, as far as `at` if it got anywhere; what is left of its stream is for others.
    pub(super) fn done(&self, id: u64, file: File, at: Option<u64>, open: Option<Open>) {
        let mut open = open.filter(|open| !open.is_over());
        let mut state = self.lock();
        state.reads.retain(|read| read.id != id);
        if let Some(at) = at {
            state.ended(file, at);
        }
        let reach = self.inner.options.reach;
        for follower in state.followers_of(file) {
            let fits = |open: &mut Open| open.at() <= follower.at && follower.at - open.at() <= reach;
            let given = open.take_if(fits);
            if given.is_none() && state.leader(follower.id, file, follower.at).is_some() {
                state.followers.push(follower);
            } else if let Err(back) = follower.tell.send(given) {
                open = back.or(open);
            }
        }
        // The next in the queue gets its place: to be closed outside of the lock.
        let Some(open) = open.filter(|_| !self.inner.places.is_wanted()) else {
            return;
        };
        let id = state.number();
        let parked = Parked { id, file, open };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                state.parked.push_back(parked);
                drop(state);
                let (streams, idle) = (Arc::downgrade(&self.inner), self.inner.options.stream_idle);
                runtime.spawn(async move {
                    tokio::time::sleep(idle).await;
                    if let Some(inner) = streams.upgrade() {
                        Self { inner }.close(id);
                    }
                });
            }
            // Nobody would close it.
            Err(_) => {
                drop(state);
                drop(parked);
            }
        }
    }

    /// Closes a parked stream, if it is still parked.
    fn close(&self, id: u64) {
        let parked = {
            let mut state = self.lock();
            let place = state.parked.iter().position(|parked| parked.id == id);
            place.and_then(|place| state.parked.remove(place))
        };
        drop(parked);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The parked stream of a file that stands closest before `at`.
    fn unpark(&mut self, file: File, at: u64, reach: u64) -> Option<Open> {
        let fits =
            |parked: &Parked| parked.file == file && parked.open.at() <= at && at - parked.open.at() <= reach;
        let mut fitting: Vec<usize> = (0..self.parked.len())
            .filter(|i| fits(&self.parked[*i]))
            .collect();
        fitting.sort_by_key(|i| std::cmp::Reverse(self.parked[*i].open.at()));
        self.parked.remove(*fitting.first()?).map(|parked| parked.open)
    }

    /// The read of the same file that ends where this one begins, or a little before.
    fn leader(&self, id: u64, file: File, at: u64) -> Option<&Arc<Slot>> {
        let before = |read: &&Read| read.id != id && read.file == file && is_near(read.range.end(), at);
        let reads = self.reads.iter().filter(before);
        reads.max_by_key(|read| read.range.end()).map(|read| &read.slot)
    }

    fn ended(&mut self, file: File, at: u64) {
        self.ends.retain(|end| *end != (file, at));
        self.ends.push_back((file, at));
        while self.ends.len() > ENDS {
            self.ends.pop_front();
        }
    }

    /// Who waits for a stream of this file, the first place first.
    fn followers_of(&mut self, file: File) -> Vec<Follower> {
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

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("stats", &self.stats()).finish()
    }
}

#[cfg(test)]
mod tests;
