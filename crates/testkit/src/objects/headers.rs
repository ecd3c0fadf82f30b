//! An object's attributes as HTTP headers; both faces read and write them here.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::percent_decode_str;

use super::{Attributes, Object};

const METADATA: &str = "x-amz-meta-";

impl Attributes {
    /// What the headers of a PUT say.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let metadata = headers.iter().filter_map(|(name, value)| {
            Some((
                name.as_str().strip_prefix(METADATA)?.to_owned(),
                value.to_str().ok()?.to_owned(),
            ))
        });
        let tags = headers
            .get("x-amz-tagging")
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        Self {
            content_type: text(header::CONTENT_TYPE),
            cache_control: text(header::CACHE_CONTROL),
            content_disposition: text(header::CONTENT_DISPOSITION),
            content_encoding: text(header::CONTENT_ENCODING).and_then(|value| encoding(&value)),
            content_language: text(header::CONTENT_LANGUAGE),
            metadata: metadata.collect(),
            tags: parse_tags(tags),
            etag: None,
            last_modified: None,
        }
    }
}

impl Object {
    /// Sets the headers that describe the object: ETag, Last-Modified and its attributes.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        let attributes = &self.attributes;
        let content_type = attributes
            .content_type
            .as_deref()
            .unwrap_or("application/octet-stream");
        set(headers, header::ETAG, &self.etag);
        set(
            headers,
            header::LAST_MODIFIED,
            &httpdate::fmt_http_date(self.last_modified),
        );
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        set(headers, header::CONTENT_TYPE, content_type);
        for (name, value) in [
            (header::CACHE_CONTROL, &attributes.cache_control),
            (header::CONTENT_DISPOSITION, &attributes.content_disposition),
            (header::CONTENT_ENCODING, &attributes.content_encoding),
            (header::CONTENT_LANGUAGE, &attributes.content_language),
        ] {
            if let Some(value) = value {
                set(headers, name, value);
            }
        }
        for (name, value) in &attributes.metadata {
            if let Ok(name) = HeaderName::try_from(format!("{METADATA}{name}")) {
                set(headers, name, value);
            }
        }
        if !attributes.tags.is_empty() {
            headers.insert("x-amz-tagging-count", attributes.tags.len().into());
        }
    }
}

/// Sets a header, unless the value cannot stand in one.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// `aws-chunked` is about the transfer and not kept with the object.
fn encoding(value: &str) -> Option<String> {
    let kept: Vec<_> = value
        .split(',')
        .map(str::trim)
        .filter(|word| *word != "aws-chunked")
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

/// `a=1&b=2`, percent-encoded.
fn parse_tags(text: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}
