//! `forebay log recover`: the metadata from the bucket, or the two compared.

use std::fmt::Write as _;

use forebay_log::{Log, Recovered};
use forebay_types::printable;
use serde::Serialize;

use super::open::open;
use crate::args::LogRecoverArgs;
use crate::exit::{CliError, Result};
use crate::session::Session;

#[derive(Debug, Serialize)]
struct Compared {
    rebuilt: bool,
    agree: bool,
    differences: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Rebuilt {
    rebuilt: bool,
    topics: u64,
    partitions: u64,
    segments: u64,
    records: u64,
    committed_offsets: u64,
    /// Sections of objects that are part of nothing.
    left_out: u64,
    /// What could not be rebuilt, or may be wrong.
    problems: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &LogRecoverArgs) -> Result<()> {
    session.block_on(async {
        let log = open(session).await?;
        let is_empty = log.metadata().topics(None, 1).await?.is_empty();
        if args.replace || is_empty {
            let answer = Rebuilt::of(log.recover(args.replace).await?);
            return session.output.answer(&answer, || answer.text(&log));
        }
        let differences = log.check().await?;
        let answer = Compared {
            rebuilt: false,
            agree: differences.is_empty(),
            differences,
        };
        session.output.answer(&answer, || answer.text(&log))?;
        if answer.agree {
            return Ok(());
        }
        // Everything was said on standard output.
        Err(CliError::already_said(Some(1)))
    })
}

fn list(text: &mut String, lines: &[String]) {
    for line in lines {
        let _ = write!(text, "\n  {}", printable(line));
    }
}

impl Compared {
    fn text(&self, log: &Log) -> String {
        let (metadata, bucket) = (log.metadata().name(), log.source().origin.url());
        if self.agree {
            return format!("{metadata} and {bucket} agree");
        }
        let mut text = format!("{metadata} and {bucket} differ:");
        list(&mut text, &self.differences);
        text.push_str("\n`forebay log recover --replace` makes the metadata what the bucket says");
        text
    }
}

impl Rebuilt {
    fn of(recovered: Recovered) -> Self {
        Self {
            rebuilt: true,
            topics: recovered.topics,
            partitions: recovered.partitions,
            segments: recovered.segments,
            records: recovered.records,
            committed_offsets: recovered.committed_offsets,
            left_out: recovered.left_out,
            problems: recovered.problems,
        }
    }

    fn text(&self, log: &Log) -> String {
        let mut text = format!(
            "{} rebuilt: {} topics, {} partitions with records, {} segments, {} records, {} committed offsets",
            log.metadata().name(),
            self.topics,
            self.partitions,
            self.segments,
            self.records,
            self.committed_offsets
        );
        if self.left_out > 0 {
            let _ = write!(
                text,
                "; {} sections left out that were never committed or are replaced",
                self.left_out
            );
        }
        if !self.problems.is_empty() {
            text.push_str("\nnot rebuilt, or perhaps wrong:");
            list(&mut text, &self.problems);
        }
        text
    }
}
