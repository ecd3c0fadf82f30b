//! A server that says exactly what a test tells it to, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What comes back for one request.
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    /// Whether the connection is closed after it.
    pub(crate) close: bool,
}

impl Reply {
    /// `head` is the status line and headers, each line ended by a newline; a length is added.
    pub(crate) fn of(head: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = head.trim().replace('\n', "\r\n");
        let mut bytes = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        Self { bytes, close: false }
    }

    /// Exactly these bytes, then the end of the connection.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            close: true,
        }
    }
}

/// A running server; ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request by its head and its number.
    pub(crate) async fn start(answer: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", answer).await.unwrap()
    }

    pub(crate) async fn at(
        addr: &str,
        answer: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        crate::world::init_logging();
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (heads.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move {
                    let _ = converse(stream, &seen, &*answer).await;
                });
            }
        });
        Ok(Self { addr, heads })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The heads of all requests so far, in lower case but for the first line.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

async fn converse(
    mut stream: TcpStream,
    seen: &Mutex<Vec<String>>,
    answer: &(dyn Fn(&str, usize) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let mut unread = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut unread).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&unread[..end]).into_owned();
        unread.drain(..end);
        let (first, rest) = head.split_once("\r\n").unwrap();
        let head = format!("{first}\n{}", rest.to_ascii_lowercase());
        let length = head.lines().find_map(|line| {
            line.strip_prefix("content-length: ")?
                .trim()
                .parse::<usize>()
                .ok()
        });
        while unread.len() < length.unwrap_or(0) {
            if stream.read_buf(&mut unread).await? == 0 {
                return Ok(());
            }
        }
        unread.drain(..length.unwrap_or(0));
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(head.clone());
            seen.len() - 1
        };
        let reply = answer(&head, number);
        stream.write_all(&reply.bytes).await?;
        if reply.close {
            return stream.shutdown().await;
        }
    }
}
