//! A session that runs.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use librqbit::api::TorrentIdOrHash;
use librqbit::storage::StorageFactoryExt;
use librqbit::{AddTorrent, AddTorrentOptions, ManagedTorrent, Session, TorrentStatsState};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::builder::RqbitBuilder;
use super::metainfo::Torrent;
use super::proxy::Proxy;
use super::storage::Nothing;
use super::workers::{PATIENCE, Workers};

/// A session of rqbit with its HTTP API. Ends, with all its connections and threads, when it is dropped: as if killed,
/// so that what it has to say to nobody is not said.
///
/// Its methods wait for threads of its own: they may be called anywhere.
pub struct Rqbit {
    // Ends before the rest goes.
    workers: Workers,
    running: Running,
    _scratch: Option<TempDir>,
}

/// What is there once it runs.
pub(crate) struct Running {
    pub(crate) session: Arc<Session>,
    pub(crate) http: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) auth: Option<(String, String)>,
}

impl fmt::Debug for Rqbit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rqbit")
            .field("http", &self.running.http)
            .field("peer", &self.running.peer)
            .finish_non_exhaustive()
    }
}

impl Rqbit {
    /// One that is as follows.
    pub fn builder() -> RqbitBuilder {
        RqbitBuilder::default()
    }

    pub(crate) fn new(workers: Workers, running: Running, scratch: Option<TempDir>) -> Self {
        Self {
            workers,
            running,
            _scratch: scratch,
        }
    }

    /// Its HTTP API: `http://127.0.0.1:PORT/`.
    pub fn api_url(&self) -> String {
        format!("http://{}/", self.running.http)
    }

    /// The same for Forebay: `rqbit://127.0.0.1:PORT/`.
    pub fn rqbit_url(&self) -> String {
        format!("rqbit://{}/", self.running.http)
    }

    /// The port of its HTTP API.
    pub fn http_port(&self) -> u16 {
        self.running.http.port()
    }

    /// Where peers find it.
    pub fn peer_addr(&self) -> SocketAddr {
        self.running.peer
    }

    /// A [`Proxy`] before its HTTP API.
    ///
    /// # Errors
    /// If there is no port or no thread.
    pub fn proxy(&self) -> io::Result<Proxy> {
        Proxy::start(self.running.http)
    }

    /// Has a torrent whose data is in `data` already (for several files: the directory that holds them), and serves it.
    ///
    /// # Errors
    /// If it is not all there.
    pub fn seed(&self, torrent: &Torrent, data: &Path) -> io::Result<()> {
        let folder = data
            .to_str()
            .ok_or_else(|| io::Error::other("not a path of UTF-8"))?;
        let options = AddTorrentOptions {
            overwrite: true,
            output_folder: Some(folder.to_owned()),
            ..AddTorrentOptions::default()
        };
        self.add_with(torrent, options)?;
        let handle = self.handle(torrent.hash())?;
        let check = Arc::clone(&handle);
        self.workers
            .run(async move { check.wait_until_initialized().await })?;
        let stats = handle.stats();
        if stats.finished {
            return Ok(());
        }
        let (here, total) = (stats.progress_bytes, stats.total_bytes);
        Err(io::Error::other(format!(
            "{here} of {total} bytes in {folder} are those of the torrent"
        )))
    }

    /// Downloads a torrent from these peers into its directory; for several files, into one of the torrent's name there.
    ///
    /// # Errors
    /// If the session refuses it.
    pub fn add(&self, torrent: &Torrent, peers: &[SocketAddr]) -> io::Result<()> {
        let options = AddTorrentOptions {
            overwrite: true,
            initial_peers: Some(peers.to_vec()),
            ..AddTorrentOptions::default()
        };
        self.add_with(torrent, options)
    }

    /// The same, without a beginning: [`Self::start_torrent`] begins.
    ///
    /// # Errors
    /// If the session refuses it.
    pub fn add_paused(&self, torrent: &Torrent, peers: &[SocketAddr]) -> io::Result<()> {
        let options = AddTorrentOptions {
            paused: true,
            overwrite: true,
            initial_peers: Some(peers.to_vec()),
            ..AddTorrentOptions::default()
        };
        self.add_with(torrent, options)
    }

    /// Has a torrent, but never a byte of it: for names that no disk would take. Not in a session with a directory.
    ///
    /// # Errors
    /// If the session refuses it: rqbit takes no `..`, no slash and no name twice.
    pub fn add_without_data(&self, torrent: &Torrent) -> io::Result<()> {
        let options = AddTorrentOptions {
            paused: true,
            storage_factory: Some(Nothing.boxed()),
            ..AddTorrentOptions::default()
        };
        self.add_with(torrent, options)
    }

    fn add_with(&self, torrent: &Torrent, options: AddTorrentOptions) -> io::Result<()> {
        let (session, bytes) = (Arc::clone(&self.running.session), torrent.bytes());
        self.workers.run(async move {
            let add = AddTorrent::from_bytes(bytes);
            session.add_torrent(add, Some(options)).await.map(drop)
        })
    }

