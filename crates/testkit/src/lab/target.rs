//! What a request line asks for: pure.

use http::{Method, Request, header};
use percent_encoding::percent_decode_str;

use crate::Op;
use forebay_types::RangeSpec;

/// `/bucket/key?query`, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) op: Op,
    pub(crate) bucket: String,
    pub(crate) key: String,
    query: Vec<(String, String)>,
    pub(crate) range: Option<RangeSpec>,
}

impl Target {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let path = request.uri().path();
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query: Vec<_> = request
            .uri()
            .query()
            .unwrap_or("")
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(pair)
            .collect();
        let range = request
            .headers()
            .get(header::RANGE)
            .and_then(|value| value.to_str().ok())
            .and_then(range);
        let mut target = Self {
            op: Op::Other,
            bucket: decode(bucket),
            key: decode(key),
            query,
            range,
        };
        target.op = target.classify(request.method());
        target
    }

    /// The value of a query parameter; empty if it has none.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }

    fn classify(&self, method: &Method) -> Op {
        let of_object = !self.key.is_empty();
        let special = [
            "uploads",
            "uploadId",
            "tagging",
            "location",
            "versioning",
            "acl",
            "policy",
        ];
        let special = special.iter().any(|name| self.query(name).is_some());
        match *method {
            Method::HEAD => Op::Head,
            Method::GET if special => Op::Other,
            Method::GET if of_object => Op::Get,
            Method::GET if !self.bucket.is_empty() => Op::List,
            Method::PUT if of_object && (!special || self.query("uploadId").is_some()) => Op::Put,
            Method::DELETE if of_object && !special => Op::Delete,
            _ => Op::Other,
        }
    }
}

/// A single range of bytes. Anything else is no range to us: RFC 9110 §14.2 lets a server ignore it.
pub(crate) fn range(header: &str) -> Option<RangeSpec> {
    header.strip_prefix("bytes=")?.trim().parse().ok()
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    // Clients write a space of a query as %20 or as +, and a plus always as %2B.
    (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: Method, uri: &str) -> Target {
        Target::of(&Request::builder().method(method).uri(uri).body(()).unwrap())
    }

    #[test]
    fn paths_and_queries_are_decoded() {
        let found = target(Method::GET, "/b/a%20b/%E6%97%A5+c");
        assert_eq!(
            (found.op, found.bucket.as_str(), found.key.as_str()),
            (Op::Get, "b", "a b/日+c")
        );
        let found = target(Method::GET, "/b?prefix=x%2By+z&list-type=2");
        assert_eq!((found.op, found.query("prefix")), (Op::List, Some("x+y z")));
        assert_eq!(found.query("delimiter"), None);
    }

    #[test]
    fn requests_are_counted_as_what_they_are() {
        for (method, uri, op) in [
            (Method::GET, "/", Op::Other),
            (Method::GET, "/b", Op::List),
            (Method::GET, "/b/", Op::List),
            (Method::GET, "/b/k", Op::Get),
            (Method::GET, "/b/k?uploadId=1", Op::Other),
            (Method::HEAD, "/b/k", Op::Head),
            (Method::PUT, "/b", Op::Other),
            (Method::PUT, "/b/k", Op::Put),
            (Method::PUT, "/b/k?partNumber=1&uploadId=1", Op::Put),
            (Method::PUT, "/b/k?tagging", Op::Other),
            (Method::POST, "/b/k?uploads", Op::Other),
            (Method::POST, "/b?delete", Op::Other),
            (Method::DELETE, "/b/k", Op::Delete),
            (Method::DELETE, "/b/k?uploadId=1", Op::Other),
        ] {
            assert_eq!(target(method.clone(), uri).op, op, "{method} {uri}");
        }
    }
}
