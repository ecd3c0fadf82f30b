use proptest::prelude::*;

use super::Reader;
use crate::error::{Fault, ManifestError};
use crate::json::write_string;

fn message(fault: Fault) -> String {
    match fault.of_document() {
        ManifestError::Syntax { at, why, .. } => format!("{at}: {why}"),
        other => other.to_string(),
    }
}

fn string(text: &str) -> Result<Vec<u8>, String> {
    let mut scratch = b"old".to_vec();
    let text = Reader::new(text).string().map_err(message)?;
    text.bytes(&mut scratch).map(<[u8]>::to_vec).map_err(message)
}

#[test]
fn strings_are_the_bytes_of_file_names() {
    for (text, bytes) in [
        (r#""""#, &b""[..]),
        (r#" "a/b" "#, b"a/b"),
        (r#""\"\\\/\b\f\n\r\t""#, b"\"\\/\x08\x0c\n\r\t"),
        (
            r#""\u0061\u00e9\uFB33\ud83d\uDE00""#,
            "aé\u{fb33}\u{1f600}".as_bytes(),
        ),
        ("\"aé\u{fb33}\u{1f600}\"", "aé\u{fb33}\u{1f600}".as_bytes()),
        (r#""bad\udcff\udc80x""#, b"bad\xff\x80x"),
        // Half a character, a whole one, half a character.
        (r#""\udce2\udc82\u20ac\udc82""#, b"\xe2\x82\xe2\x82\xac\x82"),
        // A pair first, as Python pairs them.
        (r#""\ud83d\udcff""#, "\u{1f4ff}".as_bytes()),
    ] {
        assert_eq!(string(text).as_deref(), Ok(bytes), "{text}");
    }
}

#[test]
fn strings_that_are_none_are_refused() {
    for (text, expected) in [
        ("", "0: it ends too early"),
        ("a", "0: there must be a string"),
        ("\"a", "2: it ends too early"),
        ("\"a\\\"", "4: it ends too early"),
        ("\"a\\", "3: it ends too early"),
        ("\"a\nb\"", "2: a control character in a string has to be escaped"),
        ("\"a\0\"", "2: a control character in a string has to be escaped"),
        (r#""a\x""#, "3: an escape that JSON does not have"),
        (r#""a\é""#, "3: an escape that JSON does not have"),
        (r#""\u12g4""#, "2: an escape that JSON does not have"),
        (r#""\u+123""#, "2: an escape that JSON does not have"),
        (r#""ab\u12""#, "4: an escape that JSON does not have"),
        (r#""\ud83d\uq""#, "the lone surrogate U+D83D"),
    ] {
        let error = string(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn surrogates_that_are_no_file_name_are_refused() {
    for (text, expected) in [
        (
            r#""\ud800""#,
            "the lone surrogate U+D800 in it stands for no bytes of a file name on Linux",
        ),
        (r#""\udbffx""#, "the lone surrogate U+DBFF"),
        (r#""x\udc7f""#, "the lone surrogate U+DC7F"),
        (r#""\udd00""#, "the lone surrogate U+DD00"),
        (r#""\ude00\ud83d""#, "the lone surrogate U+DE00"),
        // The bytes of é, as two surrogates: Python never has them for a name.
        (
            r#""\udcc3\udca9""#,
            "its surrogates stand for bytes that are characters together",
        ),
        (
            r#""\udcff\udcc3\udca9/x""#,
            "its surrogates stand for bytes that are characters together",
        ),
    ] {
        let error = string(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn integers_are_exact() {
    for (text, expected) in [
        ("0", Ok(0)),
        ("-0", Ok(0)),
        (" -5,", Ok(-5)),
        ("18446744073709551616", Ok(1 << 64)),
        ("999999999999999999999999", Ok(999_999_999_999_999_999_999_999)),
        ("9999999999999999999999999", Err("a number has too many digits")),
        ("01", Err("there must be an integer")),
        ("-", Err("there must be an integer")),
        ("+1", Err("there must be an integer")),
        ("1.0", Err("there must be an integer")),
        ("1e3", Err("there must be an integer")),
        ("\"1\"", Err("there must be an integer")),
        ("true", Err("there must be an integer")),
        ("null", Err("there must be an integer")),
        ("NaN", Err("there must be an integer")),
    ] {
        let got = Reader::new(text).integer().map_err(message);
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected),
            (Err(got), Err(expected)) => assert!(got.ends_with(expected), "{text}: {got}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }
}

#[test]
fn values_are_skipped_to_their_end() {
    for (text, end) in [
        ("1,", 1),
        ("true}", 4),
        (r#""a]\"}" "#, 7),
        (r#"{"a":[1,{"b":"]}"}],"c":null} ,"#, 29),
        ("[]]", 2),
    ] {
        let mut reader = Reader::new(text);
        reader.skip().unwrap();
        assert_eq!(reader.at(), end, "{text}");
    }
    let deep = "[".repeat(17);
    for (text, expected) in [
        ("[", "1: it ends too early"),
        ("", "0: it ends too early"),
        (deep.as_str(), "16: objects and arrays lie too deep in each other"),
    ] {
        let got = Reader::new(text).skip().map_err(message);
        assert_eq!(got, Err(expected.to_owned()));
    }
}

proptest! {
    #[test]
    fn any_file_name_is_read_as_it_was_written(bytes: Vec<u8>) {
        let mut text = Vec::new();
        write_string(&mut text, &bytes);
        let text = String::from_utf8(text).unwrap();
        prop_assert_eq!(string(&text), Ok(bytes));
    }

    #[test]
    fn any_string_that_is_read_is_written_as_the_same(units in proptest::collection::vec(unit(), 0..6)) {
        let text = units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
        if let Ok(bytes) = string(&format!("\"{text}\"")) {
            let mut once = Vec::new();
            write_string(&mut once, &bytes);
            // The short forms apart, of which `unit` makes none.
            let plain = units.iter().map(|unit| match unit {
                0x20..=0x7E => char::from(*unit as u8).to_string(),
                _ => format!("\\u{unit:04x}"),
            });
            prop_assert_eq!(String::from_utf8(once).unwrap(), format!("\"{}\"", plain.collect::<String>()));
        }
    }
}

fn unit() -> impl Strategy<Value = u16> {
    prop_oneof![
        Just(0x41),
        Just(0x7F),
        Just(0xE9),
        0xDC80..=0xDCFFu16,
        0xD83C..=0xD840u16,
        0xDC00..=0xDFFFu16,
        0xE000..=0xFFFFu16,
    ]
}
