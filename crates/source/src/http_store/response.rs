//! What a web server's answer means.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeZone, Utc};
use forebay_types::ByteRange;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::header::{self, HeaderMap, HeaderName};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use object_store::path::Path;
use object_store::{Attribute, Attributes, Extensions, GetOptions, GetResult, GetResultPayload, ObjectMeta};

use super::WholeBody;
use crate::payload::satisfiable;
use crate::transport::{Body, EngineRead, Failure, status_failure};

/// Two steps of HTTP's clock.
const SETTLED: Duration = Duration::from_secs(2);

/// Size and version from an answer whose body is not wanted.
pub(super) fn head(location: &Path, response: &Response<Body>) -> Result<GetResult, Failure> {
    let headers = response.headers();
    let size = match response.status() {
        StatusCode::PARTIAL_CONTENT => content_range(headers)?.1,
        status if status.is_success() => content_length(headers).ok_or(Failure::NoLength)?,
        status => return Err(plain_status(status)),
    };
    let meta = meta(location, headers, size);
    let payload = GetResultPayload::Stream(futures::stream::empty().boxed());
    Ok(GetResult {
        payload,
        range: 0..size,
        attributes: attributes(headers),
        extensions: Extensions::new(),
        meta,
    })
}

/// Whether its headers tell a time so long after that of its last change that another change would show: HTTP's times
/// are seconds, so one within the same second looks like none.
pub(super) fn is_settled(headers: &HeaderMap) -> bool {
    let time = |name| text(headers, &name).and_then(|t| httpdate::parse_http_date(t).ok());
    let age = time(header::DATE)
        .zip(time(header::LAST_MODIFIED))
        .and_then(|(now, modified)| now.duration_since(modified).ok());
    age.is_some_and(|age| age >= SETTLED)
}

/// The bytes asked for, cut out of the whole if the server has no ranges.
pub(super) async fn body(
    location: &Path,
    options: &GetOptions,
    response: Response<Body>,
) -> Result<GetResult, Failure> {
    let status = response.status();
    if !status.is_success() {
        return Err(status_failure(response).await);
    }
    let (parts, body) = response.into_parts();
    let headers = &parts.headers;
    let path = location.to_string();
    let stream = body
        .into_data_stream()
        .map(move |chunk| chunk.map_err(|f| f.into_store_error(&path)))
        .boxed();
    let mut extensions = Extensions::new();
    let (range, size, stream) = match (&options.range, status) {
        (Some(_), StatusCode::PARTIAL_CONTENT) => {
            let (range, size) = content_range(headers)?;
            (range, size, stream)
        }
        (asked, _) => {
            let size = content_length(headers).ok_or(Failure::NoLength)?;
            let whole = ByteRange::new(0, size);
            let wanted = satisfiable(asked.as_ref(), size)
                .ok_or_else(|| plain_status(StatusCode::RANGE_NOT_SATISFIABLE))?;
            if wanted == whole {
                (whole, size, stream)
            } else if wanted.start() == 0 && options.extensions.get::<EngineRead>().is_some() {
                tracing::debug!(url = %location, "the server does not serve ranges: one stream for all of it");
                extensions.insert(WholeBody);
                (whole, size, stream)
            } else {
                tracing::warn!(url = %location, range = %wanted, "the server does not serve ranges: the bytes before are fetched and dropped");
                (wanted, size, cut(stream, wanted))
            }
        }
    };
    let meta = meta(location, headers, size);
    let payload = GetResultPayload::Stream(stream);
    Ok(GetResult {
        payload,
        range: range.into(),
        attributes: attributes(headers),
        extensions,
        meta,
    })
}

pub(super) fn plain_status(status: StatusCode) -> Failure {
    Failure::Status {
        status: status.as_u16(),
        code: None,
        message: None,
        retry_after: None,
    }
}

