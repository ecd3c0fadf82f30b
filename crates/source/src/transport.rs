//! The one HTTP transport under every remote store: hyper's HTTP/1.1 codec on connections of our own pool.
//!
//! A request enters at [`Transport::send`]. It takes an idle connection of its host from the `pool`, or a new one
//! from `connect` (TCP or TLS, addresses in random order). The response's body is a [`Body`] that **drives its
//! connection itself**: there is no task per connection, so bytes do not cross threads between socket and
//! reader; when the last byte is out, the connection goes back to the pool, and when the body is dropped before
//! that, the connection is closed. [`Service`] puts object_store on top: it turns failing statuses into typed
//! [`Failure`]s and repeats what may be repeated. Why not reqwest: docs/decisions/0002-http-transport.md.

mod auth;
mod body;
mod connect;
mod failure;
mod list_guard;
mod meter;
mod pool;
mod service;

use std::sync::Arc;
use std::time::Duration;

use forebay_types::{Clock, SystemClock};
use http::{Request, Response};
use object_store::client::HttpRequestBody;

pub(crate) use auth::Auth;
pub use body::Body;
pub use failure::{Failure, xml_element};
pub use meter::WireMeter;
pub use service::{Connector, EngineRead, FreshConnection, Service, jitter};
pub(crate) use service::{collect, send_repeating, status_failure};

use connect::Dialer;
use pool::Pool;

/// How connections are made and kept.
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// Deadline for name look-up, TCP and TLS together. 5 s, as most clients: more only delays the error.
    pub connect_timeout: Duration,
    /// An idle connection older than this is not used again. 20 s, below the idle limit of the common servers
    /// (S3 closes after about 20-30 s, nginx after 75 s), because a request into a closing connection is lost.
    pub idle_timeout: Duration,
    /// Largest read of one system call, in bytes, and so the largest chunk handed on. 128 KiB stays in the
    /// second-level cache between the kernel's copy and the next one (docs/benchmarks.md, transport).
    pub read_buffer: usize,
    /// Longest wait for the head of a response, and for the next bytes of its body. 30 s: a listing of a cold
    /// bucket may think for seconds; the range engine has a shorter deadline of its own.
    pub stall_timeout: Duration,
    /// Certificates (PEM) to trust in addition to the system's.
    pub extra_roots: Option<std::path::PathBuf>,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(20),
            read_buffer: 128 * 1024,
            stall_timeout: Duration::from_secs(30),
            extra_roots: None,
        }
    }
}

/// A shared HTTP/1.1 client. Cheap to clone; clones share connections and counters.
#[derive(Clone, Debug)]
pub struct Transport {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dialer: Dialer,
    pool: Arc<Pool>,
    meter: Arc<WireMeter>,
    stall_timeout: Duration,
}

impl Transport {
    /// A transport with its own, empty pool.
    pub fn new(options: TransportOptions) -> Self {
        Self::with_clock(options, Arc::new(SystemClock::new()))
    }

    /// As [`Self::new`], with idle connections aged by `clock`.
    pub fn with_clock(options: TransportOptions, clock: Arc<dyn Clock>) -> Self {
        let pool = Arc::new(Pool::new(options.idle_timeout, clock));
        let meter = Arc::new(WireMeter::default());
        let stall_timeout = options.stall_timeout;
        Self {
            inner: Arc::new(Inner {
                dialer: Dialer::new(options),
                pool,
                meter,
                stall_timeout,
            }),
        }
    }

    /// What went over the wire so far.
    pub fn meter(&self) -> &WireMeter {
        &self.inner.meter
    }

    /// Connections that wait in the pool.
    pub fn idle_connections(&self) -> usize {
        self.inner.pool.len()
    }

    /// Sends `request` (its URI absolute) and returns when the head of the response is there.
    ///
    /// A request that met a connection which the server had just closed is sent once more on a new one, if its
    /// method is safe or nothing of it was sent.
    ///
    /// # Errors
    /// [`Failure::Stalled`] if no head comes within the stall deadline (longer for a large request body).
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection it used; the request may or may not have been carried out.
    pub async fn send(&self, request: Request<HttpRequestBody>) -> Result<Response<Body>, Failure> {
        // The head comes after the request's body is through: allow for an uplink of 256 KiB/s.
        let upload = Duration::from_secs(request.body().content_length() as u64 / (256 * 1024));
        let after = self.inner.stall_timeout + upload;
        tokio::time::timeout(after, self.send_without_deadline(request))
            .await
            .unwrap_or(Err(Failure::Stalled {
                what: "the head of the response",
                after,
            }))
    }

    async fn send_without_deadline(
        &self,
        request: Request<HttpRequestBody>,
    ) -> Result<Response<Body>, Failure> {
        let Inner {
            dialer, pool, meter, ..
        } = &*self.inner;
        let key = pool::Key::of(request.uri())?;
        let fresh = request.extensions().get::<FreshConnection>().is_some();
        let safe = request.method().is_safe();
        let ends = body::Ends {
            key,
            pool: pool.clone(),
            meter: meter.clone(),
            stall: self.inner.stall_timeout,
        };
        let mut request = request;
        while !fresh && let Some(connection) = pool.take(&ends.key) {
            let copy = safe.then(|| request.clone());
            meter.sent(request.method());
            match connection.exchange(request, &ends).await {
                Ok(response) => return Ok(response),
                Err(lost) => {
                    // The server closed while we chose the connection: ours to mend, not the caller's.
                    meter.reused_dead();
                    match (lost.unsent, copy) {
                        (Some(unsent), _) => request = *unsent,
                        (None, Some(copy)) if lost.failure.is_closed_before_answer() => request = copy,
                        _ => return Err(lost.failure),
                    }
                }
            }
        }
        let connection = dialer.dial(&ends.key).await?;
        meter.connected();
        meter.sent(request.method());
        connection
            .exchange(request, &ends)
            .await
            .map_err(|lost| lost.failure)
    }
}
