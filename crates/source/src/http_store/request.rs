//! Requests to a web server, redirects included.

use forebay_types::limits::MAX_REDIRECTS;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use object_store::client::HttpRequestBody;
use object_store::{Extensions, GetOptions, GetRange};
use url::Url;

use crate::location::public_url;
use crate::transport::{Auth, Body, Failure, Transport, send_repeating};

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
            request.headers_mut().insert(header::AUTHORIZATION, auth.header());
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
