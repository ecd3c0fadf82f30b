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

mod table;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_types::{ByteRange, Clock};
use serde::Serialize;
use tokio::sync::oneshot;

use super::daemon::{Daemon, InfoHash};
use super::options::RqbitOptions;
use super::places::{Place, Places};
use super::ride::Ride;
use super::stream::{Open, Slot};
use crate::transport::Failure;
use table::{Follower, Parked, Read, Table};

/// After so long without a byte a stream may be taken away for somebody else. Longer than a piece of the usual size takes
/// at 4 MB/s (0.5-1 s), so that who waits for one mostly gets it in his turn.
const TURN: Duration = Duration::from_secs(1);

/// After so long a stream may be taken away that is being read all the time: a fifth reader of four large files is not to
/// wait for the end of one.
const LONG_TURN: Duration = Duration::from_secs(2);

/// For so long after a place was wanted and none was free, no stream is opened to the end of its file.
const SCARCE: Duration = Duration::from_secs(2);

/// While a file is downloaded, what goes on in order waits so long before it has a stream to the end of the file: the client
/// asks its peers for the 32 MiB from there on at once, and a player that has read the start wants the end of the file
/// next, which would have to wait behind them (measured: 2.0 s until head and tail of a film were here, at 3 MB/s).
const LINGER: Duration = Duration::from_millis(250);

/// What begins a little behind another read waits so long for what may fill the gap: requests of one moment come in any
/// order, over several threads (measured: 0.04 ms from one to the other).
const GATHER: Duration = Duration::from_millis(2);

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
    table: Mutex<Table>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    /// When any of the streams got a byte last, in nanoseconds of the clock.
    fed: AtomicU64,
    /// When a place was wanted last and none was free, likewise; 0 if that never was.
    scarce: AtomicU64,
    opened: AtomicU64,
    reused: AtomicU64,
    revoked: AtomicU64,
}

/// What became of the streams of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
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
                table: Mutex::default(),
                counters: Counters::default(),
            }),
        }
    }

    /// A read of `range`, which lies in the file of `length` bytes. Nothing is asked for before it is polled.
    pub(crate) fn read(&self, file: File, range: ByteRange, length: u64) -> Ride {
        let slot = Arc::new(Slot::default());
        let id = {
            let mut table = self.lock();
            let id = table.number();
            table.reads.push(Read {
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

    /// When there were too few places last.
    fn last_scarce(&self) -> Option<Duration> {
        let then = self.inner.counters.scarce.load(Relaxed);
        (then > 0).then(|| Duration::from_nanos(then))
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
        let (mut fresh, mut has_gathered, mut has_lingered) = (fresh, fresh, false);
        loop {
            match self.step(ride, fresh) {
                Step::Have(open) => return Ok(open),
                Step::Follow(told) => match self.follow(ride, told).await {
                    Followed::Given(open) => return Ok(open),
                    Followed::Alone => {}
                    Followed::Held => fresh = true,
                },
                Step::Open(_) if !has_gathered && self.lock().has_gap(ride.file(), ride.at()) => {
                    tokio::time::sleep(GATHER).await;
                    has_gathered = true;
                }
                Step::Open(end) if end > ride.end() && !has_lingered && !self.is_whole(ride).await => {
                    tokio::time::sleep(LINGER).await;
                    has_lingered = true;
                }
                Step::Open(end) => {
                    let place = self.place().await;
                    let range = ByteRange::new(ride.at(), end);
                    let (hash, file) = ride.file();
                    tracing::debug!(torrent = %hash, file, %range, wanted = ride.end(), "a stream is asked for");
                    let bytes = self.inner.daemon.open(hash, file, range).await?;
                    self.inner.counters.opened.fetch_add(1, Relaxed);
                    return Ok(Open::new(bytes, range.start(), end, place));
                }
            }
        }
    }

    fn step(&self, ride: &Ride, fresh: bool) -> Step {
        let (file, at) = (ride.file(), ride.at());
        let mut table = self.lock();
        if !fresh {
            if let Some(open) = table.unpark(file, at, self.inner.options.reach) {
                self.inner.counters.reused.fetch_add(1, Relaxed);
                return Step::Have(open);
            }
            let id = ride.id();
            if table.leader(id, file, at).is_some() {
                let (tell, told) = oneshot::channel();
                table.followers.push(Follower { id, file, at, tell });
                return Step::Follow(told);
            }
        }
        let goes_on = table.goes_on(file, at);
        // Where streams are taken away from each other, what one has read ahead is lost each time.
        let is_crowded = self
            .last_scarce()
            .is_some_and(|then| self.now().saturating_sub(then) < SCARCE);
        let is_run = goes_on && !is_crowded;
        Step::Open(if is_run { ride.length() } else { ride.end() })
    }

    /// Whether the client has all of the file, as far as it tells.
    async fn is_whole(&self, ride: &Ride) -> bool {
        let (hash, file) = ride.file();
        if self.lock().whole.contains(&(hash, file)) {
            return true;
        }
        let is_whole = match self.inner.daemon.stats(hash).await {
            Ok(stats) => stats
                .file_progress
                .get(file)
                .is_some_and(|here| *here >= ride.length()),
            // Then it is of no use to wait for anything.
            Err(_) => return true,
        };
        if is_whole {
            self.lock().whole.insert((hash, file));
        }
        is_whole
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
        let now = self.now().as_nanos() as u64;
        self.inner.counters.scarce.store(now.max(1), Relaxed);
        let parked = self.lock().parked.pop_front();
        if let Some(parked) = parked {
            return parked.open.into_place();
        }
        let mut told = self.inner.places.wait();
        loop {
            // One may have been parked by somebody who saw nobody wait.
            let parked = self.lock().parked.pop_front();
            drop(parked);
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
            let table = self.lock();
            let held = || {
                let reads = table.reads.iter();
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
        // One that is over is closed here, before the lock.
        let mut open = open.filter(|open| !open.is_over());
        let mut table = self.lock();
        table.reads.retain(|read| read.id != id);
        if let Some(at) = at {
            table.ended(file, at);
        }
        let reach = self.inner.options.reach;
        for follower in table.followers_of(file) {
            let fits = |open: &mut Open| open.at() <= follower.at && follower.at - open.at() <= reach;
            let given = open.take_if(fits);
            if given.is_none() && table.leader(follower.id, file, follower.at).is_some() {
                table.followers.push(follower);
            } else if let Err(back) = follower.tell.send(given) {
                open = back.or(open);
            }
        }
        let Some(open) = open else { return };
        // The next in the queue gets its place. And nobody would close it where there is no runtime.
        let runtime = tokio::runtime::Handle::try_current();
        let Some(runtime) = runtime.ok().filter(|_| !self.inner.places.is_wanted()) else {
            // A socket is closed outside of the lock.
            drop(table);
            return drop(open);
        };
        let id = table.number();
        table.parked.push_back(Parked { id, file, open });
        drop(table);
        let (streams, idle) = (Arc::downgrade(&self.inner), self.inner.options.stream_idle);
        runtime.spawn(async move {
            tokio::time::sleep(idle).await;
            if let Some(inner) = streams.upgrade() {
                Self { inner }.close(id);
            }
        });
    }

    /// Closes a parked stream, if it is still parked.
    fn close(&self, id: u64) {
        let parked = {
            let mut table = self.lock();
            let place = table.parked.iter().position(|parked| parked.id == id);
            place.and_then(|place| table.parked.remove(place))
        };
        drop(parked);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("stats", &self.stats()).finish()
    }
}

#[cfg(test)]
mod tests;
