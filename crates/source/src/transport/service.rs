//! The transport as object_store's HTTP client: failing statuses become typed, and what may be repeated is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use forebay_types::limits::{MAX_ERROR_BODY_BYTES, MAX_LIST_PAGE_BYTES, MAX_RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};

use super::failure::xml_element;
use super::list_guard;
use super::{Body, Failure, Transport};

/// Marks a GET of the range engine, in the extensions of its `GetOptions`: the engine resumes broken parts
/// itself, where they broke, so nothing below it may repeat them from the start. It also tells the engine whether the
/// request had to wait for a free connection, because that is not the server's slowness. Clones share what they tell.
#[derive(Clone, Debug, Default)]
pub struct EngineRead {
    queue: Arc<AtomicU8>,
}

const NEVER_QUEUED: u8 = 0;
const IN_QUEUE: u8 = 1;
const LEFT_QUEUE: u8 = 2;
const QUEUED_ONCE: u8 = 3;

impl EngineRead {
    pub(crate) fn enters_queue(&self) {
        self.queue.store(IN_QUEUE, Relaxed);
    }

    pub(crate) fn leaves_queue(&self) {
        self.queue.store(LEFT_QUEUE, Relaxed);
    }

    /// Whether the request waits, or waited since this was asked last.
    pub fn take_held_up(&self) -> bool {
        self.queue
            .compare_exchange(LEFT_QUEUE, QUEUED_ONCE, Relaxed, Relaxed)
            .is_ok()
            || self.queue.load(Relaxed) == IN_QUEUE
    }

    /// Whether the request waits, or ever waited.
    pub fn was_held_up(&self) -> bool {
        self.queue.load(Relaxed) != NEVER_QUEUED
    }
}

/// Marks a request that must not ride a pooled connection: a hedge against a dead one.
#[derive(Clone, Copy, Debug)]
pub struct FreshConnection;

/// Attempts at a request that carries no bulk data. With the pauses below they span about 6 s, enough for a
/// server's restart of one node and short enough for a user who waits.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Gives object_store's clients our transport.
#[derive(Clone, Debug)]
pub struct Connector(pub Transport);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service {
            transport: self.0.clone(),
        }))
    }
}

/// [`Transport`] in the shape that object_store's clients call.
#[derive(Clone, Debug)]
pub struct Service {
    transport: Transport,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_list = list_guard::is_list(&request);
        let response = send_repeating(&self.transport, request)
            .await
            .map_err(to_http_error)?;
        // object_store keeps the status of a failed listing to itself, as text.
        if is_list && !response.status().is_success() {
            return Err(to_http_error(status_failure(response).await));
        }
        let (parts, body) = response.into_parts();
        if parts.status.is_client_error() {
            // object_store reads it whole, however long it is. A body cut short still says what it is about.
            let text = collect_start(body, MAX_ERROR_BODY_BYTES).await;
            return Ok(HttpResponse::from_parts(parts, text.into()));
        }
        if is_list {
            let page = collect(body, MAX_LIST_PAGE_BYTES, "page of a listing")
                .await
                .map_err(to_http_error)?;
            let page =
                list_guard::drop_impossible_keys(page, self.transport.meter()).map_err(to_http_error)?;
            return Ok(HttpResponse::from_parts(parts, page.into()));
        }
        Ok(HttpResponse::from_parts(
            parts,
            HttpResponseBody::new(body.map_err(to_http_error)),
        ))
    }
}

/// Sends `request`; repeats it, with pauses, as long as that is safe and may help.
///
/// # Errors
/// Besides what the transport says, statuses that object_store would hand on as mere text: 400, 408, 416, 429 and
/// 5xx come back as [`Failure::Status`].
pub(crate) async fn send_repeating(
    transport: &Transport,
    request: HttpRequest,
) -> Result<http::Response<Body>, Failure> {
    let repeat = Repeat::of(&request);
    let mut pause = FIRST_PAUSE;
    for attempt in 1..ATTEMPTS {
        match send_once(transport, request.clone()).await {
            Err(failure) if repeat.allows(&failure) => {
                transport.meter().retried();
                let wait = failure.retry_after().unwrap_or_else(|| jitter(pause));
                tracing::debug!(%failure, ?wait, attempt, method = %request.method(), "request is repeated");
                tokio::time::sleep(wait).await;
                pause *= 2;
            }
            outcome => return outcome,
        }
    }
    send_once(transport, request).await
}