    /// Neither downloads nor uploads a torrent any longer.
    ///
    /// # Errors
    /// If there is none of this hash, or it is not running.
    pub fn pause(&self, hash: &str) -> io::Result<()> {
        let (session, handle) = (Arc::clone(&self.running.session), self.handle(hash)?);
        self.workers.run(async move {
            // A pause while it is checked would only take place after that.
            handle.wait_until_initialized().await?;
            session.pause(&handle).await
        })
    }

    /// Goes on with a torrent.
    ///
    /// # Errors
    /// If there is none of this hash, or it runs.
    pub fn start_torrent(&self, hash: &str) -> io::Result<()> {
        let (session, handle) = (Arc::clone(&self.running.session), self.handle(hash)?);
        self.workers.run(async move {
            handle.wait_until_initialized().await?;
            session.unpause(&handle).await
        })
    }

    /// Forgets a torrent; its data stays.
    ///
    /// # Errors
    /// If there is none of this hash.
    pub fn remove(&self, hash: &str) -> io::Result<()> {
        self.end(hash, false)
    }

    /// Forgets a torrent and deletes its data.
    ///
    /// # Errors
    /// If there is none of this hash, or its files stay.
    pub fn delete(&self, hash: &str) -> io::Result<()> {
        self.end(hash, true)
    }

    fn end(&self, hash: &str, files: bool) -> io::Result<()> {
        let session = Arc::clone(&self.running.session);
        let hash = parsed(hash)?;
        self.workers.run(async move { session.delete(hash, files).await })
    }

    /// Connects to one more peer, through the HTTP API: nothing else can.
    ///
    /// # Errors
    /// If there is no torrent of this hash, or it does not run.
    pub fn add_peer(&self, hash: &str, peer: SocketAddr) -> io::Result<()> {
        let handle = self.handle(hash)?;
        let http = self.running.http;
        let authorization = self.authorization();
        let authorization =
            authorization.map_or(String::new(), |value| format!("authorization: {value}\r\n"));
        let (path, body) = (format!("/torrents/{hash}/add_peers"), peer.to_string());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {http}\r\n{authorization}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        self.workers.run(async move {
            handle.wait_until_initialized().await?;
            let mut stream = TcpStream::connect(http).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            let ok = answer.starts_with("HTTP/1.1 200 ");
            anyhow::ensure!(ok, "the peer was not added: {answer}");
            Ok(())
        })
    }

    /// What a request has to bring as its `Authorization`, if anything.
    pub fn authorization(&self) -> Option<String> {
        let (user, password) = self.running.auth.as_ref()?;
        let pair = STANDARD.encode(format!("{user}:{password}"));
        Some(format!("Basic {pair}"))
    }

    /// Bytes per second that it sends to peers from now on.
    pub fn set_upload_bps(&self, limit: Option<u32>) {
        let limit = limit.and_then(NonZeroU32::new);
        self.running.session.ratelimits.set_upload_bps(limit);
    }

    /// Bytes per second that it takes from peers from now on.
    pub fn set_download_bps(&self, limit: Option<u32>) {
        let limit = limit.and_then(NonZeroU32::new);
        self.running.session.ratelimits.set_download_bps(limit);
    }

    /// Bytes of a torrent that are here, and those of all of it.
    ///
    /// # Errors
    /// If there is none of this hash.
    pub fn progress(&self, hash: &str) -> io::Result<(u64, u64)> {
        let stats = self.handle(hash)?.stats();
        let here = match stats.state {
            // Bytes of the disk that it has looked at.
            TorrentStatsState::Initializing { .. } => 0,
            _ => stats.progress_bytes,
        };
        Ok((here, stats.total_bytes))
    }

    /// The hashes of its torrents.
    pub fn torrents(&self) -> Vec<String> {
        let session = &self.running.session;
        session.with_torrents(|all| all.map(|(_, torrent)| torrent.info_hash().as_string()).collect())
    }

    /// Waits until all of a torrent is here.
    ///
    /// # Errors
    /// If there is none of this hash, it stops on an error, or not in time.
    pub fn wait_finished(&self, hash: &str, patience: Duration) -> io::Result<()> {
        let handle = self.handle(hash)?;
        self.workers.run_for(patience + PATIENCE, async move {
            let done = tokio::time::timeout(patience, handle.wait_until_completed()).await;
            done.unwrap_or_else(|_| {
                let stats = handle.stats();
                Err(anyhow::anyhow!(
                    "the torrent is not finished after {patience:?}: {stats}"
                ))
            })
        })
    }

    fn handle(&self, hash: &str) -> io::Result<Arc<ManagedTorrent>> {
        let handle = self.running.session.get(parsed(hash)?);
        handle.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no torrent {hash}")))
    }
}

impl Drop for Rqbit {
    fn drop(&mut self) {
        self.running.session.cancellation_token().cancel();
    }
}

fn parsed(hash: &str) -> io::Result<TorrentIdOrHash> {
    TorrentIdOrHash::parse(hash).map_err(|error| io::Error::other(format!("{error:#}")))
}
