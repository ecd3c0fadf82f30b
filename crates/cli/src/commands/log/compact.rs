//! `forebay log compact`: one round of maintenance.

use forebay_types::printable;
use serde::Serialize;

use super::open::{open, refuse_lost_metadata};
use crate::exit::{CliError, Result};
use crate::session::Session;

#[derive(Debug, Serialize)]
struct Answer {
    /// Segments that were made, and those that they took the place of.
    compacted: u64,
    replaced: u64,
    /// Segments that retention dropped.
    retained_away: u64,
    /// Uploads that were declared dead.
    expired: u64,
    /// Objects that were deleted.
    deleted: u64,
    problems: Vec<String>,
}

pub(crate) fn run(session: &Session) -> Result<()> {
    session.block_on(async {
        let log = open(session).await?;
        refuse_lost_metadata(&log).await?;
        let done = log.maintain(&session.settings.log.maintain_options()).await?;
        let answer = Answer {
            compacted: done.compacted,
            replaced: done.replaced,
            retained_away: done.retained_away,
            expired: done.expired,
            deleted: done.deleted,
            problems: done.problems,
        };
        session.output.answer(&answer, || answer.text())?;
        if answer.problems.is_empty() {
            return Ok(());
        }
        // Everything was said on standard output.
        Err(CliError::already_said(Some(1)))
    })
}

impl Answer {
    fn text(&self) -> String {
        let mut text = format!(
            "{} segments made of {}, {} let go by retention, {} uploads given up, {} objects deleted",
            self.compacted, self.replaced, self.retained_away, self.expired, self.deleted
        );
        for problem in &self.problems {
            text.push_str("\nfailed: ");
            text.push_str(&printable(problem));
        }
        text
    }
}
