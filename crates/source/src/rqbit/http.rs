//! rqbit's HTTP API (9.1.0) as a [`Daemon`].
//!
//! Torrents are named by their info hash alone: a client that is started anew may number them anew. Ranges are always
//! `first-last`, since rqbit answers the whole file to any other form, and refuses one that ends beyond the file.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use forebay_types::limits::{
    MAX_ERROR_BODY_BYTES, MAX_TORRENT_ANSWER_WAIT, MAX_TORRENT_DETAILS_BYTES, MAX_TORRENT_HAVES_BYTES,
    MAX_TORRENT_LIST_BYTES, MAX_TORRENT_STATS_BYTES,
};
use forebay_types::{ByteRange, printable};
use futures::StreamExt;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use object_store::client::HttpRequestBody;
use url::Url;

use super::daemon::{Daemon, Details, FileBytes, Haves, InfoHash, Listed, Stats, TorrentFault};
use super::json;
use crate::transport::{Auth, Body, Failure, Transport, collect};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Pieces as bits; rqbit draws a picture of them for everybody else.
const BITS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const ANY: HeaderValue = HeaderValue::from_static("*/*");
const BITFIELD_LEN: HeaderName = HeaderName::from_static("x-bitfield-len");

/// rqbit's HTTP server.
pub(crate) struct HttpDaemon {
    /// Ends in a slash; without secrets.
    api: String,
    shown: String,
    auth: Option<Auth>,
    transport: Transport,
}

impl HttpDaemon {
    /// The server at `api`. Its user info says who asks; without any, `userpass` does (`user:password`).
    pub(crate) fn new(mut api: Url, userpass: Option<&str>, transport: Transport) -> Self {
        let auth = Auth::take_from(&mut api).or_else(|| userpass.and_then(Auth::of_pair));
        api.set_query(None);
        api.set_fragment(None);
        let scheme = if api.scheme() == "https" {
            "rqbits"
        } else {
            "rqbit"
        };
        let host = api.host_str().unwrap_or_default();
        let port = api.port_or_known_default().unwrap_or_default();
        let shown = format!("{scheme}://{host}:{port}");
        let mut api = String::from(api);
        if !api.ends_with('/') {
            api.push('/');
        }
        Self {
            api,
            shown,
            auth,
            transport,
        }
    }

    /// Scheme, host and port: whose torrents they are.
    pub(crate) fn origin_url(&self) -> String {
        self.shown.clone()
    }

    /// Whose eyes see what is read here: the user, or nothing. To be hashed, not shown.
    pub(crate) fn scope(&self) -> String {
        self.auth.as_ref().map(Auth::scope).unwrap_or_default()
    }

