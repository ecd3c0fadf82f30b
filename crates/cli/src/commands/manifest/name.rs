//! Paths of a manifest in JSON: text, or what no text can be in base64, as records of `forebay log`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use forebay_manifest::ManifestPath;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// A path as a field of an object, flattened into it: `"path":"…"`, or `"path_base64":"…"` if it is not UTF-8.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a>(pub(super) &'a [u8]);

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match str::from_utf8(self.0) {
            Ok(text) => map.serialize_entry("path", text)?,
            Err(_) => map.serialize_entry("path_base64", &STANDARD.encode(self.0))?,
        }
        map.end()
    }
}

/// A path in a list: a string, or `{"path_base64":"…"}` if it is not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item(pub(super) Vec<u8>);

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Field(&self.0).serialize(serializer),
        }
    }
}

/// A path as people may see it.
pub(super) fn shown(path: &[u8]) -> String {
    ManifestPath::new(path).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_and_other_bytes_are_kept() {
        let json = |path: &[u8]| serde_json::to_string(&Item(path.to_vec())).unwrap();
        assert_eq!(json("a/\u{e9}".as_bytes()), "\"a/\u{e9}\"");
        assert_eq!(json(b"a/\xff"), r#"{"path_base64":"YS//"}"#);
        assert_eq!(serde_json::to_string(&Field(b"a")).unwrap(), r#"{"path":"a"}"#);
        assert_eq!(shown(b"a\xff\x1b"), "a\\xff\\u{1b}");
    }
}
