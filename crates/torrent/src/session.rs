//! The session and its threads.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay_source::{Failure, InfoHash, TorrentFault};
use librqbit::api::TorrentIdOrHash;
use librqbit::dht::Id20;
use librqbit::limits::LimitsConfig;
use librqbit::{Api, DhtSessionConfig, ListenerOptions, ManagedTorrent, Session, SessionOptions};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::error::TorrentError;
use crate::options::TorrentOptions;

/// What can be read and written at a time, streams included. librqbit's own default of 8 stands still once 8 streams
/// wait for what would have to be written first. A place costs nothing until it blocks, and then a thread.
const PLACES: usize = 64;

/// What peers ask each other for at a time.
const BLOCK: u32 = 16 * 1024;

/// How long reads and writes that have begun may take at the end.
const STOP: Duration = Duration::from_secs(5);

/// A session of librqbit. Dropping it ends all it does: connections, streams, threads. What came is on disk by then.
pub struct InProcess {
    pub(crate) api: Api,
    pub(crate) directory: PathBuf,
    pub(crate) peers: Vec<SocketAddr>,
    workers: Workers,
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the torrent client in this process")
    }
}

impl InProcess {
    /// Starts one. HTTPS trackers are asked with the TLS of the process: ring's, unless there is another one already.
    ///
    /// Dropping the future gives it up.
    ///
    /// # Errors
    /// [`TorrentError::Directory`], [`TorrentError::Limit`] or [`TorrentError::Start`].
    pub async fn start(options: TorrentOptions) -> Result<Self, TorrentError> {
        for limit in [options.upload_bps, options.download_bps].into_iter().flatten() {
            if limit.get() < BLOCK {
                return Err(TorrentError::Limit { limit: limit.get() });
            }
        }
        let TorrentOptions {
            directory,
            listen,
            dht,
            upload_bps,
            download_bps,
            peers,
        } = options;
        // librqbit takes paths as text.
        if directory.to_str().is_none() {
            return Err(TorrentError::Directory {
                directory,
                why: "its name is not UTF-8".to_owned(),
            });
        }
        // Fails if there is one, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let start = |why: String| TorrentError::Start { why };
        let workers = Workers::start().map_err(|error| start(error.to_string()))?;
        let folder = directory.clone();
        let session = workers
            .run(async move {
                create(&folder)?;
                let options = session_options(listen, dht, upload_bps, download_bps);
                let session = Session::new_with_opts(folder, options).await;
                session.map_err(|error| TorrentError::Start {
                    why: format!("{error:#}"),
                })
            })
            .await
            .unwrap_or_else(|why| Err(start(why)))?;
        Ok(Self {
            api: Api::new(session, None, None),
            directory,
            peers,
            workers,
        })
    }

    /// Where peers may connect to, if they may.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        self.api.session().listen_addr()
    }

    /// Runs this on the session's threads; dropping the future ends it. Why it did not come to its end, if it did not.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        self.workers.run(work).await
    }

    /// The same without an answer, for as long as what it returns is kept.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<Task<()>, String> {
        self.workers.spawn(work)
    }

    pub(crate) fn torrent(&self, hash: InfoHash) -> Result<Arc<ManagedTorrent>, Failure> {
        let torrent = self.api.session().get(id(hash));
        torrent.ok_or(Failure::Torrent(TorrentFault::Gone { hash }))
    }
}

pub(crate) fn id(hash: InfoHash) -> TorrentIdOrHash {
    TorrentIdOrHash::Hash(Id20::new(hash.0))
}

fn create(directory: &Path) -> Result<(), TorrentError> {
    std::fs::create_dir_all(directory).map_err(|error| TorrentError::Directory {
        directory: directory.to_owned(),
        why: error.to_string(),
    })
}

fn session_options(
    listen: Option<SocketAddr>,
    dht: bool,
    upload_bps: Option<NonZeroU32>,
    download_bps: Option<NonZeroU32>,
) -> SessionOptions {
    SessionOptions {
        // Without a file of its own in the user's home.
        dht: dht.then(|| DhtSessionConfig {
            persistence: None,
            ..DhtSessionConfig::default()
        }),
        listen: listen.map(|listen_addr| ListenerOptions {
            listen_addr,
            ..ListenerOptions::default()
        }),
        runtime_worker_threads: Some(PLACES),
        ratelimits: LimitsConfig {
            upload_bps,
            download_bps,
        },
        // Nothing is told to the local network that nobody asked for.
        disable_local_service_discovery: true,
        ..SessionOptions::default()
    }
}

/// A task that ends when this is dropped.
pub(crate) struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Threads. Dropping it ends them, wherever it is dropped.
struct Workers(Option<Runtime>);

impl Workers {
    fn start() -> std::io::Result<Self> {
        // Network and hashing; what blocks on a disk gets threads of its own.
        let threads = std::thread::available_parallelism().map_or(2, |cpus| cpus.get().clamp(2, 4));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("forebay-torrent")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<Task<T>, String> {
        let runtime = self.0.as_ref().ok_or("the session has ended")?;
        Ok(Task(runtime.spawn(work)))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        let mut task = self.spawn(work)?;
        (&mut task.0).await.map_err(|error| error.to_string())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let Some(runtime) = self.0.take() else { return };
        // Not here: this may be a thread of another runtime, which must not wait for one. Where there is no thread to
        // be had, the runtime went with the closure, in the background.
        let ending = std::thread::Builder::new().spawn(move || runtime.shutdown_timeout(STOP));
        if let Ok(ending) = ending {
            drop(ending.join());
        }
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.api.session().cancellation_token().cancel();
    }
}
