//! A reader that goes through JSON once and hands out pieces of it. It allocates for names that have escapes alone.

use std::borrow::Cow;

use crate::error::Fault;

/// Objects and arrays that may lie in each other. A manifest has four levels.
const MAX_NESTED: u32 = 16;

/// Most digits of a number: enough for all of 64 bits, and far from overflow.
const MAX_DIGITS: usize = 24;

/// A place in JSON.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A string as it stands, between its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    raw: &'a str,
    /// Where it begins.
    at: usize,
    escaped: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The same text, from `at` on.
    pub(crate) fn from(&self, at: usize) -> Self {
        Self { text: self.text, at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte after white space, which is left where it is.
    fn next_token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    fn expect(&mut self, byte: u8, why: &'static str) -> Result<(), Fault> {
        if self.next_token() != Some(byte) {
            return Err(self.fault(why));
        }
        self.at += 1;
        Ok(())
    }

    fn fault(&self, why: &'static str) -> Fault {
        match self.peek() {
            Some(_) => Fault::syntax(self.at, why),
            None => Fault::syntax(self.at, "it ends too early"),
        }
    }

    /// The start of an object.
    pub(crate) fn object(&mut self) -> Result<(), Fault> {
        self.expect(b'{', "there must be an object (`{`)")
    }

    /// The start of an array.
    pub(crate) fn array(&mut self) -> Result<(), Fault> {
        self.expect(b'[', "there must be an array (`[`)")
    }

    /// The next key of an object, and goes to its value; `None`: the object ended. `first` is true at its start.
    pub(crate) fn key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, [u8]>>, Fault> {
        if !self.more(b'}', first)? {
            return Ok(None);
        }
        let key = self.string()?;
        self.expect(b':', "there must be a colon after a key")?;
        let mut name = Vec::new();
        Ok(Some(match key.plain() {
            Some(plain) => Cow::Borrowed(plain.as_bytes()),
            None => {
                key.unescape(&mut name)?;
                Cow::Owned(name)
            }
        }))
    }

    /// Whether an array has another item, and goes to it. `first` is true at its start.
    pub(crate) fn item(&mut self, first: &mut bool) -> Result<bool, Fault> {
        self.more(b']', first)
    }

    fn more(&mut self, end: u8, first: &mut bool) -> Result<bool, Fault> {
        let first = std::mem::replace(first, false);
        match self.next_token() {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            _ if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.fault("there must be a comma, or an end")),
        }
    }

    /// A string.
    pub(crate) fn string(&mut self) -> Result<Text<'a>, Fault> {
        self.expect(b'"', "there must be a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += self.text.as_bytes()[self.at..]
                .iter()
                .take_while(|byte| !STOPS[usize::from(**byte)])
                .count();
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    // What follows a backslash is no end, whatever it is. Whether it is right is seen later.
                    let next = self.text[self.at..].chars().next();
                    self.at += next.map_or(0, char::len_utf8);
                }
                Some(_) => return Err(self.fault("a control character in a string has to be escaped")),
                None => return Err(self.fault("")),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        Ok(Text {
            raw,
            at: start,
            escaped,
        })
    }

    /// An integer. Its range is for the caller to check.
    pub(crate) fn integer(&mut self) -> Result<i128, Fault> {
        let minus = self.next_token() == Some(b'-');
        let start = self.at + usize::from(minus);
        let rest = &self.text.as_bytes()[start..];
        let digits = rest
            .iter()
            .take(MAX_DIGITS + 1)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let leading_zero = digits > 1 && rest[0] == b'0';
        if digits == 0 || leading_zero || matches!(rest.get(digits), Some(b'.' | b'e' | b'E')) {
            return Err(self.fault("there must be an integer"));
        }
        if digits > MAX_DIGITS {
            return Err(self.fault("a number has too many digits"));
        }
        self.at = start + digits;
        let value = rest[..digits]
            .iter()
            .fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
        Ok(if minus { -value } else { value })
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Result<bool, Fault> {
        self.next_token();
        for (word, value) in [("true", true), ("false", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.fault("there must be `true` or `false`"))
    }

    /// Goes to the end of a value without looking at it more than that takes: whoever needs it reads it again.
    pub(crate) fn skip(&mut self) -> Result<(), Fault> {
        let mut nested = 0;
        self.next_token();
        loop {
            match self.peek() {
                Some(b'"') => drop(self.string()?),
                Some(b'{' | b'[') => {
                    nested += 1;
                    if nested > MAX_NESTED {
                        return Err(self.fault("objects and arrays lie too deep in each other"));
                    }
                    self.at += 1;
                }
                Some(b'}' | b']') if nested > 0 => {
                    nested -= 1;
                    self.at += 1;
                }
                // At the top a number or a word: it ends where it can.
                Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r') if nested == 0 => return Ok(()),
                Some(_) => self.at += 1,
                None => return Err(self.fault("")),
            }
            let over = nested == 0 && matches!(self.text.as_bytes()[self.at - 1], b'"' | b'}' | b']');
            if over {
                return Ok(());
            }
        }
    }

    /// The end of the text.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match self.next_token() {
            None => Ok(()),
            Some(_) => Err(Fault::syntax(
                self.at,
                "something follows the end of the manifest",
            )),
        }
    }
}