async fn send_once(transport: &Transport, request: HttpRequest) -> Result<http::Response<Body>, Failure> {
    let response = transport.send(request).await?;
    let status = response.status();
    let typed = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::RANGE_NOT_SATISFIABLE
            | StatusCode::TOO_MANY_REQUESTS
    );
    if typed || status.is_server_error() {
        Err(status_failure(response).await)
    } else {
        Ok(response)
    }
}

/// Reads the error document of a failed request.
pub(crate) async fn status_failure(response: http::Response<Body>) -> Failure {
    let (parts, body) = response.into_parts();
    let retry_after = retry_after(&parts.headers);
    // An error document that does not arrive changes nothing about the status.
    let text = collect_start(body, MAX_ERROR_BODY_BYTES).await;
    let text = String::from_utf8_lossy(&text);
    let plain = || {
        let first = text.trim();
        (!first.is_empty() && !first.starts_with('<')).then(|| first.chars().take(300).collect())
    };
    Failure::Status {
        status: parts.status.as_u16(),
        code: xml_element(&text, "Code"),
        message: xml_element(&text, "Message").or_else(plain),
        retry_after,
    }
}

/// The whole of a small body; an error past `limit` bytes.
pub(crate) async fn collect(mut body: Body, limit: usize, what: &'static str) -> Result<Bytes, Failure> {
    let too_large = || Failure::TooLarge { what, limit };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if all.len() + data.len() > limit {
                return Err(too_large());
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

/// The first `limit` bytes of a body, or as many as come.
async fn collect_start(mut body: Body, limit: usize) -> Bytes {
    let mut start = BytesMut::new();
    while start.len() < limit
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Ok(data) = frame.into_data() {
            let room = limit - start.len();
            start.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    start.freeze()
}

/// Retry-After in both its forms (RFC 9110 §10.2.3), capped.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            // A date is the server's clock against the server's clock: its own Date header, not ours.
            let now = headers.get(header::DATE).and_then(|d| d.to_str().ok());
            let now = httpdate::parse_http_date(now?).ok()?;
            httpdate::parse_http_date(text)
                .ok()?
                .duration_since(now)
                .unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// When a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    /// The range engine does that.
    Never,
    /// If it certainly was not carried out.
    IfRefused,
    /// Twice means the same as once.
    Always,
}

impl Repeat {
    fn of(request: &HttpRequest) -> Self {
        let conditional = [header::IF_NONE_MATCH, header::IF_MATCH]
            .iter()
            .any(|h| request.headers().contains_key(h));
        match *request.method() {
            _ if request.extensions().get::<EngineRead>().is_some() => Self::Never,
            Method::GET | Method::HEAD | Method::DELETE => Self::Always,
            // A conditional PUT that was carried out, its answer lost, would fail the second time.
            Method::PUT if !conditional => Self::Always,
            _ => Self::IfRefused,
        }
    }

    fn allows(self, failure: &Failure) -> bool {
        let refused = failure.is_throttle()
            || matches!(failure, Failure::Connect { .. } | Failure::ConnectTimeout { .. });
        match self {
            Self::Never => false,
            Self::IfRefused => refused && failure.kind().is_transient(),
            Self::Always => failure.kind().is_transient(),
        }
    }
}

/// Between half of `pause` and all of it, so that many clients do not come back in step.
pub fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

fn to_http_error(failure: Failure) -> HttpError {
    let kind = match &failure {
        Failure::Connect { .. } | Failure::ConnectTimeout { .. } | Failure::Tls { .. } => {
            HttpErrorKind::Connect
        }
        Failure::Broken { .. } => HttpErrorKind::Interrupted,
        Failure::Stalled { .. } => HttpErrorKind::Timeout,
        _ => HttpErrorKind::Decode,
    };
    HttpError::new(kind, failure)
}
