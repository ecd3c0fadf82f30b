//! `forebay log offsets`: how far a group got.

use std::str::FromStr;

use forebay_log::{Log, LogError, TopicName, TopicPartition};
use forebay_types::{ErrorKind, printable};
use serde::Serialize;

use super::open::open;
use super::record::write::time;
use super::table::table;
use crate::args::LogOffsetsArgs;
use crate::exit::{CliError, Result};
use crate::session::Session;

/// An offset that is to be committed, as typed: `orders/0=42`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewOffset {
    at: TopicPartition,
    to: To,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Earliest,
    Latest,
    Offset(u64),
}

impl FromStr for NewOffset {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || {
            format!(
                "'{}' is not a partition and its offset, as in orders/0=42",
                printable(text)
            )
        };
        let (at, to) = text.split_once('=').ok_or_else(wrong)?;
        let (topic, partition) = at.rsplit_once('/').ok_or_else(wrong)?;
        let topic = TopicName::new(topic).map_err(|error| error.to_string())?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let partition = Some(partition).filter(|text| digits(text)).ok_or_else(wrong)?;
        let to = match to {
            "earliest" => To::Earliest,
            "latest" => To::Latest,
            offset if !offset.is_empty() && digits(offset) => {
                To::Offset(offset.parse().map_err(|_| wrong())?)
            }
            _ => return Err(wrong()),
        };
        Ok(Self {
            at: TopicPartition::new(topic, partition.parse().map_err(|_| wrong())?),
            to,
        })
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    group: String,
    /// With `--delete`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    offsets: Vec<Offset>,
}

#[derive(Debug, Serialize)]
struct Offset {
    topic: String,
    partition: u32,
    committed: u64,
    high_watermark: u64,
    /// Records that the group has before it.
    lag: u64,
    committed_ms: i64,
    metadata: Option<String>,
}

pub(crate) fn run(session: &Session, args: &LogOffsetsArgs) -> Result<()> {
    session.block_on(async {
        let log = open(session).await?;
        if args.delete {
            if !log.metadata().delete_group(&args.group).await? {
                return Err(unknown(&args.group));
            }
            let answer = Answer {
                group: args.group.clone(),
                deleted: true,
                offsets: Vec::new(),
            };
            let text = || format!("the group {} is forgotten", printable(&args.group));
            return session.output.answer(&answer, text);
        }
        if !args.set.is_empty() {
            set(&log, args).await?;
        }
        let answer = look(&log, &args.group).await?;
        session.output.answer(&answer, || answer.text())
    })
}

fn unknown(group: &str) -> CliError {
    CliError::new(
        ErrorKind::NotFound,
        format!(
            "there is no group {}: none of this name has committed",
            printable(group)
        ),
    )
    .hint("`forebay log groups` lists them")
}

async fn set(log: &Log, args: &LogOffsetsArgs) -> Result<()> {
    let which: Vec<_> = args.set.iter().map(|new| new.at.clone()).collect();
    for (nth, at) in which.iter().enumerate() {
        if which[..nth].contains(at) {
            return Err(CliError::usage(format!("--set names {at} twice")));
        }
    }
    let ends = log.metadata().partitions(&which).await?;
    let mut offsets = Vec::with_capacity(which.len());
    for (new, ends) in args.set.iter().zip(ends) {
        let offset = match new.to {
            To::Earliest => ends.log_start,
            To::Latest => ends.high_watermark,
            To::Offset(offset) if (ends.log_start..=ends.high_watermark).contains(&offset) => offset,
            To::Offset(offset) => {
                let error = LogError::OffsetNotFound {
                    at: new.at.clone(),
                    offset,
                    log_start: ends.log_start,
                    high_watermark: ends.high_watermark,
                };
                return Err(CliError::from(error).hint("earliest and latest name the ends"));
            }
        };
        offsets.push((new.at.clone(), offset, None));
    }
    Ok(log.metadata().commit_offsets(&args.group, &offsets).await?)
}

async fn look(log: &Log, group: &str) -> Result<Answer> {
    let committed = log.metadata().group_offsets(group).await?;
    if committed.is_empty() {
        return Err(unknown(group));
    }
    let which: Vec<_> = committed.iter().map(|(at, _)| at.clone()).collect();
    let ends = log.metadata().partitions(&which).await?;
    let offsets = committed
        .into_iter()
        .zip(ends)
        .map(|((at, committed), ends)| Offset {
            topic: at.topic.to_string(),
            partition: at.partition,
            committed: committed.offset,
            high_watermark: ends.high_watermark,
            // What retention took away is not before it any more.
            lag: ends
                .high_watermark
                .saturating_sub(committed.offset.max(ends.log_start)),
            committed_ms: committed.committed_ms,
            metadata: committed.metadata,
        });
    Ok(Answer {
        group: group.to_owned(),
        deleted: false,
        offsets: offsets.collect(),
    })
}

impl Answer {
    fn text(&self) -> String {
        let row = |offset: &Offset| {
            [
                format!("{}/{}", offset.topic, offset.partition),
                offset.committed.to_string(),
                offset.high_watermark.to_string(),
                offset.lag.to_string(),
                time(offset.committed_ms),
            ]
        };
        let rows: Vec<_> = self.offsets.iter().map(row).collect();
        table(
            ["partition", "committed", "high watermark", "lag", "last commit"],
            &rows,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_as_typed() {
        let at = TopicPartition::new(TopicName::new("a.b-c").unwrap(), 7);
        for (text, to) in [
            ("a.b-c/7=42", To::Offset(42)),
            ("a.b-c/7=earliest", To::Earliest),
            ("a.b-c/7=latest", To::Latest),
        ] {
            assert_eq!(text.parse(), Ok(NewOffset { at: at.clone(), to }));
        }
        for bad in [
            "",
            "a/0",
            "a=5",
            "a/x=5",
            "a/0=",
            "a/0=-1",
            "a/0=first",
            "a/-1=5",
            "a b/0=5",
            "a/99999999999=1",
        ] {
            assert!(bad.parse::<NewOffset>().is_err(), "{bad}");
        }
    }
}
