//! One read of a file: patient, and at home in whatever stream it is given.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay_types::{ByteRange, ErrorKind};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::daemon::{InfoHash, State, TorrentFault};
use super::stream::Slot;
use super::streams::{File, Streams};
use crate::transport::Failure;

/// Bytes between the last read and this one are dropped for so long, about what another request would take. Who waits
/// longer for them waits for a slow network, or for a piece that nobody wants.
const SKIPPED_WITHIN: Duration = Duration::from_millis(20);

/// Without a byte for this long the client is asked how the torrent is doing, and again each time.
const ASK_AFTER: Duration = Duration::from_secs(2);

/// A client that is started anew may not know its torrents for a moment.
const GONE_AFTER: Duration = Duration::from_secs(2);

/// Pauses between attempts, doubled from the one to the other.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A read.
pub(crate) struct Ride {
    streams: Streams,
    id: u64,
    file: File,
    start: u64,
    /// Its next byte.
    at: u64,
    end: u64,
    /// Of the file.
    length: u64,
    slot: Arc<Slot>,
    is_done: bool,
}

/// What an attempt came to.
enum Attempt {
    Bytes(Bytes),
    /// The stream is gone, or of no use: another one is wanted, `fresh` or not.
    Again {
        fresh: bool,
    },
}

impl Ride {
    pub(super) fn new(
        streams: Streams,
        id: u64,
        file: File,
        range: ByteRange,
        length: u64,
        slot: Arc<Slot>,
    ) -> Self {
        Self {
            streams,
            id,
            file,
            start: range.start(),
            at: range.start(),
            end: range.end(),
            length,
            slot,
            is_done: false,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn file(&self) -> File {
        self.file
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Its bytes, as they come.
    ///
    /// # Cancel safety
    /// Dropping it leaves its stream to the next read, or closes it.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Bytes, Failure>> {
        let next = async |mut ride: Self| Ok(ride.next().await?.map(|chunk| (chunk, ride)));
        futures::stream::try_unfold(self, next).into_stream().boxed()
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.at == self.end {
            self.finish();
            return Ok(None);
        }
        let begun = self.streams.now();
        let (mut fresh, mut pause) = (false, PAUSES.0);
        loop {
            match self.attempt_until(begun, fresh).await {
                Ok(Attempt::Bytes(chunk)) => {
                    self.streams.fed(self.streams.now());
                    self.at += chunk.len() as u64;
                    if self.at == self.end {
                        // Now: who knows how much it wanted may not ask again.
                        self.finish();
                    }
                    return Ok(Some(chunk));
                }
                Ok(Attempt::Again { fresh: wanted }) => fresh = wanted,
                Err(failure) if self.may_pass(&failure, self.silent(begun)) => {
                    tracing::debug!(%failure, torrent = %self.file.0, ?pause, "a stream is asked for again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                Err(failure) => {
                    // Of no use to the next read either.
                    drop(self.slot.take());
                    return Err(failure);
                }
            }
        }
    }

    /// For how long nothing has come, of what this read waits for since `begun`: who waits for the stream of another, or
    /// for a place, waits for whatever is read now.
    fn silent(&self, begun: Duration) -> Duration {
        let since = if self.slot.at().is_some() {
            begun
        } else {
            begun.max(self.streams.last_fed())
        };
        self.streams.now().saturating_sub(since)
    }

    /// One attempt, as long as there is hope and time.
    async fn attempt_until(&self, begun: Duration, fresh: bool) -> Result<Attempt, Failure> {
        let patience = self.streams.options().read_timeout;
        let mut attempt = pin!(self.attempt(fresh));
        loop {
            let left = patience.saturating_sub(self.silent(begun));
            tokio::select! {
                biased;
                outcome = &mut attempt => return outcome,
                () = tokio::time::sleep(left.min(ASK_AFTER)) => {}
            }
            if self.silent(begun) < ASK_AFTER.min(patience) {
                continue;
            }
            let doing = doing(&self.streams, self.file.0).await?;
            if self.silent(begun) >= patience {
                let why = if self.slot.at().is_some() {
                    doing
                } else {
                    format!("no stream of the torrent client could be had; {doing}")
                };
                let after = patience;
                return Err(Failure::Torrent(TorrentFault::Waited { why, after }));
            }
        }
    }

    async fn attempt(&self, fresh: bool) -> Result<Attempt, Failure> {
        if self.slot.at().is_none() {
            self.slot.expect();
            let open = self.streams.acquire(self, fresh).await?;
            self.slot.put(open, self.streams.now());
        }
        if self.slot.at() < Some(self.at) {
            let Ok(skipped) = tokio::time::timeout(SKIPPED_WITHIN, self.skip()).await else {
                drop(self.slot.take());
                return Ok(Attempt::Again { fresh: true });
            };
            skipped?;
        }
        Ok(match self.chunk(self.end).await? {
            Some(bytes) => Attempt::Bytes(bytes),
            None => Attempt::Again { fresh: false },
        })
    }

    /// Drops what comes before the next byte.
    async fn skip(&self) -> Result<(), Failure> {
        while self.slot.at().is_some_and(|at| at < self.at) {
            self.chunk(self.at).await?;
        }
        Ok(())
    }

    /// The next bytes of the stream, none from `until` on; `None` if it is gone.
    async fn chunk(&self, until: u64) -> Result<Option<Bytes>, Failure> {
        std::future::poll_fn(|cx| self.slot.poll(cx, until, self.streams.now())).await
    }

    /// Whether a failure may be over when the client is asked again.
    fn may_pass(&self, failure: &Failure, silent: Duration) -> bool {
        let in_time = silent < self.streams.options().read_timeout;
        match failure {
            Failure::Torrent(TorrentFault::Gone { .. }) => in_time && silent < GONE_AFTER,
            Failure::Torrent(TorrentFault::Failed { .. } | TorrentFault::Waited { .. }) => false,
            // What the answer is now it will be later.
            Failure::Malformed { .. } | Failure::TooLarge { .. } | Failure::WrongRange { .. } => false,
            failure => in_time && matches!(failure.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut),
        }
    }

    fn finish(&mut self) {
        if !std::mem::replace(&mut self.is_done, true) {
            let at = Some(self.at).filter(|at| *at > self.start);
            self.streams.done(self.id, self.file, at, self.slot.take());
        }
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How a torrent is doing that gives no bytes, in words.
///
/// # Errors
/// If that will not change by waiting.
async fn doing(streams: &Streams, hash: InfoHash) -> Result<String, Failure> {
    let stats = tokio::time::timeout(ASK_AFTER, streams.daemon().stats(hash)).await;
    let stats = match stats {
        Err(_) => return Ok("the torrent client does not answer".to_owned()),
        Ok(Err(failure @ Failure::Torrent(TorrentFault::Gone { .. }))) => return Err(failure),
        Ok(Err(failure)) => return Ok(format!("the torrent client cannot say why: {failure}")),
        Ok(Ok(stats)) => stats,
    };
    let peers = stats.peers.map_or(0, |peers| peers.live);
    Ok(match stats.state {
        State::Failed => {
            let why = stats.error.unwrap_or_else(|| "it does not say which".to_owned());
            return Err(Failure::Torrent(TorrentFault::Failed { why }));
        }
        State::Paused => "the torrent is paused; start it to have the rest of it".to_owned(),
        State::Initializing => "the torrent client is still checking what it has on disk".to_owned(),
        State::Live if peers == 0 => "the piece is not here, and no peer is connected".to_owned(),
        State::Live => format!("the piece is not here yet; peers connected: {peers}"),
    })
}
