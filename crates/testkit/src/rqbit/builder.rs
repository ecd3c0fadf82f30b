//! What a session is to be like, and its start.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use librqbit::http_api::{HttpApi, HttpApiOptions};
use librqbit::limits::LimitsConfig;
use librqbit::{Api, ListenerMode, ListenerOptions, Session, SessionOptions, SessionPersistenceConfig};
use librqbit_dualstack_sockets::{BindOpts, TcpListener};
use tempfile::TempDir;

use super::session::{Rqbit, Running};
use super::workers::Workers;

/// What `rqbit server` takes if nothing is said (`--max-blocking-threads`).
const PERMITS: usize = 8;

/// What peers ask each other for at a time; a limit below it would let nothing through at all.
const BLOCK: u32 = 16 * 1024;

/// What an [`Rqbit`] is to be like.
#[derive(Clone, Debug)]
pub struct RqbitBuilder {
    auth: Option<(String, String)>,
    upload_bps: Option<u32>,
    download_bps: Option<u32>,
    permits: usize,
    directory: Option<PathBuf>,
    http_port: u16,
    peer_port: u16,
}

impl Default for RqbitBuilder {
    fn default() -> Self {
        Self {
            auth: None,
            upload_bps: None,
            download_bps: None,
            permits: PERMITS,
            directory: None,
            http_port: 0,
            peer_port: 0,
        }
    }
}

impl RqbitBuilder {
    /// Every request has to bring this (HTTP Basic). Default: none.
    #[must_use]
    pub fn auth(mut self, user: &str, password: &str) -> Self {
        self.auth = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Bytes per second that it sends to peers, 16 KiB at least. The first second lets twice of it through. Default: no
    /// limit.
    #[must_use]
    pub fn upload_bps(mut self, limit: u32) -> Self {
        self.upload_bps = Some(limit);
        self
    }

    /// Bytes per second that it takes from peers, 16 KiB at least. The first second lets twice of it through. Default:
    /// no limit.
    #[must_use]
    pub fn download_bps(mut self, limit: u32) -> Self {
        self.download_bps = Some(limit);
        self
    }

    /// How many streams can be open at a time; what is written, and what is read for peers, needs a place too. Default:
    /// 8, as of rqbit's own program.
    #[must_use]
    pub fn blocking_permits(mut self, permits: usize) -> Self {
        self.permits = permits;
        self
    }

    /// Where it keeps what it downloads, and, in the directory `session` below, what torrents it has: another one that
    /// is started on it later has them too. Default: a directory that is gone with it.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// The port of the HTTP API. Default: one that is free.
    #[must_use]
    pub fn http_port(mut self, port: u16) -> Self {
        self.http_port = port;
        self
    }

    /// The port for peers. Default: one that is free.
    #[must_use]
    pub fn peer_port(mut self, port: u16) -> Self {
        self.peer_port = port;
        self
    }

    /// Starts it, on threads of its own. It serves when this returns.
    ///
    /// # Errors
    /// If a port is taken, the directory cannot be used, or a limit is too small.
    pub fn start(self) -> io::Result<Rqbit> {
        for limit in [self.upload_bps, self.download_bps].into_iter().flatten() {
            if limit < BLOCK {
                let why =
                    format!("a limit of {limit} bytes per second lets nothing through: {BLOCK} at least");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
        let scratch = match &self.directory {
            Some(_) => None,
            None => Some(TempDir::new()?),
        };
        // reqwest, which librqbit holds, asks for it if any crate of the build switches its TLS on. It fails if there
        // is one already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let workers = Workers::start()?;
        let directory = match (&self.directory, &scratch) {
            (Some(directory), _) => directory.clone(),
            (None, Some(scratch)) => scratch.path().to_owned(),
            (None, None) => PathBuf::new(),
        };
        let running = workers.run(self.run(directory))?;
        Ok(Rqbit::new(workers, running, scratch))
    }

    async fn run(self, directory: PathBuf) -> anyhow::Result<Running> {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let persistence = self.directory.is_some().then(|| SessionPersistenceConfig::Json {
            folder: Some(directory.join("session")),
        });
        let options = SessionOptions {
            dht: None,
            disable_trackers: true,
            fastresume: persistence.is_some(),
            persistence,
            listen: Some(ListenerOptions {
                mode: ListenerMode::TcpOnly,
                listen_addr: loopback(self.peer_port),
                ipv4_only: true,
                ..ListenerOptions::default()
            }),
            runtime_worker_threads: Some(self.permits),
            ratelimits: LimitsConfig {
                upload_bps: self.upload_bps.and_then(NonZeroU32::new),
                download_bps: self.download_bps.and_then(NonZeroU32::new),
            },
            disable_local_service_discovery: true,
            ipv4_only: true,
            ..SessionOptions::default()
        };
        let session = Session::new_with_opts(directory, options).await?;
        let peer = session
            .listen_addr()
            .ok_or_else(|| anyhow::anyhow!("the session does not listen"))?;
        let bind = BindOpts {
            request_dualstack: false,
            ..BindOpts::default()
        };
        let listener = TcpListener::bind_tcp(loopback(self.http_port), bind)?;
        let http = listener.bind_addr();
        let options = HttpApiOptions {
            basic_auth: self.auth.clone(),
            allow_create: true,
            ..HttpApiOptions::default()
        };
        let server = HttpApi::new(Api::new(session.clone(), None, None), Some(options));
        tokio::spawn(server.make_http_api_and_run(listener, None));
        Ok(Running {
            session,
            http,
            peer,
            auth: self.auth,
        })
    }
}
