//! Stands before an HTTP port, counts who streams what, and cuts off.

mod pass;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use pass::connection;

/// A request that went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// GET, POST, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// Whether it asks for the bytes of a file.
    pub stream: bool,
}

/// What streams there are and were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Open now: asked for, the last byte not passed on yet, and neither side gone.
    pub open: usize,
    /// The most that were open at a time.
    pub most: usize,
    /// How often one was asked for.
    pub requests: usize,
    /// Bytes of files that came from the server, whether or not the client took them.
    pub bytes: u64,
}

/// A proxy for HTTP/1.1. Ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    seen: Mutex<Record>,
    will: watch::Sender<Will>,
}

/// What is to happen to connections.
#[derive(Clone, Copy, Debug, Default)]
struct Will {
    refuse: bool,
    stall: bool,
    /// Connections from before a change of it are reset.
    cuts: u64,
}

#[derive(Debug, Default)]
struct Record {
    asked: Vec<Asked>,
    most: usize,
    bytes: u64,
    /// The connection of each open stream.
    open: Vec<Arc<std::net::TcpStream>>,
}

impl Record {
    /// A client that closed its side may not be noticed yet by its own task.
    fn forget_the_gone(&mut self) {
        self.open.retain(|client| match client.peek(&mut [0]) {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        });
    }

    fn close(&mut self, client: &Arc<std::net::TcpStream>) {
        if let Some(at) = self.open.iter().position(|open| Arc::ptr_eq(open, client)) {
            self.open.remove(at);
        }
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Record> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Stands before this address on a free port of 127.0.0.1. Whoever is behind it may come and go.
    ///
    /// # Errors
    /// If there is no port or no thread.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            target,
            seen: Mutex::default(),
            will: watch::Sender::new(Will::default()),
        });
        let (ready, bound) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("rqbit-proxy".to_owned())
            .spawn(move || {
                if let Err(error) = serve(&serving, &ready, stopped) {
                    drop(ready.send(Err(error)));
                }
            })?;
        let addr = bound.recv().map_err(io::Error::other)??;
        Ok(Self {
            addr,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT/`.
    pub fn api_url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// `rqbit://127.0.0.1:PORT/`.
    pub fn rqbit_url(&self) -> String {
        format!("rqbit://{}/", self.addr)
    }

    /// What streams there are and were.
    pub fn streams(&self) -> StreamCounts {
        let mut seen = self.shared.seen();
        seen.forget_the_gone();
        StreamCounts {
            open: seen.open.len(),
            most: seen.most,
            requests: seen.asked.iter().filter(|asked| asked.stream).count(),
            bytes: seen.bytes,
        }
    }

    /// All requests, in their order.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.seen().asked.clone()
    }

    /// Begins to count anew; what is open stays open.
    pub fn clear(&self) {
        let mut seen = self.shared.seen();
        seen.forget_the_gone();
        seen.asked.clear();
        seen.bytes = 0;
        seen.most = seen.open.len();
    }

    /// As long as it is said: all connections are reset, new ones too.
    pub fn refuse(&self, refuse: bool) {
        self.shared.will.send_modify(|will| will.refuse = refuse);
    }

    /// As long as it is said: connections stay, but nothing passes.
    pub fn stall(&self, stall: bool) {
        self.shared.will.send_modify(|will| will.stall = stall);
    }

    /// Resets the connections there are.
    pub fn cut(&self) {
        self.shared.will.send_modify(|will| will.cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Until `stopped`; the end of the runtime closes all connections.
fn serve(
    shared: &Arc<Shared>,
    ready: &mpsc::Sender<io::Result<SocketAddr>>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        drop(ready.send(listener.local_addr()));
        tokio::select! {
            _ = stopped => Ok(()),
            error = accept(&listener, shared) => Err(error),
        }
    })
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) -> io::Error {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    if let Err(error) = connection(client, &shared).await {
                        tracing::debug!(%error, "a connection through the proxy ended");
                    }
                });
            }
            Err(error) => return error,
        }
    }
}