    fn request(&self, path: &str, accept: HeaderValue) -> Result<Request<HttpRequestBody>, Failure> {
        let mut request = Request::new(HttpRequestBody::empty());
        *request.uri_mut() = format!("{}{path}", self.api)
            .parse()
            .map_err(|_| Failure::BadUri {
                why: "it is malformed",
            })?;
        let headers = request.headers_mut();
        let agent = HeaderValue::from_static(concat!("forebay/", env!("CARGO_PKG_VERSION")));
        headers.insert(header::USER_AGENT, agent);
        headers.insert(header::ACCEPT, accept);
        // A compressed body would be other bytes than the ranges count.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(auth) = &self.auth {
            headers.insert(header::AUTHORIZATION, auth.header());
        }
        Ok(request)
    }

    /// The answer to a question that the client answers from memory, whole, with its headers.
    async fn ask(
        &self,
        path: &str,
        accept: HeaderValue,
        hash: Option<InfoHash>,
        (what, limit): (&'static str, usize),
    ) -> Result<(HeaderMap, Bytes), Failure> {
        let request = self.request(path, accept)?;
        let answer = async {
            // Once: who asks knows how long to be patient, and says so.
            let response = self.transport.send(request).await?;
            let response = self.accepted(response, hash).await?;
            let (parts, body) = response.into_parts();
            Ok((parts.headers, collect(body, limit, what).await?))
        };
        tokio::time::timeout(MAX_TORRENT_ANSWER_WAIT, answer)
            .await
            .unwrap_or(Err(Failure::Stalled {
                what: "an answer of the torrent client",
                after: MAX_TORRENT_ANSWER_WAIT,
            }))
    }

    /// The response, if it is a success. Redirects are not followed: the password is for this server alone.
    async fn accepted(
        &self,
        response: Response<Body>,
        hash: Option<InfoHash>,
    ) -> Result<Response<Body>, Failure> {
        match (response.status(), hash) {
            (status, _) if status.is_success() => Ok(response),
            (status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), _) => Err(self.denied(status)),
            (StatusCode::NOT_FOUND, Some(hash)) => Err(Failure::Torrent(TorrentFault::Gone { hash })),
            (status @ StatusCode::NOT_FOUND, None) => Err(Failure::Status {
                status: status.as_u16(),
                code: None,
                message: Some(format!(
                    "{self} does not know of torrents; is it rqbit's HTTP API?"
                )),
                retry_after: None,
            }),
            (status, _) if status.is_redirection() => Err(Failure::Redirect(
                "by the torrent client's address to another one, which is to be named itself",
            )),
            _ => Err(refused(response).await),
        }
    }

    fn denied(&self, status: StatusCode) -> Failure {
        let why = match &self.auth {
            None => "the torrent client wants a user and a password",
            Some(_) => "the torrent client does not take this user with this password",
        };
        let scheme = self.shown.split("://").next().unwrap_or_default();
        Failure::Status {
            status: status.as_u16(),
            code: None,
            message: Some(format!(
                "{why}; give those it was started with, as {scheme}://USER:PASSWORD@HOST:PORT/ or in \
                 RQBIT_HTTP_BASIC_AUTH_USERPASS=USER:PASSWORD"
            )),
            retry_after: None,
        }
    }
}

