//! `forebay log consume`: records become lines.

mod out;
mod start;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use forebay_log::{Consumer, ConsumerOptions, Log, PartitionRecords, TopicPartition};
use forebay_types::{Clock, ErrorKind, SystemClock};
use indicatif::ProgressBar;

use self::out::Out;
pub(crate) use self::start::StartAt;
use super::open::open;
use super::record::write::Style;
use crate::args::{Format, LogConsumeArgs};
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::{Session, interrupted};

/// A group is told this often how far it got: a commit of each poll would be most of the work.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// How long a wait for records is before somebody looks whether the output is still read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) fn run(session: &Session, args: &LogConsumeArgs) -> Result<()> {
    let style = style(session, args)?;
    // An interrupt is caught below, where the group can still be told.
    session.block_on_uncaught(async {
        let log = open(session).await?;
        let mut run = Run::begin(session, &log, args, style).await?;
        let outcome = run.until_the_end().await;
        run.bar.finish_and_clear();
        let committed = run.consumer.commit().await;
        outcome?;
        Ok(committed?)
    })
}

fn style(session: &Session, args: &LogConsumeArgs) -> Result<Style> {
    let format = match (args.format, session.output.json) {
        (Some(Format::Text), true) => {
            return Err(CliError::usage("--format text and --json exclude each other"));
        }
        (None, true) => Format::Ndjson,
        (format, _) => format.unwrap_or(Format::Text),
    };
    if format == Format::Ndjson && (args.raw || !args.show.is_empty()) {
        return Err(
            CliError::usage("--show and --raw are for text: a JSON object has everything")
                .hint("leave them out, or --format ndjson"),
        );
    }
    Ok(Style {
        format,
        show: args.show.clone(),
        raw: args.raw,
    })
}

/// A consumer at work. What its consumer's positions say was printed, always.
struct Run<'a> {
    log: &'a Log,
    args: &'a LogConsumeArgs,
    options: ConsumerOptions,
    consumer: Consumer,
    /// Where each partition ends for us; nothing if it goes on for ever.
    ends: BTreeMap<TopicPartition, u64>,
    style: Style,
    out: Out,
    bar: ProgressBar,
    at_once: usize,
    left: u64,
    clock: SystemClock,
    committed: Duration,
}

/// Why a wait ended.
enum Woken<T> {
    Got(T),
    Interrupted,
}

impl<'a> Run<'a> {
    async fn begin(session: &Session, log: &'a Log, args: &'a LogConsumeArgs, style: Style) -> Result<Self> {
        let options = ConsumerOptions {
            group: args.group.clone(),
            start: args.from.0,
            ignore_committed: false,
        };
        let consumer = match args.partitions.as_slice() {
            [] => Consumer::of_topic(log, &args.topic, &options).await?,
            some => {
                let which: Vec<_> = some
                    .iter()
                    .map(|partition| TopicPartition::new(args.topic.clone(), *partition))
                    .collect();
                Consumer::assign(log, &which, &options).await?
            }
        };
        // After the positions: a consumer that begins at the latest record begins at these ends or before.
        let mut ends = BTreeMap::new();
        if !args.follow {
            let which: Vec<_> = consumer.assignment().cloned().collect();
            let known = log.metadata().partitions(&which).await?;
            ends.extend(known.into_iter().map(|info| (info.at, info.high_watermark)));
        }
        let mut total = 0;
        for (at, end) in &ends {
            total += end.saturating_sub(consumer.position_of(at)?);
        }
        let total = args.max.map_or(total, |max| total.min(max));
        let watched = !std::io::stdout().is_terminal() && !args.follow;
        Ok(Self {
            log,
            args,
            options,
            consumer,
            ends,
            style,
            out: Out::begin()?,
            bar: if watched {
                progress::items(session.output, total, args.topic.as_str())
            } else {
                ProgressBar::hidden()
            },
            at_once: session.settings.log.fetch_size,
            left: args.max.unwrap_or(u64::MAX),
            clock: SystemClock::new(),
            committed: Duration::ZERO,
        })
    }