/// Drops what comes before `wanted`, and stops after it.
fn cut(
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    wanted: ByteRange,
) -> BoxStream<'static, object_store::Result<Bytes>> {
    let state = (stream, 0_u64);
    futures::stream::try_unfold(state, move |(mut stream, mut at)| async move {
        while at < wanted.end()
            && let Some(chunk) = stream.next().await
        {
            let chunk: Bytes = chunk?;
            let here = ByteRange::at(at, chunk.len() as u64);
            at = here.end();
            let from = wanted.start().clamp(here.start(), here.end()) - here.start();
            let to = wanted.end().clamp(here.start(), here.end()) - here.start();
            if from < to {
                return Ok(Some((chunk.slice(from as usize..to as usize), (stream, at))));
            }
        }
        Ok(None)
    })
    .boxed()
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, &header::CONTENT_LENGTH)?.trim().parse().ok()
}

/// `bytes A-B/SIZE` (RFC 9110 §14.4) as a range and a size.
fn content_range(headers: &HeaderMap) -> Result<(ByteRange, u64), Failure> {
    let malformed = |why: &str| Failure::Malformed {
        what: "Content-Range",
        why: why.to_owned(),
    };
    let value = text(headers, &header::CONTENT_RANGE).ok_or_else(|| malformed("it is missing"))?;
    let shown = || malformed(&forebay_types::printable(value));
    let (range, size) = value
        .trim()
        .strip_prefix("bytes ")
        .and_then(|v| v.split_once('/'))
        .ok_or_else(shown)?;
    if size == "*" {
        return Err(Failure::NoLength);
    }
    let size: u64 = size.parse().map_err(|_| shown())?;
    let (first, last) = range.split_once('-').ok_or_else(shown)?;
    let (first, last): (u64, u64) = (
        first.parse().map_err(|_| shown())?,
        last.parse().map_err(|_| shown())?,
    );
    if last < first || last >= size {
        return Err(shown());
    }
    Ok((ByteRange::new(first, last + 1), size))
}

fn meta(location: &Path, headers: &HeaderMap, size: u64) -> ObjectMeta {
    let modified = text(headers, &header::LAST_MODIFIED).and_then(|t| httpdate::parse_http_date(t).ok());
    ObjectMeta {
        location: location.clone(),
        // 1970 stands for «the server does not say», as in object_store's own clients.
        last_modified: modified.map_or_else(epoch, DateTime::from),
        size,
        e_tag: text(headers, &header::ETAG).map(str::to_owned),
        version: None,
    }
}

fn epoch() -> DateTime<Utc> {
    Utc.timestamp_nanos(0)
}

fn attributes(headers: &HeaderMap) -> Attributes {
    [
        (header::CONTENT_TYPE, Attribute::ContentType),
        (header::CONTENT_ENCODING, Attribute::ContentEncoding),
        (header::CACHE_CONTROL, Attribute::CacheControl),
    ]
    .into_iter()
    .filter_map(|(name, attribute)| Some((attribute, text(headers, &name)?.to_owned())))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        let parse = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, value.parse().unwrap());
            content_range(&headers)
        };
        assert_eq!(parse("bytes 0-9/100").unwrap(), (ByteRange::new(0, 10), 100));
        assert!(matches!(parse("bytes 0-9/*"), Err(Failure::NoLength)));
        for bad in [
            "bytes 9-0/100",
            "bytes 0-100/100",
            "bytes */100",
            "items 0-9/100",
            "bytes 0-9",
            "bytes a-b/c",
        ] {
            assert!(matches!(parse(bad), Err(Failure::Malformed { .. })), "{bad}");
        }
    }

    #[tokio::test]
    async fn cutting_keeps_exactly_the_range() {
        for (start, end) in [(0, 3), (3, 8), (2, 10), (9, 10), (0, 10), (5, 5)] {
            let chunks = [&b"0123"[..], b"", b"45", b"6789"].map(|c| Ok(Bytes::from_static(c)));
            let stream = futures::stream::iter(chunks).boxed();
            let got: Vec<_> = cut(stream, ByteRange::new(start, end))
                .map(Result::unwrap)
                .collect()
                .await;
            assert_eq!(
                got.concat(),
                b"0123456789"[start as usize..end as usize],
                "{start}..{end}"
            );
        }
    }
}
