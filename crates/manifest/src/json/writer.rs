//! The canonical form, that of Python's `json.dumps(…, sort_keys=True, separators=(",", ":"), ensure_ascii=True)`: no
//! space, and ASCII alone.

use std::fmt;
use std::io::Write as _;

/// Appends `bytes` as a string. What is not UTF-8 becomes lone surrogates, as Python has them.
pub(crate) fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    if bytes.iter().all(|byte| is_plain(*byte)) {
        out.extend_from_slice(bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            chunk.valid().chars().for_each(|c| write_char(out, c));
            for byte in chunk.invalid() {
                write_unit(out, 0xDC00 + u16::from(*byte));
            }
        }
    }
    out.push(b'"');
}

/// Appends a number, or a word.
pub(crate) fn write_value(out: &mut Vec<u8>, value: impl fmt::Display) {
    // Writing to a vector does not fail.
    let _ = write!(out, "{value}");
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7E) && byte != b'"' && byte != b'\\'
}

fn write_char(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        ' '..='~' => return out.push(c as u8),
        // 0x7F too: Python counts it as not printable, the draft's other programs do not.
        _ => {
            let mut units = [0; 2];
            return c
                .encode_utf16(&mut units)
                .iter()
                .for_each(|unit| write_unit(out, *unit));
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn write_unit(out: &mut Vec<u8>, unit: u16) {
    write_value(out, format_args!("\\u{unit:04x}"));
}

#[cfg(test)]
mod tests {
    use super::{write_string, write_value};

    #[test]
    fn strings_are_written_as_python_writes_them() {
        for (bytes, expected) in [
            (&b"a/b ~!"[..], r#""a/b ~!""#),
            (b"\"\\/", r#""\"\\/""#),
            (b"\x08\x0c\n\r\t\0\x1f\x7f", r#""\b\f\n\r\t\u0000\u001f\u007f""#),
            ("é\u{fb33}\u{1f600}".as_bytes(), r#""\u00e9\ufb33\ud83d\ude00""#),
            (b"bad\xff\xc3", r#""bad\udcff\udcc3""#),
            (b"", r#""""#),
        ] {
            let mut out = Vec::new();
            write_string(&mut out, bytes);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn numbers_are_written_in_full() {
        let mut out = Vec::new();
        write_value(&mut out, i64::MIN);
        assert_eq!(out, b"-9223372036854775808");
    }
}
