//! Idle connections, and one exchange of request and response on a connection.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use forebay_types::Clock;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use object_store::client::HttpRequestBody;

use super::body::{Body, Ends};
use super::connect::Stream;
use super::failure::Failure;

/// Where a connection leads to: only requests with an equal key may share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    authority: Authority,
}

impl Key {
    pub(super) fn of(uri: &Uri) -> Result<Self, Failure> {
        let bad = |why| Failure::BadUri { why };
        let authority = uri.authority().ok_or(bad("it names no host"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(bad("only http and https can be spoken")),
        };
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        // Only host and port: user info must not reach the Host header or a message.
        let authority = match authority.as_str().rsplit_once('@') {
            Some((_, rest)) => rest.parse().map_err(|_| bad("its host is malformed"))?,
            None => authority.clone(),
        };
        Ok(Self {
            tls,
            host,
            port,
            authority,
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

type Wire = http1::Connection<TokioIo<Stream>, HttpRequestBody>;

/// A connection with nobody but us to move it: whoever owns it polls it.
pub(super) struct Connection {
    sender: http1::SendRequest<HttpRequestBody>,
    wire: Pin<Box<Wire>>,
}

/// A request that got no response.
pub(super) struct Lost {
    pub(super) failure: Failure,
    /// The request, if none of it was sent.
    pub(super) unsent: Option<Box<Request<HttpRequestBody>>>,
}

impl Connection {
    pub(super) fn new(sender: http1::SendRequest<HttpRequestBody>, wire: Wire) -> Self {
        Self {
            sender,
            wire: Box::pin(wire),
        }
    }

    /// Moves bytes; ready when the connection is over.
    pub(super) fn poll_wire(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.wire.as_mut().poll(cx)
    }

    /// Lets the connection finish the last exchange; true if it can carry another one.
    pub(super) fn settle(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_wire(&mut cx).is_pending() && self.sender.is_ready()
    }

    /// Sends one request and waits for the head of its response. The body then owns the connection.
    pub(super) async fn exchange(
        mut self,
        mut request: Request<HttpRequestBody>,
        ends: &Ends,
    ) -> Result<Response<Body>, Lost> {
        if !request.headers().contains_key(header::HOST)
            && let Ok(host) = HeaderValue::from_str(ends.key.authority.as_str())
        {
            request.headers_mut().insert(header::HOST, host);
        }
        // HTTP/1.1 to an origin server: the request target is path and query only (RFC 9112 §3.2.1).
        if let Some(target) = request.uri().path_and_query().cloned() {
            *request.uri_mut() = Uri::from(target);
        }
        let head_only = request.method() == http::Method::HEAD;
        let answer = {
            let mut response = pin!(self.sender.try_send_request(request));
            let wire = &mut self.wire;
            let mut over = None;
            poll_fn(move |cx| {
                loop {
                    if let Poll::Ready(answer) = response.as_mut().poll(cx) {
                        return Poll::Ready(answer.map_err(|e| (e, over.take())));
                    }
                    if over.is_some() {
                        return Poll::Pending;
                    }
                    match wire.as_mut().poll(cx) {
                        // The wire wakes the response through a channel inside this same poll: look again.
                        Poll::Ready(end) => over = Some(end.err()),
                        Poll::Pending => return response.as_mut().poll(cx).map_err(|e| (e, None)),
                    }
                }
            })
            .await
        };
        match answer {
            Ok(response) => {
                let (parts, incoming) = response.into_parts();
                let body = Body::new(incoming, self, ends.clone(), head_only);
                Ok(Response::from_parts(parts, body))
            }
            Err((mut error, wire_error)) => {
                let unsent = error.take_message().map(Box::new);
                let source = wire_error.flatten().unwrap_or_else(|| error.into_error());
                Err(Lost {
                    failure: Failure::Broken {
                        host: ends.key.to_string(),
                        source,
                    },
                    unsent,
                })
            }
        }
    }
}

/// Connections that are free, newest last.
pub(super) struct Pool {
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
    idle_timeout: Duration,
    clock: Arc<dyn Clock>,
}

struct Idle {
    connection: Connection,
    since: Duration,
}

impl Pool {
    pub(super) fn new(idle_timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            idle: Mutex::default(),
            idle_timeout,
            clock,
        }
    }

    /// The connection used last, if it is alive and not too old: the others get a chance to grow old and go.
    pub(super) fn take(&self, key: &Key) -> Option<Connection> {
        let now = self.clock.now();
        loop {
            let mut candidate = self.lock().get_mut(key)?.pop()?;
            if now.saturating_sub(candidate.since) < self.idle_timeout && candidate.connection.settle() {
                return Some(candidate.connection);
            }
        }
    }

    pub(super) fn put(&self, key: Key, connection: Connection) {
        let since = self.clock.now();
        let expired: Vec<Idle> = {
            let mut idle = self.lock();
            let mut expired = Vec::new();
            for connections in idle.values_mut() {
                // Oldest first, so a prefix has expired.
                let old = connections.partition_point(|i| since.saturating_sub(i.since) >= self.idle_timeout);
                expired.extend(connections.drain(..old));
            }
            idle.retain(|_, connections| !connections.is_empty());
            idle.entry(key).or_default().push(Idle { connection, since });
            expired
        };
        // Closing sockets is a system call each: outside the lock.
        drop(expired);
    }

    pub(super) fn len(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("idle", &self.len())
            .finish_non_exhaustive()
    }
}
