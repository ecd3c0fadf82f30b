use bytes::Bytes;
use forebay_log::{Header, NewRecord, Record};

use super::read::Lines;
use super::write::Style;
use crate::args::{Format, Show};

fn ndjson() -> Lines {
    Lines {
        format: Format::Ndjson,
        key_separator: None,
        partition: None,
    }
}

fn read(line: &str) -> Result<NewRecord, String> {
    ndjson()
        .record(&Bytes::copy_from_slice(line.as_bytes()))
        .map(Option::unwrap)
}

fn written(style: &Style, record: &Record) -> String {
    let mut out = Vec::new();
    style.write(3, record, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn text(show: &[Show], raw: bool) -> Style {
    Style {
        format: Format::Text,
        show: show.to_vec(),
        raw,
    }
}

fn record(key: Option<&[u8]>, value: &[u8]) -> Record {
    Record {
        offset: 42,
        timestamp: 1_767_225_600_500,
        key: key.map(Bytes::copy_from_slice),
        value: Bytes::copy_from_slice(value),
        tombstone: false,
        headers: Vec::new(),
    }
}

#[test]
fn what_is_written_is_read_as_it_was() {
    let style = Style {
        format: Format::Ndjson,
        show: Vec::new(),
        raw: false,
    };
    let header = |name: &[u8], value: Option<&[u8]>| Header {
        name: Bytes::copy_from_slice(name),
        value: value.map(Bytes::copy_from_slice),
    };
    for key in [
        None,
        Some(&b""[..]),
        Some(b"k"),
        Some(b"\xff\x00"),
        Some("\u{202e}é\n\t\u{1b}\u{9b}".as_bytes()),
    ] {
        for value in [
            &b""[..],
            b"text",
            b"\xfe",
            "null".as_bytes(),
            "日本\u{7f}".as_bytes(),
        ] {
            for tombstone in [false, true] {
                let mut record = record(key, if tombstone { b"" } else { value });
                record.tombstone = tombstone;
                record.headers = vec![
                    header(b"h", Some(b"1")),
                    header(b"h", None),
                    header(b"", Some(b"")),
                    header(b"\xff", Some(b"\xfe")),
                ];
                let line = written(&style, &record);
                assert_eq!(line.matches('\n').count(), 1, "{line}");
                assert_eq!(forebay_types::printable(line.trim_end()), line.trim_end());
                let again = read(line.trim_end()).unwrap();
                assert_eq!(again.key, record.key, "{line}");
                assert_eq!(
                    again.value,
                    (!tombstone).then_some(record.value.clone()),
                    "{line}"
                );
                assert_eq!(again.headers, record.headers, "{line}");
                assert_eq!(
                    (again.timestamp, again.partition),
                    (Some(record.timestamp), Some(3))
                );
            }
        }
    }
}

#[test]
fn objects_as_people_write_them() {
    let record = read(
        r#" {"value": "v\u00e9", "headers": {"a": "1", "b": null}, "timestamp": "2026-01-01T00:00:00.5Z", "partition": 7} "#,
    )
    .unwrap();
    assert_eq!(record.value.unwrap(), "vé");
    assert_eq!((record.key, record.partition), (None, Some(7)));
    assert_eq!(record.timestamp, Some(1_767_225_600_500));
    let names: Vec<_> = record.headers.iter().map(|header| header.name.clone()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(
        read(r#"{"value_base64": "AP8="}"#).unwrap().value.unwrap()[..],
        [0, 255]
    );
    assert_eq!(read(r#"{"key": "k", "value": null}"#).unwrap().value, None);
    assert_eq!(
        read(r#"{"value": "", "timestamp": -1}"#).unwrap().timestamp,
        Some(-1)
    );
    // A line that is empty is none.
    assert_eq!(ndjson().record(&Bytes::from_static(b" \t\r")), Ok(None));
    let elsewhere = Lines {
        partition: Some(2),
        ..ndjson()
    };
    let record = elsewhere
        .record(&Bytes::from_static(b"{\"value\":\"\"}"))
        .unwrap()
        .unwrap();
    assert_eq!(record.partition, Some(2));
}

#[test]
fn objects_that_are_none() {
    for (line, part) in [
        ("nonsense", "it is no JSON object"),
        ("[1]", "it is no JSON object"),
        (r#"["k", null, "v"]"#, "it is no JSON object"),
        ("null", "it is no JSON object"),
        (r#"{"value": "a""#, "EOF"),
        (r#"{"value": "a"} x"#, "trailing characters, at byte 16"),
        (r#"{"key": "k"}"#, "it has no value"),
        (r#"{"value": {"a": 1}}"#, "a string or null"),
        (r#"{"value": 1}"#, "a string or null"),
        (r#"{"value": "a", "value": "b"}"#, "duplicate field"),
        (
            r#"{"value": "a", "value_base64": "YQ=="}"#,
            "both value and value_base64",
        ),
        (
            r#"{"value": "a", "key": "k", "key_base64": "YQ=="}"#,
            "both key and key_base64",
        ),
        (r#"{"value_base64": "*"}"#, "value_base64 is not base64"),
        (r#"{"value": "a", "vlaue": "b"}"#, "unknown field `vlaue`"),
        (r#"{"value": "a", "timestamp": -5}"#, "before 1970"),
        (
            r#"{"value": "a", "timestamp": 18446744073709551615}"#,
            "too large",
        ),
        (r#"{"value": "a", "timestamp": "soon"}"#, "'soon' is no time"),
        (r#"{"value": "a", "timestamp": 1.5}"#, "milliseconds since 1970"),
        (r#"{"value": "a", "partition": -1}"#, "expected u32"),
        (r#"{"value": "a", "headers": "h"}"#, "an object, or a list"),
        (r#"{"value": "a", "headers": {"h": 1}}"#, "in a header"),
        (
            r#"{"value": "a", "headers": [["h", {"hex": "00"}]]}"#,
            "one field, base64",
        ),
        (r#"{"value": "a", "headers": [["h"]]}"#, "invalid length"),
    ] {
        let error = read(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
        assert!(!error.contains(" line "), "it is not the first line: {error}");
    }
    let error = ndjson()
        .record(&Bytes::from_static(b"{\"value\": \"\xff\"}"))
        .unwrap_err();
    assert!(error.contains("unicode") || error.contains("UTF-8"), "{error}");
}

#[test]
fn text_with_keys() {
    let lines = Lines {
        format: Format::Text,
        key_separator: Some(b"::".to_vec()),
        partition: None,
    };
    let record = lines.record(&Bytes::from_static(b"k:1::v::w")).unwrap().unwrap();
    assert_eq!(
        (record.key.unwrap(), record.value.unwrap()),
        ("k:1".into(), "v::w".into())
    );
    let error = lines.record(&Bytes::from_static(b"k:v")).unwrap_err();
    assert_eq!(error, "there is no '::' between key and value");
    let record = lines.record(&Bytes::from_static(b"::")).unwrap().unwrap();
    assert_eq!(
        (record.key.unwrap(), record.value.unwrap()),
        (Bytes::new(), Bytes::new())
    );
}

#[test]
fn nothing_controls_a_terminal_unless_it_is_asked_for() {
    let nasty = record(None, b"a\x1b[2J\n\xffb\xe2\x80\xae");
    assert_eq!(
        written(&text(&[], false), &nasty),
        "a\\u{1b}[2J\\u{a}\\xffb\\u{202e}\n"
    );
    let mut out = Vec::new();
    text(&[], true).write(0, &nasty, &mut out).unwrap();
    assert_eq!(out, b"a\x1b[2J\n\xffb\xe2\x80\xae\n");
}

#[test]
fn what_is_shown_stands_before_the_value() {
    let all = [
        Show::Offset,
        Show::Partition,
        Show::Timestamp,
        Show::Key,
        Show::Headers,
    ];
    let mut record = record(Some(b"k\t"), b"v");
    record.headers = vec![
        Header {
            name: "a".into(),
            value: Some("1".into()),
        },
        Header {
            name: "b".into(),
            value: None,
        },
    ];
    assert_eq!(
        written(&text(&all, false), &record),
        "42\t3\t2026-01-01T00:00:00.500Z\tk\\u{9}\ta=1,b=null\tv\n"
    );
    record.key = None;
    record.timestamp = -1;
    record.tombstone = true;
    record.headers.clear();
    assert_eq!(
        written(&text(&all, false), &record),
        "42\t3\tnull\tnull\t\tnull\n"
    );
    record.timestamp = i64::MAX;
    assert_eq!(
        written(&text(&[Show::Timestamp], false), &record),
        "9223372036854775807\tnull\n"
    );
}