/// Reads why a request was refused.
async fn refused(response: Response<Body>) -> Failure {
    let (parts, body) = response.into_parts();
    let wait = MAX_TORRENT_ANSWER_WAIT;
    // A text that does not arrive changes nothing about the refusal.
    let text = match tokio::time::timeout(wait, collect(body, MAX_ERROR_BODY_BYTES, "refusal")).await {
        Ok(Ok(text)) => text,
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    let status = parts.status;
    match json::refusal(&text) {
        // A torrent that is not in the state for the question is nothing that a request got wrong.
        Some(why) if status.is_server_error() || status == StatusCode::PRECONDITION_FAILED => {
            Failure::Torrent(TorrentFault::Client { why })
        }
        why => {
            let plain = || Some(json::shown(&String::from_utf8_lossy(&text)));
            Failure::Status {
                status: status.as_u16(),
                code: None,
                message: why.or_else(plain).filter(|text| !text.is_empty()),
                retry_after: None,
            }
        }
    }
}

#[async_trait]
impl Daemon for HttpDaemon {
    async fn torrents(&self) -> Result<Vec<Listed>, Failure> {
        let cap = ("list of torrents", MAX_TORRENT_LIST_BYTES);
        let (_, body) = self.ask("torrents", JSON, None, cap).await?;
        json::list(&body)
    }

    async fn details(&self, hash: InfoHash) -> Result<Details, Failure> {
        let cap = ("description of a torrent", MAX_TORRENT_DETAILS_BYTES);
        let path = format!("torrents/{hash}");
        let (_, body) = self.ask(&path, JSON, Some(hash), cap).await?;
        json::details(hash, &body)
    }

    async fn stats(&self, hash: InfoHash) -> Result<Stats, Failure> {
        let cap = ("report how a torrent is doing", MAX_TORRENT_STATS_BYTES);
        let path = format!("torrents/{hash}/stats/v1");
        let (_, body) = self.ask(&path, JSON, Some(hash), cap).await?;
        json::stats(&body)
    }

    async fn haves(&self, hash: InfoHash) -> Result<Haves, Failure> {
        let cap = ("bit field of a torrent's pieces", MAX_TORRENT_HAVES_BYTES);
        let path = format!("torrents/{hash}/haves");
        let (headers, bits) = self.ask(&path, BITS, Some(hash), cap).await?;
        let malformed = |why: String| Failure::Malformed {
            what: "bit field of a torrent's pieces",
            why,
        };
        let pieces = headers
            .get(BITFIELD_LEN)
            .ok_or_else(|| malformed(format!("the header {BITFIELD_LEN} is missing")))?;
        let pieces: u32 = pieces
            .to_str()
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| malformed(format!("{BITFIELD_LEN} is {pieces:?}, no number of pieces")))?;
        let bytes = pieces.div_ceil(8) as usize;
        if bits.len() < bytes {
            let got = bits.len();
            return Err(malformed(format!(
                "{pieces} pieces have {bytes} bytes of bits, {got} came"
            )));
        }
        Ok(Haves {
            pieces,
            bits: bits.slice(..bytes),
        })
    }

    async fn open(&self, hash: InfoHash, file: usize, range: ByteRange) -> Result<FileBytes, Failure> {
        if range.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let mut request = self.request(&format!("torrents/{hash}/stream/{file}"), ANY)?;
        let wanted = HeaderValue::from_str(&format!("bytes={}-{}", range.start(), range.end() - 1));
        let wanted = wanted.map_err(|_| Failure::BadUri {
            why: "its range is malformed",
        })?;
        request.headers_mut().insert(header::RANGE, wanted);
        let response = self.transport.send(request).await?;
        let response = self.accepted(response, Some(hash)).await?;
        check_range(range, response.status(), response.headers())?;
        Ok(exactly(range.len(), response.into_body()))
    }
}

/// Whether the answer is for the bytes asked.
fn check_range(asked: ByteRange, status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let length = text(header::CONTENT_LENGTH).and_then(|text| text.trim().parse::<u64>().ok());
    if status != StatusCode::PARTIAL_CONTENT {
        // The whole of a file that is as long as the range is the range.
        return if status == StatusCode::OK && asked.start() == 0 && length == Some(asked.len()) {
            Ok(())
        } else {
            Err(Failure::NoRanges { asked })
        };
    }
    let got = text(header::CONTENT_RANGE).unwrap_or_default();
    let last = asked.end() - 1;
    let size = got
        .trim()
        .strip_prefix(&format!("bytes {}-{last}/", asked.start()));
    if size
        .and_then(|size| size.parse::<u64>().ok())
        .is_none_or(|size| size <= last)
    {
        return Err(Failure::Malformed {
            what: "Content-Range",
            why: format!(
                "asked for bytes {}-{last}, it says '{}'",
                asked.start(),
                printable(got)
            ),
        });
    }
    match length {
        Some(got) if got != asked.len() => Err(Failure::Length {
            expected: asked.len(),
            got,
        }),
        _ => Ok(()),
    }
}

/// The bytes of `body`, of which there must be `expected`: neither fewer nor more.
fn exactly(expected: u64, body: Body) -> FileBytes {
    let state = (body.into_data_stream(), 0_u64);
    let wrong = move |got| Failure::Length { expected, got };
    futures::stream::try_unfold(state, move |(mut body, got)| async move {
        if got == expected {
            return Ok(None);
        }
        let Some(chunk) = body.next().await.transpose()? else {
            return Err(wrong(got));
        };
        let got = got + chunk.len() as u64;
        if got > expected {
            return Err(wrong(got));
        }
        Ok(Some((chunk, (body, got))))
    })
    .boxed()
}

impl fmt::Display for HttpDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for HttpDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpDaemon({self})")
    }
}

#[cfg(test)]
mod tests;
