//! Which files a torrent client has, and what they are called.
//!
//! The client's list of torrents is believed for a while; what is in a torrent never changes, so that is asked once. A
//! torrent keeps its name as long as the client has it: what came later makes way. All who ask at a time wait for one
//! flight, which belongs to all of them: whoever of them is awake drives it, and when the last gives up it is dropped
//! with its requests. There is no task of its own.

mod layout;
#[cfg(test)]
pub(crate) mod script;
mod shelf;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_types::{Clock, ErrorKind};
use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};
use futures::{StreamExt, stream};

use super::{Daemon, InfoHash, Listed, TorrentFault};
use crate::transport::Failure;
use layout::Layout;
pub(crate) use shelf::{Entry, Found, Shelf};

/// Torrents whose contents are asked for at a time: the client answers from memory, so more only make it busy.
const QUESTIONS: usize = 4;

/// Answers that may fail to come in one flight before it asks no more: the torrents that are left wait for the next one,
/// which tells by its list whether the client is there at all.
const SILENCES: usize = 3;

/// How long a torrent whose contents could not be had is left alone; twice as long each time. So a magnet link that is
/// resolved is seen before it has taken twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// A torrent that keeps everybody waiting is left alone for so many times as long as it did.
const PATIENCE: u32 = 10;

type Outcome = Result<Arc<Shelf>, Arc<Failure>>;
type Work = BoxFuture<'static, Outcome>;

/// The files of a client, asked for when they are needed.
pub(crate) struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    daemon: Arc<dyn Daemon>,
    believed: Duration,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    flights: Mutex<Flights>,
}

/// What the client told so far.
#[derive(Default)]
struct Known {
    torrents: HashMap<InfoHash, Torrent>,
    shelf: Arc<Shelf>,
    /// Torrents that the shelf is without.
    left_out: u64,
    /// When the list came that the shelf was made of.
    listed: Option<Duration>,
    /// The flight that brought it.
    flight: u64,
}

enum Torrent {
    There {
        layout: Arc<Layout>,
        /// None until the flight that brought it has landed.
        name: Option<Arc<str>>,
    },
    /// Its contents could not be had.
    Missed {
        /// When to ask again.
        again: Duration,
        pause: Duration,
        /// Whether the log has it.
        said: bool,
    },
}

#[derive(Default)]
struct Flights {
    begun: u64,
    present: Option<WeakShared<Work>>,
}

impl Catalog {
    /// The files of `daemon`, whose list of torrents is believed so long.
    pub(crate) fn new(daemon: Arc<dyn Daemon>, believed: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                daemon,
                believed,
                clock,
                known: Mutex::default(),
                flights: Mutex::default(),
            }),
        }
    }

    /// All files, by a list that is not older than it may be. The same shelf as before if nothing changed.
    ///
    /// # Errors
    /// If the client is not to be reached, or refuses. A torrent whose contents cannot be had is no error: it is left
    /// out, and asked for again later.
    ///
    /// # Cancel safety
    /// Dropping the future gives up this wait only; the questions go on if others wait for them.
    pub(crate) async fn shelf(&self) -> Result<Arc<Shelf>, Failure> {
        if let Some(shelf) = self.inner.believed_shelf() {
            return Ok(shelf);
        }
        self.inner.board().1.await.map_err(own)
    }

    /// All files as far as was asked, by a list of any age.
    pub(crate) fn known(&self) -> Arc<Shelf> {
        lock(&self.inner.known).shelf.clone()
    }
}

impl Inner {
    fn believed_shelf(&self) -> Option<Arc<Shelf>> {
        let known = lock(&self.known);
        let age = self.clock.now().checked_sub(known.listed?);
        age.is_none_or(|age| age < self.believed)
            .then(|| known.shelf.clone())
    }

    /// The flight that is under way, or a new one; and its number.
    fn board(self: &Arc<Self>) -> (u64, Shared<Work>) {
        let mut flights = lock(&self.flights);
        let present = flights.present.as_ref().and_then(WeakShared::upgrade);
        if let Some(flight) = present.filter(|flight| flight.peek().is_none()) {
            return (flights.begun, flight);
        }
        flights.begun += 1;
        let (inner, number) = (self.clone(), flights.begun);
        let flight = async move { inner.fly(number).await.map_err(Arc::new) }
            .boxed()
            .shared();
        flights.present = flight.downgrade();
        (flights.begun, flight)
    }

    async fn fly(&self, number: u64) -> Result<Arc<Shelf>, Failure> {
        let listed = self.daemon.torrents().await?;
        let now = self.clock.now();
        let wanted: Vec<Listed> = {
            let known = lock(&self.known);
            let is_wanted = |torrent: &&Listed| match known.torrents.get(&torrent.hash) {
                None => true,
                Some(Torrent::There { .. }) => false,
                Some(Torrent::Missed { again, .. }) => *again <= now,
            };
            listed.iter().filter(is_wanted).cloned().collect()
        };
        let mut answers = stream::iter(wanted)
            .map(|torrent| async move {
                let asked = self.clock.now();
                let answer = self.daemon.details(torrent.hash).await;
                (torrent, asked, answer)
            })
            .buffer_unordered(QUESTIONS);
        let mut silences = 0;
        while silences < SILENCES
            && let Some((torrent, asked, answer)) = answers.next().await
        {
            let missed = match answer {
                Ok(details) if !details.files.is_empty() => {
                    let layout = Arc::new(Layout::new(torrent.hash, torrent.name.as_deref(), &details));
                    if layout.skipped > 0 {
                        let (hash, files) = (torrent.hash, layout.skipped);
                        tracing::debug!(client = %self.daemon, %hash, files, "files of a torrent have no name to be shown by");
                    }
                    let there = Torrent::There { layout, name: None };
                    lock(&self.known).torrents.insert(torrent.hash, there);
                    continue;
                }
                // A magnet link that is not resolved yet.
                Ok(_) => None,
                // Removed since it was listed.
                Err(Failure::Torrent(TorrentFault::Gone { .. })) => None,
                Err(failure) if is_of_client(&failure) => return Err(failure),
                Err(failure) => {
                    silences += usize::from(is_silence(&failure));
                    Some(failure)
                }
            };
            self.miss(torrent.hash, asked, missed.as_ref());
        }
        drop(answers);
        Ok(self.land(&listed, now, number))
    }

