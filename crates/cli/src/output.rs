//! Standard output: data or the answer, nothing else.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use forebay_types::printable;
use serde::Serialize;

use crate::exit::{CliError, Result};

/// `value` on one line. Beyond what JSON escapes, so are the controls and direction marks that a terminal obeys: any
/// reader of JSON gets back the same text.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let json = serde_json::to_string(value)
        .map_err(|e| CliError::new(forebay_types::ErrorKind::Internal, e.to_string()))?;
    if let Cow::Borrowed(_) = printable(&json) {
        return Ok(json);
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match printable(c.encode_utf8(&mut [0; 4])) {
            Cow::Borrowed(same) => safe.push_str(same),
            // All of them are within the first 65,536, so that one escape is enough.
            Cow::Owned(_) => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    Ok(safe)
}

/// How answers are given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// One JSON object on one line.
    pub(crate) json: bool,
    /// Nothing but errors on standard error.
    pub(crate) quiet: bool,
}

impl Output {
    /// Answers with `value` as JSON, or with `text`.
    pub(crate) fn answer<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> Result<()> {
        let line = if self.json { json(value)? } else { text() };
        self.line(&line)
    }

    /// Prints a line; an empty one is nothing.
    pub(crate) fn line(self, line: &str) -> Result<()> {
        if line.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes())
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush())
            .map_err(|e| CliError::stdout(&e))
    }

    /// Whether a progress bar makes sense: somebody watches.
    pub(crate) fn shows_progress(self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_safe_to_print_and_still_says_the_same() {
        let name = "a\u{202e}b\u{9b}c\u{1b}[2Jd\u{7f}é";
        let text = json(name).unwrap();
        assert_eq!(printable(&text), text);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), name);
    }
}