    async fn until_the_end(&mut self) -> Result<()> {
        let mut interrupt = std::pin::pin!(interrupted());
        while self.left > 0 && (self.args.follow || !self.is_at_the_end()?) {
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.at_once);
            let before = self.positions()?;
            let polled = tokio::select! {
                biased;
                () = &mut interrupt => Woken::Interrupted,
                polled = self.consumer.poll_partitions(most) => Woken::Got(polled?),
            };
            let Woken::Got(polled) = polled else {
                return self.interrupted();
            };
            if !polled.is_empty() {
                let (bytes, records) = self.lines(&polled)?;
                let written = tokio::select! {
                    biased;
                    () = &mut interrupt => Ok(Woken::Interrupted),
                    written = self.out.write(bytes) => written.map(Woken::Got),
                };
                match written {
                    Ok(Woken::Got(())) => {}
                    // Whether it was written is not known: it is given again.
                    Ok(Woken::Interrupted) => {
                        self.go_back(&before)?;
                        return self.interrupted();
                    }
                    Err(error) => {
                        self.go_back(&before)?;
                        return Err(error);
                    }
                }
                self.left -= records;
                self.bar.inc(records);
                if self.clock.now() >= self.committed + COMMIT_EVERY {
                    self.commit().await?;
                }
                self.leave_the_finished().await?;
                continue;
            }
            if !self.args.follow {
                if self.positions()? == before {
                    // Nothing came, and nothing was passed over: nothing will.
                    return Ok(());
                }
                continue;
            }
            self.commit().await?;
            let waited = tokio::select! {
                biased;
                () = &mut interrupt => Woken::Interrupted,
                more = self.more() => Woken::Got(more?),
            };
            if let Woken::Interrupted = waited {
                return self.interrupted();
            }
            if self.out.is_closed() {
                return Err(CliError::closed_pipe());
            }
        }
        Ok(())
    }

    /// An interrupt is how following ends; anything else it breaks off.
    fn interrupted(&self) -> Result<()> {
        if self.args.follow {
            return Ok(());
        }
        Err(CliError::new(ErrorKind::Cancelled, "interrupted"))
    }

    /// Waits until something was committed to the log, or for [`LOOK_EVERY`].
    async fn more(&self) -> Result<()> {
        let mut changes = self.log.metadata().changes();
        changes.mark_unchanged();
        // What came before that is seen by asking once more.
        let which: Vec<_> = self.consumer.assignment().cloned().collect();
        for info in self.log.metadata().partitions(&which).await? {
            if info.high_watermark > self.consumer.position_of(&info.at)? {
                return Ok(());
            }
        }
        if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY, changes.changed()).await {
            // Nobody tells of changes any more.
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        self.consumer.commit().await?;
        self.committed = self.clock.now();
        Ok(())
    }

    fn positions(&self) -> Result<Vec<(TopicPartition, u64)>> {
        let of = |at: &TopicPartition| Ok((at.clone(), self.consumer.position_of(at)?));
        self.consumer.assignment().map(of).collect()
    }

    fn go_back(&mut self, to: &[(TopicPartition, u64)]) -> Result<()> {
        for (at, position) in to {
            self.consumer.seek_partition(at, *position)?;
        }
        Ok(())
    }

    /// Whether all partitions are. Who stands beyond an end asked for an offset that is not there, which a poll tells.
    fn is_at_the_end(&self) -> Result<bool> {
        for at in self.consumer.assignment() {
            if self.ends.get(at) != Some(&self.consumer.position_of(at)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The lines of what was polled, without what was written since we began; and how many.
    fn lines(&mut self, polled: &[PartitionRecords]) -> Result<(Vec<u8>, u64)> {
        let (mut bytes, mut count) = (self.out.buffer(), 0);
        for PartitionRecords { at, records, .. } in polled {
            let end = self.ends.get(at).copied().unwrap_or(u64::MAX);
            for record in records.iter().take_while(|record| record.offset < end) {
                self.style.write(at.partition, record, &mut bytes)?;
                count += 1;
            }
        }
        Ok((bytes, count))
    }

    /// A partition that was written to since we began would be polled again and again.
    async fn leave_the_finished(&mut self) -> Result<()> {
        let mut beyond = false;
        for (at, position) in self.positions()? {
            if let Some(&end) = self.ends.get(&at)
                && position > end
            {
                self.consumer.seek_partition(&at, end)?;
                beyond = true;
            }
        }
        if !beyond {
            return Ok(());
        }
        self.commit().await?;
        let mut rest = self.positions()?;
        rest.retain(|(at, position)| self.ends.get(at) != Some(position));
        if rest.is_empty() {
            return Ok(());
        }
        let which: Vec<_> = rest.iter().map(|(at, _)| at.clone()).collect();
        self.consumer = Consumer::assign(self.log, &which, &self.options).await?;
        self.go_back(&rest)
    }
}
