//! Bytes of a file, from the session's threads to whoever reads them.

use std::io;
use std::io::SeekFrom;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use forebay_source::{Failure, FileBytes, InfoHash, TorrentFault};
use forebay_types::ByteRange;
use futures::stream;
use librqbit::{ManagedTorrent, ManagedTorrentState, Session};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt};
use tokio::sync::{mpsc, oneshot};

use crate::session::{InProcess, Task, id};

/// Bytes handed over at a time, at most: a read of librqbit ends with a piece. Measured on a complete file of 512 MiB in
/// memory: 64 KiB 5.0 GB/s and 0.19 CPU s/GB, 128 KiB 6.8 and 0.13, 256 KiB 9.6 and 0.10, 512 KiB and 1 MiB 14 and 0.07.
const CHUNK: usize = 512 * 1024;

/// Chunks that wait to be taken. With one less, reading and taking would be by turns.
const AHEAD: usize = 2;

/// librqbit wakes a stream when its piece has come, but not when the torrent was removed or stopped on an error: so it
/// is asked again that often.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What the reading side has of a stream.
struct Reading {
    chunks: mpsc::Receiver<Result<Bytes, Failure>>,
    /// Bytes that are still to come.
    left: u64,
    /// Reads as long as this is kept.
    _task: Task<()>,
}

/// What the session's side has of it.
struct Source {
    session: Arc<Session>,
    torrent: Arc<ManagedTorrent>,
    hash: InfoHash,
    file: usize,
    range: ByteRange,
}

impl InProcess {
    pub(crate) async fn stream(
        &self,
        hash: InfoHash,
        file: usize,
        range: ByteRange,
    ) -> Result<FileBytes, Failure> {
        let torrent = self.torrent(hash)?;
        let source = Source {
            session: Arc::clone(self.api.session()),
            torrent,
            hash,
            file,
            range,
        };
        let (sender, chunks) = mpsc::channel(AHEAD);
        let (opened, is_open) = oneshot::channel();
        let task = self.spawn(source.run(opened, sender)).map_err(client)?;
        is_open.await.map_err(|_| ended())??;
        let reading = Reading {
            chunks,
            left: range.len(),
            _task: task,
        };
        Ok(Box::pin(stream::unfold(Some(reading), next)))
    }
}

async fn next(reading: Option<Reading>) -> Option<(Result<Bytes, Failure>, Option<Reading>)> {
    let mut reading = reading?;
    if reading.left == 0 {
        return None;
    }
    match reading.chunks.recv().await {
        Some(Ok(bytes)) => {
            reading.left -= bytes.len() as u64;
            // The place is free with the last byte, and not only when somebody asks for more.
            let reading = (reading.left > 0).then_some(reading);
            Some((Ok(bytes), reading))
        }
        Some(Err(failure)) => Some((Err(failure), None)),
        None => Some((Err(ended()), None)),
    }
}

impl Source {
    async fn run(
        self,
        opened: oneshot::Sender<Result<(), Failure>>,
        chunks: mpsc::Sender<Result<Bytes, Failure>>,
    ) {
        let mut stream = match self.open().await {
            Ok(stream) => stream.take(self.range.len()),
            Err(failure) => {
                drop(opened.send(Err(failure)));
                return;
            }
        };
        if opened.send(Ok(())).is_err() {
            return;
        }
        let mut left = self.range.len();
        while left > 0 {
            let size = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let mut chunk = BytesMut::with_capacity(size);
            let read = tokio::select! {
                // Nobody reads any longer: the piece is not waited for.
                () = chunks.closed() => return,
                // Given up, it has taken nothing.
                read = tokio::time::timeout(ASK_AGAIN, stream.read_buf(&mut chunk)) => read,
            };
            let sent = match read {
                Err(_) if self.session.get(id(self.hash)).is_none() => {
                    Err(Failure::Torrent(TorrentFault::Gone { hash: self.hash }))
                }
                Err(_) => continue,
                Ok(Err(error)) => Err(self.failure(&error.to_string())),
                Ok(Ok(0)) => Err(client("the file ended before its end")),
                Ok(Ok(bytes)) => {
                    left -= bytes as u64;
                    Ok(chunk.freeze())
                }
            };
            let last = sent.is_err();
            if last || left == 0 {
                // Its place, before the bytes: who has them may open the next one.
                drop(stream);
                drop(chunks.send(sent).await);
                return;
            }
            if chunks.send(sent).await.is_err() {
                return;
            }
        }
    }

    async fn open(&self) -> Result<impl AsyncRead + Send + Unpin + use<>, Failure> {
        let stream = Arc::clone(&self.torrent).stream(self.file).await;
        let mut stream = stream.map_err(|error| self.failure(&format!("{error:#}")))?;
        if self.range.is_empty() || self.range.end() > stream.len() {
            let (range, length) = (self.range, stream.len());
            return Err(client(format!(
                "{range:?} is not inside of a file of {length} bytes"
            )));
        }
        let seek = stream.seek(SeekFrom::Start(self.range.start())).await;
        seek.map_err(|error: io::Error| self.failure(&error.to_string()))?;
        Ok(stream)
    }

    /// What an error of librqbit means.
    fn failure(&self, why: &str) -> Failure {
        if self.session.get(id(self.hash)).is_none() {
            return Failure::Torrent(TorrentFault::Gone { hash: self.hash });
        }
        Failure::Torrent(match stopped_on(&self.torrent) {
            Some(why) => TorrentFault::Failed { why },
            None => TorrentFault::Client { why: why.to_owned() },
        })
    }
}

/// The error that a torrent stopped on, if it did.
pub(crate) fn stopped_on(torrent: &ManagedTorrent) -> Option<String> {
    torrent.with_state(|state| match state {
        ManagedTorrentState::Error(error) => Some(format!("{error:#}")),
        _ => None,
    })
}

pub(crate) fn client(why: impl Into<String>) -> Failure {
    Failure::Torrent(TorrentFault::Client { why: why.into() })
}

fn ended() -> Failure {
    client("its session in this process has ended")
}
