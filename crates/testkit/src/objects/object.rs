//! One version of one object.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::Content;

/// One immutable version of an object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its bytes.
    pub content: Content,
    /// Its entity tag, with quotes, as it goes over the wire.
    pub etag: String,
    /// When it was stored.
    pub last_modified: SystemTime,
    /// What was said of it when it was stored.
    pub attributes: Attributes,
}

/// What a client may say of an object when it stores it, and gets back when it reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Content-Type.
    pub content_type: Option<String>,
    /// Cache-Control.
    pub cache_control: Option<String>,
    /// Content-Disposition.
    pub content_disposition: Option<String>,
    /// Content-Encoding.
    pub content_encoding: Option<String>,
    /// Content-Language.
    pub content_language: Option<String>,
    /// `x-amz-meta-…` without the prefix.
    pub metadata: BTreeMap<String, String>,
    /// Object tags.
    pub tags: BTreeMap<String, String>,
    /// An ETag to use instead of the store's own, with quotes (a weak one, say).
    pub etag: Option<String>,
    /// A time to use instead of now.
    pub last_modified: Option<SystemTime>,
}

impl Object {
    pub(super) fn new(serial: u64, content: Content, attributes: Attributes, now: SystemTime) -> Self {
        let etag = attributes.etag.clone().unwrap_or_else(|| etag(serial, &content));
        let last_modified = attributes.last_modified.unwrap_or(now);
        Self {
            content,
            etag,
            last_modified,
            attributes,
        }
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.content.size()
    }
}

/// Every version has a tag of its own, by its serial number: nothing is hashed, and a rewrite with the same bytes is
/// a new version too. The `-1` makes it look like the tag of a multipart upload, which no client takes for an MD5.
/// Size and seed are in it, so that a second lab with other contents does not give the same tag to other bytes.
fn etag(serial: u64, content: &Content) -> String {
    let seed = match content {
        Content::Pattern { seed, .. } => *seed,
        Content::Bytes(bytes) => bytes
            .iter()
            .take(64)
            .fold(0, |sum: u64, byte| sum.rotate_left(7) ^ u64::from(*byte)),
        Content::Chain(parts) => parts.len() as u64,
    };
    let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32) ^ content.size();
    format!("\"{mixed:016x}{serial:016x}-1\"")
}
