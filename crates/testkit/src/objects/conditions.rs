//! If-Match and its relatives: pure.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, header};

use super::Object;

/// What a request demands of the present state of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// Only if the ETag is one of these (`*`: only if there is an object).
    pub if_match: Option<String>,
    /// Only if the ETag is none of these (`*`: only if there is no object).
    pub if_none_match: Option<String>,
    /// Only if newer than this; not looked at where If-None-Match is given.
    pub if_modified_since: Option<SystemTime>,
    /// Only if not newer than this; not looked at where If-Match is given.
    pub if_unmodified_since: Option<SystemTime>,
}

/// What follows from the conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Proceed,
    /// 304 to a read, 412 to a write.
    NotModified,
    /// 412.
    Failed,
}

impl Preconditions {
    /// Create only: there must be no object yet.
    pub fn absent() -> Self {
        Self {
            if_none_match: Some("*".to_owned()),
            ..Self::default()
        }
    }

    /// Replace only the version with this ETag.
    pub fn matches(etag: impl Into<String>) -> Self {
        Self {
            if_match: Some(etag.into()),
            ..Self::default()
        }
    }

    /// As a request's headers say.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let date = |name| text(name).and_then(|value| httpdate::parse_http_date(value).ok());
        Self {
            if_match: text(header::IF_MATCH).map(str::to_owned),
            if_none_match: text(header::IF_NONE_MATCH).map(str::to_owned),
            if_modified_since: date(header::IF_MODIFIED_SINCE),
            if_unmodified_since: date(header::IF_UNMODIFIED_SINCE),
        }
    }

    /// In the order of RFC 9110 §13.2.2.
    pub fn evaluate(&self, current: Option<&Object>) -> Verdict {
        if let Some(tags) = &self.if_match {
            if !current.is_some_and(|object| any_tag(tags, |tag| strong_match(tag, &object.etag))) {
                return Verdict::Failed;
            }
        } else if let (Some(limit), Some(object)) = (self.if_unmodified_since, current)
            && whole_seconds(object.last_modified) > whole_seconds(limit)
        {
            return Verdict::Failed;
        }
        if let Some(tags) = &self.if_none_match {
            if current.is_some_and(|object| any_tag(tags, |tag| bare(tag) == bare(&object.etag))) {
                return Verdict::NotModified;
            }
        } else if let (Some(limit), Some(object)) = (self.if_modified_since, current)
            && whole_seconds(object.last_modified) <= whole_seconds(limit)
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }
}

/// `*` matches any object. A comma cannot stand in the tags of this store, so splitting at it is safe.
fn any_tag(list: &str, matches: impl Fn(&str) -> bool) -> bool {
    list.trim() == "*" || list.split(',').any(|tag| matches(tag.trim()))
}

/// A weak tag never matches strongly (RFC 9110 §8.8.3.2). S3 takes tags without their quotes, and so do we.
fn strong_match(given: &str, current: &str) -> bool {
    !given.starts_with("W/") && !current.starts_with("W/") && bare(given) == bare(current)
}

fn bare(tag: &str) -> &str {
    tag.trim_start_matches("W/").trim_matches('"')
}

/// Dates in headers have no fractions.
fn whole_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attributes, Content};

    fn object(etag: &str) -> Object {
        let attributes = Attributes {
            etag: Some(etag.to_owned()),
            ..Attributes::default()
        };
        Object::new(1, Content::from("x"), attributes, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn tags_are_compared_as_rfc_9110_says() {
        use Verdict::{Failed, NotModified, Proceed};
        let strong = object("\"a\"");
        let weak = object("W/\"a\"");
        let cases = [
            (Some("\"a\""), None, Some(&strong), Proceed),
            (Some("a"), None, Some(&strong), Proceed),
            (Some("\"b\", \"a\""), None, Some(&strong), Proceed),
            (Some("\"b\""), None, Some(&strong), Failed),
            (Some("W/\"a\""), None, Some(&strong), Failed),
            (Some("\"a\""), None, Some(&weak), Failed),
            (Some("*"), None, Some(&weak), Proceed),
            (Some("*"), None, None, Failed),
            (None, Some("*"), None, Proceed),
            (None, Some("*"), Some(&strong), NotModified),
            (None, Some("W/\"a\""), Some(&strong), NotModified),
            (None, Some("\"b\""), Some(&strong), Proceed),
            (Some("\"a\""), Some("\"a\""), Some(&strong), NotModified),
        ];
        for (if_match, if_none_match, current, expected) in cases {
            let conditions = Preconditions {
                if_match: if_match.map(str::to_owned),
                if_none_match: if_none_match.map(str::to_owned),
                ..Preconditions::default()
            };
            assert_eq!(conditions.evaluate(current), expected, "{conditions:?}");
        }
    }

    #[test]
    fn dates_count_where_no_tag_is_given() {
        let object = object("\"a\"");
        let since = |time| Preconditions {
            if_modified_since: Some(time),
            ..Preconditions::default()
        };
        assert_eq!(
            since(SystemTime::UNIX_EPOCH).evaluate(Some(&object)),
            Verdict::NotModified
        );
        let both = Preconditions {
            if_none_match: Some("\"b\"".into()),
            ..since(SystemTime::UNIX_EPOCH)
        };
        assert_eq!(both.evaluate(Some(&object)), Verdict::Proceed);
    }
}