/// Bytes that end a run of a string's characters: quote, backslash and control characters.
const STOPS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

impl<'a> Text<'a> {
    /// What it says, if it has no escapes.
    pub(crate) fn plain(self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw)
    }

    /// What stands there, escapes and all.
    pub(crate) fn raw(self) -> &'a str {
        self.raw
    }

    /// The bytes that it stands for, in `scratch` if it has escapes.
    ///
    /// # Errors
    /// An escape that JSON does not have, or surrogates that are no file name.
    pub(crate) fn bytes<'s>(self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Fault>
    where
        'a: 's,
    {
        match self.plain() {
            Some(plain) => Ok(plain.as_bytes()),
            None => {
                scratch.clear();
                self.unescape(scratch)?;
                Ok(scratch)
            }
        }
    }

    fn unescape(self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut rest = self.raw;
        // Where bytes begin that surrogates stood for.
        let mut raw_from = None;
        loop {
            let (plain, escape) = rest.split_once('\\').unwrap_or((rest, ""));
            if !plain.is_empty() {
                end_raw(out, &mut raw_from)?;
                out.extend_from_slice(plain.as_bytes());
            }
            if plain.len() == rest.len() {
                return end_raw(out, &mut raw_from);
            }
            let at = self.at + self.raw.len() - escape.len();
            let (point, used) =
                escaped(escape).ok_or(Fault::syntax(at, "an escape that JSON does not have"))?;
            rest = &escape[used..];
            match char::from_u32(point) {
                Some(c) => {
                    end_raw(out, &mut raw_from)?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                None if (0xDC80..=0xDCFF).contains(&point) => {
                    raw_from.get_or_insert(out.len());
                    out.push((point - 0xDC00) as u8);
                }
                None => {
                    return Err(Fault::refused(format!(
                        "the lone surrogate U+{point:04X} in it stands for no bytes of a file name on Linux; rename the \
                         file where it was made"
                    )));
                }
            }
        }
    }
}

/// The end of bytes that surrogates stood for, which must not be characters together.
fn end_raw(out: &[u8], from: &mut Option<usize>) -> Result<(), Fault> {
    let Some(from) = from.take() else {
        return Ok(());
    };
    if out[from..].utf8_chunks().any(|chunk| !chunk.valid().is_empty()) {
        return Err(Fault::refused(
            "its surrogates stand for bytes that are characters together: that is another file's name",
        ));
    }
    Ok(())
}

/// The code point of the escape that follows a backslash, and how many bytes it takes.
fn escaped(text: &str) -> Option<(u32, usize)> {
    let point = match text.as_bytes().first()? {
        b'u' => {
            let high = unit(text, 1)?;
            if let 0xD800..=0xDBFF = high
                && text.as_bytes().get(5..7) == Some(b"\\u")
                && let Some(low @ 0xDC00..=0xDFFF) = unit(text, 7)
            {
                return Some((0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00), 11));
            }
            return Some((high, 5));
        }
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => 0x0A,
        b'r' => 0x0D,
        b't' => 0x09,
        plain @ (b'"' | b'\\' | b'/') => u32::from(*plain),
        _ => return None,
    };
    Some((point, 1))
}

/// Four hexadecimal digits.
fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    let all_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    all_digits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests;
