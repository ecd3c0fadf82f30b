//! Stands before an HTTP port, counts who streams what, and cuts off.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use super::exchange::{Body, Head, Reading, Seen};

/// Bytes passed on at a time.
const PIECE: usize = 64 * 1024;

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

async fn connection(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let client = client.into_std()?;
    // The same socket, to look at it from elsewhere.
    let watched = Arc::new(client.try_clone()?);
    let mut client = TcpStream::from_std(client)?;
    let mut will = shared.will.subscribe();
    let before = will.borrow_and_update().cuts;
    let passing = async {
        let mut server = TcpStream::connect(shared.target).await?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let pass = Pass {
            shared,
            watched: &watched,
            pending: Mutex::default(),
        };
        tokio::select! {
            ended = pass.requests(from_client, to_server) => ended,
            ended = pass.answers(from_server, to_client) => ended,
        }
    };
    let ended = tokio::select! {
        biased;
        _ = will.wait_for(|will| will.refuse || will.cuts != before) => {
            Err(io::Error::other("cut off"))
        }
        ended = passing => ended,
    };
    if ended.is_err() {
        drop(client.set_zero_linger());
    }
    shared.seen().close(&watched);
    ended
}

/// What both directions of a connection share.
struct Pass<'a> {
    shared: &'a Shared,
    watched: &'a Arc<std::net::TcpStream>,
    /// Requests without their answers.
    pending: Mutex<VecDeque<Pending>>,
}

#[derive(Clone, Copy)]
struct Pending {
    head: bool,
    stream: bool,
}

impl Pass<'_> {
    async fn requests(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let (mut reading, mut buffer) = (Reading::new(), vec![0; PIECE]);
        loop {
            let got = from.read(&mut buffer).await?;
            if got == 0 {
                return Ok(());
            }
            self.unless_stalled().await;
            let mut left = &buffer[..got];
            while let Some(seen) = reading.next(&mut left).map_err(io::Error::other)? {
                if let Seen::Head(head) = seen {
                    reading.body(&head, Body::Request).map_err(io::Error::other)?;
                    self.asked(&head);
                }
            }
            to.write_all(&buffer[..got]).await?;
        }
    }

    async fn answers(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let (mut reading, mut buffer) = (Reading::new(), vec![0; PIECE]);
        let mut stream = false;
        loop {
            let got = from.read(&mut buffer).await?;
            if got == 0 {
                return Ok(());
            }
            self.unless_stalled().await;
            let mut left = &buffer[..got];
            while let Some(seen) = reading.next(&mut left).map_err(io::Error::other)? {
                match seen {
                    Seen::Head(head) => {
                        let (kind, pending) = self.answered(&head);
                        let over = reading.body(&head, kind).map_err(io::Error::other)?;
                        // An interim answer leaves the request open.
                        stream = pending.is_some_and(|pending| pending.stream);
                        if over && stream {
                            self.shared.seen().close(self.watched);
                        }
                    }
                    Seen::Body(bytes) if stream => self.shared.seen().bytes += bytes,
                    // Before the client can see it: its next request comes after this.
                    Seen::End if stream => self.shared.seen().close(self.watched),
                    Seen::Body(_) | Seen::End => {}
                }
            }
            to.write_all(&buffer[..got]).await?;
        }
    }

    async fn unless_stalled(&self) {
        let mut will = self.shared.will.subscribe();
        // Fails only if the sender is gone, which `shared` holds.
        drop(will.wait_for(|will| !will.stall).await);
    }

    fn asked(&self, head: &Head) {
        let mut words = head.words();
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default().to_owned();
        let stream = target.contains("/stream/");
        let pending = Pending {
            head: method == "HEAD",
            stream,
        };
        self.pending().push_back(pending);
        let mut seen = self.shared.seen();
        seen.asked.push(Asked {
            method,
            target,
            range: head.header("range").map(str::to_owned),
            stream,
        });
        if stream {
            seen.forget_the_gone();
            seen.open.push(Arc::clone(self.watched));
            seen.most = seen.most.max(seen.open.len());
        }
    }

    /// What body follows this head, and which request it answers for good.
    fn answered(&self, head: &Head) -> (Body, Option<Pending>) {
        let status = head.words().nth(1).unwrap_or_default();
        if status.starts_with('1') {
            return (Body::None, None);
        }
        let pending = self.pending().pop_front();
        let none = matches!(status, "204" | "304") || pending.is_some_and(|pending| pending.head);
        (if none { Body::None } else { Body::Answer }, pending)
    }

    fn pending(&self) -> MutexGuard<'_, VecDeque<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
