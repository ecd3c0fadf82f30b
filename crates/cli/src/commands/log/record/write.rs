//! From a record to a line.

use std::fmt::Write as _;
use std::io::Write as _;

use chrono::{DateTime, SecondsFormat};
use forebay_log::{Header, Record};
use forebay_types::printable;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::to_base64;
use crate::args::{Format, Show};
use crate::exit::{CliError, Result};
use crate::output;

/// How records are written down.
#[derive(Clone, Debug)]
pub(in crate::commands::log) struct Style {
    pub(in crate::commands::log) format: Format,
    pub(in crate::commands::log) show: Vec<Show>,
    pub(in crate::commands::log) raw: bool,
}

impl Style {
    /// Appends the line of a record.
    pub(in crate::commands::log) fn write(
        &self,
        partition: u32,
        record: &Record,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match self.format {
            Format::Text => self.text(partition, record, out),
            Format::Ndjson => ndjson(partition, record, out)?,
        }
        out.push(b'\n');
        Ok(())
    }

    fn text(&self, partition: u32, record: &Record, out: &mut Vec<u8>) {
        for show in &self.show {
            match show {
                Show::Key => self.field(record.key.as_deref(), out),
                Show::Offset => number(record.offset, out),
                Show::Partition => number(u64::from(partition), out),
                Show::Timestamp => self.field(timestamp(record.timestamp).as_deref().map(str::as_bytes), out),
                Show::Headers => {
                    for (nth, header) in record.headers.iter().enumerate() {
                        if nth > 0 {
                            out.push(b',');
                        }
                        self.field(Some(&header.name), out);
                        out.push(b'=');
                        self.field(header.value.as_deref(), out);
                    }
                }
            }
            out.push(b'\t');
        }
        let value = (!record.tombstone).then_some(&record.value[..]);
        self.field(value, out);
    }

    fn field(&self, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
        match bytes {
            None => out.extend_from_slice(b"null"),
            Some(bytes) if self.raw => out.extend_from_slice(bytes),
            Some(bytes) => escaped(bytes, out),
        }
    }
}

fn number(number: u64, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(out, "{number}");
}

/// As in 2026-01-31T12:00:00.000Z; `None` if the record has none, the number if it is beyond all calendars.
fn timestamp(millis: i64) -> Option<String> {
    if millis < 0 {
        return None;
    }
    Some(time(millis))
}

/// A time in milliseconds since 1970 for people.
pub(in crate::commands::log) fn time(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis).map_or_else(
        || millis.to_string(),
        |time| time.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

/// Appends text in which nothing can control a terminal: control characters as `\u{1b}`, bytes that are no UTF-8 as
/// `\xff`.
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    // Nearly all values: letters of ASCII alone.
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(printable(chunk.valid()).as_bytes());
        for byte in chunk.invalid() {
            let mut text = String::new();
            let _ = write!(text, "\\x{byte:02x}");
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// A record in JSON. Text stands as it is; what is not UTF-8 in fields of their own, in base64.
#[derive(Serialize)]
struct Object<'a> {
    partition: u32,
    offset: u64,
    timestamp: i64,
    #[serde(skip_serializing_if = "is_binary")]
    key: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "is_binary")]
    value: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "headers")]
    headers: &'a [Header],
}

/// A key or a value.
#[derive(Clone, Copy)]
enum Text<'a> {
    Null,
    Utf8(&'a str),
    Binary,
}

fn is_binary(text: &Text<'_>) -> bool {
    matches!(text, Text::Binary)
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Utf8(text) => to.serialize_str(text),
            Self::Null | Self::Binary => to.serialize_none(),
        }
    }
}

fn field(bytes: Option<&[u8]>) -> (Text<'_>, Option<String>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => (Text::Null, None),
        Some((_, Ok(text))) => (Text::Utf8(text), None),
        Some((bytes, Err(_))) => (Text::Binary, Some(to_base64(bytes))),
    }
}

/// One part of a header: a string, `{"base64": "…"}` or null.
struct Part<'a>(Option<&'a [u8]>);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match field(self.0) {
            (_, Some(base64)) => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("base64", &base64)?;
                map.end()
            }
            (text, None) => text.serialize(to),
        }
    }
}

fn headers<S: Serializer>(headers: &&[Header], to: S) -> std::result::Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(headers.len()))?;
    for header in *headers {
        list.serialize_element(&(Part(Some(&header.name)), Part(header.value.as_deref())))?;
    }
    list.end()
}

fn ndjson(partition: u32, record: &Record, out: &mut Vec<u8>) -> Result<()> {
    let (key, key_base64) = field(record.key.as_deref());
    let (value, value_base64) = field((!record.tombstone).then_some(&record.value[..]));
    let object = Object {
        partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key,
        key_base64,
        value,
        value_base64,
        headers: &record.headers,
    };
    let begin = out.len();
    serde_json::to_writer(&mut *out, &object)
        .map_err(|e| CliError::new(forebay_types::ErrorKind::Internal, e.to_string()))?;
    // JSON lets a few characters stand that control a terminal all the same.
    if !out[begin..].iter().all(|byte| matches!(byte, b' '..=b'~')) {
        let safe = output::json(&object)?;
        out.truncate(begin);
        out.extend_from_slice(safe.as_bytes());
    }
    Ok(())
}
