//! From a line to a record.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use chrono::DateTime;
use forebay_log::{Header, NewRecord};
use forebay_types::printable;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::from_base64;
use crate::args::Format;

/// How lines are understood.
#[derive(Clone, Debug)]
pub(in crate::commands::log) struct Lines {
    pub(in crate::commands::log) format: Format,
    pub(in crate::commands::log) key_separator: Option<Vec<u8>>,
    /// Where all records go that do not say it themselves.
    pub(in crate::commands::log) partition: Option<u32>,
}

impl Lines {
    /// The record of a line, which has no newline any more; `None` if there is none in it.
    ///
    /// # Errors
    /// What is wrong with it, without its number.
    pub(in crate::commands::log) fn record(&self, line: &Bytes) -> Result<Option<NewRecord>, String> {
        match self.format {
            Format::Text => self.text(line).map(Some),
            Format::Ndjson if line.iter().all(u8::is_ascii_whitespace) => Ok(None),
            Format::Ndjson => self.ndjson(line).map(Some),
        }
    }

    fn text(&self, line: &Bytes) -> Result<NewRecord, String> {
        let record = NewRecord {
            partition: self.partition,
            ..NewRecord::default()
        };
        let Some(separator) = &self.key_separator else {
            return Ok(NewRecord {
                value: Some(line.clone()),
                ..record
            });
        };
        let at = find(line, separator).ok_or_else(|| {
            let separator = String::from_utf8_lossy(separator);
            format!("there is no '{}' between key and value", printable(&separator))
        })?;
        Ok(NewRecord {
            key: Some(line.slice(..at)),
            value: Some(line.slice(at + separator.len()..)),
            ..record
        })
    }

    fn ndjson(&self, line: &[u8]) -> Result<NewRecord, String> {
        // A list would be taken for the fields in their order.
        if line.trim_ascii_start().first() != Some(&b'{') {
            return Err("it is no JSON object, as in {\"value\": \"…\"}".to_owned());
        }
        let line: Line<'_> = serde_json::from_slice(line).map_err(|error| {
            let text = error.to_string();
            // There is but one line.
            let text = text.replace(" at line 1 column ", ", at byte ");
            printable(&text).chars().take(300).collect::<String>()
        })?;
        let value = match (line.value, line.value_base64) {
            (Some(_), Some(_)) => return Err("it has both value and value_base64".to_owned()),
            (Some(text), None) => text.map(into_bytes),
            (None, Some(text)) => Some(
                from_base64(&text)
                    .map_err(|why| format!("value_base64 is {why}"))?
                    .into(),
            ),
            (None, None) => {
                return Err("it has no value; \"value\": null is a record that deletes its key".to_owned());
            }
        };
        let key = match (line.key.flatten(), line.key_base64) {
            (Some(_), Some(_)) => return Err("it has both key and key_base64".to_owned()),
            (key, None) => key.map(into_bytes),
            (None, Some(text)) => Some(
                from_base64(&text)
                    .map_err(|why| format!("key_base64 is {why}"))?
                    .into(),
            ),
        };
        Ok(NewRecord {
            partition: line.partition.or(self.partition),
            key,
            value,
            headers: line.headers.0,
            timestamp: line.timestamp.map(|Millis(millis)| millis),
        })
    }
}

fn find(line: &[u8], separator: &[u8]) -> Option<usize> {
    line.windows(separator.len())
        .position(|window| window == separator)
}

fn into_bytes(text: Cow<'_, str>) -> Bytes {
    text.into_owned().into()
}

/// As `consume --format ndjson` writes it, and as people do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    /// `Some(None)` is null.
    #[serde(default, borrow, deserialize_with = "nullable")]
    key: Option<Option<Cow<'a, str>>>,
    #[serde(default)]
    key_base64: Option<String>,
    #[serde(default, borrow, deserialize_with = "nullable")]
    value: Option<Option<Cow<'a, str>>>,
    #[serde(default)]
    value_base64: Option<String>,
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    timestamp: Option<Millis>,
    #[serde(default)]
    partition: Option<u32>,
    /// Where the record was read from. It gets an offset of its own; taken, so that what was consumed can be produced.
    #[serde(default, rename = "offset")]
    _offset: Option<u64>,
}

fn nullable<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Cow<'a, str>>>, D::Error> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Option<Cow<'de, str>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(
                "a string or null (other JSON goes into a string, bytes into value_base64 or key_base64)",
            )
        }

        fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Some(Cow::Borrowed(text)))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(Cow::Owned(text.to_owned())))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    from.deserialize_any(Text).map(Some)
}

/// Milliseconds since 1970, as a number or in RFC 3339.
struct Millis(i64);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Time;
        impl Visitor<'_> for Time {
            type Value = Millis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a timestamp: milliseconds since 1970 (-1 for none), or as in 2026-01-31T12:00:00Z",
                )
            }

            fn visit_u64<E: Error>(self, millis: u64) -> Result<Millis, E> {
                i64::try_from(millis)
                    .map(Millis)
                    .map_err(|_| E::custom(format!("the timestamp {millis} is too large")))
            }

            fn visit_i64<E: Error>(self, millis: i64) -> Result<Millis, E> {
                if millis < -1 {
                    return Err(E::custom(format!("the timestamp {millis} is before 1970")));
                }
                Ok(Millis(millis))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Millis, E> {
                rfc3339(text).map(Millis).map_err(E::custom)
            }
        }
        from.deserialize_any(Time)
    }
}

/// A time as in `2026-01-31T12:00:00Z`, in milliseconds since 1970.
///
/// # Errors
/// If it is none, or before 1970.
pub(in crate::commands::log) fn rfc3339(text: &str) -> Result<i64, String> {
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|error| format!("'{}' is no time ({error})", printable(text)))?;
    let millis = time.timestamp_millis();
    if millis < 0 {
        return Err(format!("'{}' is before 1970", printable(text)));
    }
    Ok(millis)
}

/// `{"a": "b", "c": null}`, or `[["a", "b"], ["c", null]]` where a name comes twice.
#[derive(Default)]
struct Headers(Vec<Header>);

/// A string, or `{"base64": "…"}`.
struct Field(Bytes);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("headers: an object, or a list of [name, value]")
            }

            fn visit_unit<E: Error>(self) -> Result<Headers, E> {
                Ok(Headers::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Option<Field>>()? {
                    headers.push(Header {
                        name: name.into(),
                        value: value.map(|Field(value)| value),
                    });
                }
                Ok(Headers(headers))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::new();
                while let Some((Field(name), value)) = list.next_element::<(Field, Option<Field>)>()? {
                    headers.push(Header {
                        name,
                        value: value.map(|Field(value)| value),
                    });
                }
                Ok(Headers(headers))
            }
        }
        from.deserialize_any(Pairs)
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or {\"base64\": \"…\"}, in a header")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Field, E> {
                Ok(Field(Bytes::copy_from_slice(text.as_bytes())))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
                let only = || A::Error::custom("an object in a header has one field, base64");
                let (name, text) = map.next_entry::<String, String>()?.ok_or_else(only)?;
                if name != "base64" || map.next_entry::<String, String>()?.is_some() {
                    return Err(only());
                }
                let bytes =
                    from_base64(&text).map_err(|why| A::Error::custom(format!("a header is {why}")))?;
                Ok(Field(bytes.into()))
            }
        }
        from.deserialize_any(Text)
    }
}
