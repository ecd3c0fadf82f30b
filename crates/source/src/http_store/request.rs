//! Requests to a web server, redirects included.

use forebay_types::limits::MAX_REDIRECTS;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use object_store::client::HttpRequestBody;
use object_store::{Extensions, GetOptions, GetRange};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::location::public_url;
use crate::transport::{Body, Failure, Transport, send_repeating};

/// User and password of a URL, as the Authorization header that they become.
#[derive(Clone)]
pub(super) struct Auth {
    header: HeaderValue,
    user: String,
}

impl Auth {
    /// Moves them out of `url`.
    pub(super) fn take_from(url: &mut Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = decode(url.username());
        let pair = format!("{user}:{}", decode(url.password().unwrap_or_default()));
        // Cannot fail for a URL that has a host, and http URLs have one.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let mut header = HeaderValue::from_str(&format!("Basic {}", base64(pair.as_bytes()))).ok()?;
        header.set_sensitive(true);
        Some(Self { header, user })
    }

    /// Tells users apart without their passwords.
    pub(super) fn scope(&self) -> String {
        self.user.clone()
    }
}

/// RFC 4648 §4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= group.len() {
                char::from(ALPHABET[index])
            } else {
                '='
            });
        }
    }
    text
}

/// Method, headers and marks of a request; the same again after a redirect.
pub(super) struct Wanted {
    method: Method,
    headers: HeaderMap,
    extensions: Extensions,
}

impl Wanted {
    pub(super) fn of(options: &GetOptions, method: Method) -> Self {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put(header::USER_AGENT, concat!("forebay/", env!("CARGO_PKG_VERSION")));
        // A compressed body would be other bytes than the ranges count.
        put(header::ACCEPT_ENCODING, "identity");
        if method == Method::GET
            && let Some(range) = &options.range
        {
            let range = match range {
                GetRange::Bounded(r) => format!("bytes={}-{}", r.start, r.end.saturating_sub(1)),
                GetRange::Offset(start) => format!("bytes={start}-"),
                GetRange::Suffix(len) => format!("bytes=-{len}"),
            };
            put(header::RANGE, &range);
        }
        for (name, value) in [
            (header::IF_MATCH, &options.if_match),
            (header::IF_NONE_MATCH, &options.if_none_match),
        ] {
            if let Some(value) = value {
                put(name, value);
            }
        }
        for (name, date) in [
            (header::IF_MODIFIED_SINCE, options.if_modified_since),
            (header::IF_UNMODIFIED_SINCE, options.if_unmodified_since),
        ] {
            if let Some(date) = date {
                put(name, &httpdate::fmt_http_date(date.into()));
            }
        }
        Self {
            method,
            headers,
            extensions: options.extensions.clone(),
        }
    }

    /// The page of a directory.
    pub(super) fn listing() -> Self {
        let mut wanted = Self::of(&GetOptions::default(), Method::GET);
        // nginx's and Caddy's JSON tells more than their pages, and means what it says.
        let kinds = HeaderValue::from_static("application/json, text/html;q=0.9");
        wanted.headers.insert(header::ACCEPT, kinds);
        wanted
    }

    /// The smallest GET that tells size and version.
    pub(super) fn first_byte(options: &GetOptions) -> Self {
        Self::of(
            &GetOptions {
                range: Some((0..1).into()),
                head: false,
                ..options.clone()
            },
            Method::GET,
        )
    }
}

/// How far redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Anywhere,
    /// Only to the same scheme, host and port.
    SameOrigin,
}

/// An answer, and where it came from.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) url: Url,
}

/// Sends it, following redirects. Statuses that are no success come back as they are.
///
/// # Errors
/// [`Failure::Directory`] if the server adds a slash to the path, which is how all of them say that it is one.
pub(super) async fn send(
    transport: &Transport,
    mut url: Url,
    auth: Option<&Auth>,
    wanted: &Wanted,
    follow: Follow,
) -> Result<Answer, Failure> {
    let home = url.origin();
    for _ in 0..=MAX_REDIRECTS {
        let mut request = Request::new(HttpRequestBody::empty());
        *request.method_mut() = wanted.method.clone();
        *request.headers_mut() = wanted.headers.clone();
        *request.extensions_mut() = wanted.extensions.clone();
        *request.uri_mut() = url.as_str().parse().map_err(|_| Failure::BadUri {
            why: "it is malformed",
        })?;
        // Only to the server that the user named: a redirect must not carry the password elsewhere.
        if let Some(auth) = auth
            && url.origin() == home
        {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, auth.header.clone());
        }
        let response = send_repeating(transport, request).await?;
        let redirect = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        if !redirect {
            return Ok(Answer { response, url });
        }
        let target = response
            .headers()
            .get(header::LOCATION)
            .and_then(|l| l.to_str().ok());
        let target = target.ok_or(Failure::Redirect("without a target"))?;
        let next = url
            .join(target)
            .map_err(|_| Failure::Redirect("to something that is no URL"))?;
        // Whatever host it says: servers behind others do not know how they are called.
        if next.path().strip_suffix('/') == Some(url.path()) {
            return Err(Failure::Directory);
        }
        if follow == Follow::SameOrigin && next.origin() != home {
            return Err(Failure::NoListing {
                why: format!(
                    "the server redirects to {}, and what another origin lists is not what is here; open that URL instead",
                    public_url(&next)
                ),
            });
        }
        url = next;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure::Redirect("to something that is not http"));
        }
        // User info in a target is the other server's idea, not the user's.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    Err(Failure::Redirect("in circles"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    #[test]
    fn credentials_leave_the_url() {
        let mut url: Url = "https://al%40ice:s%3Acret@host/x".parse().unwrap();
        let auth = Auth::take_from(&mut url).unwrap();
        assert_eq!(url.as_str(), "https://host/x");
        assert_eq!(auth.header, format!("Basic {}", base64(b"al@ice:s:cret")));
        assert!(!format!("{:?}", auth.header).contains("Basic"));
    }
}
