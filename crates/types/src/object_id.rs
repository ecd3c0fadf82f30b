//! Which bytes: identity of an immutable version of an object.

use std::fmt;
use std::sync::Arc;

/// Who serves an object: the resolved endpoint with bucket or host, and whose eyes see it.
///
/// The same name on another endpoint is another object, and so is the same name seen with other credentials
/// (a proxy may show each user other bytes). Holds no secret: user info, keys and query strings never get in.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    url: Arc<str>,
    scope: Arc<str>,
}

impl Origin {
    /// `url` without secrets (`s3://bucket`, at which endpoint, is part of it), `scope` a name for the credentials
    /// (for example an access key's id hashed), empty if there are none.
    pub fn new(url: impl Into<Arc<str>>, scope: impl Into<Arc<str>>) -> Self {
        Self {
            url: url.into(),
            scope: scope.into(),
        }
    }

    /// The URL of bucket, host or directory.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the credentials' scope.
    pub fn scope(&self) -> &str {
        &self.scope
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.url, self.scope)
    }
}

/// What tells one version of an object from the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// The server's entity tag, as sent (with its quotes, if it has them).
    ETag(Arc<str>),
    /// No tag: the time of last change, in microseconds since 1970. Two changes within the server's clock step
    /// look alike.
    Modified(i64),
    /// The server says nothing: only the size can tell.
    Unknown,
}

impl Version {
    /// The tag to send as If-Match: present and **strong**. A weak tag (`W/"…"`) never matches by RFC 9110 §8.8.3.2,
    /// so it must not be sent, though it can be compared with later answers.
    pub fn if_match(&self) -> Option<&str> {
        match self {
            Self::ETag(tag) if !tag.starts_with("W/") => Some(tag),
            _ => None,
        }
    }

    /// As text from which [`Version::from_text`] makes the same again. Of a tag no byte is lost; it is not made safe to
    /// print.
    pub fn to_text(&self) -> String {
        match self {
            Self::ETag(tag) => format!("etag:{tag}"),
            Self::Modified(micros) => format!("modified:{micros}"),
            Self::Unknown => "unknown".to_owned(),
        }
    }

    /// What [`Version::to_text`] made; `None` for other text.
    pub fn from_text(text: &str) -> Option<Self> {
        if text == "unknown" {
            return Some(Self::Unknown);
        }
        if let Some(tag) = text.strip_prefix("etag:") {
            return Some(Self::ETag(tag.into()));
        }
        let micros: i64 = text.strip_prefix("modified:")?.parse().ok()?;
        // One text for each, so that equal ones are equal as text, too.
        let version = Self::Modified(micros);
        (version.to_text() == text).then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ETag(tag) => f.write_str(&crate::printable(tag)),
            Self::Modified(micros) => write!(f, "modified@{micros}us"),
            Self::Unknown => f.write_str("unversioned"),
        }
    }
}

/// One version of one object: equal ids mean equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId {
    /// Who serves it.
    pub origin: Origin,
    /// Its key there, as the server spells it.
    pub key: Arc<str>,
    /// Which version.
    pub version: Version,
    /// Its length in bytes.
    pub size: u64,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{} ({}, {} bytes)",
            self.origin,
            crate::printable(&self.key),
            self.version,
            self.size
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_tag_is_never_sent_as_a_condition() {
        assert_eq!(Version::ETag("\"abc\"".into()).if_match(), Some("\"abc\""));
        assert_eq!(Version::ETag("W/\"abc\"".into()).if_match(), None);
        assert_eq!(Version::Unknown.if_match(), None);
    }

    #[test]
    fn a_version_comes_back_from_its_text() {
        for version in [
            Version::ETag("\"a:b\u{1b}\"".into()),
            Version::ETag("".into()),
            Version::ETag("unknown".into()),
            Version::Modified(-1),
            Version::Modified(i64::MAX),
            Version::Unknown,
        ] {
            assert_eq!(Version::from_text(&version.to_text()), Some(version));
        }
        for text in [
            "",
            "etag",
            "modified:",
            "modified:+1",
            "modified:01",
            "Unknown",
            "x:1",
        ] {
            assert_eq!(Version::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn the_same_key_elsewhere_is_another_object() {
        let id = |url: &str, scope: &str| ObjectId {
            origin: Origin::new(url, scope),
            key: "k".into(),
            version: Version::ETag("1".into()),
            size: 1,
        };
        assert_ne!(id("s3://b@one", ""), id("s3://b@two", ""));
        assert_ne!(id("s3://b@one", "alice"), id("s3://b@one", "bob"));
        assert_eq!(id("s3://b@one", "alice"), id("s3://b@one", "alice"));
    }
}
