//! A raw parallel client: the baseline of benches. No retries, no checks beyond the length, no cleverness.
//!
//! A fixed set of connections, each a plain HTTP/1.1 one that is driven by a task of its own; each takes the next
//! request of a shared list when it has finished its last. What a range engine adds in cost, and what it cannot beat
//! in speed, shows against this.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use forebay_types::ByteRange;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How the raw client reads.
#[derive(Clone, Debug)]
pub struct RawClient {
    /// The codec's read buffer in bytes. 512 KiB is what large bodies take best; the codec's own default is 408 KiB.
    pub max_buf_size: usize,
}

/// Where bytes go.
#[derive(Clone, Debug)]
pub enum Sink {
    /// Nowhere.
    Discard,
    /// To their own offset in a file, with one `pwrite` per frame from the task that received it.
    File(Arc<File>),
}

/// What it took.
#[derive(Clone, Debug, Default)]
pub struct RawReport {
    /// Wall time from the first connection to the last byte.
    pub wall: Duration,
    /// Body bytes received.
    pub bytes: u64,
    /// Requests answered.
    pub requests: usize,
    /// Of each request, from sending it to its last byte, in the order of their ends.
    pub latencies: Vec<Duration>,
}

impl RawReport {
    /// 10^6 bytes per second.
    pub fn mb_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.wall.as_secs_f64()
    }

    /// The latency that this share of requests (0.5, 0.99) did not exceed.
    pub fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted
            .get(rank.clamp(1, sorted.len().max(1)) - 1)
            .copied()
            .unwrap_or_default()
    }
}

/// One request: a path (`/bucket/key`), and a range of it or all.
#[derive(Clone, Debug)]
struct Job {
    path: Arc<str>,
    range: Option<ByteRange>,
}

impl Default for RawClient {
    fn default() -> Self {
        Self {
            max_buf_size: 512 * 1024,
        }
    }
}

impl RawClient {
    /// Reads one object of `size` bytes in parts. Dropped: its connections end.
    pub async fn fetch(
        &self,
        addr: SocketAddr,
        path: &str,
        size: u64,
        part_size: u64,
        connections: usize,
        sink: Sink,
    ) -> io::Result<RawReport> {
        let mut rest = ByteRange::new(0, size);
        let mut ranges = Vec::new();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(part_size.max(1));
            ranges.push(part);
            rest = after;
        }
        self.run(addr, jobs(path, &ranges), connections, sink).await
    }

    /// Reads these ranges of one object. Dropped: its connections end.
    pub async fn fetch_ranges(
        &self,
        addr: SocketAddr,
        path: &str,
        ranges: &[ByteRange],
        connections: usize,
    ) -> io::Result<RawReport> {
        self.run(addr, jobs(path, ranges), connections, Sink::Discard)
            .await
    }

    /// Reads whole objects. Dropped: its connections end.
    pub async fn fetch_many(
        &self,
        addr: SocketAddr,
        paths: &[String],
        connections: usize,
    ) -> io::Result<RawReport> {
        let jobs = paths
            .iter()
            .map(|path| Job {
                path: path.as_str().into(),
                range: None,
            })
            .collect();
        self.run(addr, jobs, connections, Sink::Discard).await
    }

    async fn run(
        &self,
        addr: SocketAddr,
        jobs: Vec<Job>,
        connections: usize,
        sink: Sink,
    ) -> io::Result<RawReport> {
        let (jobs, next) = (Arc::new(jobs), Arc::new(AtomicUsize::new(0)));
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..connections.max(1) {
            let (jobs, next, sink) = (Arc::clone(&jobs), Arc::clone(&next), sink.clone());
            let max_buf_size = self.max_buf_size;
            tasks.spawn(async move {
                let mut connection = Connection::open(addr, max_buf_size).await?;
                let mut done = Vec::new();
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    done.push(connection.get(job, &sink).await?);
                }
                io::Result::Ok(done)
            });
        }
        let mut report = RawReport::default();
        while let Some(done) = tasks.join_next().await {
            for (bytes, latency) in done.map_err(io::Error::other)?? {
                report.bytes += bytes;
                report.requests += 1;
                report.latencies.push(latency);
            }
        }
        report.wall = start.elapsed();
        Ok(report)
    }
}

fn jobs(path: &str, ranges: &[ByteRange]) -> Vec<Job> {
    let path: Arc<str> = path.into();
    ranges
        .iter()
        .map(|range| Job {
            path: Arc::clone(&path),
            range: Some(*range),
        })
        .collect()
}

struct Connection {
    host: String,
    sender: SendRequest<Empty<Bytes>>,
    /// Holds the task that drives the connection; it ends when this is dropped.
    _driver: JoinSet<()>,
}

impl Connection {
    async fn open(addr: SocketAddr, max_buf_size: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(max_buf_size)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // A failure reaches the request that waits for it.
            drop(connection.await);
        });
        Ok(Self {
            host: addr.to_string(),
            sender,
            _driver: driver,
        })
    }

    /// Bytes received, and how long they took.
    async fn get(&mut self, job: &Job, sink: &Sink) -> io::Result<(u64, Duration)> {
        let start = Instant::now();
        let mut request = Request::get(job.path.as_ref()).header(header::HOST, &self.host);
        if let Some(range) = job.range {
            request = request.header(
                header::RANGE,
                format!("bytes={}-{}", range.start(), range.end() - 1),
            );
        }
        let request = request.body(Empty::new()).map_err(io::Error::other)?;
        self.sender.ready().await.map_err(io::Error::other)?;
        let response = self
            .sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        if !response.status().is_success() {
            return Err(io::Error::other(format!(
                "GET {} answered {}",
                job.path,
                response.status()
            )));
        }
        let first = job.range.map_or(0, ByteRange::start);
        let mut received = 0;
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(io::Error::other)?.into_data() else {
                continue;
            };
            if let Sink::File(file) = sink {
                file.write_all_at(&bytes, first + received)?;
            }
            received += bytes.len() as u64;
        }
        match job.range {
            Some(range) if range.len() != received => Err(io::Error::other(format!(
                "GET {} gave {received} bytes, not {}",
                job.path,
                range.len()
            ))),
            _ => Ok((received, start.elapsed())),
        }
    }
}
