//! ListObjectsV2, and version 1 for those who still ask for it.

use std::fmt::Write;

use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{error_document, xml, xml_document};
use crate::Objects;
use crate::lab::{LabBody, Target};
use crate::objects::{ListEntry, ListPage, ListQuery, StoreError};

/// What `encoding-type=url` leaves as it is, after the documentation of S3.
pub(crate) const URL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'*');

pub(super) fn keys(objects: &Objects, target: &Target) -> Result<Response<LabBody>, StoreError> {
    let v2 = target.query("list-type") == Some("2");
    let after_entry = match target.query("continuation-token").map(parse_token) {
        Some(None) => {
            return Ok(error_document(
                400,
                "InvalidArgument",
                "the continuation token is not of this lab",
            ));
        }
        Some(entry) => entry,
        None => None,
    };
    let text = |name| target.query(name).map(str::to_owned);
    let query = ListQuery {
        prefix: text("prefix").unwrap_or_default(),
        delimiter: text("delimiter"),
        start_after: text(if v2 { "start-after" } else { "marker" }),
        after_entry,
        max: target
            .query("max-keys")
            .and_then(|max| max.parse().ok())
            .unwrap_or(1000)
            .min(1000),
    };
    let page = objects.list(&target.bucket, &query)?;
    let url = target.query("encoding-type") == Some("url");
    Ok(xml_document(
        StatusCode::OK,
        document(&target.bucket, &query, &page, v2, url),
    ))
}

fn document(bucket: &str, query: &ListQuery, page: &ListPage, v2: bool, url: bool) -> String {
    let name = |key: &str| {
        if url {
            utf8_percent_encode(key, URL).to_string()
        } else {
            xml::escape(key).into_owned()
        }
    };
    let mut text = format!(
        "{}<ListBucketResult><Name>{}</Name><Prefix>{}</Prefix><MaxKeys>{}</MaxKeys><IsTruncated>{}</IsTruncated>",
        xml::HEAD,
        xml::escape(bucket),
        name(&query.prefix),
        query.max,
        page.next.is_some(),
    );
    let mut leaf = |tag: &str, value: &str| {
        // Writing to a String does not fail.
        let _ = write!(text, "<{tag}>{value}</{tag}>");
    };
    if let Some(delimiter) = &query.delimiter {
        leaf("Delimiter", &name(delimiter));
    }
    if url {
        leaf("EncodingType", "url");
    }
    if v2 {
        leaf(
            "KeyCount",
            &(page.objects.len() + page.prefixes.len()).to_string(),
        );
    }
    match &page.next {
        Some(entry) if v2 => leaf("NextContinuationToken", &token(entry)),
        Some(ListEntry::Key(key) | ListEntry::Prefix(key)) => leaf("NextMarker", &name(key)),
        None => {}
    }
    for (key, object) in &page.objects {
        let inner = format!(
            "<Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass>",
            name(key),
            xml::timestamp(object.last_modified),
            xml::escape(&object.etag),
            object.size(),
        );
        leaf("Contents", &inner);
    }
    for prefix in &page.prefixes {
        leaf("CommonPrefixes", &format!("<Prefix>{}</Prefix>", name(prefix)));
    }
    text.push_str("</ListBucketResult>");
    text
}

/// A continuation token: opaque to clients, and safe in XML and in a query.
pub(crate) fn token(entry: &ListEntry) -> String {
    let (kind, name) = match entry {
        ListEntry::Key(key) => ('k', key),
        ListEntry::Prefix(prefix) => ('p', prefix),
    };
    name.bytes().fold(kind.to_string(), |mut token, byte| {
        let _ = write!(token, "{byte:02x}");
        token
    })
}

pub(crate) fn parse_token(token: &str) -> Option<ListEntry> {
    let kind = token.get(..1)?;
    let hex = token.as_bytes().get(1..)?.chunks(2);
    let bytes = hex.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let name = String::from_utf8(bytes.collect::<Option<_>>()?).ok()?;
    match kind {
        "k" => Some(ListEntry::Key(name)),
        "p" => Some(ListEntry::Prefix(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        for entry in [ListEntry::Key("a<b>/日本".into()), ListEntry::Prefix("x/".into())] {
            assert_eq!(parse_token(&token(&entry)), Some(entry));
        }
        for bad in ["", "k1", "kzz", "q61", "日"] {
            assert_eq!(
                parse_token(bad),
                if bad == "k1" {
                    Some(ListEntry::Key("\u{1}".into()))
                } else {
                    None
                },
                "{bad}"
            );
        }
    }
}
