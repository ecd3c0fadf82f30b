//! Standard output: data or the answer, nothing else.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::exit::{CliError, Result};

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
        let line = if self.json {
            serde_json::to_string(value)
                .map_err(|e| CliError::new(forebay_types::ErrorKind::Internal, e.to_string()))?
        } else {
            text()
        };
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