    /// Leaves a torrent alone for a while.
    fn miss(&self, hash: InfoHash, asked: Duration, failure: Option<&Failure>) {
        let now = self.clock.now();
        let mut known = lock(&self.known);
        let (before, said) = match known.torrents.get(&hash) {
            Some(Torrent::Missed { pause, said, .. }) => (Some(*pause), *said),
            _ => (None, false),
        };
        let pause = before.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LAST_PAUSE));
        let took = now.saturating_sub(asked);
        let missed = Torrent::Missed {
            again: now + pause.max(took * PATIENCE),
            pause,
            said: said || failure.is_some(),
        };
        known.torrents.insert(hash, missed);
        drop(known);
        match failure {
            Some(failure) if !said => {
                tracing::warn!(client = %self.daemon, %hash, %failure, "a torrent is left out: what is in it cannot be had");
            }
            _ => tracing::debug!(client = %self.daemon, %hash, ?failure, "a torrent is left out for now"),
        }
    }

    /// Puts what is known of the listed torrents on the shelf.
    fn land(&self, listed: &[Listed], now: Duration, number: u64) -> Arc<Shelf> {
        let mut known = lock(&self.known);
        let there: HashSet<InfoHash> = listed.iter().map(|torrent| torrent.hash).collect();
        let before = known.torrents.len();
        known.torrents.retain(|hash, _| there.contains(hash));
        let mut changed = known.torrents.len() != before;
        let mut taken: HashSet<Arc<str>> = known.torrents.values().filter_map(Torrent::name).collect();
        // In the order in which they were added: the first keeps its name as it is.
        for torrent in listed {
            if let Some(Torrent::There { layout, name }) = known.torrents.get_mut(&torrent.hash)
                && name.is_none()
            {
                let free: Arc<str> = layout.free_name(&taken).into();
                taken.insert(free.clone());
                *name = Some(free);
                changed = true;
            }
        }
        let left_out = (there.len() - taken.len()) as u64;
        if changed || left_out != known.left_out {
            let torrents = known.torrents.values().filter_map(|torrent| match torrent {
                Torrent::There { layout, name } => Some((name.clone()?, layout.clone())),
                Torrent::Missed { .. } => None,
            });
            known.shelf = Arc::new(Shelf::new(torrents, left_out));
            known.left_out = left_out;
        }
        known.listed = Some(now);
        known.flight = number;
        known.shelf.clone()
    }
}

impl Torrent {
    fn name(&self) -> Option<Arc<str>> {
        match self {
            Self::There { name, .. } => name.clone(),
            Self::Missed { .. } => None,
        }
    }
}

/// Whether a failure is the client's, so that the next torrent would meet it, too.
fn is_of_client(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Connect { .. } | Failure::ConnectTimeout { .. } | Failure::Tls { .. } | Failure::Redirect(_)
    ) || failure.kind() == ErrorKind::Denied
}

/// Whether no answer came at all, which takes long to find out.
fn is_silence(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Stalled { .. } | Failure::Broken { .. } | Failure::Status { status: 500.., .. }
    )
}

/// The failure of a flight, for one of those who waited for it.
fn own(shared: Arc<Failure>) -> Failure {
    Arc::try_unwrap(shared).unwrap_or_else(|shared| copy(&shared))
}

fn copy(failure: &Failure) -> Failure {
    match failure {
        Failure::BadUri { why } => Failure::BadUri { why },
        Failure::Connect { host, source } => Failure::Connect {
            host: host.clone(),
            source: io::Error::new(source.kind(), source.to_string()),
        },
        Failure::ConnectTimeout { host, after } => Failure::ConnectTimeout {
            host: host.clone(),
            after: *after,
        },
        Failure::Tls { host, why } => Failure::Tls {
            host: host.clone(),
            why: why.clone(),
        },
        Failure::Status {
            status,
            code,
            message,
            retry_after,
        } => Failure::Status {
            status: *status,
            code: code.clone(),
            message: message.clone(),
            retry_after: *retry_after,
        },
        Failure::Stalled { what, after } => Failure::Stalled { what, after: *after },
        Failure::Redirect(why) => Failure::Redirect(why),
        Failure::Torrent(fault) => Failure::Torrent(fault.clone()),
        Failure::TooLarge { what, limit } => Failure::TooLarge { what, limit: *limit },
        Failure::Malformed { what, why } => Failure::Malformed {
            what,
            why: why.clone(),
        },
        // A broken connection, and what no list of torrents can meet.
        other => Failure::Torrent(TorrentFault::Client {
            why: other.to_string(),
        }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Catalog({})", self.inner.daemon)
    }
}

#[cfg(test)]
mod tests;
